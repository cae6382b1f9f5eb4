//! Integration tests over the public API, with peers that nobody here wrote: OpenSSL, GnuTLS, NSS and pyca on what we
//! issue, x509-limbo and NIST PKITS on what we accept.

#[cfg(test)]
mod exceptions;
#[cfg(test)]
mod installation;
#[cfg(test)]
mod limbo;
#[cfg(test)]
mod openssl;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod pem;
#[cfg(test)]
mod pkits;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod verifiers;
