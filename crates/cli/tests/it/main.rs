//! The real binary, end to end, on free ports of 127.0.0.1. Each test has its own directory and its own processes.

mod house;
mod offline;
mod plainly;
mod walk;
