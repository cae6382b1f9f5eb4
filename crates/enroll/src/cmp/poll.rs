//! pollReq and pollRep (RFC 9810 5.3.22): is it decided by now; not yet, ask again then.

use lanyard_pki::write;

use super::status::{free_text, write_free_text};
use super::tlv::{Malformed, Tlv, write_integer};

/// The number of the one request that is asked about.
pub(super) fn read_request(body: Tlv<'_>) -> Result<i64, Malformed> {
    let mut fields = body.inner_tagged(write::SEQUENCE)?.fields();
    let number = fields.take(write::INTEGER, "pollReq.certReqId")?.integer()?;
    fields.finish()?;
    Ok(number)
}

pub(super) fn write_request(number: i64) -> Vec<u8> {
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| write::tlv(o, write::SEQUENCE, |o| write_integer(o, number)));
    out
}

/// Not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotYet {
    pub request_id: i64,
    pub after_seconds: i64,
    pub why: String,
}

impl NotYet {
    pub fn read(body: Tlv<'_>) -> Result<Self, Malformed> {
        let mut fields = body.inner_tagged(write::SEQUENCE)?.fields();
        let request_id = fields.take(write::INTEGER, "pollRep.certReqId")?.integer()?;
        let after_seconds = fields.take(write::INTEGER, "pollRep.checkAfter")?.integer()?;
        let why = free_text(&mut fields, "pollRep.reason")?;
        fields.finish()?;
        Ok(Self { request_id, after_seconds, why })
    }

    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write_integer(o, self.request_id);
                write_integer(o, self.after_seconds);
                write_free_text(o, &self.why);
            });
        });
        out
    }
}
