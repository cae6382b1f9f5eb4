//! Reading DER element by element: a constructed value as the list of its parts, to be matched as a pattern.
//!
//! In scope: what CMS and PKCS#10 messages of SCEP are made of. Out of scope: X.509 beyond the few fields that name a
//! signer ([`super::peer`]); writing (`lanyard_pki::write`).

use der::asn1::ObjectIdentifier;
use der::{Decode, Reader, SliceReader};
use lanyard_pki::write;

/// Parts of one value. The longest list of a real message is a certificate's ten extensions.
const MAX_PARTS: usize = 64;

/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = write::context_constructed(0);

/// Bytes that are not the structure that was expected: which one, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// One element, in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// Tag, length and content.
    pub whole: &'a [u8],
}

/// The one element that `der` is, with this tag.
pub(super) fn one<'a>(der: &'a [u8], tag: u8, what: &'static str) -> Result<Element<'a>, Malformed> {
    match list(der, what)?.as_slice() {
        [only] if only.tag == tag => Ok(*only),
        _ => Err(Malformed(what)),
    }
}

/// The elements that stand one after the other in `der`.
pub(super) fn list<'a>(der: &'a [u8], what: &'static str) -> Result<Vec<Element<'a>>, Malformed> {
    read(der).map_err(|_| Malformed(what))
}

fn read(der: &[u8]) -> der::Result<Vec<Element<'_>>> {
    let mut reader = SliceReader::new(der)?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        let whole = reader.tlv_bytes()?;
        let mut header = SliceReader::new(whole)?;
        let length = der::Header::decode(&mut header)?.length();
        let content = header.read_slice(length)?;
        let tag = whole.first().copied().unwrap_or_default();
        // X.690 8.1.2.4: tags of several octets, which `Element` does not tell apart.
        if tag & 0x1f == 0x1f || parts.len() == MAX_PARTS {
            return Err(der::ErrorKind::Failed.into());
        }
        parts.push(Element { tag, content, whole });
    }
    Ok(parts)
}

impl<'a> Element<'a> {
    /// The parts of a constructed value.
    pub fn parts(&self, what: &'static str) -> Result<Vec<Element<'a>>, Malformed> {
        if self.tag & 0x20 == 0 {
            return Err(Malformed(what));
        }
        list(self.content, what)
    }

    /// The same if it has this tag.
    pub fn tagged(self, tag: u8, what: &'static str) -> Result<Self, Malformed> {
        if self.tag == tag { Ok(self) } else { Err(Malformed(what)) }
    }

    /// An OBJECT IDENTIFIER.
    pub fn oid(&self, what: &'static str) -> Result<ObjectIdentifier, Malformed> {
        ObjectIdentifier::from_der(self.whole).map_err(|_| Malformed(what))
    }

    /// An AlgorithmIdentifier: its object identifier and its parameters.
    pub fn algorithm(
        &self,
        what: &'static str,
    ) -> Result<(ObjectIdentifier, Option<Element<'a>>), Malformed> {
        match self.tagged(write::SEQUENCE, what)?.parts(what)?.as_slice() {
            [oid] => Ok((oid.oid(what)?, None)),
            [oid, parameters] => Ok((oid.oid(what)?, Some(*parameters))),
            _ => Err(Malformed(what)),
        }
    }

    /// An INTEGER that is small, as all versions are.
    pub fn version(&self, what: &'static str) -> Result<u8, Malformed> {
        match (self.tag, self.content) {
            (write::INTEGER, [version]) => Ok(*version),
            _ => Err(Malformed(what)),
        }
    }

    /// `[0] IMPLICIT OCTET STRING`, whole or in pieces: [`super::ber`] leaves the pieces under such a tag alone.
    pub fn octets(&self, what: &'static str) -> Result<Vec<u8>, Malformed> {
        if self.tag == write::context(0) {
            return Ok(self.content.to_vec());
        }
        let mut joined = Vec::with_capacity(self.content.len());
        for piece in self.tagged(CONTEXT_0, what)?.parts(what)? {
            joined.extend_from_slice(piece.tagged(write::OCTET_STRING, what)?.content);
        }
        Ok(joined)
    }
}
