//! The Attester's root of trust: the one place where the keys of a device live and where its measurements are
//! kept.
//!
//! What: the trait [`RootOfTrust`] and its two backends. [`soft`] is a TPM 2.0 in Rust (always built: the
//! demo, the simulated fleets, and devices without a chip); `tss` talks to a real TPM 2.0 through the TSS and
//! is built with the cargo feature `tpm` only. Both emit the same structures, so a verifier cannot tell them
//! apart except by the certificate of the endorsement key.
//!
//! Why a trait: the renew loop, the enrolment client and the posture code must not know which one they use.
//!
//! Out of scope: building requests, talking to a server, deciding when to renew, event logs, and checking
//! signatures (that is `lanyard_attest`). Calls block (a real quote takes up to a second): run them off the
//! async threads.
//!
//! To add a backend: one folder here, an implementation of the trait, and one line in the contract suite
//! (`contract.rs`), which each implementation must pass.

mod container;
#[cfg(test)]
mod contract;
mod der;
pub mod soft;
mod templates;
#[cfg(feature = "tpm")]
pub mod tss;

use std::fmt;
use std::path::PathBuf;

/// PCRs of the SHA-256 bank of a PC client TPM.
pub const PCR_COUNT: u8 = 24;
/// Longest nonce that a TPM takes: TPM2B_DATA holds one TPMT_HA without its algorithm, 64 bytes for SHA-512.
pub const MAX_QUALIFYING_DATA: usize = 64;
/// First and last PCR that locality 0 cannot extend (PC Client Platform TPM Profile, table of PCR
/// attributes).
const DRTM_PCRS: std::ops::RangeInclusive<u8> = 17..=22;

/// A device's root of trust. Every call may block on hardware; none needs `&mut`, so one value serves all
/// tasks.
pub trait RootOfTrust: Send + Sync {
    /// DER certificates of the endorsement key, leaf first; empty where the maker gave none.
    fn ek_certificate_chain(&self) -> Result<Vec<Vec<u8>>, TpmError>;

    /// TPMT_PUBLIC of the endorsement key.
    fn ek_public(&self) -> Result<Vec<u8>, TpmError>;

    /// The attestation key: created under the endorsement key at the first call, the same one ever after.
    fn ensure_ak(&self) -> Result<AkHandle, TpmError>;

    /// Makes a fresh P-256 key for TLS in `slot`, replacing what was there; returns its TPMT_PUBLIC.
    fn create_tls_key(&self, slot: KeySlot) -> Result<Vec<u8>, TpmError>;

    /// TPMT_PUBLIC of the key in `slot`, after checking that this TPM can use it.
    fn load_tls_key(&self, slot: KeySlot) -> Result<Vec<u8>, TpmError>;

    /// TPM2_Certify of the key in `slot` by the attestation key, over `qualifying_data`.
    fn certify_tls_key(&self, slot: KeySlot, qualifying_data: &[u8]) -> Result<Certified, TpmError>;

    /// TPM2_ActivateCredential: the secret inside `blob` (TPMS_ID_OBJECT) and `encrypted_secret`, if both
    /// were made for this endorsement key and this attestation key.
    fn activate_credential(&self, blob: &[u8], encrypted_secret: &[u8]) -> Result<Vec<u8>, TpmError>;

    /// Extends a PCR of the SHA-256 bank.
    fn pcr_extend(&self, pcr: u8, sha256: &[u8; 32]) -> Result<(), TpmError>;

    /// Values of the named PCRs, ascending, each once.
    fn pcr_read(&self, pcrs: &[u8]) -> Result<Vec<PcrValue>, TpmError>;

    /// TPM2_Quote by the attestation key over `pcrs`; the returned values are those that were quoted.
    fn quote(&self, qualifying_data: &[u8], pcrs: &[u8]) -> Result<Quote, TpmError>;

    /// ASN.1 DER ECDSA signature over SHA-256(`message`) by the key in `slot`.
    fn sign_tls(&self, slot: KeySlot, message: &[u8]) -> Result<Vec<u8>, TpmError>;

    /// Forgets the key in `slot` for ever; nothing happens when the slot is empty.
    fn forget_tls_key(&self, slot: KeySlot) -> Result<(), TpmError>;
}

/// A PCR's number and its value in the SHA-256 bank.
pub type PcrValue = (u8, [u8; 32]);

/// Where a TLS key lives. Two, so that one serves while the next one is being enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySlot {
    /// The first slot.
    A,
    /// The second slot.
    B,
}

impl KeySlot {
    /// Both slots, in order.
    pub const ALL: [KeySlot; 2] = [KeySlot::A, KeySlot::B];

    /// The slot to enrol in while this one serves.
    pub const fn other(self) -> KeySlot {
        match self {
            KeySlot::A => KeySlot::B,
            KeySlot::B => KeySlot::A,
        }
    }
}

impl fmt::Display for KeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeySlot::A => "tls-a",
            KeySlot::B => "tls-b",
        })
    }
}

/// What a verifier needs to know of the attestation key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AkHandle {
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// TPM name: algorithm identifier and hash of `public`.
    pub name: Vec<u8>,
}

/// A signed statement about a key of the same TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// TPMS_ATTEST of type TPM_ST_ATTEST_CERTIFY.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE by the attestation key over `attest`.
    pub signature: Vec<u8>,
}

/// A signed statement about PCRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// TPMS_ATTEST of type TPM_ST_ATTEST_QUOTE.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE by the attestation key over `attest`.
    pub signature: Vec<u8>,
    /// The values whose digest `attest` holds, ascending.
    pub pcrs: Vec<PcrValue>,
}

/// Why a root of trust did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// No TPM, or it does not answer: try again later.
    #[error("the TPM is unavailable: {0}")]
    Unavailable(String),
    /// Someone else holds it, or it is in dictionary-attack lockout: try again later.
    #[error("the TPM is locked: {0}")]
    Locked(String),
    /// The thing asked for was never made, or was forgotten.
    #[error("`{0}` is not in this TPM; create it first")]
    NotFound(String),
    /// A key blob that another TPM made (or this one before it was cleared): a copied key file ends here.
    #[error("`{0}` was not made by this TPM; enrol this device afresh")]
    KeyNotOfThisTpm(String),
    /// A credential that was made for another endorsement key or another attestation key.
    #[error("the credential was not made for this endorsement key and attestation key; ask for a new one")]
    CredentialMismatch,
    /// Bytes or an argument that break a rule.
    #[error("`{what}` is malformed: {why}")]
    Malformed {
        /// The file, field or argument.
        what: String,
        /// The rule it broke.
        why: String,
    },
    /// The TPM's own rules forbid it.
    #[error("the TPM refused `{command}`: {why}")]
    Refused {
        /// The command.
        command: &'static str,
        /// What the TPM said.
        why: String,
    },
    /// A file could not be read or written.
    #[error("cannot access `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A cryptographic primitive failed on input that it must accept.
    #[error("`{0}` failed inside the cryptographic library")]
    Crypto(&'static str),
}

impl TpmError {
    fn malformed(what: impl Into<String>, why: impl Into<String>) -> Self {
        TpmError::Malformed { what: what.into(), why: why.into() }
    }

    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| TpmError::Io { path, source }
    }
}

// Both backends check arguments here, so that they refuse the same things with the same words.

fn checked_pcrs(pcrs: &[u8]) -> Result<Vec<u8>, TpmError> {
    let mut sorted = pcrs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    match sorted.last() {
        None => Err(TpmError::malformed("pcrs", "at least one PCR must be named")),
        Some(last) if *last >= PCR_COUNT => Err(TpmError::malformed(
            "pcrs",
            format!("PCR {last} does not exist; the last one is {}", PCR_COUNT - 1),
        )),
        Some(_) => Ok(sorted),
    }
}

fn checked_extendable(pcr: u8) -> Result<(), TpmError> {
    checked_pcrs(&[pcr])?;
    if DRTM_PCRS.contains(&pcr) {
        let why = format!("PCR {pcr} is extended by the dynamic launch only, not from locality 0");
        return Err(TpmError::Refused { command: "pcr_extend", why });
    }
    Ok(())
}

fn checked_qualifying_data(data: &[u8]) -> Result<(), TpmError> {
    if data.len() > MAX_QUALIFYING_DATA {
        let why = format!("{} bytes, a TPM takes {MAX_QUALIFYING_DATA} at most", data.len());
        return Err(TpmError::malformed("qualifying_data", why));
    }
    Ok(())
}

/// What TPM2_Quote signs: the digest over the values, in ascending order of the PCRs (part 4,
/// PCRComputeCurrentDigest).
fn pcr_digest(values: &[PcrValue]) -> Vec<u8> {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for (_, value) in values {
        hash.update(value);
    }
    hash.finish().as_ref().to_vec()
}
