//! Addresses that stand in certificates and lists: where a revocation list, an OCSP responder or a CA certificate is.
//!
//! `http` only, on purpose: what is fetched there is signed itself, and a TLS server's certificate would have to be
//! checked for revocation first (RFC 5280 8, RFC 6960 A.1).

use std::fmt;
use std::str::FromStr;

/// Longer ones cost bytes in every certificate and break old clients.
const MAX_BYTES: usize = 200;

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
            return bad("at most 200 characters");
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return bad("it must begin with `http://` (a signed object needs no TLS, and TLS would need it)");
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (name, port) = host.split_once(':').unwrap_or((host, "80"));
        let named =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if name.is_empty() || !named {
            return bad("its host is a lower-case DNS name or an IPv4 address");
        }
        if port.starts_with('0') || port.parse::<u16>().is_err() || !port.bytes().all(|b| b.is_ascii_digit())
        {
            return bad("its port is a number from 1 to 65535");
        }
        // RFC 3986 2.3: unreserved characters need no escape and have one spelling.
        if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b)) {
            return bad("its path has letters, digits and `-._~/` only");
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
        for good in ["http://a", "http://pki.hospital.example:8080/crl/0.crl", "http://127.0.0.1:1/"] {
            assert_eq!(good.parse::<HttpUri>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "http://",
            "https://a/",
            "ldap://a/",
            "http://A/",
            "http://a b/",
            "http://a:0/",
            "http://a:x/",
            "http://a:+1/",
            "http://a:99999/",
            "http://u@a/",
            "http://a/?q",
            "http://a/#f",
            "http://a/ü",
            "http:///x",
        ] {
            assert!(bad.parse::<HttpUri>().is_err(), "{bad}");
        }
        assert!(format!("http://a/{}", "x".repeat(200)).parse::<HttpUri>().is_err());
    }

    #[test]
    fn an_address_below_another_has_one_slash_between() {
        let base: HttpUri = "http://a/pki/".parse().unwrap();
        assert_eq!(base.join("/crl/1.crl").unwrap().as_str(), "http://a/pki/crl/1.crl");
        assert!(base.join("a b").is_err());
    }
}
