//! A template is a page of text.

use super::{Check, Rule};

pub(in super::super) const RULE: Rule = Rule { name: "file_size", clause: "I12", check: Check::WhileReading };
