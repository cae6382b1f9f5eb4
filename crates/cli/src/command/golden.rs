//! A golden device's event log made into a release record: the PCR values that its replay gives, and its events with
//! names, so that a later difference can be named.
//!
//! In scope: measuring. Out of scope: whether the golden device is good; two people vouch for that by approving.

use lanyard_attest::tcg::{Event, EventLog, MODEL_PCR, event_name, replay};
use lanyard_attest::tpm::structures::HashAlg;
use lanyard_domain::release::{ReferenceEvent, ReferencePcr, ReleaseContent};
use lanyard_domain::text::Digest;

use crate::exit::Failure;

/// Characters of an event's data that a label shows: a path or a file name.
const LABEL: usize = 80;

/// Reference values of `pcrs` from a log.
pub fn firmware(log: &[u8], pcrs: &[u8]) -> anyhow::Result<ReleaseContent> {
    let refuse = |e: &dyn std::fmt::Display| Failure::usage(format!("event log cannot be used: {e}"));
    let log = EventLog::parse(log).map_err(|e| refuse(&e))?;
    if !log.has_bank(HashAlg::Sha256) {
        return Err(refuse(
            &"it has no SHA-256 digests; switch the SHA-256 bank on in the firmware's settings",
        ));
    }
    let replayed = replay(&log, HashAlg::Sha256).map_err(|e| refuse(&e))?;
    let mut references = Vec::new();
    for pcr in pcrs {
        if *pcr == MODEL_PCR {
            return Err(Failure::usage(format!(
                "PCR {MODEL_PCR} holds AI models; those have releases of their own"
            )));
        }
        if replayed.count(*pcr) == 0 {
            return Err(Failure::usage(format!(
                "nothing was measured into PCR {pcr}: it would check nothing; leave it out with --pcrs"
            )));
        }
        let value = replayed.value(*pcr).and_then(|v| v.try_into().ok()).map(Digest);
        let value =
            value.ok_or_else(|| Failure::usage(format!("PCR {pcr} does not exist; write 0 to 23")))?;
        references.push(ReferencePcr { pcr: *pcr, value });
    }
    let events = log.events.iter().filter(|e| e.is_extended()).filter_map(|e| reference(e, pcrs)).collect();
    Ok(ReleaseContent::Firmware { pcrs: references, events })
}

fn reference(event: &Event<'_>, pcrs: &[u8]) -> Option<ReferenceEvent> {
    let pcr = u8::try_from(event.pcr).ok().filter(|pcr| pcrs.contains(pcr))?;
    let digest = event.digest(HashAlg::Sha256)?.try_into().ok().map(Digest)?;
    Some(ReferenceEvent { pcr, digest, label: label(event) })
}

/// What the event is, and its data where that is text: a path, a command line, a version.
fn label(event: &Event<'_>) -> String {
    let kind = event_name(event.kind);
    match printable(event.data) {
        Some(text) => format!("{kind}: {text}"),
        None => kind,
    }
}

/// Firmware writes ASCII or UTF-16 with a zero at the end; anything else stays unread.
fn printable(data: &[u8]) -> Option<String> {
    let wide: Option<Vec<u16>> = data.len().is_multiple_of(2).then(|| {
        let pairs = data.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
        pairs.map(u16::from_le_bytes).collect()
    });
    let texts =
        [std::str::from_utf8(data).ok().map(str::to_owned), wide.and_then(|w| String::from_utf16(&w).ok())];
    let readable = |text: &String| {
        let body = text.trim_end_matches('\0');
        !body.is_empty() && body.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    };
    let text = texts.into_iter().flatten().find(readable)?;
    Some(text.trim_end_matches('\0').trim().chars().take(LABEL).collect())
}

#[cfg(test)]
mod tests {
    use lanyard_attest::tcg::BASELINE_PCRS;
    use lanyard_attest::tcg::build::{LogBuilder, pcr_after};
    use lanyard_domain::release::ReleaseRecord;

    use super::*;

    fn golden() -> LogBuilder {
        LogBuilder::new()
            .s_crtm_version("ROM 2")
            .firmware_blob(2, 0, b"option ROM")
            .secure_boot_variable(b"on")
            .separators()
            .boot_application("/EFI/boot", b"loader")
            .ipl("kernel", b"image")
    }

    fn record(content: ReleaseContent) -> ReleaseRecord {
        ReleaseRecord {
            vendor: "Acme".into(),
            model: "P1".into(),
            version: "1".into(),
            security_version: 1,
            minimum_security_version: 1,
            not_after: None,
            content,
        }
    }

    // R63
    #[test]
    fn a_golden_log_becomes_values_and_named_events() {
        let (log, extends) = golden().finish();
        let content = firmware(&log, &BASELINE_PCRS).unwrap();
        record(content.clone()).check().unwrap();
        let ReleaseContent::Firmware { pcrs, events } = content else { panic!("not firmware") };
        assert_eq!(pcrs.len(), BASELINE_PCRS.len());
        for reference in &pcrs {
            assert_eq!(reference.value.0, pcr_after(&extends, reference.pcr), "PCR {}", reference.pcr);
        }
        let labels: Vec<&str> = events.iter().map(|e| e.label.as_str()).collect();
        for expected in
            ["firmware root version: ROM 2", "boot application: /EFI/boot", "boot loader item: kernel"]
        {
            assert!(labels.contains(&expected), "{expected}: {labels:?}");
        }
        assert!(events.iter().all(|e| BASELINE_PCRS.contains(&e.pcr)));
    }

    // I5
    #[test]
    fn a_release_that_would_check_nothing_is_not_made() {
        let (log, _) = LogBuilder::new().s_crtm_version("1").finish();
        for (pcrs, why) in [(&[7u8][..], "check nothing"), (&[12][..], "AI models"), (&[0, 24][..], "")] {
            let error = firmware(&log, pcrs).unwrap_err().to_string();
            assert!(error.contains(why), "{pcrs:?}: {error}");
        }
        assert!(firmware(&log, &[0]).is_ok());
    }

    // I12
    #[test]
    fn every_cut_and_flip_of_a_log_is_read_or_refused() {
        let (log, _) = golden().finish();
        for end in 0..log.len() {
            let _outcome = firmware(&log[..end], &BASELINE_PCRS);
        }
        for bit in 0..log.len() * 8 {
            let mut flipped = log.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _outcome = firmware(&flipped, &BASELINE_PCRS);
        }
    }
}
