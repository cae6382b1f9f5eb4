//! Parsing of a binary event log. Borrows from the input, allocates one small list per event.

use super::{EV_NO_ACTION, MAX_BANKS, MAX_EVENTS, MAX_LOG};
use crate::tpm::structures::HashAlg;
use crate::wire::{Malformed, Reader, within};

/// The header's mark of the crypto-agile form.
pub(super) const SPEC_ID_03: &[u8; 16] = b"Spec ID Event03\0";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// PCR.
    pub pcr: u32,
    /// Type.
    pub kind: u32,
    digests: Vec<(u16, &'a [u8])>,
    /// Description by the firmware. Not covered by the digest unless [`Event::data_is_covered`].
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// The digest for a bank.
    pub fn digest(&self, bank: HashAlg) -> Option<&'a [u8]> {
        self.digests.iter().find(|(alg, _)| *alg == bank.id()).map(|(_, d)| *d)
    }

    /// Whether the digest is the hash of the data, so that the data can be believed as far as the quote.
    pub fn data_is_covered(&self, bank: HashAlg) -> bool {
        self.digest(bank).is_some_and(|d| bank.digest(self.data) == d)
    }

    /// Whether the event was extended.
    pub const fn is_extended(&self) -> bool {
        self.kind != EV_NO_ACTION
    }
}

/// A parsed log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog<'a> {
    /// `TPM_ALG_ID`s and digest sizes of the banks.
    pub banks: Vec<(u16, usize)>,
    /// The events after the header, in order.
    pub events: Vec<Event<'a>>,
}

impl<'a> EventLog<'a> {
    /// Parses a log of either form; ends at zero or FF padding.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        within("event log", bytes.len(), MAX_LOG)?;
        let mut r = Reader::new(bytes);
        let first = sha1_event(&mut r)?;
        if first.kind != EV_NO_ACTION || !first.data.starts_with(SPEC_ID_03) {
            let banks = vec![(HashAlg::Sha1.id(), 20)];
            return Ok(Self { banks, events: rest(&mut r, vec![first], sha1_event)? });
        }
        let banks = spec_id(first.data)?;
        let events = rest(&mut r, Vec::new(), |r| agile_event(r, &banks))?;
        Ok(Self { banks, events })
    }

    /// Whether the log has digests for a bank.
    pub fn has_bank(&self, bank: HashAlg) -> bool {
        self.banks.iter().any(|(alg, _)| *alg == bank.id())
    }
}

fn rest<'a>(
    r: &mut Reader<'a>,
    mut events: Vec<Event<'a>>,
    next: impl Fn(&mut Reader<'a>) -> Result<Event<'a>, Malformed>,
) -> Result<Vec<Event<'a>>, Malformed> {
    while r.left() > 0 && !is_padding(r.rest()) {
        within("event count", events.len() + 1, MAX_EVENTS)?;
        events.push(next(r)?);
    }
    Ok(events)
}

/// Firmware hands over a preallocated area that ends in zeros or erased flash. PCR 0 with type 0 is no event
/// that is ever logged, so eight such bytes tell padding from an event; fewer could be a log cut short.
fn is_padding(rest: &[u8]) -> bool {
    [[0u8; 8], [0xFF; 8]]
        .iter()
        .any(|start| rest.starts_with(start) && rest.iter().all(|b| start.first() == Some(b)))
}

/// TCG_PCR_EVENT: the form of the header, and of every record of a SHA-1 log.
fn sha1_event<'a>(r: &mut Reader<'a>) -> Result<Event<'a>, Malformed> {
    let pcr = r.u32_le("event PCR")?;
    let kind = r.u32_le("event type")?;
    let digest = r.take("event digest", 20)?;
    let data = event_data(r)?;
    Ok(Event { pcr, kind, digests: vec![(HashAlg::Sha1.id(), digest)], data })
}

/// TCG_PCR_EVENT2.
fn agile_event<'a>(r: &mut Reader<'a>, banks: &[(u16, usize)]) -> Result<Event<'a>, Malformed> {
    let pcr = r.u32_le("event PCR")?;
    let kind = r.u32_le("event type")?;
    let count = usize::try_from(r.u32_le("digest count")?).unwrap_or(usize::MAX);
    within("digest count", count, banks.len())?;
    let mut digests = Vec::with_capacity(count);
    for _ in 0..count {
        let alg = r.u16_le("digest algorithm")?;
        let (_, size) = banks
            .iter()
            .find(|(id, _)| *id == alg)
            .ok_or(Malformed::Unsupported { field: "digest algorithm", found: alg.into() })?;
        if digests.iter().any(|(id, _)| *id == alg) {
            return Err(Malformed::Invalid { field: "digest algorithm", rule: "each bank at most once" });
        }
        digests.push((alg, r.take("event digest", *size)?));
    }
    let data = event_data(r)?;
    Ok(Event { pcr, kind, digests, data })
}

fn event_data<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let size = usize::try_from(r.u32_le("event data size")?).unwrap_or(usize::MAX);
    r.take("event data", size)
}

/// TCG_EfiSpecIDEvent: which banks the log has and how long their digests are.
fn spec_id(data: &[u8]) -> Result<Vec<(u16, usize)>, Malformed> {
    let mut r = Reader::new(data);
    r.take("specification id", SPEC_ID_03.len())?;
    r.take("platform class and versions", 8)?;
    let count = usize::try_from(r.u32_le("bank count")?).unwrap_or(usize::MAX);
    within("bank count", count, MAX_BANKS)?;
    let mut banks = Vec::with_capacity(count);
    for _ in 0..count {
        let alg = r.u16_le("bank algorithm")?;
        let size = usize::from(r.u16_le("bank digest size")?);
        within("bank digest size", size, 64)?;
        if HashAlg::from_id("bank", alg).is_ok_and(|known| known.size() != size) {
            return Err(Malformed::Invalid {
                field: "bank digest size",
                rule: "a known algorithm has its own digest size",
            });
        }
        if banks.iter().any(|(id, _)| *id == alg) {
            return Err(Malformed::Invalid { field: "bank algorithm", rule: "each bank at most once" });
        }
        banks.push((alg, size));
    }
    let vendor = usize::from(r.u8("vendor info size")?);
    r.take("vendor info", vendor)?;
    r.finish("specification id event")?;
    Ok(banks)
}
