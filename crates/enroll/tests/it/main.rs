//! Integration tests over the public API: engines against clients that nobody here wrote.

#[cfg(test)]
mod acme;
