//! The attestation object (WebAuthn 6.5.4): a CBOR map of `fmt`, `attStmt` and, unused in ACME, `authData`.
//!
//! Read by hand over minicbor: three known keys outside, six inside, each once, each with its own limit, nothing
//! nested deeper than the list `x5c`. So no input can make the reader recurse or allocate beyond what it sends.

use minicbor::Decoder;

use crate::tpm::structures::{Attest, Public};
use crate::wire::{Malformed, within};

/// Six certificates of 4 KiB, the largest signature, TPM structures and authenticator data: 31 KiB.
pub const MAX_ATTESTATION_BYTES: usize = 32 * 1024;
/// Android's chains have five with the root, others two or three.
pub const MAX_CERTIFICATES: usize = 6;
/// Real attestation certificates have 0.5 to 2 KiB.
pub(super) const MAX_CERTIFICATE_BYTES: usize = 4 * 1024;
/// RSA-4096 has 512 bytes, a TPMT_SIGNATURE six more.
const MAX_SIGNATURE_BYTES: usize = 1024;
/// Fixed 55 bytes, a credential id of at most 1023, a COSE key of an RSA-8192 key.
const MAX_AUTH_DATA_BYTES: usize = 4 * 1024;
/// RFC 8809 2.1: at most 32 octets.
const MAX_FORMAT_BYTES: usize = 32;

/// The fields of all statement formats; which of them must be there is the format's rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    /// Version, for `tpm`.
    pub version: Option<String>,
    /// COSE algorithm of `signature`.
    pub algorithm: Option<i64>,
    /// Signature.
    pub signature: Option<Vec<u8>>,
    /// Certificates, the attestation certificate first.
    pub certificates: Option<Vec<Vec<u8>>>,
    /// TPMS_ATTEST.
    pub cert_info: Option<Vec<u8>>,
    /// TPMT_PUBLIC.
    pub pub_area: Option<Vec<u8>>,
}

/// A parsed attestation object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationObject {
    format: String,
    statement: Statement,
    auth_data: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

impl AttestationObject {
    /// Reads CBOR. Fuzz entry point.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        within("attestation object", bytes.len(), MAX_ATTESTATION_BYTES)?;
        let mut decoder = Decoder::new(bytes);
        let (mut format, mut statement, mut auth_data) = (None, None, None);
        for _ in 0..map(&mut decoder, "attestation object", 3)? {
            match text(&mut decoder, "key of the attestation object", MAX_FORMAT_BYTES)? {
                "fmt" => once(&mut format, "fmt", text(&mut decoder, "fmt", MAX_FORMAT_BYTES)?.to_owned())?,
                "attStmt" => once(&mut statement, "attStmt", read_statement(&mut decoder)?)?,
                "authData" => {
                    let found = blob(&mut decoder, "authData", MAX_AUTH_DATA_BYTES)?;
                    once(&mut auth_data, "authData", found)?;
                }
                _ => {
                    return Err(Malformed::Invalid {
                        field: "attestation object",
                        rule: "its keys are `fmt`, `attStmt` and `authData`",
                    });
                }
            }
        }
        let left = bytes.len().saturating_sub(decoder.position());
        if left > 0 {
            return Err(Malformed::Trailing { field: "attestation object", left });
        }
        let missing = |field| Malformed::Invalid { field, rule: "it must be there" };
        Ok(Self {
            format: format.ok_or(missing("fmt"))?,
            statement: statement.ok_or(missing("attStmt"))?,
            auth_data,
            bytes: bytes.to_vec(),
        })
    }

    /// What `fmt` says.
    pub fn format(&self) -> &str {
        &self.format
    }
    /// The statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }
    /// Authenticator data, which ACME clients should leave out.
    pub fn auth_data(&self) -> Option<&[u8]> {
        self.auth_data.as_deref()
    }
    /// The CBOR as it was sent: the evidence to keep.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes an attestation object: for devices and simulators.
pub fn encode(format: &str, statement: &Statement, auth_data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    head(&mut out, MAP, 2 + usize::from(auth_data.is_some()));
    string(&mut out, TEXT, b"fmt");
    string(&mut out, TEXT, format.as_bytes());
    string(&mut out, TEXT, b"attStmt");
    let fields =
        [("sig", &statement.signature), ("certInfo", &statement.cert_info), ("pubArea", &statement.pub_area)];
    let present = fields.iter().filter(|(_, value)| value.is_some()).count()
        + usize::from(statement.version.is_some())
        + usize::from(statement.algorithm.is_some())
        + usize::from(statement.certificates.is_some());
    head(&mut out, MAP, present);
    if let Some(version) = &statement.version {
        string(&mut out, TEXT, b"ver");
        string(&mut out, TEXT, version.as_bytes());
    }
    if let Some(algorithm) = statement.algorithm {
        string(&mut out, TEXT, b"alg");
        // RFC 8949 3.1: a negative number n stands as -1 - n, which is its bitwise complement.
        let (major, value) = if algorithm < 0 { (NEGATIVE, !algorithm) } else { (UNSIGNED, algorithm) };
        head(&mut out, major, usize::try_from(value).unwrap_or(usize::MAX));
    }
    if let Some(certificates) = &statement.certificates {
        string(&mut out, TEXT, b"x5c");
        head(&mut out, ARRAY, certificates.len());
        certificates.iter().for_each(|c| string(&mut out, BYTES, c));
    }
    for (key, value) in fields {
        if let Some(value) = value {
            string(&mut out, TEXT, key.as_bytes());
            string(&mut out, BYTES, value);
        }
    }
    if let Some(data) = auth_data {
        string(&mut out, TEXT, b"authData");
        string(&mut out, BYTES, data);
    }
    out
}

// Major types of RFC 8949 3.1.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

fn head(out: &mut Vec<u8>, major: u8, value: usize) {
    let major = major << 5;
    match u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes() {
        [0, 0, 0, n] if n < 24 => out.push(major | n),
        [0, 0, 0, n] => out.extend_from_slice(&[major | 24, n]),
        [0, 0, a, b] => out.extend_from_slice(&[major | 25, a, b]),
        [a, b, c, d] => out.extend_from_slice(&[major | 26, a, b, c, d]),
    }
}

fn string(out: &mut Vec<u8>, major: u8, content: &[u8]) {
    head(out, major, content.len());
    out.extend_from_slice(content);
}

fn read_statement(decoder: &mut Decoder<'_>) -> Result<Statement, Malformed> {
    let mut out = Statement::default();
    for _ in 0..map(decoder, "attStmt", 6)? {
        match text(decoder, "key of attStmt", MAX_FORMAT_BYTES)? {
            "ver" => once(&mut out.version, "ver", text(decoder, "ver", 8)?.to_owned())?,
            "alg" => {
                let found = decoder
                    .i64()
                    .map_err(|_| Malformed::Invalid { field: "alg", rule: "it is an integer" })?;
                once(&mut out.algorithm, "alg", found)?;
            }
            "sig" => once(&mut out.signature, "sig", blob(decoder, "sig", MAX_SIGNATURE_BYTES)?)?,
            "x5c" => once(&mut out.certificates, "x5c", certificates(decoder)?)?,
            "certInfo" => once(&mut out.cert_info, "certInfo", blob(decoder, "certInfo", Attest::LIMIT)?)?,
            "pubArea" => once(&mut out.pub_area, "pubArea", blob(decoder, "pubArea", Public::LIMIT)?)?,
            _ => {
                return Err(Malformed::Invalid {
                    field: "attStmt",
                    rule: "its keys are `ver`, `alg`, `sig`, `x5c`, `certInfo` and `pubArea`",
                });
            }
        }
    }
    Ok(out)
}

fn certificates(decoder: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    let count = decoder.array().ok().flatten();
    let count = count.ok_or(Malformed::Invalid { field: "x5c", rule: "it is a list of known length" })?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    within("x5c", count, MAX_CERTIFICATES)?;
    (0..count).map(|_| blob(decoder, "certificate of x5c", MAX_CERTIFICATE_BYTES)).collect()
}

fn map(decoder: &mut Decoder<'_>, field: &'static str, most: u64) -> Result<u64, Malformed> {
    let count = decoder.map().ok().flatten();
    let count = count.ok_or(Malformed::Invalid { field, rule: "it is a map of known length" })?;
    within(field, usize::try_from(count).unwrap_or(usize::MAX), usize::try_from(most).unwrap_or(0))?;
    Ok(count)
}

fn text<'a>(decoder: &mut Decoder<'a>, field: &'static str, limit: usize) -> Result<&'a str, Malformed> {
    let found =
        decoder.str().map_err(|_| Malformed::Invalid { field, rule: "it is a text of known length" })?;
    within(field, found.len(), limit)?;
    Ok(found)
}

fn blob(decoder: &mut Decoder<'_>, field: &'static str, limit: usize) -> Result<Vec<u8>, Malformed> {
    let found = decoder
        .bytes()
        .map_err(|_| Malformed::Invalid { field, rule: "it is a byte string of known length" })?;
    within(field, found.len(), limit)?;
    Ok(found.to_vec())
}

// RFC 8949 5.6: readers differ in whether the first or the last of two counts.
fn once<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed::Invalid { field, rule: "it stands once" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::truncations;

    fn good() -> Vec<u8> {
        let statement = Statement {
            version: Some("2.0".into()),
            algorithm: Some(-7),
            signature: Some(vec![1; 70]),
            certificates: Some(vec![vec![2; 300], vec![3; 20]]),
            cert_info: Some(vec![4; 100]),
            pub_area: Some(vec![5; 90]),
        };
        encode("tpm", &statement, Some(&[6; 37]))
    }

    // I12
    #[test]
    fn an_object_is_read_whole_or_not_at_all() {
        let bytes = good();
        let object = AttestationObject::parse(&bytes).unwrap();
        assert_eq!((object.format(), object.bytes()), ("tpm", bytes.as_slice()));
        assert_eq!(object.auth_data(), Some(&[6; 37][..]));
        assert_eq!(object.statement().certificates.as_ref().unwrap().len(), 2);
        assert_eq!(encode(object.format(), object.statement(), object.auth_data()), bytes);
        truncations(&bytes, |b| AttestationObject::parse(b).is_ok());
    }

    #[test]
    fn each_limit_says_no() {
        let refused = |edit: &dyn Fn(&mut Statement)| {
            let mut statement = Statement { algorithm: Some(-7), ..Statement::default() };
            edit(&mut statement);
            AttestationObject::parse(&encode("tpm", &statement, None)).unwrap_err().to_string()
        };
        assert!(refused(&|s| s.signature = Some(vec![0; MAX_SIGNATURE_BYTES + 1])).contains("`sig`"));
        assert!(refused(&|s| s.cert_info = Some(vec![0; Attest::LIMIT + 1])).contains("`certInfo`"));
        assert!(refused(&|s| s.pub_area = Some(vec![0; Public::LIMIT + 1])).contains("`pubArea`"));
        assert!(refused(&|s| s.version = Some("2.0.0.0.0".into())).contains("`ver`"));
        assert!(refused(&|s| s.certificates = Some(vec![vec![]; MAX_CERTIFICATES + 1])).contains("`x5c`"));
        let long = vec![vec![0; MAX_CERTIFICATE_BYTES + 1]];
        assert!(refused(&|s| s.certificates = Some(long.clone())).contains("`certificate of x5c`"));
        let name = "f".repeat(MAX_FORMAT_BYTES + 1);
        assert!(AttestationObject::parse(&encode(&name, &Statement::default(), None)).is_err());
        assert!(AttestationObject::parse(&vec![0xa0; MAX_ATTESTATION_BYTES + 1]).is_err());
    }

    // I12: no form of CBOR with a second meaning, and nothing deep.
    #[test]
    fn odd_forms_are_refused() {
        let deep = [vec![0x81; 20_000], vec![0xf6]].concat();
        let in_statement = |value: &[u8]| [b"\xa2\x63fmt\x63tpm\x67attStmt\xa1\x63sig", value].concat();
        for (what, bytes) in [
            ("empty", vec![]),
            ("no map", vec![0x80]),
            ("indefinite map", b"\xbf\x63fmt\x63tpm\x67attStmt\xa0\xff".to_vec()),
            ("fmt twice", b"\xa3\x63fmt\x63tpm\x63fmt\x63tpm\x67attStmt\xa0".to_vec()),
            ("unknown key", b"\xa3\x63fmt\x63tpm\x63foo\x00\x67attStmt\xa0".to_vec()),
            ("unknown key inside", b"\xa2\x63fmt\x63tpm\x67attStmt\xa1\x63foo\x00".to_vec()),
            ("no fmt", b"\xa1\x67attStmt\xa0".to_vec()),
            ("no attStmt", b"\xa1\x63fmt\x63tpm".to_vec()),
            ("fmt is bytes", b"\xa2\x63fmt\x43tpm\x67attStmt\xa0".to_vec()),
            ("chunked bytes", in_statement(b"\x5f\x41\x01\xff")),
            ("deep nesting", in_statement(&deep)),
            ("length beyond the end", in_statement(b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff")),
            (
                "a list beyond the end",
                b"\xa2\x63fmt\x63tpm\x67attStmt\xa1\x63x5c\x9b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            ),
        ] {
            assert!(AttestationObject::parse(&bytes).is_err(), "{what}");
        }
        assert!(AttestationObject::parse(b"\xa2\x63fmt\x63tpm\x67attStmt\xa0").is_ok());
    }
}
