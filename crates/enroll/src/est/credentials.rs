//! HTTP Basic authentication (RFC 7617) with a one-time enrollment secret as the password, on both sides.
//!
//! The user name is not used: the secret says itself which one it is. Clients that must have one may write the
//! device's id, or anything.

use std::fmt;

use data_encoding::BASE64;
use zeroize::Zeroizing;

/// Base64 of a user name of 255 bytes (the longest identifier people paste, a distinguished name), a colon and a
/// secret of 48 bytes has 408 characters.
const MAX_HEADER: usize = 512;

/// A secret as somebody presented it: claimed, not proven. `crate::secret::id_of` says which it may be.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedSecret(Zeroizing<String>);

impl PresentedSecret {
    pub(super) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text, to prove it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PresentedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why an `Authorization` header was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthorization {
    /// Longer than [`MAX_HEADER`].
    #[error("the authorization header has {0} characters, at most {MAX_HEADER} are read")]
    TooLong(usize),
    /// Digest, Bearer, Negotiate.
    #[error("authorization scheme is not Basic: give the enrollment secret as the password of HTTP Basic")]
    Scheme,
    /// Not base64 of `user:password`.
    #[error(
        "the authorization header is malformed: expected `Basic` and base64 of `user:secret` (RFC 7617 2)"
    )]
    Malformed,
    /// A user name and nothing behind the colon.
    #[error("the password is empty: give the enrollment secret as the password")]
    Empty,
}

/// Reads the value of an `Authorization` header.
pub(super) fn read(header: &str) -> Result<PresentedSecret, BadAuthorization> {
    if header.len() > MAX_HEADER {
        return Err(BadAuthorization::TooLong(header.len()));
    }
    let (scheme, token) = header.trim().split_once(' ').ok_or(BadAuthorization::Scheme)?;
    // RFC 9110 11.1: the scheme's case does not matter.
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(BadAuthorization::Scheme);
    }
    let bytes = BASE64.decode(token.trim().as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| BadAuthorization::Malformed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| BadAuthorization::Malformed)?;
    let (_user, password) = text.split_once(':').ok_or(BadAuthorization::Malformed)?;
    if password.trim().is_empty() {
        return Err(BadAuthorization::Empty);
    }
    Ok(PresentedSecret::new(password))
}

/// The value of an `Authorization` header that presents `secret`.
pub(super) fn write(user: &str, secret: &str) -> String {
    // RFC 7617 2: a user name has no colon.
    let user: String = user.chars().filter(|c| *c != ':' && !c.is_control()).collect();
    let pair = Zeroizing::new(format!("{user}:{secret}"));
    format!("Basic {}", BASE64.encode(pair.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_whoever_the_user_is() {
        for user in ["", "device-17", "a:b", "ü"] {
            let secret = read(&write(user, "abcdefgh-xyz")).unwrap();
            assert_eq!(secret.reveal(), "abcdefgh-xyz", "{user}");
        }
        // What `curl -u pump:secret` sends.
        assert_eq!(read("basic  cHVtcDpzZWNyZXQ=").unwrap().reveal(), "secret");
        assert_eq!(read("Basic cHVtcDphOmI=").unwrap().reveal(), "a:b");
    }

    // I12
    #[test]
    fn what_is_no_basic_header_is_refused() {
        let of = |text: &str| format!("Basic {}", BASE64.encode(text.as_bytes()));
        for (header, expected) in [
            (String::new(), BadAuthorization::Scheme),
            ("Basic".into(), BadAuthorization::Scheme),
            ("Bearer abc".into(), BadAuthorization::Scheme),
            ("Basic !".into(), BadAuthorization::Malformed),
            ("Basic cHVtcDpzZWNyZXQ".into(), BadAuthorization::Malformed),
            (of("no colon"), BadAuthorization::Malformed),
            (of("user: "), BadAuthorization::Empty),
            ("B".repeat(513), BadAuthorization::TooLong(513)),
        ] {
            assert_eq!(read(&header), Err(expected), "{header}");
        }
        assert_eq!(read(&format!("Basic {}", BASE64.encode(b"a:\xff"))), Err(BadAuthorization::Malformed));
    }

    // I10
    #[test]
    fn a_presented_secret_is_not_printed() {
        assert_eq!(format!("{:?}", PresentedSecret::new("geheim")), "[redacted]");
    }
}
