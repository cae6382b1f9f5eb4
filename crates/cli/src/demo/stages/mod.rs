//! The stages, by topic. Each does one thing, checks it, and says what it saw.

pub(super) mod attacks;
pub(super) mod containment;
pub(super) mod data;
pub(super) mod evidence;
pub(super) mod identity;
pub(super) mod people;
pub(super) mod retirement;
