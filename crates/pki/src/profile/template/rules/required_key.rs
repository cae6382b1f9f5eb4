//! What has no safe default is said.

use super::{Check, Rule};

pub(in super::super) const RULE: Rule =
    Rule { name: "required_key", clause: "docs/pki-profiles.md", check: Check::WhileReading };
