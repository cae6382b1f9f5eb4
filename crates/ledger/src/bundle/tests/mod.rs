//! The bundle against itself, against every flipped bit, and against the Python verifier.

mod cases;
mod fixture;
mod flips;
mod peer;
mod rules;
mod vectors;
