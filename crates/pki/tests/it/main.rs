//! Integration tests over the public API, with the OpenSSL command line as the peer that nobody here wrote.

#[cfg(test)]
mod installation;
#[cfg(test)]
mod openssl;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod pem;
#[cfg(test)]
mod revocation;
