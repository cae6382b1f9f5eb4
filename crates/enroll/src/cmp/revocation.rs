//! rr and rp (RFC 9810 5.3.9, 5.3.10): which certificate is to be revoked, why, and whether it was.

use lanyard_pki::revocation::Reason;
use lanyard_pki::serial::Serial;
use lanyard_pki::write;

use super::crmf::CertificateId;
use super::oid;
use super::status::StatusInfo;
use super::tlv::{Malformed, Tlv, only};

/// Why a revocation request cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationRefused {
    /// Not DER of RFC 9810.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// RFC 9483 4.2: exactly one.
    #[error("{0} certificates in one revocation request: send one message for each")]
    NotOne(usize),
    /// RFC 9483 4.2: both are needed.
    #[error("certDetails must name the certificate by issuer and serialNumber (RFC 9483 4.2)")]
    NotNamed,
    /// A number that is none, or removeFromCRL.
    #[error(
        "CRL reason {0} is not accepted: 0 to 6, 9 or 10 (RFC 5280 5.3.1); a revocation is never taken back"
    )]
    Reason(i64),
}

/// Extensions of a CRL entry that exist: four.
const MAX_ENTRY_EXTENSIONS: usize = 8;

/// Which certificate, and why.
pub(super) fn read(body: Tlv<'_>) -> Result<(CertificateId, Reason), RevocationRefused> {
    let all = body.fields().all(8)?;
    let [details] = all.as_slice() else { return Err(RevocationRefused::NotOne(all.len())) };
    let mut fields = details.fields();
    let certificate = read_template(fields.take(write::SEQUENCE, "certDetails")?)?;
    let mut reason = 0;
    if let Some(extensions) = fields.optional(write::SEQUENCE, "crlEntryDetails")? {
        for extension in extensions.fields().all(MAX_ENTRY_EXTENSIONS)? {
            let mut fields = extension.fields();
            let id = fields.take(write::OBJECT_IDENTIFIER, "crlEntryDetails")?.oid()?;
            fields.optional(write::BOOLEAN, "crlEntryDetails")?;
            let value = fields.take(write::OCTET_STRING, "crlEntryDetails")?;
            fields.finish()?;
            if id == oid::CRL_REASON {
                reason = only(value.content, ENUMERATED, "reasonCode")?.integer()?;
            }
        }
    }
    fields.finish()?;
    // Nothing is taken back.
    let known = u8::try_from(reason).ok().and_then(Reason::from_code);
    let reason = known.filter(|r| *r != Reason::RemoveFromCrl).ok_or(RevocationRefused::Reason(reason))?;
    Ok((certificate, reason))
}

const ENUMERATED: u8 = 0x0a;

fn read_template(template: Tlv<'_>) -> Result<CertificateId, RevocationRefused> {
    let mut fields = template.fields();
    fields.optional(write::context(0), "certDetails.version")?;
    let serial = fields.optional(write::context(1), "certDetails.serialNumber")?;
    fields.optional(write::context_constructed(2), "certDetails.signingAlg")?;
    let issuer = fields.optional(write::context_constructed(3), "certDetails.issuer")?;
    // What else is said of it (subject, key) names nothing that issuer and serial do not.
    let (Some(serial), Some(issuer)) = (serial, issuer) else { return Err(RevocationRefused::NotNamed) };
    let serial = Serial::from_der_content(serial.content).map_err(|_| RevocationRefused::NotNamed)?;
    Ok(CertificateId { issuer: issuer.inner_tagged(write::SEQUENCE)?.whole.to_vec(), serial })
}

pub(super) fn write(certificate: &CertificateId, reason: Reason) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::context(1), &certificate.serial.der_content());
                write::bytes(o, write::context_constructed(3), &certificate.issuer);
            });
            write::tlv(o, write::SEQUENCE, |o| {
                write::extension(o, &oid::CRL_REASON, write::Critical::No, |o| {
                    write::bytes(o, ENUMERATED, &[reason.code()]);
                });
            });
        });
    });
    out
}

/// The status of the one certificate in an rp.
pub(super) fn read_reply(body: Tlv<'_>) -> Result<StatusInfo, Malformed> {
    let mut fields = body.fields();
    let status = fields.take(write::SEQUENCE, "rp.status")?.inner_tagged(write::SEQUENCE)?;
    fields.optional(write::context_constructed(0), "rp.revCerts")?;
    fields.optional(write::context_constructed(1), "rp.crls")?;
    fields.finish()?;
    StatusInfo::read(status)
}

/// Writes an rp that names the certificate again.
pub(super) fn write_reply(status: &StatusInfo, certificate: &CertificateId) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::tlv(o, write::SEQUENCE, |o| status.write(o));
        write::tlv(o, write::context_constructed(0), |o| {
            write::tlv(o, write::SEQUENCE, |o| certificate.write(o));
        });
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmp::name::common_name;

    fn id() -> CertificateId {
        CertificateId { issuer: common_name("ca"), serial: "4f00".parse().unwrap() }
    }

    fn read_back(der: &[u8]) -> Result<(CertificateId, Reason), RevocationRefused> {
        read(only(der, write::SEQUENCE, "rr").unwrap())
    }

    #[test]
    fn a_revocation_reads_back_for_every_reason() {
        for reason in Reason::ALL.into_iter().filter(|r| *r != Reason::RemoveFromCrl) {
            assert_eq!(read_back(&write(&id(), reason)), Ok((id(), reason)));
        }
    }

    // R49: a revocation is never taken back.
    #[test]
    fn remove_from_crl_and_what_is_no_reason_are_refused() {
        for bad in [7, 8, 11] {
            let mut der = write(&id(), Reason::KeyCompromise);
            *der.last_mut().unwrap() = bad;
            assert_eq!(read_back(&der), Err(RevocationRefused::Reason(i64::from(bad))));
        }
    }

    #[test]
    fn a_certificate_that_is_not_named_by_issuer_and_serial_is_not_revoked() {
        for template in [vec![], vec![0x81, 1, 5], vec![0xa3, 2, 0x30, 0], vec![0x81, 1, 0, 0xa3, 2, 0x30, 0]]
        {
            let mut der = Vec::new();
            write::tlv(&mut der, write::SEQUENCE, |o| {
                write::tlv(o, write::SEQUENCE, |o| write::bytes(o, write::SEQUENCE, &template));
            });
            assert_eq!(read_back(&der), Err(RevocationRefused::NotNamed), "{template:?}");
        }
        let one = write(&id(), Reason::Superseded);
        let content = only(&one, write::SEQUENCE, "rr").unwrap().content;
        let mut two = Vec::new();
        write::bytes(&mut two, write::SEQUENCE, &[content, content].concat());
        assert_eq!(read_back(&two), Err(RevocationRefused::NotOne(2)));
        assert_eq!(read_back(&[0x30, 0]), Err(RevocationRefused::NotOne(0)));
    }
}
