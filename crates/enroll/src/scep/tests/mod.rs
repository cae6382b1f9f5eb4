//! The responder as a whole.

mod exchanges;
mod hiding;
mod recorded;
mod refusals;
mod service;
