//! The issuing authorities as use cases hold them: issuers by purpose and site, profiles, key backend; and the permit that
//! an issuance needs.
//!
//! What is here follows the log: [`Authority::follow`] takes the world's authorities in, at the start and whenever a
//! person's decision has changed them. Requests under way go on with the set that they began with.

use std::sync::{Arc, PoisonError, RwLock};

use lanyard_attest::tpm::certify::CertifiedKey;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::device::Device;
use lanyard_domain::id::{ApplicationId, DeviceId, IssuanceId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Issuer, IssuerError};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::VerifiedCsr;
use lanyard_pki::issue::{Lifetime, Prepared, prepare};
use lanyard_pki::key::{KeyError, KeyLabel};
use lanyard_pki::profile::{Addresses, HardwareNames, Profile, SubjectFacts};
use lanyard_pki::serial::Serial;

use crate::digest::random;
use crate::plane::ControlError;
use crate::profiles::{Installation, Profiles, ProfilesError};
use crate::stores::KeyStores;
use crate::world::{KnownAuthority, World};

/// What issues.
pub struct Authority {
    set: RwLock<Arc<Issuers>>,
    pub(crate) keys: Arc<KeyStores>,
    pub(crate) installation: Installation,
}

/// All authorities that are trusted now.
#[derive(Clone)]
pub struct Issuers {
    /// Events of the system stream that it was made from.
    as_of: u64,
    roots: Vec<Certificate>,
    /// Roots of ours below somebody else's, and what stands above them.
    between: Vec<Certificate>,
    issuing: Vec<IssuingCa>,
    profiles: Arc<Profiles>,
}

/// An issuing authority that is trusted. What it issued stays good whether or not its key is here.
#[derive(Clone)]
pub struct IssuingCa {
    /// Its name in the log.
    pub name: String,
    /// What it is for.
    pub purpose: AuthorityPurpose,
    /// The site that it issues for; all without.
    pub site: Option<String>,
    /// Where it is in its life.
    pub state: AuthorityState,
    /// Nothing that it signed counts any more; it still says so itself (lists, OCSP).
    pub distrusted: bool,
    /// Where its key is.
    pub keys: KeyStore,
    certificate: Certificate,
    /// Somebody else made its certificate.
    imported: bool,
    /// The CAs between it and the root, its issuer first.
    above: Vec<Certificate>,
    signer: Result<Issuer, KeyTrouble>,
    stores: Arc<KeyStores>,
}

impl IssuingCa {
    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CAs between it and the root, its issuer first: none below a root of ours.
    pub fn above(&self) -> &[Certificate] {
        &self.above
    }

    /// Whether it stands right below a root that we made, for which the ledger vouches; a hospital's own root and the CAs below
    /// it have ends and constraints of their own.
    pub fn is_below_own_root(&self) -> bool {
        !self.imported && self.above.is_empty()
    }

    /// Its certificate with its key, to sign with; unavailable while the key cannot be used. Strangers are not told why.
    pub fn issuer(&self) -> Result<&Issuer, ControlError> {
        let issuer = self.signer.as_ref().ok().filter(|_| self.stores.ready(self.keys).is_ok());
        issuer.ok_or_else(|| {
            ControlError::Unavailable(format!(
                "authority `{}` cannot sign now; its operators see why in `lanyard ca list`",
                self.name
            ))
        })
    }

    /// Why its key cannot be used, if it cannot.
    pub fn trouble(&self) -> Option<KeyTrouble> {
        match (self.signer.as_ref(), self.stores.ready(self.keys)) {
            (Err(trouble), _) => Some(trouble.clone()),
            (Ok(_), Err(away)) => Some(KeyTrouble::new(&self.name, self.keys, &IssuerError::Key(away))),
            (Ok(_), Ok(())) => None,
        }
    }
}

/// Why an authority cannot sign now, for people: which key, which authority, what to do. Everything else goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("authority `{authority}` cannot sign: {why}; {remedy}")]
pub struct KeyTrouble {
    /// Which authority; also the label of its key.
    pub authority: String,
    /// What the key store says.
    pub why: String,
    /// What a person can do.
    pub remedy: &'static str,
}

impl KeyTrouble {
    fn new(authority: &str, keys: KeyStore, error: &IssuerError) -> Self {
        let remedy = match error {
            IssuerError::Key(KeyError::NotFound(_)) if keys == KeyStore::Pkcs11 => {
                "restore the module's own backup; if there is none, `lanyard ca create` another authority in its place"
            }
            IssuerError::Key(KeyError::Refused(_)) if keys == KeyStore::Pkcs11 => {
                "mend what the module complains of, and start the control plane again: a refused PIN is not tried twice"
            }
            IssuerError::Key(KeyError::NotFound(_) | KeyError::Sealed { .. } | KeyError::Io { .. }) => {
                "put its key file back from a backup of the keys directory, it is used without a restart; if there is none, \
                 `lanyard ca create` another authority in its place"
            }
            IssuerError::Key(KeyError::NotTheCertifiedKey(_)) => {
                "restore the keys directory of the same time as the ledger, and start again; if there is none, \
                 `lanyard ca create` another authority in its place"
            }
            IssuerError::Key(KeyError::Exposed { .. }) => "then it is used without a restart",
            IssuerError::Key(KeyError::Unavailable(_)) => {
                "it goes on by itself when the key store answers again"
            }
            IssuerError::Key(_) | IssuerError::NotAnAuthority { .. } | IssuerError::PublicKey(_) => {
                "`lanyard ca create` another authority in its place"
            }
        };
        Self { authority: authority.to_owned(), why: error.to_string(), remedy }
    }
}

impl Issuers {
    /// The trust anchors.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// What stands between a root and an authority that is itself a root of ours: those, and the CAs above them.
    pub(crate) fn between(&self) -> &[Certificate] {
        &self.between
    }

    /// Everything that is trusted, each once: issuing authorities, what stands between them and the roots, the roots.
    pub fn trusted(&self) -> Vec<&Certificate> {
        let mut all: Vec<&Certificate> = Vec::new();
        let counts = || self.issuing.iter().filter(|i| !i.distrusted);
        let between = self.between.iter().chain(counts().flat_map(IssuingCa::above));
        for certificate in counts().map(IssuingCa::certificate).chain(between).chain(&self.roots) {
            if !all.iter().any(|known| known.der() == certificate.der()) {
                all.push(certificate);
            }
        }
        all
    }

    /// The certificate profiles in force.
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The issuing authorities, those that drain included.
    pub fn issuing(&self) -> &[IssuingCa] {
        &self.issuing
    }

    /// The one that issues for this purpose and site: the site's own, else the one for all.
    pub fn active(&self, purpose: AuthorityPurpose, site: Option<&str>) -> Option<&IssuingCa> {
        let active =
            || self.issuing.iter().filter(|i| i.purpose == purpose && i.state == AuthorityState::Active);
        let own = site.and_then(|site| active().find(|i| i.site.as_deref() == Some(site)));
        own.or_else(|| active().find(|i| i.site.is_none()))
    }

    /// The same, or that there is none.
    fn active_at(&self, purpose: AuthorityPurpose, site: Option<&str>) -> Result<&IssuingCa, ControlError> {
        self.active(purpose, site).ok_or_else(|| {
            ControlError::refused(
                "no_active_authority",
                format!(
                    "no authority of purpose `{purpose}` is active for this site: `lanyard ca list` shows which there are"
                ),
            )
        })
    }

    /// Who certifies the control plane itself. Without its certificate nobody can mend anything, so while the key of the one
    /// for all is away, any other that issues or has issued for devices does.
    fn for_control(&self) -> Result<&IssuingCa, ControlError> {
        let usual = self.active_at(AuthorityPurpose::Devices, None)?;
        let able = |ca: &&IssuingCa| {
            let used = matches!(ca.state, AuthorityState::Active | AuthorityState::Draining);
            ca.purpose == AuthorityPurpose::Devices && used && ca.trouble().is_none()
        };
        let other = || self.issuing.iter().rev().find(able);
        Ok(usual.trouble().and_then(|_| other()).unwrap_or(usual))
    }

    fn anchor(&mut self, root: &Certificate) {
        if !self.roots.iter().any(|known| known.der() == root.der()) {
            self.roots.push(root.clone());
        }
    }

    /// Gives the authorities below an imported root of ours what stands above that root.
    fn join(&mut self) {
        for ca in self.issuing.iter_mut().filter(|ca| ca.above.is_empty()) {
            let mut last = &ca.certificate;
            let mut above = Vec::new();
            while let Some(next) = self.between.iter().find(|c| c.subject_der() == last.issuer_der())
                && !above.contains(next)
            {
                above.push(next.clone());
                last = next;
            }
            ca.above = above;
        }
    }

    /// The one that signed `leaf`, by name.
    pub fn of(&self, leaf: &Certificate) -> Option<&IssuingCa> {
        self.issuing.iter().find(|i| i.certificate.subject_der() == leaf.issuer_der())
    }
}

/// What every device issuance rests on: an approved record, and proof that the key is that device's. Made only in this
/// crate, where those proofs meet; consumed by [`Authority::prepare_device`].
pub struct IssuancePermit {
    pub(crate) device: DeviceId,
    pub(crate) csr: VerifiedCsr,
}

impl IssuancePermit {
    /// A permit from a TPM's certification of the key, when it fits the request.
    pub(crate) fn new(device: DeviceId, key: &CertifiedKey, csr: VerifiedCsr) -> Result<Self, ControlError> {
        if csr.spki_der() != key.spki_der() {
            return Err(ControlError::refused(
                "csr_key_not_certified",
                "the request's key is not the key that the device's TPM certified",
            ));
        }
        Ok(Self { device, csr })
    }

    /// A permit from a proof that named the device (see `certify::recognise`), whose request proves its own key.
    pub(crate) fn recognised(device: DeviceId, csr: VerifiedCsr) -> Self {
        Self { device, csr }
    }
}

/// An issuance that is linted and named but not signed.
pub struct PreparedIssuance {
    /// Its id.
    pub issuance: IssuanceId,
    /// Signed once.
    pub prepared: Prepared,
    /// Which profile, as it stands in the event.
    pub profile: String,
}

/// Why the authorities of the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A recorded certificate cannot be read.
    #[error("authority `{name}` in the log: {why}")]
    Unreadable {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// The recorded profiles do not go together here.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

impl Authority {
    /// The authorities that the world knows, with their keys.
    pub fn new(world: &World, keys: Arc<KeyStores>, installation: Installation) -> Result<Self, FollowError> {
        let set = issuers(&Known::of(world), &keys, &installation, None)?;
        Ok(Self { set: RwLock::new(Arc::new(set)), keys, installation })
    }

    /// Whether a device may ask for this profile by its name. What it gets is its record's to say all the same.
    pub fn offers(&self, profile: &str) -> bool {
        self.issuers().profiles().offers_devices(profile)
    }

    /// Takes in what the world knows now. On an error the set before stays. Give it no world that is locked: a key store may
    /// take seconds to answer.
    pub(crate) fn follow(&self, known: &Known) -> Result<(), FollowError> {
        let before = self.issuers();
        let set = Arc::new(issuers(known, &self.keys, &self.installation, Some(&before))?);
        let mut current = self.set.write().unwrap_or_else(PoisonError::into_inner);
        // Two may follow at once; what was seen later stays.
        if current.as_of <= set.as_of {
            *current = set;
        }
        Ok(())
    }

    /// The set in force.
    pub fn issuers(&self) -> Arc<Issuers> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The trust anchors, PEM.
    pub fn anchors_pem(&self) -> String {
        self.issuers().roots().iter().map(Certificate::to_pem).collect()
    }

    /// `leaf`, its issuer and what stands above; the root is with those who verify.
    pub fn chain(&self, leaf: &Certificate) -> Vec<Certificate> {
        let issuers = self.issuers();
        let above =
            issuers.of(leaf).into_iter().flat_map(|i| std::iter::once(&i.certificate).chain(&i.above));
        std::iter::once(leaf).chain(above).cloned().collect()
    }

    /// The same, PEM.
    pub fn chain_pem(&self, leaf: &Certificate) -> String {
        self.chain(leaf).iter().map(Certificate::to_pem).collect()
    }

    /// Makes a device certificate ready.
    pub(crate) fn prepare_device(
        &self,
        permit: IssuancePermit,
        device: &Device,
        wish: Wish<'_>,
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        let issuers = self.issuers();
        let profile = issuers.profiles().for_device(device, wish.profile)?;
        // I10: a key that the server makes has been outside of the device.
        if wish.key == KeyOrigin::Server && !profile.csr_expectation().server_generated {
            return Err(ControlError::refused(
                "server_keygen_off",
                format!(
                    "profile `{}` does not let the server make keys: make it on the device, and use simpleenroll",
                    profile.name()
                ),
            ));
        }
        // Names of the hardware are written only where the template asks for them.
        let names = HardwareNames::new(Some(&device.record.serial), None).unwrap_or_default();
        let subject = SubjectFacts::DeviceHardware { id: permit.device, names };
        let ca = issuers.active_at(wish.purpose, Some(&device.record.site))?;
        prepare_by(ca, profile, &permit.csr, &subject, now)
    }

    /// Makes an application's certificate ready.
    pub(crate) fn prepare_application(
        &self,
        csr: &VerifiedCsr,
        (id, addresses): (ApplicationId, Addresses),
        site: &str,
        (profile, accepted): (Option<&str>, &[String]),
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        let issuers = self.issuers();
        let (profile, named) = issuers.profiles().for_application(profile, accepted)?;
        let subject = SubjectFacts::Application { id: named.then_some(id), addresses };
        let ca = issuers.active_at(AuthorityPurpose::Devices, Some(site))?;
        prepare_by(ca, profile, csr, &subject, now)
    }

    /// Makes a gateway certificate ready.
    pub(crate) fn prepare_gateway(
        &self,
        csr: &VerifiedCsr,
        subject: &SubjectFacts,
        site: &str,
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        let issuers = self.issuers();
        let ca = issuers.active_at(AuthorityPurpose::Devices, Some(site))?;
        prepare_by(ca, &issuers.profiles().gateway, csr, subject, now)
    }

    /// Makes the control plane's own server certificate ready.
    pub(crate) fn prepare_control(
        &self,
        csr: &VerifiedCsr,
        subject: &SubjectFacts,
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        let issuers = self.issuers();
        prepare_by(issuers.for_control()?, &issuers.profiles().control, csr, subject, now)
    }

    /// Signs. The intent has been recorded; the result is recorded before anyone sees it.
    pub(crate) fn sign(&self, prepared: Prepared) -> Result<Certificate, ControlError> {
        let label = prepared.issuer().clone();
        prepared.sign(self.keys.as_ref()).map_err(|error| {
            tracing::error!(key = %label, %error, "a certificate could not be signed");
            if !matches!(error, KeyError::Unavailable(_)) {
                self.doubt(&label, error);
            }
            ControlError::Unavailable(format!("authority `{label}` cannot sign now"))
        })
    }

    /// A key that failed for another reason than being away: nothing is begun with it until it has been looked for again.
    fn doubt(&self, label: &KeyLabel, error: KeyError) {
        let mut current = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let mut set = Issuers::clone(&current);
        if let Some(ca) = set.issuing.iter_mut().find(|ca| ca.name == label.as_str()) {
            ca.signer = Err(KeyTrouble::new(&ca.name, ca.keys, &IssuerError::Key(error)));
            *current = Arc::new(set);
        }
    }
}

/// What a device asks for beside its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// A profile by its label; the record's without.
    pub(crate) profile: Option<&'a str>,
    /// By which kind of authority.
    pub(crate) purpose: AuthorityPurpose,
    /// For whose key.
    pub(crate) key: KeyOrigin,
}

impl Wish<'_> {
    /// Nothing special.
    pub(crate) const USUAL: Wish<'static> =
        Wish { profile: None, purpose: AuthorityPurpose::Devices, key: KeyOrigin::Device };
}

/// Where a key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrigin {
    /// In the device.
    Device,
    /// Here, for a device that cannot (RFC 7030 4.4).
    Server,
}

fn prepare_by(
    ca: &IssuingCa,
    profile: &Profile,
    csr: &VerifiedCsr,
    subject: &SubjectFacts,
    now: Timestamp,
) -> Result<PreparedIssuance, ControlError> {
    let serial = Serial::from_random(random()?);
    let prepared = prepare(profile, csr, subject, ca.issuer()?, Lifetime::Default, serial, now)
        .map_err(|e| ControlError::refused("certificate_not_prepared", e.to_string()))?;
    Ok(PreparedIssuance {
        issuance: IssuanceId::from_random(random()?),
        prepared,
        profile: profile.name().to_owned(),
    })
}

/// What the world knows of authorities and profiles, taken out of it.
pub(crate) struct Known {
    as_of: u64,
    authorities: Vec<(KnownAuthority, AuthorityState)>,
    profiles: Vec<String>,
    distrusted: Vec<String>,
}

impl Known {
    pub(crate) fn of(world: &World) -> Self {
        let with_state = |known: &KnownAuthority| (known.clone(), world.authority_state(known));
        Self {
            as_of: world.system_seq,
            authorities: world.authorities.iter().map(with_state).collect(),
            profiles: world.profiles.values().filter_map(|p| p.active.clone()).collect(),
            distrusted: (world.compromises.iter().filter(|c| c.is_distrusted()))
                .map(|c| c.name.clone())
                .collect(),
        }
    }
}

fn issuers(
    known: &Known,
    keys: &Arc<KeyStores>,
    installation: &Installation,
    before: Option<&Issuers>,
) -> Result<Issuers, FollowError> {
    let profiles = Profiles::new(known.profiles.iter().map(String::as_str), installation)?;
    let mut set = Issuers {
        as_of: known.as_of,
        roots: Vec::new(),
        between: Vec::new(),
        issuing: Vec::new(),
        profiles: Arc::new(profiles),
    };
    let distrusted = &known.distrusted;
    for (known, state) in &known.authorities {
        if matches!(state, AuthorityState::Retired | AuthorityState::Planned) {
            continue;
        }
        let unreadable = |why: String| FollowError::Unreadable { name: known.name.clone(), why };
        let read = |der: &Vec<u8>| Certificate::parse(der).map_err(|e| unreadable(e.to_string()));
        let certificate = read(&known.certificate)?;
        let above = known.above.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if known.purpose == AuthorityPurpose::Root {
            let label: KeyLabel = known.name.parse().map_err(|e| unreadable(format!("{e}")))?;
            keys.place(&label, known.keys);
            match above.split_last() {
                None => set.anchor(&certificate),
                Some((root, between)) => {
                    set.anchor(root);
                    set.between.push(certificate);
                    set.between.extend_from_slice(between);
                }
            }
            continue;
        }
        if let Some((root, _)) = above.split_last() {
            set.anchor(root);
        }
        // A pair that fits is not looked at again: each signature compares them once more.
        let same = |ca: &&IssuingCa| ca.name == known.name && ca.certificate.der() == certificate.der();
        let kept = before.and_then(|b| b.issuing.iter().find(same)).and_then(|ca| ca.signer.as_ref().ok());
        let signer = match kept {
            Some(issuer) => Ok(issuer.clone()),
            None => {
                let label: KeyLabel = known.name.parse().map_err(|e| unreadable(format!("{e}")))?;
                keys.place(&label, known.keys);
                keys.of(known.keys)
                    .map_err(IssuerError::Key)
                    .and_then(|store| Issuer::new(certificate.clone(), label, store))
                    .map_err(|error| KeyTrouble::new(&known.name, known.keys, &error))
            }
        };
        set.issuing.push(IssuingCa {
            name: known.name.clone(),
            purpose: known.purpose,
            site: known.site.clone(),
            state: *state,
            distrusted: distrusted.contains(&known.name),
            keys: known.keys,
            certificate,
            imported: !known.above.is_empty(),
            // The root is with those who verify; what our own root below another's adds is found when all are read.
            above: above.split_last().map(|(_, between)| between.to_vec()).unwrap_or_default(),
            signer,
            stores: Arc::clone(keys),
        });
    }
    set.join();
    Ok(set)
}

/// Whether a certificate can be an endorsement anchor: readable, and a CA.
pub(crate) fn check_anchor(der: &[u8]) -> Result<(), ControlError> {
    let certificate = Certificate::parse(der).map_err(|e| ControlError::malformed("certificate", e))?;
    if !certificate.is_ca() {
        return Err(ControlError::malformed(
            "certificate",
            "it is not a CA certificate (basicConstraints does not assert cA); register the maker's issuing or root CA",
        ));
    }
    Ok(())
}

/// Digest of a certificate as events name it.
pub fn thumbprint(certificate: &Certificate) -> Digest {
    Digest(certificate.thumbprint())
}

#[cfg(test)]
mod tests;
