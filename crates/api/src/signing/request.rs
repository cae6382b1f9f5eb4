//! Requests signed by an operator: RFC 9421 over method, path and query, and over the body where there is one, in one exact
//! spelling.
//!
//! All that changes the meaning of a request is covered: a body by its digest (RFC 9530), and none by its absence. Decisions
//! travel as signed statements and need no request signature. A proxy may rewrite the authority, so it is not covered: TLS names
//! the server.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use lanyard_domain::id::OperatorId;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::{BadSignature, OperatorKey, verify};

/// Who asks.
pub const OPERATOR_HEADER: HeaderName = HeaderName::from_static("lanyard-operator");
/// How far `created` may be from the server's clock, either way: clocks of desks drift, and nonces must be kept as long.
pub const WINDOW_SECONDS: i64 = 60;

const INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const COVERED: &str = r#"("@method" "@path" "@query")"#;
const COVERED_WITH_BODY: &str = r#"("@method" "@path" "@query" "content-digest")"#;
/// The real one has 168 characters.
const MAX_HEADER: usize = 512;

/// Why a request's signature was not read or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// It carries none.
    #[error("request is not signed: header `{0}` is missing; sign it with an operator's key")]
    Missing(HeaderName),
    /// Not the one form that is accepted.
    #[error("header `{header}` is malformed: {why}")]
    Malformed {
        /// Which header.
        header: HeaderName,
        /// Which rule.
        why: &'static str,
    },
    /// `Lanyard-Operator` and `keyid` name two people.
    #[error("header `lanyard-operator` names another operator than the signature's `keyid`")]
    TwoOperators,
    /// The body is another one than was signed.
    #[error("the body was changed: its SHA-256 is not the one in header `content-digest`")]
    OtherBody,
    /// Wrong key or changed request.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// A signed request, read but not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    operator: OperatorId,
    created: Timestamp,
    nonce: [u8; 16],
    base: String,
    signature: [u8; 64],
}

impl SignedRequest {
    /// Who claims to ask.
    pub fn operator(&self) -> OperatorId {
        self.operator
    }
    /// When they signed, by their clock.
    pub fn created(&self) -> Timestamp {
        self.created
    }
    /// To be accepted once within the window.
    pub fn nonce(&self) -> [u8; 16] {
        self.nonce
    }
    /// What is signed (RFC 9421 §2.5).
    pub fn base(&self) -> &str {
        &self.base
    }
    /// Whether `created` is within [`WINDOW_SECONDS`] of `now`.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.seconds_since(self.created).abs() <= WINDOW_SECONDS
    }
    /// Checks the signature against the operator's public key.
    pub fn verify(&self, public_key: &Digest) -> Result<(), RequestFault> {
        Ok(verify(public_key, self.base.as_bytes(), &self.signature)?)
    }
}

/// Headers that sign `method` on `target` (path and query) with this body; empty for none.
pub fn sign_request(
    operator: OperatorId,
    key: &OperatorKey,
    method: &Method,
    target: &Uri,
    created: Timestamp,
    nonce: [u8; 16],
    body: &[u8],
) -> HeaderMap {
    let content = content_digest(body);
    let params = parameters(operator, created.as_seconds(), &nonce, content.as_deref());
    let signature = key.sign(base(method, target, &params, content.as_deref()).as_bytes());
    let mut headers = HeaderMap::new();
    let all = [
        (OPERATOR_HEADER, operator.to_string()),
        (INPUT, format!("lanyard={params}")),
        (SIGNATURE, format!("lanyard=:{}:", BASE64.encode(&signature))),
    ];
    for (name, value) in all.into_iter().chain(content.map(|content| (CONTENT_DIGEST, content))) {
        // All are ASCII by construction: hex, base64, digits and the fixed text above.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Reads the signature of a request and rebuilds what it covers. Fuzz entry point.
pub fn read_signed(
    method: &Method,
    target: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<SignedRequest, RequestFault> {
    let content = content_digest(body);
    let claimed: OperatorId = one(headers, OPERATOR_HEADER)?
        .parse()
        .map_err(|_| malformed(OPERATOR_HEADER, "must be an operator's id"))?;
    let input = one(headers, INPUT)?;
    let params = input
        .strip_prefix("lanyard=")
        .ok_or_else(|| malformed(INPUT, "must hold the one signature `lanyard`"))?;
    let (operator, created, nonce) = read_parameters(params, content.as_deref())?;
    // One spelling: what we would have written for these values is what was sent.
    if params != parameters(operator, created, &nonce, content.as_deref()) {
        return Err(malformed(INPUT, "values must be written in their shortest form"));
    }
    if operator != claimed {
        return Err(RequestFault::TwoOperators);
    }
    let signature = one(headers, SIGNATURE)?
        .strip_prefix("lanyard=:")
        .and_then(|rest| rest.strip_suffix(':'))
        .and_then(|b64| BASE64.decode(b64.as_bytes()).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| malformed(SIGNATURE, "must be `lanyard=:` 64 bytes in base64 `:`"))?;
    if let Some(content) = &content
        && one(headers, CONTENT_DIGEST)? != content
    {
        return Err(RequestFault::OtherBody);
    }
    let created = Timestamp::from_micros(
        created.checked_mul(1_000_000).ok_or_else(|| malformed(INPUT, "`created` is out of range"))?,
    );
    Ok(SignedRequest {
        operator,
        created,
        nonce,
        base: base(method, target, params, content.as_deref()),
        signature,
    })
}

fn one(headers: &HeaderMap, name: HeaderName) -> Result<&str, RequestFault> {
    let mut all = headers.get_all(&name).iter();
    let value = all.next().ok_or_else(|| RequestFault::Missing(name.clone()))?;
    if all.next().is_some() {
        return Err(malformed(name, "must be sent once"));
    }
    if value.len() > MAX_HEADER {
        return Err(malformed(name, "must have at most 512 characters"));
    }
    value.to_str().map_err(|_| malformed(name, "must be ASCII"))
}

fn read_parameters(params: &str, content: Option<&str>) -> Result<(OperatorId, i64, [u8; 16]), RequestFault> {
    const SHAPE: &str = r#"must be lanyard=("@method" "@path" "@query");created=..;nonce="..";keyid="..";alg="ed25519", with "content-digest" behind "@query" if there is a body, and only then"#;
    let read = || {
        let rest = params.strip_prefix(covered(content))?.strip_prefix(";created=")?;
        let (created, rest) = rest.split_once(r#";nonce=""#)?;
        let (nonce, rest) = rest.split_once(r#"";keyid=""#)?;
        let keyid = rest.strip_suffix(r#"";alg="ed25519""#)?;
        let nonce = HEXLOWER.decode(nonce.as_bytes()).ok()?.try_into().ok()?;
        Some((keyid.parse().ok()?, created.parse().ok()?, nonce))
    };
    read().ok_or_else(|| malformed(INPUT, SHAPE))
}

const fn covered(content: Option<&str>) -> &'static str {
    match content {
        Some(_) => COVERED_WITH_BODY,
        None => COVERED,
    }
}

/// RFC 9530 2. A request without a body has none to change.
fn content_digest(body: &[u8]) -> Option<String> {
    (!body.is_empty()).then(|| format!("sha-256=:{}:", BASE64.encode(digest(&SHA256, body).as_ref())))
}

fn parameters(operator: OperatorId, created: i64, nonce: &[u8; 16], content: Option<&str>) -> String {
    let (nonce, covered) = (HEXLOWER.encode(nonce), covered(content));
    format!(r#"{covered};created={created};nonce="{nonce}";keyid="{operator}";alg="ed25519""#)
}

fn base(method: &Method, target: &Uri, params: &str, content: Option<&str>) -> String {
    // RFC 9421 2.2.6 and 2.2.7: an empty path is `/`, an absent query is `?`.
    let path = if target.path().is_empty() { "/" } else { target.path() };
    let query = target.query().unwrap_or_default();
    let content = content.map(|content| format!("\"content-digest\": {content}\n")).unwrap_or_default();
    format!(
        "\"@method\": {method}\n\"@path\": {path}\n\"@query\": ?{query}\n{content}\"@signature-params\": {params}"
    )
}

fn malformed(header: HeaderName, why: &'static str) -> RequestFault {
    RequestFault::Malformed { header, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn signed(key: &OperatorKey, target: &str) -> HeaderMap {
        let operator = OperatorId::from_random([9; 16]);
        sign_request(operator, key, &Method::GET, &target.parse().unwrap(), NOW, [7; 16], &[])
    }

    #[test]
    fn signature_base_is_that_of_the_rfc() {
        let key = OperatorKey::generate().unwrap();
        let target = "/v1/devices?site=north";
        let request =
            read_signed(&Method::GET, &target.parse().unwrap(), &signed(&key, target), &[]).unwrap();
        assert_eq!(
            request.base(),
            "\"@method\": GET\n\"@path\": /v1/devices\n\"@query\": ?site=north\n\
             \"@signature-params\": (\"@method\" \"@path\" \"@query\");created=1800000000;\
             nonce=\"07070707070707070707070707070707\";\
             keyid=\"09090909-0909-4909-8909-090909090909\";alg=\"ed25519\""
        );
        assert_eq!((request.created(), request.nonce()), (NOW, [7; 16]));
    }

    // R99: a request acts for the person who signed exactly it.
    #[test]
    fn only_the_signed_request_verifies() {
        let (key, other) = (OperatorKey::generate().unwrap(), OperatorKey::generate().unwrap());
        let headers = signed(&key, "/v1/devices?site=north");
        for (method, target, by, accepted) in [
            (Method::GET, "/v1/devices?site=north", &key, true),
            (Method::GET, "/v1/devices?site=north", &other, false),
            (Method::DELETE, "/v1/devices?site=north", &key, false),
            (Method::GET, "/v1/devices?site=south", &key, false),
            (Method::GET, "/v1/devices", &key, false),
            (Method::GET, "/v1/device?site=north", &key, false),
        ] {
            let request = read_signed(&method, &target.parse().unwrap(), &headers, &[]).unwrap();
            assert_eq!(request.verify(&by.public_key()).is_ok(), accepted, "{method} {target}");
        }
    }

    const BODY: &[u8] = br#"{"device":"x"}"#;

    fn signed_body(key: &OperatorKey) -> HeaderMap {
        let operator = OperatorId::from_random([9; 16]);
        let target = "/v1/files/look".parse().unwrap();
        sign_request(operator, key, &Method::POST, &target, NOW, [7; 16], BODY)
    }

    #[test]
    fn a_body_is_covered_by_its_digest() {
        let key = OperatorKey::generate().unwrap();
        let target = "/v1/files/look".parse().unwrap();
        let request = read_signed(&Method::POST, &target, &signed_body(&key), BODY).unwrap();
        assert_eq!(
            request.base(),
            "\"@method\": POST\n\"@path\": /v1/files/look\n\"@query\": ?\n\
             \"content-digest\": sha-256=:y0gzGDaUlkGcbZjn1nz+W2w5hZ+n3aGySOW5pCE738E=:\n\
             \"@signature-params\": (\"@method\" \"@path\" \"@query\" \"content-digest\");created=1800000000;\
             nonce=\"07070707070707070707070707070707\";\
             keyid=\"09090909-0909-4909-8909-090909090909\";alg=\"ed25519\""
        );
        request.verify(&key.public_key()).unwrap();
    }

    // R99: what a person asks is what they signed, to the last bit.
    #[test]
    fn another_body_than_the_signed_one_is_refused() {
        let key = OperatorKey::generate().unwrap();
        let (good, target) = (signed_body(&key), "/v1/files/look".parse().unwrap());
        let read = |headers: &HeaderMap, body: &[u8]| read_signed(&Method::POST, &target, headers, body);
        for bit in 0..BODY.len() * 8 {
            let mut changed = BODY.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&good, &changed), Err(RequestFault::OtherBody), "bit {bit}");
            // With a digest that fits it the signature does not.
            let mut headers = good.clone();
            headers.insert(CONTENT_DIGEST, content_digest(&changed).unwrap().parse().unwrap());
            let request = read(&headers, &changed).unwrap();
            assert_eq!(request.verify(&key.public_key()), Err(BadSignature.into()), "bit {bit}");
        }
        assert!(matches!(read(&good, b""), Err(RequestFault::Malformed { header, .. }) if header == INPUT));
        let mut none = good.clone();
        none.remove(CONTENT_DIGEST);
        assert_eq!(read(&none, BODY), Err(RequestFault::Missing(CONTENT_DIGEST)));
        let mut twice = good.clone();
        twice.append(CONTENT_DIGEST, good.get(CONTENT_DIGEST).unwrap().clone());
        assert!(
            matches!(read(&twice, BODY), Err(RequestFault::Malformed { header, .. }) if header == CONTENT_DIGEST)
        );
        // A signature over no body takes none, and one that leaves it out covers none.
        let bare = signed(&key, "/v1/files/look");
        let read = read_signed(&Method::GET, &target, &bare, BODY);
        assert!(matches!(&read, Err(RequestFault::Malformed { header, .. }) if *header == INPUT), "{read:?}");
    }

    #[test]
    fn freshness_is_a_window_on_both_sides() {
        let key = OperatorKey::generate().unwrap();
        let request = read_signed(&Method::GET, &"/".parse().unwrap(), &signed(&key, "/"), &[]).unwrap();
        for (shift, fresh) in [(0, true), (60, true), (-60, true), (61, false), (-61, false)] {
            assert_eq!(request.is_fresh(NOW.plus_seconds(shift)), fresh, "{shift}");
        }
    }

    // I12
    #[test]
    fn every_cut_flip_and_repetition_of_a_header_is_refused() {
        let key = OperatorKey::generate().unwrap();
        let good = signed(&key, "/");
        let accepted = |headers: &HeaderMap| {
            read_signed(&Method::GET, &"/".parse().unwrap(), headers, &[])
                .is_ok_and(|r| r.verify(&key.public_key()).is_ok())
        };
        assert!(accepted(&good));
        for name in [OPERATOR_HEADER, INPUT, SIGNATURE] {
            let value = good.get(&name).unwrap().as_bytes().to_vec();
            let with = |bytes: &[u8]| {
                let mut headers = good.clone();
                HeaderValue::from_bytes(bytes).ok().map(|v| headers.insert(name.clone(), v)).map(|_| headers)
            };
            for end in 0..value.len() {
                assert!(!with(&value[..end]).is_some_and(|h| accepted(&h)), "{name} cut at {end}");
            }
            for bit in 0..value.len() * 8 {
                let mut flipped = value.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!with(&flipped).is_some_and(|h| accepted(&h)), "{name} bit {bit}");
            }
            let mut twice = good.clone();
            twice.append(name.clone(), good.get(&name).unwrap().clone());
            assert!(!accepted(&twice), "{name} twice");
            let mut none = good.clone();
            none.remove(&name);
            let fault = read_signed(&Method::GET, &"/".parse().unwrap(), &none, &[]);
            assert_eq!(fault, Err(RequestFault::Missing(name.clone())));
            assert!(!with(&[value.as_slice(), &[b'a'; 600]].concat()).is_some_and(|h| accepted(&h)));
        }
    }

    #[test]
    fn created_has_one_spelling() {
        let key = OperatorKey::generate().unwrap();
        for created in ["+1800000000", "01800000000", "-0", "99999999999999999999", "9223372036854775807"] {
            let mut headers = signed(&key, "/");
            let input = headers.get(&INPUT).unwrap().to_str().unwrap().replace("1800000000", created);
            headers.insert(INPUT, input.parse().unwrap());
            assert!(read_signed(&Method::GET, &"/".parse().unwrap(), &headers, &[]).is_err(), "{created}");
        }
    }
}
