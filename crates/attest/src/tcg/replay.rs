//! Folds a log into the PCR values that a TPM has after extending the same events.

use super::{EventLog, PCRS};
use crate::tpm::structures::HashAlg;
use crate::wire::Malformed;

const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";

/// PCR values of one bank after the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    values: Vec<Vec<u8>>,
    extended: [u32; PCRS],
}

impl Replay {
    /// The value of a PCR.
    pub fn value(&self, pcr: u8) -> Option<&[u8]> {
        self.values.get(usize::from(pcr)).map(Vec::as_slice)
    }

    /// How many events were extended into a PCR.
    pub fn count(&self, pcr: u8) -> u32 {
        self.extended.get(usize::from(pcr)).copied().unwrap_or(0)
    }
}

/// Replays the log for one bank.
pub fn replay(log: &EventLog<'_>, bank: HashAlg) -> Result<Replay, Malformed> {
    let mut values = vec![vec![0u8; bank.size()]; PCRS];
    let mut extended = [0u32; PCRS];
    for event in &log.events {
        if !event.is_extended() {
            start_locality(event.pcr, event.data, &mut values, &extended)?;
            continue;
        }
        let index = usize::try_from(event.pcr).unwrap_or(usize::MAX);
        let (Some(value), Some(count)) = (values.get_mut(index), extended.get_mut(index)) else {
            return Err(Malformed::Unsupported { field: "event PCR", found: event.pcr.into() });
        };
        let digest = event.digest(bank).ok_or(Malformed::Invalid {
            field: "event digest",
            rule: "every event has a digest of the bank",
        })?;
        value.extend_from_slice(digest);
        let next = aws_lc_rs::digest::digest(bank.algorithm(), value);
        value.clear();
        value.extend_from_slice(next.as_ref());
        *count = count.saturating_add(1);
    }
    Ok(Replay { values, extended })
}

/// A TPM that was started at locality 3 or 4 has that number in PCR 0 before the first extend. Said later,
/// or with another number, it would let a log choose its own starting value.
fn start_locality(
    pcr: u32,
    data: &[u8],
    values: &mut [Vec<u8>],
    extended: &[u32; PCRS],
) -> Result<(), Malformed> {
    let Some(locality) = data.strip_prefix(STARTUP_LOCALITY) else { return Ok(()) };
    let field = "startup locality";
    if pcr != 0 || extended.first() != Some(&0) {
        return Err(Malformed::Invalid { field, rule: "comes before the first event of PCR 0" });
    }
    match (locality, values.first_mut().and_then(|v| v.last_mut())) {
        (&[l @ (0 | 3 | 4)], Some(last)) => {
            *last = l;
            Ok(())
        }
        _ => Err(Malformed::Invalid { field, rule: "is 0, 3 or 4" }),
    }
}
