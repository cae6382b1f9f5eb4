//! The part of a software TPM that changes while it runs: PCRs, clock, reset counters.
//!
//! PCR rules are those of the PC Client Platform TPM Profile: 0-16 and 23 start as zeros, 17-22 as ones. The
//! clock follows the Library specification, part 1, 36: it counts powered milliseconds, is saved from time to
//! time, goes back to the saved value when the power goes away unannounced, and is then not `safe` until it
//! has passed all it may have said.

use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use lanyard_attest::tpm::structures::ClockInfo;

use super::chip::Chip;
use super::{DRTM_PCRS, PCR_COUNT, PcrValue, TpmError};
use crate::tpm::container::{self, Kind};

/// How often the clock is saved: 2^12 ms, as the reference implementation does (NV_CLOCK_UPDATE_INTERVAL).
const SAVE_EVERY_MS: u64 = 4096;
const WHAT: &str = "measurements";

/// How the power went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// TPM2_Shutdown came first.
    Orderly,
    /// The plug was pulled.
    PowerCut,
}

pub(super) struct Measurements {
    pcrs: [[u8; 32]; PCR_COUNT as usize],
    reset_count: u32,
    restart_count: u32,
    clock: Clock,
}

struct Clock {
    base_ms: u64,
    since: Instant,
    /// No clock value at or above this one was ever reported; what is on disk.
    reserved_ms: u64,
    /// From here on the clock is safe again.
    safe_from_ms: u64,
}

/// Whether the state on disk must be renewed before the answer leaves the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Save {
    Needed,
    NotNeeded,
}

impl Measurements {
    /// As after the first power-on.
    pub(super) fn new() -> Self {
        let clock = Clock { base_ms: 0, since: Instant::now(), reserved_ms: SAVE_EVERY_MS, safe_from_ms: 0 };
        Self { pcrs: initial_pcrs(), reset_count: 1, restart_count: 0, clock }
    }

    pub(super) fn extend(&mut self, pcr: u8, digest: &[u8; 32]) {
        if let Some(value) = self.pcrs.get_mut(usize::from(pcr)) {
            let mut hash = Context::new(&SHA256);
            hash.update(value);
            hash.update(digest);
            value.copy_from_slice(hash.finish().as_ref());
        }
    }

    pub(super) fn read(&self, pcrs: &[u8]) -> Vec<PcrValue> {
        pcrs.iter().filter_map(|pcr| Some((*pcr, *self.pcrs.get(usize::from(*pcr))?))).collect()
    }

    /// Clock and counters for an attestation made now.
    pub(super) fn clock(&mut self) -> (ClockInfo, Save) {
        let clock = self.clock.now();
        let save = self.clock.reserve(clock);
        let safe = clock >= self.clock.safe_from_ms;
        let info =
            ClockInfo { clock, reset_count: self.reset_count, restart_count: self.restart_count, safe };
        (info, save)
    }

    /// TPM Reset: the device was off and is on again.
    pub(super) fn power_cycle(&mut self, shutdown: Shutdown) {
        self.pcrs = initial_pcrs();
        self.reset_count = self.reset_count.wrapping_add(1);
        self.restart_count = 0;
        let now = self.clock.now();
        self.clock = match shutdown {
            Shutdown::Orderly => Clock { base_ms: now, since: Instant::now(), ..self.clock },
            Shutdown::PowerCut => {
                let saved = self.clock.reserved_ms.saturating_sub(SAVE_EVERY_MS);
                Clock {
                    base_ms: saved,
                    since: Instant::now(),
                    safe_from_ms: self.clock.reserved_ms,
                    ..self.clock
                }
            }
        };
    }

    pub(super) fn encode(&self, chip: &Chip) -> Result<Vec<u8>, TpmError> {
        let body = self.body();
        let tag = hmac::sign(&chip.measurement_key()?, &body);
        Ok(container::encode(Kind::Measurements, &[&body, tag.as_ref()]))
    }

    fn body(&self) -> Vec<u8> {
        let mut body = self.pcrs.concat();
        body.extend_from_slice(&self.reset_count.to_be_bytes());
        body.extend_from_slice(&self.restart_count.to_be_bytes());
        body.extend_from_slice(&self.clock.reserved_ms.to_be_bytes());
        body.extend_from_slice(&self.clock.safe_from_ms.to_be_bytes());
        body
    }

    /// The process ended, the power did not: PCRs and counters stay, the clock goes on where it was at most.
    pub(super) fn decode(chip: &Chip, bytes: &[u8]) -> Result<Self, TpmError> {
        let malformed = |why: &str| TpmError::malformed(WHAT, why);
        let [body, tag] = <[Vec<u8>; 2]>::try_from(container::decode(WHAT, Kind::Measurements, bytes)?)
            .map_err(|_| malformed("measurements have two fields"))?;
        hmac::verify(&chip.measurement_key()?, &body, &tag)
            .map_err(|_| malformed("they belong to another TPM"))?;
        let mut out = Self::new();
        let mut rest = body.as_slice();
        for value in &mut out.pcrs {
            *value = take(&mut rest)?;
        }
        out.reset_count = u32::from_be_bytes(take(&mut rest)?);
        out.restart_count = u32::from_be_bytes(take(&mut rest)?);
        let reserved_ms = u64::from_be_bytes(take(&mut rest)?);
        let safe_from_ms = u64::from_be_bytes(take(&mut rest)?);
        out.clock = Clock { base_ms: reserved_ms, since: Instant::now(), reserved_ms, safe_from_ms };
        if rest.is_empty() { Ok(out) } else { Err(malformed("bytes are left at the end")) }
    }
}

impl Clock {
    fn now(&self) -> u64 {
        let elapsed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.base_ms.saturating_add(elapsed)
    }

    /// Keeps `reserved_ms` above `now`.
    fn reserve(&mut self, now: u64) -> Save {
        if now < self.reserved_ms {
            return Save::NotNeeded;
        }
        self.reserved_ms = (now / SAVE_EVERY_MS).saturating_add(1).saturating_mul(SAVE_EVERY_MS);
        Save::Needed
    }
}

fn initial_pcrs() -> [[u8; 32]; PCR_COUNT as usize] {
    let mut pcrs = [[0; 32]; PCR_COUNT as usize];
    for (pcr, value) in (0u8..).zip(&mut pcrs) {
        if DRTM_PCRS.contains(&pcr) {
            *value = [0xff; 32];
        }
    }
    pcrs
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TpmError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(|| TpmError::malformed(WHAT, "truncated"))?;
    *rest = tail;
    Ok(*head)
}
