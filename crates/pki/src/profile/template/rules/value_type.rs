//! A value is of its key's type.

use super::{Check, Rule};

pub(in super::super) const RULE: Rule =
    Rule { name: "value_type", clause: "docs/pki-profiles.md", check: Check::WhileReading };
