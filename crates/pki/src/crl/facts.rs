//! What a list says, read once into plain values: the common ground of the lints (before we sign) and of the reader
//! (on what others signed). Nothing here judges; absent is `None`.

use der::asn1::ObjectIdentifier;

use super::number::Number;
use crate::facts::TimeFact;
use crate::oid;
use crate::read::{BadDer, Reader, boolean};
use crate::revocation::Reason;
use crate::serial::Serial;
use crate::write;

/// 150,000 entries of ours with 49 octets have 7 MB, and are to be sharded; makers' lists of endorsement keys have kB.
pub const MAX_CRL_BYTES: usize = 8 * 1024 * 1024;

/// More than this is no list of one issuer's addresses.
const MAX_NAMES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryFact {
    pub serial: Serial,
    pub at: TimeFact,
    /// `None`: no reasonCode.
    pub reason: Option<Reason>,
}

/// issuingDistributionPoint (RFC 5280 5.2.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Point {
    pub critical: bool,
    pub names: Names,
    pub only_user_certificates: bool,
    pub only_authorities: bool,
    pub only_some_reasons: bool,
    pub indirect: bool,
    pub only_attribute_certificates: bool,
}

/// A DistributionPointName: its URIs; other forms are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub uris: Vec<String>,
    pub others: usize,
}

impl Names {
    pub(crate) fn is_empty(&self) -> bool {
        self.uris.is_empty() && self.others == 0
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ListFacts {
    /// 2 as a number of the standard's prose; 1 when the field is left out.
    pub version: u8,
    pub signature_algorithm: ObjectIdentifier,
    pub issuer: Vec<u8>,
    pub issuer_is_empty: bool,
    pub this_update: TimeFact,
    pub next_update: Option<TimeFact>,
    /// In the order of their serials; of two with one serial the earlier revocation first.
    pub entries: Vec<EntryFact>,
    /// revokedCertificates is there and has nothing in it.
    pub empty_sequence: bool,
    /// Entries whose serial no certificate can have (zero, negative, over-long): they revoke nothing that we read.
    pub impossible_serials: usize,
    pub authority_key_id: Option<Vec<u8>>,
    pub number: Option<Number>,
    pub point: Option<Point>,
    pub delta_base: Option<Number>,
    pub freshest: Option<Names>,
    /// Every extension in order: id and whether it is critical.
    pub extensions: Vec<(ObjectIdentifier, bool)>,
    /// A critical extension, of the list or of an entry, that we do not process.
    pub unknown_critical: Option<ObjectIdentifier>,
}

impl ListFacts {
    /// Reads a TBSCertList (RFC 5280 5.1.2).
    pub(crate) fn read(tbs: &[u8]) -> Result<Self, BadDer> {
        let mut outer = Reader::new(tbs);
        let mut list = outer.nested(write::SEQUENCE, "a TBSCertList")?;
        outer.end("a TBSCertList")?;
        let version = match list.optional(write::INTEGER)? {
            None => 1,
            Some([1]) => 2,
            Some(_) => return Err(BadDer::Value("the version")),
        };
        let signature_algorithm = list.algorithm("the signature's algorithm")?.oid;
        let issuer = list.any()?;
        if issuer.tag != write::SEQUENCE {
            return Err(BadDer::Expected("the issuer's name"));
        }
        let mut facts = Self {
            version,
            signature_algorithm,
            issuer: issuer.whole.to_vec(),
            issuer_is_empty: issuer.content.is_empty(),
            this_update: list.time("thisUpdate")?,
            next_update: None,
            entries: Vec::new(),
            empty_sequence: false,
            impossible_serials: 0,
            authority_key_id: None,
            number: None,
            point: None,
            delta_base: None,
            freshest: None,
            extensions: Vec::new(),
            unknown_critical: None,
        };
        if list.next_is(write::UTC_TIME) || list.next_is(write::GENERALIZED_TIME) {
            facts.next_update = Some(list.time("nextUpdate")?);
        }
        if let Some(entries) = list.optional(write::SEQUENCE)? {
            facts.empty_sequence = entries.is_empty();
            facts.take_entries(Reader::new(entries))?;
        }
        if let Some(extensions) = list.optional(write::context_constructed(0))? {
            facts.take_extensions(extensions)?;
        }
        list.end("a TBSCertList")?;
        Ok(facts)
    }

    fn take_entries(&mut self, mut entries: Reader<'_>) -> Result<(), BadDer> {
        while !entries.is_empty() {
            let mut entry = entries.nested(write::SEQUENCE, "an entry")?;
            let serial = entry.take(write::INTEGER, "an entry's serial number")?;
            let at = entry.time("an entry's revocation date")?;
            let mut reason = None;
            if let Some(extensions) = entry.optional(write::SEQUENCE)? {
                reason = self.take_entry_extensions(Reader::new(extensions))?;
            }
            entry.end("an entry")?;
            match Serial::from_der_content(serial) {
                Ok(serial) => self.entries.push(EntryFact { serial, at, reason }),
                Err(_) => self.impossible_serials += 1,
            }
        }
        // Ours are in order already: then this is one pass.
        self.entries.sort_by_key(|entry| (entry.serial, entry.at.at));
        Ok(())
    }

    fn take_entry_extensions(&mut self, mut extensions: Reader<'_>) -> Result<Option<Reason>, BadDer> {
        let mut reason = None;
        while !extensions.is_empty() {
            let extension = extensions.extension()?;
            match extension.id {
                oid::REASON_CODE => {
                    let mut value = Reader::new(extension.value);
                    let code = match value.take(write::ENUMERATED, "a reason code")? {
                        [code] => Reason::from_code(*code).ok_or(BadDer::Value("a reason code"))?,
                        _ => return Err(BadDer::Value("a reason code")),
                    };
                    value.end("a reason code")?;
                    if reason.replace(code).is_some() {
                        return Err(BadDer::Value("an entry with two reasons"));
                    }
                }
                // RFC 5280 5.3: with a critical one that we do not process the whole list is not to be used.
                // certificateIssuer (5.3.3) is such a one: entries of other issuers are for indirect lists.
                other if extension.critical => self.unknown_critical = Some(other),
                _ => {}
            }
        }
        Ok(reason)
    }

    fn take_extensions(&mut self, content: &[u8]) -> Result<(), BadDer> {
        let mut outer = Reader::new(content);
        let mut extensions = outer.nested(write::SEQUENCE, "the extensions")?;
        outer.end("the extensions")?;
        while !extensions.is_empty() {
            let extension = extensions.extension()?;
            self.extensions.push((extension.id, extension.critical));
            let value = Reader::new(extension.value);
            match extension.id {
                oid::AUTHORITY_KEY_IDENTIFIER => self.authority_key_id = key_id(value)?,
                oid::CRL_NUMBER => self.number = Some(number(value, "the CRL number")?),
                oid::DELTA_CRL_INDICATOR => self.delta_base = Some(number(value, "the base CRL number")?),
                oid::ISSUING_DISTRIBUTION_POINT => self.point = Some(point(value, extension.critical)?),
                oid::FRESHEST_CRL => self.freshest = Some(distribution_points(value)?),
                other if extension.critical => self.unknown_critical = Some(other),
                _ => {}
            }
        }
        Ok(())
    }

    /// The first extension that stands a second time.
    pub(crate) fn repeated_extension(&self) -> Option<ObjectIdentifier> {
        let mut seen = std::collections::HashSet::new();
        self.extensions.iter().map(|(id, _)| *id).find(|id| !seen.insert(*id))
    }
}

/// AuthorityKeyIdentifier (RFC 5280 4.2.1.1): the key identifier; issuer and serial are not used.
fn key_id(mut value: Reader<'_>) -> Result<Option<Vec<u8>>, BadDer> {
    let mut inner = value.nested(write::SEQUENCE, "the authority key identifier")?;
    value.end("the authority key identifier")?;
    let id = inner.optional(write::context(0))?.map(<[u8]>::to_vec);
    while !inner.is_empty() {
        inner.any()?;
    }
    Ok(id)
}

fn number(mut value: Reader<'_>, what: &'static str) -> Result<Number, BadDer> {
    let number = Number::from_der_content(value.take(write::INTEGER, what)?).ok_or(BadDer::Value(what))?;
    value.end(what)?;
    Ok(number)
}

fn point(mut value: Reader<'_>, critical: bool) -> Result<Point, BadDer> {
    const WHAT: &str = "the issuing distribution point";
    let mut inner = value.nested(write::SEQUENCE, WHAT)?;
    value.end(WHAT)?;
    let mut found = Point { critical, ..Point::default() };
    if let Some(name) = inner.optional(write::context_constructed(0))? {
        point_name(Reader::new(name), &mut found.names)?;
    }
    let flag = |inner: &mut Reader<'_>, tag| match inner.optional(write::context(tag))? {
        None => Ok(false),
        Some(content) => boolean(content, WHAT),
    };
    found.only_user_certificates = flag(&mut inner, 1)?;
    found.only_authorities = flag(&mut inner, 2)?;
    found.only_some_reasons = inner.optional(write::context(3))?.is_some();
    found.indirect = flag(&mut inner, 4)?;
    found.only_attribute_certificates = flag(&mut inner, 5)?;
    inner.end(WHAT)?;
    Ok(found)
}

/// freshestCRL, in the form of CRLDistributionPoints (RFC 5280 4.2.1.13): the names of all points together.
fn distribution_points(mut value: Reader<'_>) -> Result<Names, BadDer> {
    const WHAT: &str = "a distribution point";
    let mut points = value.nested(write::SEQUENCE, WHAT)?;
    value.end(WHAT)?;
    let mut names = Names::default();
    while !points.is_empty() {
        let mut point = points.nested(write::SEQUENCE, WHAT)?;
        let name = point.optional(write::context_constructed(0))?;
        // A point for some reasons only, or of another issuer, is no place where we would look.
        let plain = point.is_empty();
        while !point.is_empty() {
            point.any()?;
        }
        match name {
            Some(name) if plain => point_name(Reader::new(name), &mut names)?,
            _ => names.others += 1,
        }
    }
    Ok(names)
}

/// DistributionPointName: fullName [0] GeneralNames, or nameRelativeToCRLIssuer [1].
fn point_name(mut choice: Reader<'_>, names: &mut Names) -> Result<(), BadDer> {
    let Some(full) = choice.optional(write::context_constructed(0))? else {
        choice.any()?;
        names.others += 1;
        return choice.end("a distribution point's name");
    };
    let mut full = Reader::new(full);
    while !full.is_empty() {
        let name = full.any()?;
        let uri = (name.tag == write::context(6)).then(|| std::str::from_utf8(name.content).ok()).flatten();
        match uri {
            Some(uri) if names.uris.len() < MAX_NAMES => names.uris.push(uri.to_owned()),
            _ => names.others += 1,
        }
    }
    choice.end("a distribution point's name")
}
