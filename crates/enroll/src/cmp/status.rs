//! PKIStatusInfo (RFC 9810 5.2.3): what became of a request, in numbers and in a sentence.

use lanyard_pki::write;

use super::tlv::{Fields, Malformed, Tlv, write_integer};

/// Why a request failed (RFC 9810 5.2.3, PKIFailureInfo); the value is the bit's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FailInfo {
    /// An algorithm that is not served.
    BadAlg = 0,
    /// The protection does not verify.
    BadMessageCheck = 1,
    /// A message that does not belong here.
    BadRequest = 2,
    /// The sender's clock.
    BadTime = 3,
    /// No such certificate.
    BadCertId = 4,
    /// Not DER of RFC 9810.
    BadDataFormat = 5,
    /// Another authority is meant.
    WrongAuthority = 6,
    /// Proof of possession failed.
    BadPop = 9,
    /// Revoked already.
    CertRevoked = 10,
    /// Protection of the wrong kind, a MAC for a signature.
    WrongIntegrity = 12,
    /// Nonce that is not the one that was sent.
    BadRecipientNonce = 13,
    /// Nonce that is missing or short.
    BadSenderNonce = 18,
    /// A request that cannot be served as it is.
    BadCertTemplate = 19,
    /// The signer is nobody who is known.
    SignerNotTrusted = 20,
    /// The transaction's number was used before.
    TransactionIdInUse = 21,
    /// Neither cmp2000 nor cmp2021.
    UnsupportedVersion = 22,
    /// A rule says no.
    NotAuthorized = 23,
    /// Not now.
    SystemUnavail = 24,
    /// Our own fault.
    SystemFailure = 25,
}

/// PKIStatus, the ones that we send or act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Accepted,
    GrantedWithMods,
    Rejection,
    Waiting,
    /// Warnings and notifications (4 to 6).
    Other(i64),
}

impl Status {
    fn number(self) -> i64 {
        match self {
            Status::Accepted => 0,
            Status::GrantedWithMods => 1,
            Status::Rejection => 2,
            Status::Waiting => 3,
            Status::Other(n) => n,
        }
    }
}

/// PKIStatusInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusInfo {
    pub status: Status,
    /// statusString, its parts joined.
    pub text: String,
    /// The bits of failInfo, most significant first in an u32: bit 0 is the highest.
    pub fail: u32,
}

/// A sentence has some 200 characters; a peer may say five.
const MAX_TEXT_CHARS: usize = 1_000;

impl StatusInfo {
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), fail: 0 }
    }

    pub fn rejection(fail: FailInfo, text: impl Into<String>) -> Self {
        Self { status: Status::Rejection, text: text.into(), fail: bit(fail) }
    }

    pub fn read(tlv: Tlv<'_>) -> Result<Self, Malformed> {
        let mut fields = tlv.fields();
        let status = match fields.take(write::INTEGER, "status")?.integer()? {
            0 => Status::Accepted,
            1 => Status::GrantedWithMods,
            2 => Status::Rejection,
            3 => Status::Waiting,
            n => Status::Other(n),
        };
        let text = free_text(&mut fields, "statusString")?;
        let mut fail = 0;
        if let Some(bits) = fields.optional(write::BIT_STRING, "failInfo")? {
            // The unused bits of a named bit list are zero (X.690 11.2.1); only set ones are of interest.
            let (_unused, octets) = bits.content.split_first().ok_or(Malformed("failInfo"))?;
            for (byte, shift) in octets.iter().zip([24u32, 16, 8, 0]) {
                fail |= u32::from(*byte) << shift;
            }
        }
        fields.finish()?;
        Ok(Self { status, text, fail })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        write::tlv(out, write::SEQUENCE, |o| {
            write_integer(o, self.status.number());
            write_free_text(o, &self.text);
            if self.fail != 0 {
                // X.690 11.2.2: a named bit list ends with its last set bit.
                let unused = self.fail.trailing_zeros();
                let octets = self.fail.to_be_bytes();
                let used = 4usize.saturating_sub((unused / 8) as usize);
                write::tlv(o, write::BIT_STRING, |o| {
                    o.push((unused % 8) as u8);
                    o.extend(octets.iter().take(used));
                });
            }
        });
    }

    pub fn says(&self, fail: FailInfo) -> bool {
        self.fail & bit(fail) != 0
    }
}

fn bit(fail: FailInfo) -> u32 {
    0x8000_0000 >> (fail as u32)
}

/// PKIFreeText, if it comes next: its parts joined, without control characters, and cut.
pub(super) fn free_text(fields: &mut Fields<'_>, what: &'static str) -> Result<String, Malformed> {
    let Some(parts) = fields.optional(write::SEQUENCE, what)? else { return Ok(String::new()) };
    let mut text = String::new();
    for part in parts.fields().all(16)? {
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(part.utf8()?.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT_CHARS));
    }
    Ok(text.chars().take(MAX_TEXT_CHARS).collect())
}

/// Writes PKIFreeText of one part, nothing if there is nothing to say.
pub(super) fn write_free_text(out: &mut Vec<u8>, text: &str) {
    if !text.is_empty() {
        let cut: String = text.chars().take(MAX_TEXT_CHARS).collect();
        write::tlv(out, write::SEQUENCE, |o| write::bytes(o, write::UTF8_STRING, cut.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmp::tlv::only;

    #[test]
    fn a_status_reads_back_with_its_bits() {
        for fail in [FailInfo::BadAlg, FailInfo::BadDataFormat, FailInfo::BadPop, FailInfo::SystemFailure] {
            let info = StatusInfo::rejection(fail, "the key is too weak");
            let mut out = Vec::new();
            info.write(&mut out);
            let back = StatusInfo::read(only(&out, write::SEQUENCE, "status").unwrap()).unwrap();
            assert_eq!(back, info);
            assert!(back.says(fail) && !back.says(FailInfo::BadTime));
        }
        for status in [Status::Accepted, Status::GrantedWithMods, Status::Waiting, Status::Other(5)] {
            let info = StatusInfo::new(status, "");
            let mut out = Vec::new();
            info.write(&mut out);
            assert_eq!(StatusInfo::read(only(&out, write::SEQUENCE, "status").unwrap()).unwrap(), info);
        }
    }

    #[test]
    fn a_peers_words_are_cut_and_cleaned() {
        let mut out = Vec::new();
        StatusInfo::new(Status::Rejection, format!("a\nb{}", "c".repeat(5_000))).write(&mut out);
        let back = StatusInfo::read(only(&out, write::SEQUENCE, "status").unwrap()).unwrap();
        assert!(back.text.starts_with("a bccc") && back.text.chars().count() == MAX_TEXT_CHARS);
    }
}
