//! A list is short enough to be read by a person.

use super::{Check, Rule};

pub(in super::super) const RULE: Rule = Rule { name: "list_size", clause: "I12", check: Check::WhileReading };
