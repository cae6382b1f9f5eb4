//! A request: a new key, proof that its holder asks, and either evidence that answers a challenge or a one-time secret.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use lanyard_attest::evidence::MAX_EVIDENCE;
use lanyard_attest::wire::{Malformed, Reader, put_long, put_tpm2b};
use lanyard_domain::id::SecretId;
use lanyard_domain::text::Digest;
use lanyard_pki::csr::{self, MAX_CSR_BYTES, VerifiedCsr};

use super::read::{open, put_head};
use super::signed::{Signed, Unsigned, to_be_signed};
use super::{FileError, Keys, Kind, MAX_KEYS, Ticket, TicketFor};
use crate::secret::{Secret, SecretProven};

const CHALLENGE: u8 = 1;
const SECRET: u8 = 2;
/// TPMT_PUBLIC, TPMS_ATTEST and TPMT_SIGNATURE of the key are below 600 bytes each.
const MAX_STRUCTURE: usize = 1024;
/// What a credential holds: a digest's length.
const MAX_OPENED: usize = 64;
const MAC: usize = 32;

/// The content of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFile {
    /// PKCS#10 by the new key.
    pub csr: Vec<u8>,
    /// What it proves itself by.
    pub proof: Proof,
}

/// What a request proves itself by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It answers a challenge.
    Challenge(Box<Attested>),
    /// It was made with a one-time secret.
    Secret {
        /// Which.
        id: SecretId,
        /// HMAC-SHA-256 with the secret's text, over [`super::CONTEXT`] and the content before it.
        mac: [u8; MAC],
    },
}

/// What answers a challenge: as our own protocol has it over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// Out of the challenge.
    pub ticket: Ticket,
    /// The keys that the challenge was made for, and what their TPM opened; none for a renewal.
    pub enroll: Option<(Keys, Vec<u8>)>,
    /// TPMT_PUBLIC of the TLS key.
    pub tls_public: Vec<u8>,
    /// TPMS_ATTEST by the AK over it.
    pub certify: Vec<u8>,
    /// TPMT_SIGNATURE of that.
    pub certify_signature: Vec<u8>,
    /// Evidence.
    pub evidence: Vec<u8>,
}

impl RequestFile {
    /// A request with a secret, to be signed by its own key.
    pub fn with_secret(csr: &[u8], id: SecretId, secret: &str) -> Unsigned {
        let mut out = with_head(csr, SECRET);
        out.extend_from_slice(id.as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mac = hmac::sign(&key, &to_be_signed(&out));
        out.extend_from_slice(mac.as_ref());
        Unsigned::by_itself(out)
    }

    /// A request that answers a challenge, to be signed by its own key.
    pub fn with_challenge(csr: &[u8], attested: &Attested) -> Unsigned {
        let mut out = with_head(csr, CHALLENGE);
        attested.ticket.put(&mut out);
        if let Some((keys, opened)) = &attested.enroll {
            put_long(&mut out, &keys.encode());
            put_tpm2b(&mut out, opened);
        }
        for part in [&attested.tls_public, &attested.certify, &attested.certify_signature] {
            put_tpm2b(&mut out, part);
        }
        put_long(&mut out, &attested.evidence);
        Unsigned::by_itself(out)
    }

    /// Reads a file without checking signatures.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Signed<'_>), FileError> {
        let mut r = open(bytes, Kind::Request)?;
        let csr = r.tpm2b("request", MAX_CSR_BYTES)?.to_vec();
        let proof = match r.u8("proof")? {
            CHALLENGE => Proof::Challenge(Box::new(attested(&mut r)?)),
            SECRET => {
                Proof::Secret { id: SecretId::from_random(r.array("secret id")?), mac: r.array("MAC")? }
            }
            other => return Err(Malformed::Unsupported { field: "proof", found: other.into() }.into()),
        };
        let signed = Signed::read_signature(bytes, &mut r)?;
        Ok((Self { csr, proof }, signed))
    }

    /// Reads a file and checks that the key that it asks for signed all of it.
    pub fn verify(bytes: &[u8]) -> Result<VerifiedRequest, FileError> {
        let (file, signed) = Self::parse(bytes)?;
        let csr = csr::verify(&file.csr)?;
        signed.verify(csr.key())?;
        let content = signed.content().to_vec();
        Ok(VerifiedRequest { file, csr, content })
    }
}

/// A request whose signatures hold. Made only by [`RequestFile::verify`].
#[derive(Debug, Clone)]
pub struct VerifiedRequest {
    file: RequestFile,
    csr: VerifiedCsr,
    content: Vec<u8>,
}

impl VerifiedRequest {
    /// What it says.
    pub const fn file(&self) -> &RequestFile {
        &self.file
    }

    /// The key.
    pub const fn csr(&self) -> &VerifiedCsr {
        &self.csr
    }

    /// By what it is used once: SHA-256 of what the key signed. The bytes of an ECDSA signature can be changed without the key.
    pub fn sha256(&self) -> Digest {
        request_sha256(&self.content)
    }

    /// Whether it was made with this secret.
    pub fn prove(&self, secret: &Secret) -> Result<SecretProven, FileError> {
        let Proof::Secret { mac, .. } = &self.file.proof else { return Err(FileError::Secret) };
        let before = self.content.get(..self.content.len().saturating_sub(MAC)).unwrap_or_default();
        let signed = to_be_signed(before);
        let proven = secret
            .prove_mac(|key| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed, mac).is_ok());
        proven.ok_or(FileError::Secret)
    }
}

/// By what a request is used once: SHA-256 of the context and the content.
pub fn request_sha256(content: &[u8]) -> Digest {
    let hash = digest(&SHA256, &to_be_signed(content));
    let mut out = Digest::default();
    for (to, from) in out.0.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    out
}

fn with_head(csr: &[u8], proof: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(8192);
    put_head(&mut out, Kind::Request);
    put_tpm2b(&mut out, csr);
    out.push(proof);
    out
}

fn attested(r: &mut Reader<'_>) -> Result<Attested, FileError> {
    let ticket = Ticket::read(r)?;
    let enroll = match ticket.purpose {
        TicketFor::Enroll { .. } => {
            let keys = Keys::parse(r.long("keys", MAX_KEYS)?)?;
            Some((keys, r.tpm2b("opened secret", MAX_OPENED)?.to_vec()))
        }
        TicketFor::Renew => None,
    };
    Ok(Attested {
        ticket,
        enroll,
        tls_public: r.tpm2b("TLS key", MAX_STRUCTURE)?.to_vec(),
        certify: r.tpm2b("certification", MAX_STRUCTURE)?.to_vec(),
        certify_signature: r.tpm2b("certification's signature", MAX_STRUCTURE)?.to_vec(),
        evidence: r.long("evidence", MAX_EVIDENCE)?.to_vec(),
    })
}
