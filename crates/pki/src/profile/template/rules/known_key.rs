//! A key that is not known is a mistake in spelling, and its author believes that it holds.

use super::{Check, Rule};

pub(in super::super) const RULE: Rule =
    Rule { name: "known_key", clause: "docs/pki-profiles.md", check: Check::WhileReading };
