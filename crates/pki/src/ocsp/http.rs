//! OCSP over HTTP (RFC 6960 A.1, RFC 9919 6 and 7) without an HTTP library: strings and octets in, a reply as data out.
//!
//! GET carries the request in its path, so that proxies can keep the answer; POST in its body. Errors of OCSP are HTTP
//! successes with an OCSP error in them; HTTP's own errors are for what never became a request.

use std::borrow::Cow;
use std::sync::Arc;

use lanyard_domain::time::Timestamp;

use super::request::MAX_REQUEST_BYTES;
use super::responder::Policy;
use super::response::{ErrorStatus, Response};

/// What an answer is called.
pub const RESPONSE_TYPE: &str = "application/ocsp-response";
/// What a request is called.
pub const REQUEST_TYPE: &str = "application/ocsp-request";

/// A request of the largest size in base64 (4/3), each character escaped (3).
const MAX_PATH_BYTES: usize = MAX_REQUEST_BYTES * 4;

/// Status, headers and body to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// Header fields; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Arc<[u8]>,
}

/// Why there is no request in an HTTP message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRequest {
    /// Longer than any request.
    #[error("{0} bytes are no OCSP request")]
    TooLarge(usize),
    /// Not base64 in URL encoding.
    #[error("the path is not the base64 of an OCSP request in URL encoding (RFC 6960 A.1)")]
    NotBase64,
    /// Another content type.
    #[error("a POST has the content type `application/ocsp-request` (RFC 6960 A.1)")]
    ContentType,
}

impl NoRequest {
    /// What is answered.
    pub fn reply(&self) -> Reply {
        match self {
            // RFC 9110 15.5.14 and 15.5.16.
            NoRequest::TooLarge(_) => plain(413),
            NoRequest::ContentType => plain(415),
            NoRequest::NotBase64 => error(ErrorStatus::MalformedRequest),
        }
    }
}

/// Cuts the request out of a GET: `path` is what follows the responder's address, as it was sent. Fuzz entry point.
///
/// Characters of base64 that need an escape in a path are taken with and without it: clients differ.
pub fn from_get(path: &str) -> Result<Vec<u8>, NoRequest> {
    if path.len() > MAX_PATH_BYTES {
        return Err(NoRequest::TooLarge(path.len()));
    }
    let text = unescape(path.strip_prefix('/').unwrap_or(path)).ok_or(NoRequest::NotBase64)?;
    let text = text.trim_ascii_end();
    // RFC 4648 3.2: padding may be left out where the length is known; some clients do.
    let unpadded = text.iter().rposition(|c| *c != b'=').map_or(0, |last| last + 1);
    let (body, padding) = text.split_at_checked(unpadded).ok_or(NoRequest::NotBase64)?;
    if padding.len() > 2 || body.is_empty() {
        return Err(NoRequest::NotBase64);
    }
    data_encoding::BASE64_NOPAD.decode(body).map_err(|_| NoRequest::NotBase64)
}

fn unescape(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |c: u8| char::from(c).to_digit(16);
                out.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
                rest = after;
            }
            (b'%', _) => return None,
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    Some(Cow::Owned(out))
}

/// The path of a GET for this request, to be appended to the responder's address; `None` when a POST is to be used.
pub fn get_path(request: &[u8]) -> Option<String> {
    let text = data_encoding::BASE64.encode(request);
    let path = format!("/{}", text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    // RFC 9919 6: GET where it stays below 256 octets, so that it can be kept on the way.
    (path.len() <= 255).then_some(path)
}

/// Checks what a POST says of its body.
pub fn from_post<'a>(content_type: Option<&str>, body: &'a [u8]) -> Result<&'a [u8], NoRequest> {
    // RFC 9110 8.3.1: without regard to case; parameters mean nothing here.
    let kind = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(REQUEST_TYPE) {
        return Err(NoRequest::ContentType);
    }
    if body.len() > MAX_REQUEST_BYTES {
        return Err(NoRequest::TooLarge(body.len()));
    }
    Ok(body)
}

/// What a client already has: the value of If-None-Match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Has<'a>(pub Option<&'a str>);

/// The reply to a GET: with what proxies need to keep it (RFC 9919 7.2).
pub fn get(response: &Response, policy: &Policy, has: Has<'_>, now: Timestamp) -> Reply {
    if !response.shareable {
        return post(response);
    }
    // RFC 9919 7.2: later than now, before nextUpdate.
    let left = response.next_update.seconds_since(now);
    let max_age = policy.proxy_seconds.min(left).max(0);
    let caching = vec![
        ("last-modified", response.last_modified.clone()),
        ("expires", response.expires.clone()),
        ("etag", response.etag.clone()),
        ("cache-control", format!("max-age={max_age}, public, no-transform, must-revalidate")),
        ("date", date(now)),
    ];
    let same = has.0.is_some_and(|tags| tags.split(',').any(|tag| matches(tag.trim(), &response.etag)));
    if same {
        return Reply { status: 304, headers: caching, body: Arc::from([]) };
    }
    let mut headers = vec![("content-type", RESPONSE_TYPE.to_owned())];
    headers.extend(caching);
    Reply { status: 200, headers, body: response.der.clone() }
}

/// RFC 9110 13.1.2: weak comparison.
fn matches(tag: &str, etag: &str) -> bool {
    tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
}

/// The reply to a POST, which nobody keeps.
pub fn post(response: &Response) -> Reply {
    Reply { status: 200, headers: not_kept(), body: response.der.clone() }
}

/// An answer without answer (RFC 6960 4.2.1), which nobody keeps.
pub fn error(status: ErrorStatus) -> Reply {
    Reply { status: 200, headers: not_kept(), body: Arc::from(status.der()) }
}

fn not_kept() -> Vec<(&'static str, String)> {
    vec![("content-type", RESPONSE_TYPE.to_owned()), ("cache-control", "no-store".to_owned())]
}

fn plain(status: u16) -> Reply {
    Reply { status, headers: vec![("cache-control", "no-store".to_owned())], body: Arc::from([]) }
}

/// IMF-fixdate of RFC 9110 5.6.7.
pub(super) fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second) = at.civil();
    // 1 January 1970 was a Thursday.
    let weekday = usize::try_from(at.as_seconds().div_euclid(86_400).rem_euclid(7)).unwrap_or_default();
    let weekday = DAYS.get(weekday).copied().unwrap_or_default();
    let month = MONTHS.get(usize::from(month.saturating_sub(1))).copied().unwrap_or_default();
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}
