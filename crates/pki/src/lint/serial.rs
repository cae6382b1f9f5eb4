//! A serial number is positive and has at most 20 octets.

use super::{Lint, Linted};
use crate::serial::Serial;

pub(super) const LINT: Lint = Lint { name: "serial", clause: "RFC 5280 4.1.2.2", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    Serial::from_der_content(&linted.facts.serial).map(drop).map_err(|e| e.to_string())
}
