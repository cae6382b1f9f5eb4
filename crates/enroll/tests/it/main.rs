//! Integration tests over the public API: each protocol's client against its server, and OpenSSL's command line as the
//! peer that nobody here wrote.

#[cfg(test)]
mod est;
