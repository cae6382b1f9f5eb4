//! The file format of everything that this module keeps on disk: a magic, a kind, a version, fields, a
//! checksum.
//!
//! What: `LYRT`, kind u8, version u8, then fields of u32 length + bytes, then SHA-256 of all before it.
//! Written to a temporary file beside, fsynced, renamed, directory fsynced; mode 0600.
//! Why a checksum: a torn or rotten file must say so, and not look like a key of another TPM.
//! It is no protection against an attacker who writes the file: that is the job of the wrapping inside.
//!
//! In scope: bytes and their atomic replacement. Out of scope: what the fields mean.
//! To add a kind: one variant of [`Kind`]; bump [`VERSION`] when the meaning of existing fields changes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::TpmError;

const MAGIC: &[u8; 4] = b"LYRT";
const VERSION: u8 = 1;
/// An RSA-2048 endorsement key with a chain of three 2 KiB certificates is below 9 KiB.
const MAX_FILE: usize = 64 * 1024;
const MAX_FIELDS: usize = 128;

/// What a container holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Seed and endorsement key of a software TPM.
    Chip = 1,
    /// PCRs, counters and clock of a software TPM.
    Measurements = 2,
    /// Wrapped keys of a software TPM.
    Keys = 3,
    /// Key and certificate of a simulated maker.
    Maker = 5,
    /// One key blob of a hardware TPM.
    #[cfg(feature = "tpm")]
    HardwareBlob = 4,
}

/// Encodes fields.
pub(super) fn encode(kind: Kind, fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + fields.iter().map(|f| f.len() + 4).sum::<usize>());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[kind as u8, VERSION]);
    for field in fields {
        // Fields are keys and certificates, far below 4 GiB; a longer one would fail the size check when
        // read.
        out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(field);
    }
    let sum = digest(&SHA256, &out);
    out.extend_from_slice(sum.as_ref());
    out
}

/// Decodes what [`encode`] wrote; `what` names the file in errors. Fuzz entry point of everything read from
/// disk.
pub(super) fn decode(what: &str, kind: Kind, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TpmError> {
    let malformed = |why: &str| TpmError::malformed(what, why);
    if bytes.len() > MAX_FILE {
        return Err(malformed("larger than 65536 bytes"));
    }
    let body_len = bytes.len().checked_sub(SHA256_OUTPUT_LEN).ok_or_else(|| malformed("truncated"))?;
    let (body, sum) = bytes.split_at(body_len);
    if digest(&SHA256, body).as_ref() != sum {
        return Err(malformed("checksum does not match: the file is truncated or damaged"));
    }
    let rest = body.strip_prefix(MAGIC).ok_or_else(|| malformed("not a root-of-trust file"))?;
    let mut rest = match rest {
        [k, VERSION, rest @ ..] if *k == kind as u8 => rest,
        [k, VERSION, ..] => return Err(malformed(&format!("holds kind {k}, expected {}", kind as u8))),
        [_, version, ..] => {
            return Err(malformed(&format!("format version {version}, this build reads {VERSION}")));
        }
        _ => return Err(malformed("truncated")),
    };
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(|| malformed("truncated"))?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| malformed("field too long"))?;
        let (field, tail) =
            tail.split_at_checked(len).ok_or_else(|| malformed("field longer than the file"))?;
        fields.push(field.to_vec());
        if fields.len() > MAX_FIELDS {
            return Err(malformed("more than 128 fields"));
        }
        rest = tail;
    }
    Ok(fields)
}

/// Reads a whole file, `None` when it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, TpmError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(TpmError::io(path)(e)),
    };
    let mut bytes = Vec::new();
    // One byte over the limit is enough for `decode` to refuse it.
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(TpmError::io(path))?;
    Ok(Some(bytes))
}

/// Replaces `path` atomically: after a crash either the old or the new content is there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), TpmError> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(TpmError::io(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(TpmError::io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(TpmError::io(path))?;
    match path.parent() {
        Some(dir) => File::open(dir).and_then(|d| d.sync_all()).map_err(TpmError::io(dir)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_round_trips_and_every_truncation_and_bit_flip_is_malformed() {
        let fields: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        let bytes = encode(Kind::Keys, &fields);
        assert_eq!(decode("keys", Kind::Keys, &bytes).unwrap(), fields);
        for end in 0..bytes.len() {
            assert!(
                matches!(decode("keys", Kind::Keys, &bytes[..end]), Err(TpmError::Malformed { .. })),
                "cut at {end}"
            );
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(decode("keys", Kind::Keys, &flipped), Err(TpmError::Malformed { .. })),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn container_of_another_kind_version_or_size_is_malformed() {
        let reason = |bytes: &[u8]| decode("file", Kind::Keys, bytes).unwrap_err().to_string();
        assert!(reason(&encode(Kind::Chip, &[])).contains("kind 1, expected 3"));
        let mut newer = encode(Kind::Keys, &[]);
        newer.truncate(6);
        newer[5] = 9;
        let sum = digest(&SHA256, &newer);
        newer.extend_from_slice(sum.as_ref());
        assert!(reason(&newer).contains("version 9"));
        assert!(reason(&vec![0; MAX_FILE + 1]).contains("larger"));
        let mut overlong = b"LYRT\x03\x01\xff\xff\xff\xff".to_vec();
        let sum = digest(&SHA256, &overlong);
        overlong.extend_from_slice(sum.as_ref());
        assert!(reason(&overlong).contains("longer than the file"));
        assert!(reason(&encode(Kind::Keys, &[b"".as_slice(); MAX_FIELDS + 1])).contains("128 fields"));
    }

    #[test]
    fn files_are_private_and_replaced_whole() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.lyrt");
        assert!(read(&path).unwrap().is_none());
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"second");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
