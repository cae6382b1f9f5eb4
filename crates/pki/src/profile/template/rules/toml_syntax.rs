//! The file is TOML.

use super::{Check, Rule};

pub(in super::super) const RULE: Rule =
    Rule { name: "toml_syntax", clause: "TOML 1.0", check: Check::WhileReading };
