//! Integration tests over the public API: each protocol's client against its server, and clients that nobody here wrote.

#[cfg(test)]
mod scep;
