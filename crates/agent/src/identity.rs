//! The device's identity as TLS shows it: certificate chain and key slot, the newest offered to each new connection
//! while open connections go on with theirs (I7).
//!
//! Two slots take turns: a renewal makes its key in the other slot, and the old key is forgotten only after a call with
//! the new certificate has succeeded. Until then the old one is kept as a way back.
//! Keys stay in the root of trust; `identity.json` holds certificates only (see [`crate::state`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::protocol::Protocol;
use crate::state;
use crate::tpm::{KeySlot, RootOfTrust};

/// An identity as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The device.
    pub device: DeviceId,
    /// Where its TLS key is.
    pub slot: Slot,
    /// Certificate chain, PEM, leaf first.
    pub chain_pem: String,
    /// Renew from here on.
    pub renew_at: Timestamp,
    /// End of the certificate.
    pub not_after: Timestamp,
    /// PCRs to quote.
    pub pcrs: Vec<u8>,
    /// How the certificate was got, and is renewed.
    #[serde(default, skip_serializing_if = "Protocol::is_native")]
    pub protocol: Protocol,
}

/// A key slot, as written in `identity.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// [`KeySlot::A`].
    A,
    /// [`KeySlot::B`].
    B,
}

impl From<Slot> for KeySlot {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::A => KeySlot::A,
            Slot::B => KeySlot::B,
        }
    }
}

impl From<KeySlot> for Slot {
    fn from(slot: KeySlot) -> Self {
        match slot {
            KeySlot::A => Slot::A,
            KeySlot::B => Slot::B,
        }
    }
}

/// The content of `identity.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    current: Identity,
    /// Until the current one has proven itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Identity>,
}

struct Held {
    kept: Kept,
    certified: Arc<CertifiedKey>,
    /// Counts installations, so that a kept connection can tell that it is of an older certificate.
    generation: u64,
}

/// All that a device has of identities: the current one and, for a while, the one before.
pub struct Identities {
    root: Arc<dyn RootOfTrust>,
    file: Option<PathBuf>,
    held: RwLock<Option<Held>>,
}

impl Identities {
    /// What is kept in `state_dir`, after checking that certificate and key belong together. Blocks.
    pub fn open(root: Arc<dyn RootOfTrust>, state_dir: Option<&Path>) -> Result<Self, AgentError> {
        let file = state_dir.map(|d| d.join("identity.json"));
        let kept: Option<Kept> = match &file {
            Some(path) => state::read(path)?,
            None => None,
        };
        let held = match kept {
            None => None,
            Some(kept) => {
                let certified = certified(&root, &kept.current)?;
                Some(Held { kept, certified, generation: 1 })
            }
        };
        Ok(Self { root, file, held: RwLock::new(held) })
    }

    /// The current identity.
    pub fn current(&self) -> Option<Identity> {
        self.with(|held| held.kept.current.clone())
    }

    /// Grows with each new certificate; 0 without identity.
    pub fn generation(&self) -> u64 {
        self.with(|held| held.generation).unwrap_or(0)
    }

    /// The current leaf certificate, DER.
    pub fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.with(|held| held.certified.cert.first().cloned()).flatten()
    }

    /// Where the next key is to be made: never where the current one is.
    pub fn next_slot(&self) -> KeySlot {
        self.with(|held| KeySlot::from(held.kept.current.slot).other()).unwrap_or(KeySlot::A)
    }

    /// Whether there is one to go back to, whose key the next one would replace.
    pub fn has_way_back(&self) -> bool {
        self.with(|held| held.kept.previous.is_some()).unwrap_or(false)
    }

    /// Takes a new certificate: on disk first, then for new connections. Blocks.
    pub fn install(&self, current: Identity) -> Result<(), AgentError> {
        let certified = certified(&self.root, &current)?;
        self.replace(Kept { previous: self.current().filter(|p| p.slot != current.slot), current }, certified)
    }

    /// The current certificate works: the one before is no longer needed, its key is forgotten. Blocks.
    pub fn confirm(&self) -> Result<(), AgentError> {
        let Some(mut kept) = self.with(|held| held.kept.clone()) else { return Ok(()) };
        let Some(previous) = kept.previous.take() else { return Ok(()) };
        self.save(&kept)?;
        self.change(|held| held.kept.previous = None);
        Ok(self.root.forget_tls_key(previous.slot.into())?)
    }

    /// The current certificate was not accepted: back to the one before, if it still lives. Blocks.
    pub fn fall_back(&self, now: Timestamp) -> Result<bool, AgentError> {
        let Some(kept) = self.with(|held| held.kept.clone()) else { return Ok(false) };
        let Some(mut previous) = kept.previous.filter(|p| p.not_after > now) else { return Ok(false) };
        let certified = certified(&self.root, &previous)?;
        previous.renew_at = now;
        self.replace(Kept { current: previous, previous: None }, certified)?;
        Ok(true)
    }

    fn replace(&self, kept: Kept, certified: Arc<CertifiedKey>) -> Result<(), AgentError> {
        self.save(&kept)?;
        let generation = self.generation() + 1;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Held { kept, certified, generation });
        Ok(())
    }

    fn save(&self, kept: &Kept) -> Result<(), AgentError> {
        self.file.as_ref().map_or(Ok(()), |path| state::write(path, kept))
    }

    fn with<R>(&self, read: impl FnOnce(&Held) -> R) -> Option<R> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(read)
    }

    fn change(&self, write: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            write(held);
        }
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Identities {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // The newest at each handshake; servers' hints are not asked, because there is only one identity.
        self.with(|held| held.certified.clone())
            .filter(|_| schemes.contains(&SignatureScheme::ECDSA_NISTP256_SHA256))
    }

    fn has_certs(&self) -> bool {
        self.generation() > 0
    }
}

/// Chain and key as rustls wants them, if they belong together.
fn certified(root: &Arc<dyn RootOfTrust>, identity: &Identity) -> Result<Arc<CertifiedKey>, AgentError> {
    let unfit = |why: String| AgentError::Answer(format!("certificate of `{}`: {why}", identity.device));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes()).collect();
    let chain = chain.map_err(|e| unfit(e.to_string()))?;
    let slot = identity.slot.into();
    let public = Public::parse(&root.load_tls_key(slot)?).map_err(|e| unfit(e.to_string()))?;
    let key = TpmSigningKey { root: root.clone(), slot, spki: spki_der(&public) };
    let certified = CertifiedKey::new(chain, Arc::new(key));
    certified.keys_match().map_err(|e| unfit(e.to_string()))?;
    Ok(Arc::new(certified))
}

/// A TLS key in the root of trust. A handshake blocks its thread for as long as the signature takes (a hardware TPM:
/// some 100 ms), because rustls signs in place.
struct TpmSigningKey {
    root: Arc<dyn RootOfTrust>,
    slot: KeySlot,
    spki: Vec<u8>,
}

impl SigningKey for TpmSigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(TpmSigner { root: self.root.clone(), slot: self.slot }) as Box<dyn Signer>)
    }
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.spki.as_slice()))
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl fmt::Debug for TpmSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TpmSigningKey({})", self.slot)
    }
}

struct TpmSigner {
    root: Arc<dyn RootOfTrust>,
    slot: KeySlot,
}

impl Signer for TpmSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.root.sign_tls(self.slot, message).map_err(|e| rustls::Error::General(e.to_string()))
    }
    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl fmt::Debug for TpmSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TpmSigner({})", self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::native;
    use crate::testkit::{issue, soft_tpm};
    use crate::tpm::TpmError;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn issued(root: &dyn RootOfTrust, slot: KeySlot) -> Identity {
        root.create_tls_key(slot).unwrap();
        native(&issue(root, slot), slot.into(), vec![0])
    }

    // I7, I10
    #[test]
    fn slots_take_turns_and_the_old_key_goes_only_after_the_new_one_worked() {
        let dir = tempfile::tempdir().unwrap();
        let root: Arc<dyn RootOfTrust> = Arc::new(soft_tpm());
        let open = || Identities::open(root.clone(), Some(dir.path())).unwrap();
        let identities = open();
        assert_eq!((identities.generation(), identities.next_slot()), (0, KeySlot::A));
        identities.install(issued(&*root, KeySlot::A)).unwrap();
        identities.confirm().unwrap();
        assert_eq!(identities.next_slot(), KeySlot::B);
        identities.install(issued(&*root, KeySlot::B)).unwrap();
        assert_eq!((identities.generation(), identities.next_slot()), (2, KeySlot::A));
        assert!(root.load_tls_key(KeySlot::A).is_ok(), "kept until the new one worked");

        let restarted = open();
        assert_eq!(restarted.current(), identities.current());
        restarted.confirm().unwrap();
        assert!(matches!(root.load_tls_key(KeySlot::A), Err(TpmError::NotFound(_))));
        assert!(root.load_tls_key(KeySlot::B).is_ok());
        assert!(!open().fall_back(NOW).unwrap());
    }

    #[test]
    fn a_certificate_that_does_not_work_gives_way_to_the_one_before() {
        let root: Arc<dyn RootOfTrust> = Arc::new(soft_tpm());
        let identities = Identities::open(root.clone(), None).unwrap();
        for slot in KeySlot::ALL {
            identities.install(issued(&*root, slot)).unwrap();
        }
        let before = identities.leaf();
        assert!(identities.fall_back(NOW).unwrap());
        assert_ne!(identities.leaf(), before);
        let current = identities.current().unwrap();
        assert_eq!((current.slot, current.renew_at), (Slot::A, NOW));
        assert!(!identities.fall_back(NOW).unwrap());
    }

    // What an agent of before wrote is read, and one of ours that changed nothing writes the same.
    #[test]
    fn an_identity_without_a_protocol_is_of_our_own() {
        let root = soft_tpm();
        let identity = issued(&root, KeySlot::A);
        let text = serde_json::to_string(&identity).unwrap();
        assert!(!text.contains("protocol"), "{text}");
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), identity);
        let by_est = Identity { protocol: Protocol::Est, ..identity };
        let text = serde_json::to_string(&by_est).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), by_est);
    }

    // I2: a copied state directory is worthless on another TPM.
    #[test]
    fn a_copied_identity_is_refused_by_another_tpm_and_a_swapped_certificate_by_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let root: Arc<dyn RootOfTrust> = Arc::new(soft_tpm());
        let identities = Identities::open(root.clone(), Some(dir.path())).unwrap();
        identities.install(issued(&*root, KeySlot::A)).unwrap();
        let other: Arc<dyn RootOfTrust> = Arc::new(soft_tpm());
        assert!(matches!(Identities::open(other.clone(), Some(dir.path())), Err(AgentError::Root(_))));
        other.create_tls_key(KeySlot::A).unwrap();
        assert!(matches!(Identities::open(other, Some(dir.path())), Err(AgentError::Answer(_))));

        let before = identities.current();
        let foreign = issued(&soft_tpm(), KeySlot::B);
        root.create_tls_key(KeySlot::B).unwrap();
        assert!(matches!(identities.install(foreign), Err(AgentError::Answer(_))));
        assert_eq!(identities.current(), before);
    }

    #[test]
    fn only_servers_that_take_the_keys_kind_get_a_certificate() {
        let root: Arc<dyn RootOfTrust> = Arc::new(soft_tpm());
        let identities = Identities::open(root.clone(), None).unwrap();
        assert!(!identities.has_certs());
        identities.install(issued(&*root, KeySlot::A)).unwrap();
        assert!(identities.has_certs());
        assert!(identities.resolve(&[], &[SignatureScheme::ECDSA_NISTP256_SHA256]).is_some());
        assert!(identities.resolve(&[], &[SignatureScheme::ED25519]).is_none());
    }
}
