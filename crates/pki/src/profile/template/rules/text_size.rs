//! A text fits on a line.

use super::{Check, Rule};

pub(in super::super) const RULE: Rule = Rule { name: "text_size", clause: "I12", check: Check::WhileReading };
