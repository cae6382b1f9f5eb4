//! The real binary, end to end, on free ports of 127.0.0.1. Each test has its own directory and its own processes.

// `cfg(test)` tells clippy that helpers in here are test code too.
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod house;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod plainly;
#[cfg(test)]
mod walk;
