//! CRMF requests (RFC 4211) as they stand in ir, cr and kur: one request, its key, its proof of possession.
//!
//! What the template asks for besides its key is not granted (names come from the record, the rest from the profile);
//! it is looked at only to say honestly whether the answer differs from the wish.

use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::{self, CsrError, VerifiedCsr};
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::PublicKey;
use lanyard_pki::write;

use super::name::{directory_name, write_directory_name};
use super::oid;
use super::tlv::{Fields, Malformed, Tlv, write_integer};

/// RFC 9483 4.1.1: the one request of a message has this number.
pub(super) const REQUEST_ID: i64 = 0;
/// Controls that exist: six of RFC 4211, four of RFC 9810.
const MAX_CONTROLS: usize = 16;

/// Why a certificate request cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefused {
    /// Not DER of RFC 4211.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// RFC 9483 4.1.1: exactly one.
    #[error("{0} requests in one message: send one message for each certificate")]
    NotOne(usize),
    /// RFC 9483 4.1.1.
    #[error("certReqId is {0}, it must be 0 (RFC 9483 4.1.1)")]
    Number(i64),
    /// Without a key we would have to make it; a device's key is made in the device (R34).
    #[error("the template has no public key: keys are generated in the device, never here")]
    NoKey,
    /// RFC 4211 4: nothing shows that the sender holds the key.
    #[error("proof of possession is missing: sign the request with the new key (RFC 4211 4.1)")]
    NoProof,
    /// A registration authority's word for it.
    #[error("proof of possession `raVerified` is not accepted: the key itself must sign")]
    RaVerified,
    /// Proofs of keys that cannot sign.
    #[error("proof of possession must be a signature: key encipherment and key agreement are not served")]
    OtherProof,
    /// RFC 9483 4.1.1 leaves it out: the key stands in the template.
    #[error(
        "proof of possession with poposkInput is not served: sign the certRequest itself (RFC 9483 4.1.1)"
    )]
    ProofInput,
    /// The signature or the key.
    #[error("{0}")]
    Possession(#[from] CsrError),
}

/// A certificate by its issuer and number (RFC 4211 6.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId {
    /// DER of the issuer's Name.
    pub issuer: Vec<u8>,
    /// Its serial.
    pub serial: Serial,
}

impl CertificateId {
    /// That of a certificate.
    pub fn of(certificate: &Certificate) -> Self {
        Self { issuer: certificate.issuer_der().to_vec(), serial: certificate.serial() }
    }

    pub(super) fn names(&self, certificate: &Certificate) -> bool {
        self.serial == certificate.serial() && super::name::same(&self.issuer, certificate.issuer_der())
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, Malformed> {
        let bad = Malformed("oldCertId");
        let mut fields = tlv.fields();
        let issuer = directory_name(&mut fields, "oldCertId")?.ok_or(bad)?.to_vec();
        let serial = Serial::from_der_content(fields.take(write::INTEGER, "oldCertId")?.content);
        fields.finish()?;
        Ok(Self { issuer, serial: serial.map_err(|_| bad)? })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write::tlv(out, write::SEQUENCE, |o| {
            write_directory_name(o, &self.issuer);
            write::bytes(o, write::INTEGER, &self.serial.der_content());
        });
    }
}

/// What a template asks for besides its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// DER of the subject, if it asks for one.
    pub subject: Option<Vec<u8>>,
    /// Validity or extensions.
    pub more: bool,
}

/// One request whose sender holds the key.
#[derive(Debug, Clone)]
pub(super) struct CertRequest {
    pub csr: VerifiedCsr,
    pub old: Option<CertificateId>,
    pub wish: Wish,
}

/// Reads CertReqMessages and checks the proof of possession.
pub(super) fn read(body: Tlv<'_>) -> Result<CertRequest, RequestRefused> {
    // Two would be one too many already; eight are counted so that the answer can say how many.
    let all = body.fields().all(8)?;
    let [message] = all.as_slice() else { return Err(RequestRefused::NotOne(all.len())) };
    let mut fields = message.fields();
    let request = fields.take(write::SEQUENCE, "certReq")?;
    let proof = if fields.is_empty() { None } else { Some(fields.any()?) };
    // regInfo is passed over: it repeats what the template says (RFC 4211 7).
    fields.optional(write::SEQUENCE, "regInfo")?;
    fields.finish()?;

    let mut fields = request.fields();
    let number = fields.take(write::INTEGER, "certReqId")?.integer()?;
    if number != REQUEST_ID {
        return Err(RequestRefused::Number(number));
    }
    let (spki, wish) = read_template(fields.take(write::SEQUENCE, "certTemplate")?)?;
    let old = read_controls(&mut fields)?;
    fields.finish()?;
    let csr = read_proof(proof, &spki, request)?;
    Ok(CertRequest { csr, old, wish })
}

fn read_template(template: Tlv<'_>) -> Result<(Vec<u8>, Wish), RequestRefused> {
    let mut fields = template.fields();
    let mut wish = Wish::default();
    // version, serialNumber, signingAlg: the CA's to choose (RFC 4211 5).
    fields.optional(write::context(0), "certTemplate.version")?;
    fields.optional(write::context(1), "certTemplate.serialNumber")?;
    fields.optional(write::context_constructed(2), "certTemplate.signingAlg")?;
    fields.optional(write::context_constructed(3), "certTemplate.issuer")?;
    wish.more |= fields.optional(write::context_constructed(4), "certTemplate.validity")?.is_some();
    if let Some(subject) = fields.optional(write::context_constructed(5), "certTemplate.subject")? {
        let name = subject.inner_tagged(write::SEQUENCE)?;
        wish.subject = Some(name.whole.to_vec()).filter(|_| !name.content.is_empty());
    }
    let key = fields.optional(write::context_constructed(6), "certTemplate.publicKey")?;
    fields.optional(write::context(7), "certTemplate.issuerUID")?;
    fields.optional(write::context(8), "certTemplate.subjectUID")?;
    wish.more |= fields.optional(write::context_constructed(9), "certTemplate.extensions")?.is_some();
    fields.finish()?;
    let key = key.filter(|key| !key.content.is_empty()).ok_or(RequestRefused::NoKey)?;
    // [6] is implicit: under its own tag it is a SubjectPublicKeyInfo.
    let mut spki = Vec::with_capacity(key.whole.len());
    write::bytes(&mut spki, write::SEQUENCE, key.content);
    Ok((spki, wish))
}

fn read_controls(fields: &mut Fields<'_>) -> Result<Option<CertificateId>, Malformed> {
    let Some(controls) = fields.optional(write::SEQUENCE, "controls")? else { return Ok(None) };
    let mut old = None;
    for control in controls.fields().all(MAX_CONTROLS)? {
        if let (oid::OLD_CERT_ID, Some(value)) = control.algorithm()? {
            old = Some(CertificateId::read(value)?);
        }
    }
    Ok(old)
}

fn read_proof(proof: Option<Tlv<'_>>, spki: &[u8], request: Tlv<'_>) -> Result<VerifiedCsr, RequestRefused> {
    const RA_VERIFIED: u8 = write::context(0);
    const SIGNATURE: u8 = write::context_constructed(1);
    let proof = match proof {
        None => return Err(RequestRefused::NoProof),
        // regInfo with no proof before it.
        Some(tlv) if tlv.tag == write::SEQUENCE => return Err(RequestRefused::NoProof),
        Some(tlv) if tlv.tag == RA_VERIFIED => return Err(RequestRefused::RaVerified),
        Some(tlv) if tlv.tag == SIGNATURE => tlv,
        Some(_) => return Err(RequestRefused::OtherProof),
    };
    let mut fields = proof.fields();
    if fields.optional(write::context_constructed(0), "poposkInput")?.is_some() {
        return Err(RequestRefused::ProofInput);
    }
    let algorithm = fields.take(write::SEQUENCE, "popo.algorithmIdentifier")?.plain_algorithm()?;
    let signature = fields.take(write::BIT_STRING, "popo.signature")?.bits()?;
    fields.finish()?;
    Ok(csr::possession(spki, request.whole, &algorithm, signature)?)
}

/// What a PKCS#10 request asks for besides its key. It was verified before.
pub(super) fn wish_of_pkcs10(request: Tlv<'_>) -> Result<Wish, Malformed> {
    let mut fields = request.fields().take(write::SEQUENCE, "certificationRequestInfo")?.fields();
    fields.take(write::INTEGER, "certificationRequestInfo.version")?;
    let subject = fields.take(write::SEQUENCE, "certificationRequestInfo.subject")?;
    fields.take(write::SEQUENCE, "certificationRequestInfo.subjectPKInfo")?;
    let attributes = fields.optional(write::context_constructed(0), "certificationRequestInfo.attributes")?;
    Ok(Wish {
        subject: Some(subject.whole.to_vec()).filter(|_| !subject.content.is_empty()),
        more: attributes.is_some_and(|a| !a.content.is_empty()),
    })
}

/// Writes the CertRequest that the new key is to sign.
pub(super) fn write_request(key: &PublicKey, subject: &[u8], old: Option<&CertificateId>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write_integer(o, REQUEST_ID);
        write::tlv(o, write::SEQUENCE, |o| {
            write::bytes(o, write::context_constructed(5), subject);
            let content = Fields::of(key.der(), "publicKey").any().map(|tlv| tlv.content).unwrap_or_default();
            write::bytes(o, write::context_constructed(6), content);
        });
        if let Some(old) = old {
            write::tlv(o, write::SEQUENCE, |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::oid(o, &oid::OLD_CERT_ID);
                    old.write(o);
                });
            });
        }
    });
    out
}

/// Writes CertReqMessages of a CertRequest and its signature.
pub(super) fn write(key: &PublicKey, request: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(request.len() + signature.len() + 64);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            o.extend_from_slice(request);
            write::tlv(o, write::context_constructed(1), |o| {
                csr::signature_algorithm(o, key.kind());
                write::bit_string(o, signature);
            });
        });
    });
    out
}
