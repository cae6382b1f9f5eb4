//! From an HTTP request to an operation (RFC 8894 4).
//!
//! Paths: `/scep` and `/scep/{profile}`; behind either, `/pkiclient.exe` and `/cgi-bin/pkiclient.exe` are what old clients
//! append by themselves. Query: `operation=` and `message=`. In scope: the raw path and query, percent-encoding, base64.
//! Out of scope: what is in a message.

use data_encoding::BASE64_NOPAD;

/// A PKCSReq of RSA-8192 keys has about 9 KiB, with a chain of four certificates below 32 KiB.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// The same in base64 (4/3) with every character percent-encoded (3), and the names in front.
const MAX_QUERY_BYTES: usize = MAX_MESSAGE_BYTES * 4 + 1024;
/// Names of profiles have at most 64 characters.
const MAX_PROFILE_BYTES: usize = 64;

/// An HTTP request, as far as SCEP looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path as sent, from `/scep` on.
    pub path: &'a str,
    /// The query as sent, without `?`; empty if there is none.
    pub query: &'a str,
    /// The body; the caller reads no more than [`MAX_MESSAGE_BYTES`] and one.
    pub body: &'a [u8],
}

/// Why a request is not one of SCEP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Another path.
    #[error("no SCEP service at this path: use `/scep` or `/scep/<profile>`")]
    Path,
    /// Another method.
    #[error("method `{0}` is not used by SCEP: use GET or POST (RFC 8894 4.1)")]
    Method(String),
    /// No operation, or one that does not exist.
    #[error("operation `{0}` is none of GetCACaps, GetCACert, GetNextCACert, PKIOperation (RFC 8894 4.1)")]
    Operation(String),
    /// Longer than anything real.
    #[error("the request is longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLarge,
    /// PKIOperation by GET without a message, or with one that is not base64.
    #[error("the query's `message` is not base64, percent-encoded (RFC 8894 4.3)")]
    Message,
    /// A percent sign without two hex digits.
    #[error("the query is not percent-encoded (RFC 3986 2.1)")]
    Encoding,
}

impl RouteError {
    /// HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            RouteError::Path => 404,
            RouteError::Method(_) => 405,
            RouteError::Operation(_) | RouteError::Message | RouteError::Encoding => 400,
            RouteError::TooLarge => 413,
        }
    }
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Capabilities,
    CaCertificate,
    NextCaCertificate,
    /// A pkiMessage in BER.
    Pki(Vec<u8>),
}

/// Reads a request. Fuzz entry point.
pub(super) fn route(incoming: &Incoming<'_>) -> Result<(Option<String>, Operation), RouteError> {
    let profile = profile(incoming.path)?;
    if incoming.query.len() > MAX_QUERY_BYTES || incoming.body.len() > MAX_MESSAGE_BYTES {
        return Err(RouteError::TooLarge);
    }
    let is_post = match incoming.method {
        "GET" => false,
        "POST" => true,
        other => return Err(RouteError::Method(other.chars().take(16).collect())),
    };
    let name = parameter(incoming.query, "operation")?.unwrap_or_default();
    let name = String::from_utf8_lossy(&name);
    let is = |operation: &str| name.eq_ignore_ascii_case(operation);
    let operation = if is("PKIOperation") && is_post {
        Operation::Pki(incoming.body.to_vec())
    } else if is("PKIOperation") {
        Operation::Pki(message(incoming.query)?)
    } else if is("GetCACaps") {
        Operation::Capabilities
    } else if is("GetCACert") {
        Operation::CaCertificate
    } else if is("GetNextCACert") {
        Operation::NextCaCertificate
    } else {
        return Err(RouteError::Operation(name.chars().take(32).collect()));
    };
    Ok((profile, operation))
}

fn profile(path: &str) -> Result<Option<String>, RouteError> {
    let rest = path.strip_prefix("/scep").ok_or(RouteError::Path)?;
    let rest = match rest.strip_suffix("/pkiclient.exe") {
        Some(rest) => rest.strip_suffix("/cgi-bin").unwrap_or(rest),
        None => rest,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok(None);
    }
    let name = rest.strip_prefix('/').ok_or(RouteError::Path)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_PROFILE_BYTES || !name.chars().all(is_name) {
        return Err(RouteError::Path);
    }
    Ok(Some(name.to_owned()))
}

/// The message of a GET. strongSwan breaks it into lines; some clients leave `+` as it is, which in a query may come
/// out as a space, and some leave the padding away.
fn message(query: &str) -> Result<Vec<u8>, RouteError> {
    let mut base64 = parameter(query, "message")?.ok_or(RouteError::Message)?;
    base64.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    for byte in &mut base64 {
        if *byte == b' ' {
            *byte = b'+';
        }
    }
    let end = base64.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    // X.690 needs two bytes for anything; base64 has at most two of padding.
    if end == 0 || base64.len() - end > 2 {
        return Err(RouteError::Message);
    }
    base64.truncate(end);
    let message = BASE64_NOPAD.decode(&base64).map_err(|_| RouteError::Message)?;
    if message.len() > MAX_MESSAGE_BYTES { Err(RouteError::TooLarge) } else { Ok(message) }
}

/// The first parameter of this name, percent-decoded.
fn parameter(query: &str, name: &str) -> Result<Option<Vec<u8>>, RouteError> {
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((found, value)) if found == name => return percent_decoded(value).map(Some),
            _ => {}
        }
    }
    Ok(None)
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, RouteError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(RouteError::Encoding),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, query: &str) -> Result<(Option<String>, Operation), RouteError> {
        route(&Incoming { method: "GET", path, query, body: b"" })
    }

    #[test]
    fn a_profile_stands_in_the_path_and_what_old_clients_append_does_not_matter() {
        for (path, expected) in [
            ("/scep", None),
            ("/scep/", None),
            ("/scep/pkiclient.exe", None),
            ("/scep/cgi-bin/pkiclient.exe", None),
            ("/scep/pump-rsa", Some("pump-rsa")),
            ("/scep/pump-rsa/pkiclient.exe", Some("pump-rsa")),
            ("/scep/pump-rsa/cgi-bin/pkiclient.exe", Some("pump-rsa")),
        ] {
            let (profile, operation) = get(path, "operation=GetCACaps").unwrap();
            assert_eq!((profile.as_deref(), operation), (expected, Operation::Capabilities), "{path}");
        }
        let long = format!("/scep/{}", "x".repeat(65));
        for path in ["", "/", "/est", "/scepter", "/scep/a/b", "/scep/%2e", "/scep//", &long] {
            assert_eq!(get(path, "operation=GetCACaps"), Err(RouteError::Path), "{path}");
        }
    }

    #[test]
    fn a_message_is_read_in_every_style_that_clients_write() {
        let expected = Operation::Pki(vec![0xfb, 0xef, 0xbe, 0xff]);
        for message in
            ["%2B%2B%2B%2B%2Fw%3D%3D", "++++/w==", "%20+++/w", "%2b%2b%0A%2B%2b%0D%0A/w%3D%3D", "++++%2Fw=="]
        {
            let query = format!("operation=PKIOperation&message={message}");
            assert_eq!(get("/scep", &query).unwrap().1, expected, "{message}");
        }
        for message in ["", "=", "====", "a", "%", "%4", "%zz", "*", "++++/w=====", "AA=A"] {
            let query = format!("operation=PKIOperation&message={message}");
            assert!(get("/scep", &query).is_err(), "{message}");
        }
        assert_eq!(get("/scep", "operation=PKIOperation"), Err(RouteError::Message));
        let post = Incoming { method: "POST", path: "/scep", query: "operation=PKIOperation", body: &[4, 0] };
        assert_eq!(route(&post).unwrap().1, Operation::Pki(vec![4, 0]));
    }

    // I12
    #[test]
    fn what_is_not_scep_is_refused_with_its_reason() {
        assert_eq!(get("/scep", ""), Err(RouteError::Operation(String::new())));
        assert_eq!(get("/scep", "operation=Steal"), Err(RouteError::Operation("Steal".into())));
        let put = Incoming { method: "PUT", path: "/scep", query: "operation=GetCACert", body: b"" };
        assert_eq!(route(&put).map_err(|e| e.status()), Err(405));
        let body = vec![0; MAX_MESSAGE_BYTES + 1];
        let post = Incoming { method: "POST", path: "/scep", query: "operation=PKIOperation", body: &body };
        assert_eq!(route(&post), Err(RouteError::TooLarge));
        let query = format!("operation=PKIOperation&message={}", "A".repeat(MAX_MESSAGE_BYTES / 3 * 4 + 8));
        assert_eq!(get("/scep", &query), Err(RouteError::TooLarge));
        let query = "x".repeat(MAX_QUERY_BYTES + 1);
        assert_eq!(get("/scep", &query), Err(RouteError::TooLarge));
    }

    #[test]
    fn the_ca_identifier_of_a_client_is_ignored() {
        assert_eq!(get("/scep", "operation=GetCACert&message=0").unwrap().1, Operation::CaCertificate);
        assert_eq!(get("/scep", "operation=getnextcacert").unwrap().1, Operation::NextCaCertificate);
    }
}
