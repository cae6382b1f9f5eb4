//! Strict decoding: bounded, definite lengths only, exactly the known keys, and byte equal when encoded again.
//!
//! The last rule does the work of many: it refuses long heads, and whatever a lenient reader would accept.

use minicbor::Decoder;
use minicbor::data::Type;

use super::encode::encode;
use super::flaw::{Flaw, Part};
use super::format::{Bundle, FORMAT, KEYS, Leaf, Log, Opening, limit};
use crate::hash::Hash;

/// Reads a bundle without judging it. This is the entry point for fuzzing beside [`super::verify`].
///
/// # Errors
/// A [`Flaw`] of [`Part::Structure`] with the offset of the first byte that cannot be right.
pub fn decode(bytes: &[u8]) -> Result<Bundle<'_>, Flaw> {
    if bytes.len() > limit::FILE {
        return Err(flaw(limit::FILE, format!("a bundle has at most {} bytes", limit::FILE)));
    }
    let mut reader = Reader { cbor: Decoder::new(bytes) };
    let bundle = reader.bundle()?;
    let end = reader.cbor.position();
    if end != bytes.len() {
        return Err(flaw(end, "nothing may follow the bundle"));
    }
    let again = encode(&bundle);
    if again != bytes {
        let same = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(flaw(same, "not in deterministic encoding (RFC 8949 section 4.2.1)"));
    }
    Ok(bundle)
}

fn flaw(offset: usize, rule: impl Into<String>) -> Flaw {
    Flaw::new(Part::Structure { offset }, rule)
}

struct Reader<'a> {
    cbor: Decoder<'a>,
}

impl<'a> Reader<'a> {
    fn bundle(&mut self) -> Result<Bundle<'a>, Flaw> {
        self.map(KEYS, "the bundle")?;
        self.key(1)?;
        let at = self.cbor.position();
        let format = self.text("format", FORMAT.len())?;
        if format != FORMAT {
            return Err(flaw(at, format!("format is not `{FORMAT}`")));
        }
        self.key(2)?;
        let claim = self.bytes("claim", limit::CLAIM)?;
        self.key(3)?;
        let logs = self.list("logs", 1, limit::LOGS, Self::log)?;
        self.key(4)?;
        let count = logs.len();
        let leaves = self.list("leaves", 1, limit::LEAVES, |reader| reader.leaf(count))?;
        self.key(5)?;
        let attachments = self
            .list("attachments", 0, limit::ATTACHMENTS, |reader| reader.bytes("attachment", limit::FILE))?;
        self.key(6)?;
        let witnesses =
            self.list("witnesses", 0, limit::WITNESSES, |reader| reader.text("vkey", limit::VKEY))?;
        Ok(Bundle { claim, logs, leaves, attachments, witnesses })
    }

    fn log(&mut self) -> Result<Log<'a>, Flaw> {
        self.map(2, "a log")?;
        self.key(1)?;
        let vkey = self.text("vkey", limit::VKEY)?;
        self.key(2)?;
        let note = self.text("checkpoint note", limit::NOTE)?;
        Ok(Log { vkey, note })
    }

    fn leaf(&mut self, logs: usize) -> Result<Leaf<'a>, Flaw> {
        self.map(5, "a leaf")?;
        self.key(1)?;
        let at = self.cbor.position();
        let number = self.cbor.u64().map_err(|_| flaw(at, "log index is not an unsigned integer"))?;
        let log = usize::try_from(number).ok().filter(|log| *log < logs);
        let log = log.ok_or_else(|| flaw(at, "log index names no log of the bundle"))?;
        self.key(2)?;
        let entry = self.bytes("entry", limit::ENTRY)?;
        self.key(3)?;
        let salt = self.optional(|reader| reader.digest("salt"))?;
        self.key(4)?;
        let at = self.cbor.position();
        let payload = self.optional(|reader| reader.bytes("payload", limit::PAYLOAD))?;
        let opening = match (salt, payload) {
            (Some(salt), Some(payload)) => Some(Opening { salt, payload }),
            (None, None) => None,
            _ => return Err(flaw(at, "salt and payload are either both present or both null")),
        };
        self.key(5)?;
        let proof = self.optional(|reader| {
            reader.list("proof", 0, limit::PROOF, |reader| reader.digest("proof hash").copied().map(Hash))
        })?;
        Ok(Leaf { log, entry, opening, proof })
    }

    fn map(&mut self, keys: u64, what: &str) -> Result<(), Flaw> {
        let at = self.cbor.position();
        match self.cbor.map() {
            Ok(Some(n)) if n == keys => Ok(()),
            _ => Err(flaw(at, format!("{what} is not a map of exactly the keys 1 to {keys}"))),
        }
    }

    fn key(&mut self, key: u64) -> Result<(), Flaw> {
        let at = self.cbor.position();
        match self.cbor.u64() {
            Ok(n) if n == key => Ok(()),
            _ => Err(flaw(at, format!("key {key} expected"))),
        }
    }

    fn list<T>(
        &mut self,
        what: &str,
        least: usize,
        most: usize,
        item: impl Fn(&mut Self) -> Result<T, Flaw>,
    ) -> Result<Vec<T>, Flaw> {
        let at = self.cbor.position();
        let length = self.cbor.array().ok().flatten().and_then(|n| usize::try_from(n).ok());
        let length = length.filter(|n| (least..=most).contains(n));
        let length =
            length.ok_or_else(|| flaw(at, format!("{what} is not an array of {least} to {most}")))?;
        // No reservation: the announced length is the file's word, the items are its deed.
        (0..length).map(|_| item(self)).collect()
    }

    fn optional<T>(&mut self, some: impl FnOnce(&mut Self) -> Result<T, Flaw>) -> Result<Option<T>, Flaw> {
        if matches!(self.cbor.datatype(), Ok(Type::Null)) {
            let at = self.cbor.position();
            self.cbor.null().map_err(|_| flaw(at, "null expected"))?;
            return Ok(None);
        }
        some(self).map(Some)
    }

    fn bytes(&mut self, what: &str, most: usize) -> Result<&'a [u8], Flaw> {
        let at = self.cbor.position();
        let value = self.cbor.bytes().ok().filter(|value| value.len() <= most);
        value.ok_or_else(|| flaw(at, format!("{what} is not a byte string of at most {most} bytes")))
    }

    fn digest(&mut self, what: &str) -> Result<&'a [u8; 32], Flaw> {
        let at = self.cbor.position();
        let value = self.cbor.bytes().ok().and_then(|value| value.try_into().ok());
        value.ok_or_else(|| flaw(at, format!("{what} is not a byte string of 32 bytes")))
    }

    fn text(&mut self, what: &str, most: usize) -> Result<&'a str, Flaw> {
        let at = self.cbor.position();
        let value = self.cbor.str().ok().filter(|value| value.len() <= most);
        value.ok_or_else(|| flaw(at, format!("{what} is not a text of at most {most} bytes")))
    }
}
