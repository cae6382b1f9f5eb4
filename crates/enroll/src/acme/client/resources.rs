//! What a server sends: directory, orders, authorizations, problems, renewal windows (RFC 8555 7.1, RFC 9773 4.2).
//! Each is bounded and checked once, here. Members that are not known are ignored (RFC 8555 7.1).

use std::fmt;

use lanyard_domain::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::ClientError;
use super::message::MAX_ANSWER_BODY;
use crate::acme::challenge::ChallengeKind;
use crate::acme::identifier::Identifier;
use crate::acme::payload::MAX_IDENTIFIERS;

/// As the server side bounds them.
const MAX_URL: usize = 512;
/// A sentence or two of the server's.
const MAX_WHY_CHARS: usize = 500;
/// Four kinds are known; others may be offered beside them.
const MAX_CHALLENGES: usize = 16;
/// RFC 8555 8.1 asks for 128 bits; ours have 256, which are 43 characters.
const MAX_TOKEN: usize = 256;

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    pub(super) new_order: String,
    pub(super) revoke_cert: Option<String>,
    pub(super) renewal_info: Option<String>,
    /// Whether accounts must be bound (RFC 8555 7.3.4).
    pub binding_required: bool,
    /// Names of profiles that may be asked for, in order.
    pub profiles: Vec<String>,
}

/// How an order, an authorization or a challenge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    /// Invalid, or ended in another way.
    Ended,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderView {
    pub status: Status,
    pub identifiers: Vec<Identifier>,
    pub authorizations: Vec<String>,
    pub finalize: String,
    pub certificate: Option<String>,
    pub error: Option<ServerProblem>,
}

/// One identifier of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthorizationView {
    pub status: Status,
    pub identifier: Identifier,
    pub challenges: Vec<ChallengeView>,
    /// All kinds that are offered, also those that are not known here.
    pub offered: Vec<String>,
}

/// One way to prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChallengeView {
    pub kind: ChallengeKind,
    pub url: String,
    pub token: String,
    pub status: Status,
    pub error: Option<ServerProblem>,
}

/// What a server says is wrong (RFC 8555 6.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerProblem {
    /// HTTP status code; 0 where it stands inside of a resource.
    pub status: u16,
    /// The last part of `urn:ietf:params:acme:error:...`; empty if it is of no such type.
    pub code: String,
    /// The sentence, cut and made harmless for a log.
    pub detail: String,
}

impl fmt::Display for ServerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = if self.detail.is_empty() { "no reason was given" } else { &self.detail };
        match (self.code.as_str(), self.status) {
            ("", 0) => f.write_str(detail),
            ("", status) => write!(f, "HTTP status {status}: {detail}"),
            (code, _) => write!(f, "`{code}`: {detail}"),
        }
    }
}

/// When a certificate should be renewed (RFC 9773 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalWindow {
    /// From here on; in the past means now.
    pub start: Timestamp,
    /// Until here.
    pub end: Timestamp,
    /// A page that says why.
    pub explanation: Option<String>,
    /// When to ask again.
    pub retry_after_seconds: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDirectory {
    new_nonce: String,
    new_account: String,
    new_order: String,
    revoke_cert: Option<String>,
    renewal_info: Option<String>,
    #[serde(default)]
    meta: RawMeta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawMeta {
    #[serde(default)]
    external_account_required: bool,
    #[serde(default)]
    profiles: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct RawIdentifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

#[derive(Deserialize)]
struct RawOrder {
    status: String,
    identifiers: Vec<RawIdentifier>,
    authorizations: Vec<String>,
    finalize: String,
    certificate: Option<String>,
    error: Option<RawProblem>,
}

#[derive(Deserialize)]
struct RawAuthorization {
    status: String,
    identifier: RawIdentifier,
    challenges: Vec<RawChallenge>,
}

#[derive(Deserialize)]
struct RawChallenge {
    #[serde(rename = "type")]
    kind: String,
    url: String,
    status: String,
    token: Option<String>,
    error: Option<RawProblem>,
}

#[derive(Deserialize, Default)]
struct RawProblem {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawWindow {
    suggested_window: RawSpan,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<String>,
}

#[derive(Deserialize)]
struct RawSpan {
    start: String,
    end: String,
}

fn json<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, ClientError> {
    if body.len() > MAX_ANSWER_BODY {
        return Err(ClientError::TooLarge(body.len()));
    }
    serde_json::from_slice(body).map_err(|e| {
        // Line, column and kind, not the text: serde_json would quote what it found.
        let rule = format!("{:?} error at line {} column {}", e.classify(), e.line(), e.column());
        ClientError::Malformed { what, rule }
    })
}

fn malformed(what: &'static str, rule: impl Into<String>) -> ClientError {
    ClientError::Malformed { what, rule: rule.into() }
}

fn identifier(what: &'static str, raw: &RawIdentifier) -> Result<Identifier, ClientError> {
    Identifier::parse(&raw.kind, &raw.value).map_err(|e| malformed(what, e.to_string()))
}

/// Scheme and authority of a directory's address.
pub(super) fn origin(url: &str) -> Result<String, ClientError> {
    let bad = |rule: &str| ClientError::Url { field: "directory", rule: rule.to_owned() };
    check_text("directory", url)?;
    // RFC 8555 6.1: HTTPS only.
    let rest =
        url.strip_prefix("https://").ok_or_else(|| bad("it is an `https://` address (RFC 8555 6.1)"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return Err(bad("it has a host, and no user name"));
    }
    Ok(format!("https://{authority}"))
}

fn check_text(field: &'static str, url: &str) -> Result<(), ClientError> {
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'<' | b'>'));
    if url.len() > MAX_URL || !plain {
        let rule = format!("it has at most {MAX_URL} visible ASCII characters");
        return Err(ClientError::Url { field, rule });
    }
    Ok(())
}

/// An answer leads nowhere but to the server that was configured: else it could have us sign for, or call, others.
pub(super) fn same_origin(origin: &str, field: &'static str, url: &str) -> Result<(), ClientError> {
    check_text(field, url)?;
    let rest = url.strip_prefix(origin).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    match rest {
        Some(_) => Ok(()),
        None => {
            let rule = format!(
                "it leads to `{url}`, which is not under `{origin}`: use the directory's address by the name that the server goes by"
            );
            Err(ClientError::Url { field, rule })
        }
    }
}

impl Directory {
    /// RFC 8555 7.1.1. Fuzz entry point.
    pub fn parse(origin: &str, body: &[u8]) -> Result<Self, ClientError> {
        let raw: RawDirectory = json("directory", body)?;
        let checked = |field: &'static str, url: String| same_origin(origin, field, &url).map(|()| url);
        let optional =
            |field: &'static str, url: Option<String>| url.map(|url| checked(field, url)).transpose();
        Ok(Self {
            new_nonce: checked("newNonce", raw.new_nonce)?,
            new_account: checked("newAccount", raw.new_account)?,
            new_order: checked("newOrder", raw.new_order)?,
            revoke_cert: optional("revokeCert", raw.revoke_cert)?,
            renewal_info: optional("renewalInfo", raw.renewal_info)?,
            binding_required: raw.meta.external_account_required,
            profiles: raw.meta.profiles.into_keys().collect(),
        })
    }
}

impl OrderView {
    /// RFC 8555 7.1.3.
    pub fn parse(origin: &str, body: &[u8]) -> Result<Self, ClientError> {
        const WHAT: &str = "order";
        let raw: RawOrder = json(WHAT, body)?;
        let status = match raw.status.as_str() {
            "pending" => Status::Pending,
            "ready" => Status::Ready,
            "processing" => Status::Processing,
            "valid" => Status::Valid,
            "invalid" => Status::Ended,
            _ => return Err(malformed(WHAT, "its `status` is none of an order")),
        };
        let many = 1..=MAX_IDENTIFIERS;
        if !many.contains(&raw.identifiers.len()) || !many.contains(&raw.authorizations.len()) {
            let rule = format!("it has 1 to {MAX_IDENTIFIERS} identifiers and authorizations");
            return Err(malformed(WHAT, rule));
        }
        for url in &raw.authorizations {
            same_origin(origin, "authorizations", url)?;
        }
        same_origin(origin, "finalize", &raw.finalize)?;
        if let Some(url) = &raw.certificate {
            same_origin(origin, "certificate", url)?;
        }
        if status == Status::Valid && raw.certificate.is_none() {
            return Err(malformed(WHAT, "it is valid and has no `certificate`"));
        }
        let identifiers = raw.identifiers.iter().map(|raw| identifier(WHAT, raw));
        Ok(Self {
            status,
            identifiers: identifiers.collect::<Result<_, _>>()?,
            authorizations: raw.authorizations,
            finalize: raw.finalize,
            certificate: raw.certificate,
            error: raw.error.map(|raw| ServerProblem::of(0, &raw)),
        })
    }
}

impl AuthorizationView {
    /// RFC 8555 7.1.4.
    pub fn parse(origin: &str, body: &[u8]) -> Result<Self, ClientError> {
        const WHAT: &str = "authorization";
        let raw: RawAuthorization = json(WHAT, body)?;
        let status = match raw.status.as_str() {
            "pending" => Status::Pending,
            "valid" => Status::Valid,
            "invalid" | "deactivated" | "expired" | "revoked" => Status::Ended,
            _ => return Err(malformed(WHAT, "its `status` is none of an authorization")),
        };
        if raw.challenges.len() > MAX_CHALLENGES {
            return Err(malformed(WHAT, format!("it has at most {MAX_CHALLENGES} challenges")));
        }
        let mut challenges = Vec::new();
        for one in &raw.challenges {
            // RFC 8555 8: kinds that are not known are ignored.
            if let Ok(kind) = one.kind.parse() {
                challenges.push(ChallengeView::read(origin, kind, one)?);
            }
        }
        let offered = raw.challenges.into_iter().map(|c| sentence(&c.kind)).collect();
        Ok(Self { status, identifier: identifier(WHAT, &raw.identifier)?, challenges, offered })
    }
}

/// Whether a challenge (RFC 8555 7.1.5), as the answer to its response, is valid already. What cannot be read is not.
pub(super) fn says_valid(body: &[u8]) -> bool {
    json::<RawChallenge>("challenge", body).is_ok_and(|raw| raw.status == "valid")
}

impl ChallengeView {
    fn read(origin: &str, kind: ChallengeKind, raw: &RawChallenge) -> Result<Self, ClientError> {
        const WHAT: &str = "challenge";
        let status = match raw.status.as_str() {
            "pending" => Status::Pending,
            "processing" => Status::Processing,
            "valid" => Status::Valid,
            "invalid" => Status::Ended,
            _ => return Err(malformed(WHAT, "its `status` is none of a challenge")),
        };
        same_origin(origin, "challenge", &raw.url)?;
        let token = raw.token.clone().unwrap_or_default();
        // RFC 8555 8.1: base64url. It becomes part of a path and of a record in DNS.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !(1..=MAX_TOKEN).contains(&token.len()) || !token.bytes().all(plain) {
            return Err(malformed(
                WHAT,
                format!("its `token` is base64url of at most {MAX_TOKEN} characters"),
            ));
        }
        let error = raw.error.as_ref().map(|raw| ServerProblem::of(0, raw));
        Ok(Self { kind, url: raw.url.clone(), token, status, error })
    }
}

impl ServerProblem {
    /// An answer that is no success: a problem document, or the start of whatever it is. Fuzz entry point.
    pub fn parse(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<RawProblem>(body.get(..MAX_ANSWER_BODY).unwrap_or(body)) {
            Ok(raw) => Self::of(status, &raw),
            Err(_) => Self { status, code: String::new(), detail: sentence(&String::from_utf8_lossy(body)) },
        }
    }

    fn of(status: u16, raw: &RawProblem) -> Self {
        let code = raw.kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or_default();
        let word = code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
        Self {
            status,
            code: if word { code.to_owned() } else { String::new() },
            detail: sentence(&raw.detail),
        }
    }
}

/// The server's text, made harmless for a log.
fn sentence(text: &str) -> String {
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_WHY_CHARS).collect()
}

impl RenewalWindow {
    /// RFC 9773 4.2. Fuzz entry point.
    pub fn parse(body: &[u8], retry_after_seconds: u32) -> Result<Self, ClientError> {
        const WHAT: &str = "renewalInfo";
        let raw: RawWindow = json(WHAT, body)?;
        let time = |text: &str| {
            text.parse::<Timestamp>().map_err(|_| malformed(WHAT, "its times are RFC 3339 in UTC"))
        };
        let (start, end) = (time(&raw.suggested_window.start)?, time(&raw.suggested_window.end)?);
        if end <= start {
            return Err(malformed(WHAT, "its window ends after it starts (RFC 9773 4.2)"));
        }
        let explanation = raw.explanation_url.map(|url| sentence(&url));
        Ok(Self { start, end, explanation, retry_after_seconds })
    }
}

#[cfg(test)]
mod tests;
