//! Keys made by the server (RFC 7030 4.4), for devices that cannot make good ones. Whether a profile allows it is
//! decided outside, and by default none does: a key that travels is no hardware key.
//!
//! In scope: reading the wish, making P-256 and P-384 keys, the two-part answer and its reading. Out of scope: a second
//! encryption of the key (refused), keeping a key while a person decides.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
};
use lanyard_pki::csr::{self, CsrError, VerifiedCsr};
use lanyard_pki::key::KeyKind;
use lanyard_pki::pkcs7;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};
use zeroize::Zeroizing;

use super::base64::{self, Base64Style};
use super::render;
use super::route::Label;
use super::server::{self, Credential};
use super::{CERTS_ONLY, PKCS8};
use crate::{Authentication, EnrollmentRequest, Outcome, Reply};

/// Stands between the parts. It has hyphens, which base64 has not.
const BOUNDARY: &str = "lanyard-est-serverkeygen";

/// A wish for a certificate and its key.
#[derive(Debug)]
pub struct ServerKeygen {
    /// The kind of key in the request, if it is one of ours. The key itself is not used (RFC 7030 4.4.1).
    pub wanted: Option<PublicKeyKind>,
    /// Who asks.
    pub credential: Credential,
}

/// A key for a device, made here, and proof that it works.
pub struct MadeKey {
    pkcs8: Zeroizing<Vec<u8>>,
    csr: VerifiedCsr,
}

/// Why no key was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeygenFailed {
    /// The cryptographic module did not do it.
    #[error("the cryptographic module failed to make a key for a device")]
    Module,
    /// A kind that is not made for devices.
    #[error(
        "keys of kind `{0}` are not made for devices: let the device make its own, or have the profile say p256 or p384"
    )]
    Kind(KeyKind),
}

impl std::fmt::Debug for MadeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MadeKey({:?}, [redacted])", self.csr.key())
    }
}

impl MadeKey {
    /// A key made elsewhere: PKCS#8 (RFC 5958) and a request signed with it.
    pub fn new(pkcs8: Zeroizing<Vec<u8>>, csr: VerifiedCsr) -> Self {
        Self { pkcs8, csr }
    }

    /// A fresh key.
    pub fn generate(kind: KeyKind) -> Result<Self, KeygenFailed> {
        let algorithm = match kind {
            KeyKind::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            KeyKind::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
            other => return Err(KeygenFailed::Kind(other)),
        };
        let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| KeygenFailed::Module)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeygenFailed::Module)?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeygenFailed::Module)?;
        let sign = |message: &[u8]| {
            pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec())
        };
        let der = csr::build(spki.as_ref(), "made by the server", sign).map_err(|_| KeygenFailed::Module)?;
        let csr = csr::verify(&der).map_err(|_| KeygenFailed::Module)?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()), csr })
    }

    /// What the use case takes, once the credential is proven.
    pub fn request(&self, label: Option<&Label>, authentication: Authentication) -> EnrollmentRequest {
        server::request(label, self.csr.clone(), authentication)
    }
}

/// The kind of key that a request holds. The request must be one, but its signature may be wrong and its key weak:
/// RFC 7030 4.4.1 has clients put anything there.
pub(super) fn wanted(der: &[u8], spki: &[u8]) -> Result<Option<PublicKeyKind>, CsrError> {
    match csr::verify(der) {
        Ok(_) | Err(CsrError::Possession(_) | CsrError::Key(_)) => {
            Ok(PublicKey::parse(spki).ok().map(|key| key.kind()))
        }
        Err(other) => Err(other),
    }
}

/// The answer to a wish for a key (RFC 7030 4.4.2). The key is sent only with its certificate.
pub fn reply(outcome: &Outcome, key: &MadeKey, style: Base64Style) -> Reply {
    let Outcome::Issued { chain } = outcome else { return render::no_certificate(outcome) };
    let leaf: Vec<&[u8]> = chain.first().map(Vec::as_slice).into_iter().collect();
    let pkcs8 = Zeroizing::new(base64::encode(&key.pkcs8, style));
    let mut body = Vec::with_capacity(pkcs8.len() + 4096);
    part(&mut body, PKCS8, &pkcs8);
    part(&mut body, CERTS_ONLY, &base64::encode(&pkcs7::certs_only(&leaf), style));
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    Reply::new(200, &format!("multipart/mixed; boundary={BOUNDARY}"), body).with("cache-control", "no-store")
}

fn part(body: &mut Vec<u8>, media_type: &str, content: &[u8]) {
    let head =
        format!("--{BOUNDARY}\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content.trim_ascii_end());
    body.extend_from_slice(b"\r\n");
}

/// Why a two-part body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMultipart {
    /// No boundary, or one that RFC 2046 forbids.
    #[error("the answer's content type names no boundary of 1 to 70 characters (RFC 2046 5.1.1)")]
    Boundary,
    /// The last boundary is not there.
    #[error("the answer ends early: its last boundary is missing")]
    EndsEarly,
    /// Not a key and certificates.
    #[error(
        "the answer must have one application/pkcs8 part and one application/pkcs7-mime part (RFC 7030 4.4.2)"
    )]
    Parts,
}

/// The base64 of the key part and of the certificate part.
pub(super) fn split<'a>(content_type: &str, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), BadMultipart> {
    let boundary = boundary(content_type).ok_or(BadMultipart::Boundary)?;
    let delimiter = format!("--{boundary}");
    let (mut key, mut certificates) = (None, None);
    // What stands before the first delimiter is for nobody (RFC 2046 5.1.1).
    let mut rest = after(body, delimiter.as_bytes()).ok_or(BadMultipart::EndsEarly)?;
    while !rest.starts_with(b"--") {
        let end = find(rest, delimiter.as_bytes()).ok_or(BadMultipart::EndsEarly)?;
        let (part, next) = rest.split_at_checked(end).ok_or(BadMultipart::EndsEarly)?;
        rest = after(next, delimiter.as_bytes()).ok_or(BadMultipart::EndsEarly)?;
        let (head, content) = head_and_content(part).ok_or(BadMultipart::Parts)?;
        let slot = match media_type(head).as_deref() {
            Some(PKCS8) => &mut key,
            Some(super::PKCS7) => &mut certificates,
            _ => return Err(BadMultipart::Parts),
        };
        if slot.replace(content).is_some() {
            return Err(BadMultipart::Parts);
        }
    }
    key.zip(certificates).ok_or(BadMultipart::Parts)
}

fn boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';').map(str::trim);
    parts.next().filter(|media_type| media_type.eq_ignore_ascii_case("multipart/mixed"))?;
    let value = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value.trim())
    })?;
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    ((1..=70).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic())).then_some(value)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn after<'a>(bytes: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    bytes.get(find(bytes, wanted)? + wanted.len()..)
}

fn head_and_content(part: &[u8]) -> Option<(&str, &[u8])> {
    let ends: [&[u8]; 2] = [b"\r\n\r\n", b"\n\n"];
    let (at, end) = ends.into_iter().filter_map(|end| Some((find(part, end)?, end))).min()?;
    Some((std::str::from_utf8(part.get(..at)?).ok()?, part.get(at + end.len()..)?))
}

/// The media type among a part's header lines, lower case, without parameters.
fn media_type(head: &str) -> Option<String> {
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-type").then_some(value)
    })?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued() -> Outcome {
        Outcome::Issued { chain: vec![vec![0x30, 0], vec![0x30, 1, 1]] }
    }

    #[test]
    fn the_two_parts_read_back() {
        for kind in [KeyKind::P256, KeyKind::P384] {
            let key = MadeKey::generate(kind).unwrap();
            for style in [Base64Style::OneLine, Base64Style::Wrapped64] {
                let reply = reply(&issued(), &key, style);
                assert_eq!(reply.status, 200);
                let (pkcs8, bag) = split(&reply.headers[0].1, &reply.body).unwrap();
                assert_eq!(base64::decode(pkcs8).unwrap(), *key.pkcs8);
                let bag = base64::decode(bag).unwrap();
                assert_eq!(pkcs7::read(&bag).unwrap(), vec![&[0x30, 0]]);
            }
        }
    }

    #[test]
    fn no_other_kind_of_key_is_made_for_a_device() {
        for kind in KeyKind::ALL.into_iter().filter(|kind| !matches!(kind, KeyKind::P256 | KeyKind::P384)) {
            assert_eq!(MadeKey::generate(kind).unwrap_err(), KeygenFailed::Kind(kind));
        }
    }

    // I10: without a certificate the key stays.
    #[test]
    fn a_key_is_not_sent_without_its_certificate_nor_printed() {
        let key = MadeKey::generate(KeyKind::P256).unwrap();
        for (outcome, status) in [
            (Outcome::Pending { retry_after_seconds: 0, why: "wait".into() }, 202),
            (Outcome::Refused { code: "no".into(), why: "no".into() }, 403),
            (Outcome::Unavailable { why: "away".into() }, 503),
        ] {
            let reply = reply(&outcome, &key, Base64Style::OneLine);
            assert_eq!(reply.status, status);
            assert!(reply.body.len() < 20 && !reply.headers.iter().any(|(_, v)| v.contains("multipart")));
        }
        assert!(format!("{key:?}").ends_with("[redacted])"));
    }

    // I12
    #[test]
    fn a_two_part_body_that_is_cut_or_has_other_parts_is_refused() {
        let reply = reply(&issued(), &MadeKey::generate(KeyKind::P256).unwrap(), Base64Style::OneLine);
        let content_type = &reply.headers[0].1;
        let last = reply.body.len() - b"--\r\n".len();
        for at in 0..last {
            assert!(split(content_type, &reply.body[..at]).is_err(), "cut at {at}");
        }
        for content_type in [
            "multipart/mixed",
            "multipart/mixed; boundary=",
            "multipart/mixed; boundary=a b",
            "multipart/form-data; boundary=lanyard-est-serverkeygen",
        ] {
            assert_eq!(split(content_type, &reply.body), Err(BadMultipart::Boundary), "{content_type}");
        }
        let quoted = format!("Multipart/Mixed; charset=x; Boundary=\"{BOUNDARY}\"");
        assert!(split(&quoted, &reply.body).is_ok());
        let text = String::from_utf8(reply.body.clone()).unwrap();
        for other in [
            text.replace("application/pkcs8", "application/pkcs7-mime"),
            text.replace("application/pkcs8", "text/plain"),
            text.replace("Content-Type: application/pkcs8", "X: y"),
        ] {
            assert_eq!(split(content_type, other.as_bytes()), Err(BadMultipart::Parts));
        }
    }
}
