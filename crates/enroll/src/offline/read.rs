//! Reading and writing what all kinds share.

use lanyard_attest::wire::{Malformed, Reader, put_tpm2b};
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::{FileError, Kind, MAX_CHAIN};

const MAGIC: [u8; 4] = *b"LNYO";
const VERSION: u8 = 1;
/// As in X.509 here: `lanyard_pki::certificate` reads no longer ones.
const MAX_CERTIFICATE: usize = 16 << 10;
/// A vendor's name has at most 64 characters, of at most 4 bytes.
const MAX_TEXT: usize = 256;

pub(super) fn put_head(out: &mut Vec<u8>, kind: Kind) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, kind as u8]);
}

/// Magic, version, kind.
pub(super) fn head(r: &mut Reader<'_>) -> Result<Kind, FileError> {
    if r.array::<4>("magic") != Ok(MAGIC) {
        return Err(FileError::NotOurs);
    }
    match r.u8("version")? {
        VERSION => {}
        other => return Err(FileError::Version(other)),
    }
    let found = r.u8("kind")?;
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == found);
    kind.ok_or_else(|| Malformed::Unsupported { field: "kind", found: found.into() }.into())
}

/// A reader behind the head of a file that must be of this kind.
pub(super) fn open(bytes: &[u8], expected: Kind) -> Result<Reader<'_>, FileError> {
    let limit = expected.most();
    let mut r = Reader::new(bytes);
    let found = head(&mut r)?;
    if found != expected {
        return Err(FileError::OtherKind { expected: expected.name(), found: found.name() });
    }
    if bytes.len() > limit {
        return Err(FileError::TooLarge { what: expected.name(), limit, found: bytes.len() });
    }
    Ok(r)
}

pub(super) fn text(r: &mut Reader<'_>, field: &'static str) -> Result<String, FileError> {
    let bytes = r.tpm2b(field, MAX_TEXT)?;
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or(FileError::Text(field))
}

pub(super) fn time(r: &mut Reader<'_>, field: &'static str) -> Result<Timestamp, FileError> {
    Ok(Timestamp::from_micros(r.array(field).map(i64::from_be_bytes)?))
}

pub(super) fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.as_micros().to_be_bytes());
}

pub(super) fn digest(r: &mut Reader<'_>, field: &'static str) -> Result<Digest, FileError> {
    Ok(Digest(r.array(field)?))
}

pub(super) fn device(r: &mut Reader<'_>) -> Result<DeviceId, FileError> {
    Ok(DeviceId::from_bytes(r.array("device")?))
}

pub(super) fn chain(r: &mut Reader<'_>, field: &'static str) -> Result<Vec<Vec<u8>>, FileError> {
    let count = usize::from(r.u8(field)?);
    if count > MAX_CHAIN {
        return Err(Malformed::TooLong { field, found: count, limit: MAX_CHAIN }.into());
    }
    (0..count).map(|_| Ok(r.tpm2b(field, MAX_CERTIFICATE)?.to_vec())).collect()
}

/// At most [`MAX_CHAIN`]; what goes beyond is left out, and whoever reads the rest finds no path.
pub(super) fn put_chain(out: &mut Vec<u8>, chain: &[Vec<u8>]) {
    let shown = chain.iter().take(MAX_CHAIN);
    out.push(u8::try_from(shown.len()).unwrap_or_default());
    for certificate in shown {
        put_tpm2b(out, certificate);
    }
}
