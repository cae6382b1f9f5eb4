//! Addresses that stand in certificates and lists: where a revocation list, an OCSP responder or a CA certificate is.
//!
//! `http` only, on purpose: what is fetched there is signed itself, and a TLS server's certificate would have to be
//! checked for revocation first (RFC 5280 8, RFC 6960 A.1).

use std::fmt;
use std::str::FromStr;

/// Longer ones cost bytes in every certificate; a base address of 200 characters leaves room for a list's path.
const MAX_BYTES: usize = 255;

/// An absolute `http` URI without user, query and fragment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpUri(String);

/// Why a text cannot be such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` cannot stand in a certificate: {rule}")]
pub struct BadUri {
    found: String,
    rule: &'static str,
}

impl HttpUri {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of something below this one.
    pub fn join(&self, path: &str) -> Result<Self, BadUri> {
        format!("{}/{}", self.0.trim_end_matches('/'), path.trim_start_matches('/')).parse()
    }
}

impl FromStr for HttpUri {
    type Err = BadUri;

    fn from_str(text: &str) -> Result<Self, BadUri> {
        let bad = |rule| Err(BadUri { found: text.chars().take(80).collect(), rule });
        if text.len() > MAX_BYTES {
            return bad("at most 255 characters");
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return bad("it must begin with `http://` (a signed object needs no TLS, and TLS would need it)");
        };
        if rest.split('/').next().is_none_or(str::is_empty) {
            return bad("it must name a host");
        }
        // RFC 3986 2: all else would have to be escaped, and readers differ in how.
        if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/:[]".contains(&b)) {
            return bad("it has letters, digits and `-._~/:[]` only, no user, no query and no fragment");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for HttpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HttpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_addresses_are_taken() {
        for good in ["http://a", "http://pki.hospital.example:8080/crl/0.crl", "http://[::1]:1/"] {
            assert_eq!(good.parse::<HttpUri>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "http://",
            "http:///x",
            "https://a/",
            "ldap://a/",
            "HTTP://a",
            "http://a b/",
            "http://u@a/",
            "http://a/?q",
            "http://a/#f",
            "http://a/ü",
            "http://a/%20",
        ] {
            assert!(bad.parse::<HttpUri>().is_err(), "{bad}");
        }
        assert!(format!("http://a/{}", "x".repeat(255)).parse::<HttpUri>().is_err());
    }

    #[test]
    fn an_address_below_another_has_one_slash_between() {
        let base: HttpUri = "http://a/pki/".parse().unwrap();
        assert_eq!(base.join("/crl/1.crl").unwrap().as_str(), "http://a/pki/crl/1.crl");
        assert!(base.join("a b").is_err());
    }
}
