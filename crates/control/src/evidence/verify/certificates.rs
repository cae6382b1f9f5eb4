//! Certificates: each was intended first, is the one intended, names the device, and chains to the log's authorities.

use std::collections::HashMap;

use lanyard_domain::event::{Event, FileProof};
use lanyard_domain::id::IssuanceId;
use lanyard_domain::text::Digest;
use lanyard_pki::certificate::{Certificate, PeerIdentity};
use lanyard_pki::path::{Anchors, Purpose, validate};

use super::{Case, Finding, Line, passed};
use crate::digest::sha256;

/// All that are shown.
pub(super) fn certificates(case: &Case<'_>) -> Finding {
    let intents = Intents::of(case);
    let mut count = 0usize;
    for (line, event) in case.events() {
        if let Event::CertificateIssued { .. } = event {
            check(case, &intents, line, event)
                .map_err(|why| format!("the certificate at position {}: {why}", line.pos()))?;
            count += 1;
        }
    }
    let files = case.events().filter_map(|(line, event)| carried(line, event));
    let carried = files.fold(String::new(), |text, one| format!("{text}; {one}"));
    passed(format!(
        "{count} issued to this device, each intended first and chaining to the log's authorities{carried}"
    ))
}

/// That the device asked by a file: it had no network, and what a live connection would have proven is not.
fn carried(line: &Line, event: &Event) -> Option<String> {
    let Event::RequestFileHandedIn { proof, .. } = event else { return None };
    let (pos, by) = (line.pos(), line.actor());
    Some(match proof {
        FileProof::Challenge => {
            format!(
                "at position {pos} by a request file that answered a challenge, handed in by operator {by}"
            )
        }
        FileProof::Secret => {
            format!("at position {pos} by a request file with a one-time secret, handed in by operator {by}")
        }
    })
}

fn check(case: &Case<'_>, intents: &Intents<'_>, line: &Line, event: &Event) -> Result<(), String> {
    let Event::CertificateIssued {
        issuance,
        serial,
        certificate,
        certificate_sha256,
        spki_sha256,
        not_before,
        not_after,
    } = event
    else {
        return Ok(());
    };
    if sha256(&certificate.0) != *certificate_sha256 {
        return Err("it has another digest than recorded".to_owned());
    }
    let parsed = Certificate::parse(&certificate.0).map_err(|e| e.to_string())?;
    let says =
        (parsed.serial().to_string(), Digest(parsed.spki_sha256()), parsed.not_before(), parsed.not_after());
    if says != (serial.clone(), *spki_sha256, *not_before, *not_after) {
        return Err("it says otherwise than recorded about serial, key or validity".to_owned());
    }
    let signed = tbs(&certificate.0).map(sha256).ok_or("it is not DER")?;
    let intended = intents
        .opened
        .get(issuance)
        .is_some_and(|(pos, said)| *pos < line.pos() && *said == (serial.as_str(), *spki_sha256, signed));
    // What was erased cannot be held against it; the report says that something was.
    if !intended && intents.erased.is_none_or(|pos| pos > line.pos()) {
        return Err("no intent to sign exactly this was recorded before".to_owned());
    }
    chains(case, line, parsed)
}

/// What was about to be signed: position, then serial, key and content.
struct Intents<'a> {
    opened: HashMap<IssuanceId, (u64, (&'a str, Digest, Digest))>,
    /// Position of the first that is not opened.
    erased: Option<u64>,
}

/// Kind of an intent (`Event::kind`).
const INTENDED: u16 = 4;

impl<'a> Intents<'a> {
    fn of(case: &'a Case<'_>) -> Self {
        let intended = |(line, event): (&Line, &'a Event)| match event {
            Event::IssuanceIntended { issuance, serial, spki_sha256, tbs_sha256, .. } => {
                Some((*issuance, (line.pos(), (serial.as_str(), *spki_sha256, *tbs_sha256))))
            }
            _ => None,
        };
        let unopened = |line: &&Line| line.event.is_none() && line.header.kind == INTENDED;
        Self {
            opened: case.events().filter_map(intended).collect(),
            erased: case.chain().find(unopened).map(Line::pos),
        }
    }
}

/// The path to a root that the log had at that time, at that time.
fn chains(case: &Case<'_>, line: &Line, leaf: Certificate) -> Result<(), String> {
    let (mut roots, mut others) = (Vec::new(), Vec::new());
    for earlier in case.main.lines().iter().filter(|l| l.pos() < line.pos()) {
        let (name, certificate, sha, above) = match &earlier.event {
            Some(Event::AuthorityCreated { name, certificate, certificate_sha256, .. }) => {
                (name, certificate, certificate_sha256, None)
            }
            Some(Event::AuthorityImported { name, certificate, certificate_sha256, above, .. }) => {
                (name, certificate, certificate_sha256, Some(above))
            }
            _ => continue,
        };
        let read = |der: &[u8]| Certificate::parse(der).map_err(|e| format!("authority `{name}`: {e}"));
        if sha256(&certificate.0) != *sha {
            return Err(format!("authority `{name}` has another digest than recorded"));
        }
        match above.map(|above| above.split_last()) {
            None if name.starts_with("root") => roots.push(read(&certificate.0)?),
            None => others.push(read(&certificate.0)?),
            Some(None) => return Err(format!("authority `{name}` was imported without its root")),
            Some(Some((root, between))) => {
                roots.push(read(&root.0)?);
                others.push(read(&certificate.0)?);
                for der in between {
                    others.push(read(&der.0)?);
                }
            }
        }
    }
    let anchors = Anchors::new(roots).map_err(|e| e.to_string())?;
    let mut chain = vec![leaf];
    while let Some(last) = chain.last()
        && let Some(issuer) = others.iter().find(|c| c.subject_der() == last.issuer_der())
        && !chain.contains(issuer)
    {
        chain.push(issuer.clone());
    }
    let chain: Vec<_> = chain.iter().map(|c| c.der().clone()).collect();
    let verified = validate(&chain, &anchors, Purpose::Client, line.time()).map_err(|e| e.to_string())?;
    match verified.identity() {
        PeerIdentity::Device(id) if id == case.claim.device => Ok(()),
        other => Err(format!("it names {other}")),
    }
}

/// The signed part of a certificate: the first element of the outer SEQUENCE (RFC 5280 4.1).
fn tbs(der: &[u8]) -> Option<&[u8]> {
    let (header, _) = sequence(der)?;
    let body = der.get(header..)?;
    let (header, length) = sequence(body)?;
    body.get(..header.checked_add(length)?)
}

/// Lengths of header and content of the SEQUENCE at the start (X.690 8.1.3).
fn sequence(der: &[u8]) -> Option<(usize, usize)> {
    match der {
        [0x30, n, ..] if *n < 0x80 => Some((2, usize::from(*n))),
        [0x30, 0x81, n, ..] => Some((3, usize::from(*n))),
        [0x30, 0x82, h, l, ..] => Some((4, usize::from(u16::from_be_bytes([*h, *l])))),
        _ => None,
    }
}
