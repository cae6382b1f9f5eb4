//! CertRepMessage (RFC 9810 5.3.4): the answer to a certificate request, one certificate or none, and why.

use lanyard_pki::write;

use super::status::StatusInfo;
use super::tlv::{Malformed, Tlv, write_integer};

/// Roots that an answer carries: every generation that is trusted, twice as many as a rollover has.
const MAX_CA_PUBS: usize = 8;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertReply<'a> {
    /// The request that it answers; -1 for PKCS#10, which has no number (RFC 9810 5.3.4).
    pub request_id: i64,
    pub status: StatusInfo,
    /// DER.
    pub certificate: Option<&'a [u8]>,
    /// Roots, DER each.
    pub ca_pubs: Vec<&'a [u8]>,
}

impl<'a> CertReply<'a> {
    pub fn read(body: Tlv<'a>) -> Result<Self, Malformed> {
        let mut fields = body.fields();
        let mut ca_pubs = Vec::new();
        if let Some(found) = fields.optional(write::context_constructed(1), "caPubs")? {
            let all = found.inner_tagged(write::SEQUENCE)?.fields().all(MAX_CA_PUBS)?;
            ca_pubs = all.iter().map(|c| c.whole).collect();
        }
        let responses = fields.take(write::SEQUENCE, "response")?;
        fields.finish()?;
        let mut fields = responses.inner_tagged(write::SEQUENCE)?.fields();
        let request_id = fields.take(write::INTEGER, "response.certReqId")?.integer()?;
        let status = StatusInfo::read(fields.take(write::SEQUENCE, "response.status")?)?;
        let certificate = match fields.optional(write::SEQUENCE, "response.certifiedKeyPair")? {
            // Keys made by the server and encrypted certificates are never asked for: [0] certificate is all we read.
            Some(pair) => Some(
                pair.fields()
                    .take(write::context_constructed(0), "response.certificate")?
                    .inner_tagged(write::SEQUENCE)?
                    .whole,
            ),
            None => None,
        };
        fields.optional(write::OCTET_STRING, "response.rspInfo")?;
        fields.finish()?;
        Ok(Self { request_id, status, certificate, ca_pubs })
    }

    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        write::tlv(&mut out, write::SEQUENCE, |o| {
            if !self.ca_pubs.is_empty() {
                write::tlv(o, write::context_constructed(1), |o| {
                    write::tlv(o, write::SEQUENCE, |o| {
                        self.ca_pubs.iter().for_each(|c| o.extend_from_slice(c));
                    });
                });
            }
            write::tlv(o, write::SEQUENCE, |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    write_integer(o, self.request_id);
                    self.status.write(o);
                    if let Some(certificate) = self.certificate {
                        write::tlv(o, write::SEQUENCE, |o| {
                            write::bytes(o, write::context_constructed(0), certificate);
                        });
                    }
                });
            });
        });
        out
    }
}
