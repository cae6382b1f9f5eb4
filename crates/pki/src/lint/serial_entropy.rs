//! A serial number is long enough to be random: at least 64 bits, and more octets than a counter would have.

use super::{Lint, Linted};

pub(super) const LINT: Lint = Lint { name: "serial_entropy", clause: "CA/Browser Forum BR 7.1", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let serial = &linted.facts.serial;
    // 9 octets: 64 random bits below a leading octet that keeps the number positive. Ours have 16.
    if serial.len() < 9 {
        return Err(format!("serial number of {} octets, 64 random bits need 9", serial.len()));
    }
    // A counter in a wide field starts with zeros and a few set bits.
    if serial.iter().take(8).skip(1).all(|b| *b == 0) {
        return Err("serial number looks like a counter".into());
    }
    Ok(())
}
