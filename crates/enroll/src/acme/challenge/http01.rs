//! http-01 (RFC 8555 8.3): a file on the web server of the name, port 80.

use super::Failure;
use crate::acme::identifier::Identifier;

/// Token and thumbprint have 87 characters; white space behind them is allowed.
pub const MAX_RESPONSE_BYTES: usize = 512;

/// What to fetch. Redirects may be followed, by HTTP and HTTPS only, and not many.
pub fn url(identifier: &Identifier, token: &str) -> String {
    let host = match identifier {
        Identifier::Ip(address) if address.is_ipv6() => format!("[{address}]"),
        other => other.to_string(),
    };
    format!("http://{host}/.well-known/acme-challenge/{token}")
}

/// Judges the body of the answer, of which the caller reads at most [`MAX_RESPONSE_BYTES`].
pub fn check(body: &[u8], key_authorization: &str) -> Result<(), Failure> {
    let wrong = || Failure::incorrect("the file does not hold the key authorization of this challenge");
    if body.len() > MAX_RESPONSE_BYTES {
        return Err(wrong());
    }
    // RFC 8555 8.3: white space at the end is to be ignored.
    let found = body.trim_ascii_end();
    if found == key_authorization.as_bytes() { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_key_authorization_and_nothing_else() {
        assert!(check(b"token.print", "token.print").is_ok());
        assert!(check(b"token.print\r\n", "token.print").is_ok());
        for bad in [&b""[..], b"token", b" token.print", b"token.print x", b"token.prinT", &[b' '; 600]] {
            assert!(check(bad, "token.print").is_err());
        }
        let six = Identifier::parse("ip", "2001:db8::1").unwrap();
        assert_eq!(url(&six, "t"), "http://[2001:db8::1]/.well-known/acme-challenge/t");
    }
}
