//! PKIHeader (RFC 9810 5.1.1): who speaks to whom, in which transaction, protected how.
//!
//! Read into owned values; written by both sides. freeText, recipKID and items of generalInfo that we do not know are
//! passed over, as RFC 9810 5.1.1 wants.

use lanyard_domain::time::Timestamp;
use lanyard_pki::write;

use super::name::{directory_name, write_directory_name};
use super::oid;
use super::tlv::{Fields, Malformed, Tlv, write_generalized_time, write_integer};

/// cmp2000: what OpenSSL 3.0 speaks.
pub(super) const CMP2000: i64 = 2;
/// cmp2021: hash algorithms in certConf.
pub(super) const CMP2021: i64 = 3;
/// RFC 9483 3.1: transactionID and nonces are 128 bits of randomness.
pub(super) const NONCE_BYTES: usize = 16;
/// Longest transactionID, nonce and key identifier that is read: a SHA-512.
const MAX_ID_BYTES: usize = 64;
/// Items of generalInfo that are looked at; the ones that exist are fewer than thirty.
const MAX_INFO_ITEMS: usize = 32;
/// Longest name of a certificate profile.
const MAX_PROFILE_CHARS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub version: i64,
    /// DER of the sender's Name; None if the GeneralName is of another form.
    pub sender: Option<Vec<u8>>,
    /// DER of the recipient's Name.
    pub recipient: Option<Vec<u8>>,
    pub time: Option<Timestamp>,
    /// DER of the AlgorithmIdentifier.
    pub protection: Option<Vec<u8>>,
    pub sender_key_id: Option<Vec<u8>>,
    pub transaction: Option<Vec<u8>>,
    pub sender_nonce: Option<Vec<u8>>,
    pub recipient_nonce: Option<Vec<u8>>,
    pub implicit_confirm: bool,
    /// confirmWaitTime: until when the sender waits for a certConf.
    pub confirm_by: Option<Timestamp>,
    /// The first certProfile.
    pub profile: Option<String>,
}

impl Header {
    pub fn read(tlv: Tlv<'_>) -> Result<Self, Malformed> {
        let mut fields = tlv.fields();
        let version = fields.take(write::INTEGER, "header.pvno")?.integer()?;
        let sender = directory_name(&mut fields, "header.sender")?.map(<[u8]>::to_vec);
        let recipient = directory_name(&mut fields, "header.recipient")?.map(<[u8]>::to_vec);
        let time = match explicit(&mut fields, 0, "header.messageTime")? {
            Some(time) => Some(time.inner()?.generalized_time()?),
            None => None,
        };
        let protection = match explicit(&mut fields, 1, "header.protectionAlg")? {
            Some(algorithm) => Some(algorithm.inner_tagged(write::SEQUENCE)?.whole.to_vec()),
            None => None,
        };
        let mut header = Self {
            version,
            sender,
            recipient,
            time,
            protection,
            sender_key_id: octets(&mut fields, 2, "header.senderKID")?,
            transaction: {
                octets(&mut fields, 3, "header.recipKID")?;
                octets(&mut fields, 4, "header.transactionID")?
            },
            sender_nonce: octets(&mut fields, 5, "header.senderNonce")?,
            recipient_nonce: octets(&mut fields, 6, "header.recipNonce")?,
            implicit_confirm: false,
            confirm_by: None,
            profile: None,
        };
        explicit(&mut fields, 7, "header.freeText")?;
        if let Some(items) = explicit(&mut fields, 8, "header.generalInfo")? {
            for item in items.inner_tagged(write::SEQUENCE)?.fields().all(MAX_INFO_ITEMS)? {
                header.take_info(item)?;
            }
        }
        fields.finish()?;
        Ok(header)
    }

    fn take_info(&mut self, item: Tlv<'_>) -> Result<(), Malformed> {
        let (kind, value) = item.algorithm()?;
        match (kind, value) {
            // RFC 9810 5.1.1.1: its value is NULL.
            (oid::IMPLICIT_CONFIRM, Some(value)) if value.whole == [5, 0] => self.implicit_confirm = true,
            (oid::IMPLICIT_CONFIRM, _) => return Err(Malformed("header.generalInfo.implicitConfirm")),
            (oid::CONFIRM_WAIT_TIME, Some(value)) => self.confirm_by = Some(value.generalized_time()?),
            (oid::CERT_PROFILE, Some(value)) => {
                let name =
                    value.fields().take(write::UTF8_STRING, "header.generalInfo.certProfile")?.utf8()?;
                if name.is_empty() || name.chars().count() > MAX_PROFILE_CHARS {
                    return Err(Malformed("header.generalInfo.certProfile"));
                }
                self.profile = Some(name.to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        write::tlv(out, write::SEQUENCE, |o| {
            write_integer(o, self.version);
            write_directory_name(o, self.sender.as_deref().unwrap_or(super::name::NULL_DN));
            write_directory_name(o, self.recipient.as_deref().unwrap_or(super::name::NULL_DN));
            if let Some(time) = self.time {
                write::tlv(o, write::context_constructed(0), |o| write_generalized_time(o, time));
            }
            if let Some(algorithm) = &self.protection {
                write::bytes(o, write::context_constructed(1), algorithm);
            }
            for (number, value) in [
                (2, &self.sender_key_id),
                (4, &self.transaction),
                (5, &self.sender_nonce),
                (6, &self.recipient_nonce),
            ] {
                if let Some(value) = value {
                    write::tlv(o, write::context_constructed(number), |o| {
                        write::bytes(o, write::OCTET_STRING, value);
                    });
                }
            }
            self.write_info(o);
        });
    }

    fn write_info(&self, out: &mut Vec<u8>) {
        let mut items = Vec::new();
        if self.implicit_confirm {
            write::tlv(&mut items, write::SEQUENCE, |o| {
                write::oid(o, &oid::IMPLICIT_CONFIRM);
                o.extend([5, 0]);
            });
        }
        if let Some(by) = self.confirm_by {
            write::tlv(&mut items, write::SEQUENCE, |o| {
                write::oid(o, &oid::CONFIRM_WAIT_TIME);
                write_generalized_time(o, by);
            });
        }
        if let Some(profile) = &self.profile {
            write::tlv(&mut items, write::SEQUENCE, |o| {
                write::oid(o, &oid::CERT_PROFILE);
                write::tlv(o, write::SEQUENCE, |o| {
                    write::bytes(o, write::UTF8_STRING, profile.as_bytes());
                });
            });
        }
        if !items.is_empty() {
            write::tlv(out, write::context_constructed(8), |o| write::bytes(o, write::SEQUENCE, &items));
        }
    }
}

fn explicit<'a>(
    fields: &mut Fields<'a>,
    number: u8,
    what: &'static str,
) -> Result<Option<Tlv<'a>>, Malformed> {
    fields.optional(write::context_constructed(number), what)
}

fn octets(fields: &mut Fields<'_>, number: u8, what: &'static str) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(found) = explicit(fields, number, what)? else { return Ok(None) };
    let octets = found.inner_tagged(write::OCTET_STRING)?.content;
    if octets.len() > MAX_ID_BYTES {
        return Err(Malformed(what));
    }
    Ok(Some(octets.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmp::name::common_name;
    use crate::cmp::tlv::only;

    fn full() -> Header {
        Header {
            version: CMP2021,
            sender: Some(common_name("pump")),
            recipient: Some(common_name("ca")),
            time: Some(Timestamp::from_seconds(1_795_348_800)),
            protection: Some(vec![0x30, 5, 6, 3, 0x2b, 0x65, 0x70]),
            sender_key_id: Some(b"abcdefgh".to_vec()),
            transaction: Some(vec![1; 16]),
            sender_nonce: Some(vec![2; 16]),
            recipient_nonce: Some(vec![3; 16]),
            implicit_confirm: true,
            confirm_by: Some(Timestamp::from_seconds(1_795_349_100)),
            profile: Some("infusion".into()),
        }
    }

    fn read(bytes: &[u8]) -> Result<Header, Malformed> {
        only(bytes, write::SEQUENCE, "header").and_then(Header::read)
    }

    #[test]
    fn a_header_reads_back_as_written() {
        let mut bare = full();
        bare.time = None;
        bare.protection = None;
        bare.sender_key_id = None;
        bare.recipient_nonce = None;
        bare.implicit_confirm = false;
        bare.confirm_by = None;
        bare.profile = None;
        for header in [full(), bare] {
            let mut out = Vec::new();
            header.write(&mut out);
            assert_eq!(read(&out), Ok(header));
        }
    }

    // I12
    #[test]
    fn a_header_with_an_endless_nonce_or_a_cut_is_not_read() {
        let mut long = full();
        long.sender_nonce = Some(vec![2; MAX_ID_BYTES + 1]);
        let mut out = Vec::new();
        long.write(&mut out);
        assert_eq!(read(&out), Err(Malformed("header.senderNonce")));
        let mut out = Vec::new();
        full().write(&mut out);
        for at in 0..out.len() {
            assert!(read(&out[..at]).is_err(), "cut at {at}");
        }
    }
}
