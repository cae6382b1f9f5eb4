//! Names in CMP's headers: a GeneralName that is a directoryName (RFC 9483 3.1), compared with names in certificates.

use lanyard_pki::write;

use super::oid;
use super::tlv::{Fields, Malformed, only};

/// directoryName of GeneralName (RFC 5280 4.2.1.6): explicit, because Name is a CHOICE.
pub(super) const DIRECTORY_NAME: u8 = write::context_constructed(4);
/// A Name without any part, for who has none yet (RFC 9810 5.1.1).
pub(super) const NULL_DN: &[u8] = &[write::SEQUENCE, 0];

/// The Name in a GeneralName, None if it is of another form.
pub(super) fn directory_name<'a>(
    fields: &mut Fields<'a>,
    what: &'static str,
) -> Result<Option<&'a [u8]>, Malformed> {
    match fields.optional(DIRECTORY_NAME, what)? {
        Some(name) => Ok(Some(name.inner_tagged(write::SEQUENCE)?.whole)),
        None => {
            fields.any().map_err(|_| Malformed(what))?;
            Ok(None)
        }
    }
}

/// Writes a Name as GeneralName.
pub(super) fn write_directory_name(out: &mut Vec<u8>, name: &[u8]) {
    write::bytes(out, DIRECTORY_NAME, name);
}

/// A Name of one common name.
pub(super) fn common_name(text: &str) -> Vec<u8> {
    let mut name = Vec::new();
    write::tlv(&mut name, write::SEQUENCE, |o| write::rdn(o, &oid::COMMON_NAME, write::UTF8_STRING, text));
    name
}

/// Whether two Names are the same: part for part, the kind of string and ASCII case put aside (RFC 5280 7.1). Names
/// that do not parse are the same only byte for byte.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a == b || matches!((parts(a), parts(b)), (Ok(a), Ok(b)) if a == b)
}

/// Longest Name that is compared: 16 parts are twice what an X.509 subject of a careful CA has.
const MAX_PARTS: usize = 16;

/// One attribute, ready to be compared.
#[derive(PartialEq, Eq)]
struct Part {
    /// Which RelativeDistinguishedName it is in.
    rdn: usize,
    kind: Vec<u8>,
    value: Vec<u8>,
}

fn parts(name: &[u8]) -> Result<Vec<Part>, Malformed> {
    let mut parts = Vec::new();
    for (number, rdn) in only(name, write::SEQUENCE, "name")?.fields().all(MAX_PARTS)?.into_iter().enumerate()
    {
        for attribute in rdn.fields().all(MAX_PARTS)? {
            let mut fields = attribute.fields();
            let (kind, value) = (fields.any()?, fields.any()?);
            fields.finish()?;
            parts.push(Part {
                rdn: number,
                kind: kind.whole.to_vec(),
                value: value.content.to_ascii_lowercase(),
            });
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(tag: u8, text: &str) -> Vec<u8> {
        let mut name = Vec::new();
        write::tlv(&mut name, write::SEQUENCE, |o| write::rdn(o, &oid::COMMON_NAME, tag, text));
        name
    }

    #[test]
    fn names_are_the_same_part_for_part_whatever_kind_of_string() {
        let a = named(write::UTF8_STRING, "Issuing CA");
        assert_eq!(a, common_name("Issuing CA"));
        assert!(same(&a, &named(write::PRINTABLE_STRING, "issuing ca")));
        assert!(same(NULL_DN, NULL_DN));
        for other in [named(write::UTF8_STRING, "Issuing CB"), NULL_DN.to_vec(), vec![], a[1..].to_vec()] {
            assert!(!same(&a, &other), "{other:?}");
        }
        let mut two = Vec::new();
        write::tlv(&mut two, write::SEQUENCE, |o| {
            write::rdn(o, &oid::COMMON_NAME, write::UTF8_STRING, "Issuing CA");
            write::rdn(o, &oid::COMMON_NAME, write::UTF8_STRING, "Issuing CA");
        });
        assert!(!same(&a, &two), "a part more is another name");
    }
}
