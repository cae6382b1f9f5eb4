//! What a device's agent says and hears: enrollment, attestation, renewal, token.

use lanyard_domain::id::DeviceId;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Reason, Verdict};
use serde::{Deserialize, Serialize};

/// Largest request body of a device: a 4 MiB event log, base64, and the rest.
pub const MAX_BODY: usize = 6 << 20;

/// `GET /v1/checkpoint`: what fresh evidence must be bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointReply {
    /// Log origin.
    pub origin: String,
    /// Tree size.
    pub size: u64,
    /// Root hash.
    pub root: Digest,
    /// The signed note.
    pub note: String,
}

/// `POST /v1/enroll/begin`: which device this claims to be, and the keys of its TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollBegin {
    /// Maker, as on the label.
    pub vendor: String,
    /// Model, as on the label.
    pub model: String,
    /// Serial number, as on the label.
    pub serial: String,
    /// EK certificate and its intermediates, DER, leaf first.
    pub ek_certificates: Vec<Blob>,
    /// TPMT_PUBLIC of the EK.
    pub ek_public: Blob,
    /// TPMT_PUBLIC of the AK.
    pub ak_public: Blob,
}

/// Answer: a credential only that TPM can open, and what fresh evidence must name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollChallenge {
    /// The registered device's id.
    pub device: DeviceId,
    /// TPM2B_ID_OBJECT's content (integrity and encrypted credential).
    pub credential_blob: Blob,
    /// TPM2B_ENCRYPTED_SECRET's content.
    pub encrypted_secret: Blob,
    /// After this the secret is no longer accepted.
    pub expires: Timestamp,
    /// What the quote and the certification must be bound to.
    pub checkpoint: CheckpointReply,
    /// PCRs to quote.
    pub pcrs: Vec<u8>,
}

/// `POST /v1/enroll/finish`, on the same TLS connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollFinish {
    /// As begun; nothing is kept between the two requests but what these say.
    pub begin: EnrollBegin,
    /// From the challenge.
    pub expires: Timestamp,
    /// The secret out of the credential.
    pub secret: Blob,
    /// Proofs.
    pub proof: IssuanceProof,
}

/// What every issuance rests on, first or renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuanceProof {
    /// Size of the checkpoint that the nonces name.
    pub checkpoint_size: u64,
    /// TPMT_PUBLIC of the TLS key.
    pub tls_public: Blob,
    /// TPMS_ATTEST (CERTIFY) by the AK over the TLS key.
    pub certify: Blob,
    /// TPMT_SIGNATURE of it.
    pub certify_signature: Blob,
    /// PKCS#10 request, DER, by the TLS key.
    pub csr: Blob,
    /// Evidence, as `lanyard_attest::evidence` encodes it.
    pub evidence: Blob,
}

/// Answer to enrollment and renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The device.
    pub device: DeviceId,
    /// Certificate chain, PEM, leaf first, without the root.
    pub chain_pem: String,
    /// When to renew: two thirds of the lifetime, jitter added by the device.
    pub renew_at: Timestamp,
    /// End of the certificate.
    pub not_after: Timestamp,
    /// What the evidence led to.
    pub standing: Standing,
}

/// `POST /v1/attest`, mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestRequest {
    /// Size of the checkpoint that the nonce names.
    pub checkpoint_size: u64,
    /// Evidence, as `lanyard_attest::evidence` encodes it.
    pub evidence: Blob,
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Verdict.
    pub verdict: Verdict,
    /// Why, in words.
    pub reasons: Vec<Reason>,
    /// What would restore it, in words.
    pub restore: Vec<String>,
    /// When to attest again; the device adds jitter.
    pub next_in_seconds: u32,
    /// Lifecycle stage.
    pub stage: String,
    /// Position of the device's last event.
    pub pos: u64,
    /// `durable`, `sealed` or `witnessed`.
    pub level: String,
    /// When to renew, if earlier than was said with the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<Timestamp>,
}

/// `POST /v1/renew`, mutual TLS: renewal always re-attests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// Proofs.
    pub proof: IssuanceProof,
}

/// Answer of the token endpoint (RFC 6749 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReply {
    /// The token.
    pub access_token: String,
    /// Always `Bearer`; bound to the certificate by RFC 8705.
    pub token_type: String,
    /// Lifetime in seconds.
    pub expires_in: u32,
    /// Granted scopes, space separated.
    pub scope: String,
}

/// Refusal of the token endpoint (RFC 6749 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenError {
    /// RFC 6749 error code.
    pub error: String,
    /// Sentence.
    pub error_description: String,
}

/// Audience of access tokens: the FHIR path of any gateway of this installation.
pub const TOKEN_AUDIENCE: &str = "urn:lanyard:fhir";

/// Claims of an access token (RFC 9068 names, RFC 8705 `cnf`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaims {
    /// Issuer.
    pub iss: String,
    /// The device's URN.
    pub sub: String,
    /// The device.
    pub device: DeviceId,
    /// Who should accept it.
    pub aud: String,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
    /// Unique id.
    pub jti: String,
    /// Space separated scopes.
    pub scope: String,
    /// Confirmation.
    pub cnf: Confirmation,
}

/// RFC 8705 3.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// base64url(SHA-256(DER of the client certificate)).
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: String,
}
