//! Our certificate authorities: a root, an issuing CA below it, and the [`Issuer`] value that signs with one.
//!
//! In scope: making a generation (keys in the backend, certificates in two steps), and the check that key and
//! certificate belong together. Out of scope: storing the certificates and choosing the active generation (control).
//!
//! The CA certificates are public. Lost: written again from the ledger. Rolled back to an older generation: the
//! keys do not fit and [`Issuer::new`] refuses. Written by an attacker: the same, unless he has the keys.

use lanyard_domain::time::Timestamp;

use crate::certificate::Certificate;
use crate::csr::{self, BuildCsrError, VerifiedCsr};
use crate::issue::{self, IssuerSide, Lifetime, PrepareError, Prepared};
use crate::key::{KeyBackend, KeyError, KeyKind, KeyLabel, KeyUse};
use crate::lint::IssuerView;
use crate::name::Naming;
use crate::profile::revocation::Revocation;
use crate::profile::{Profile, ProfileName, RevocationUris, SubjectFacts};
use crate::serial::Serial;
use crate::spki::{KeyRefused, PublicKey};
use crate::tbs;

/// Why a certificate and a key do not make an issuer.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// It may not sign certificates.
    #[error("certificate `{serial}` cannot issue: {rule}")]
    NotAnAuthority {
        /// Its serial.
        serial: Serial,
        /// What is missing.
        rule: &'static str,
    },
    /// The key store has no such key, or another one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key in the certificate is refused.
    #[error("CA certificate: {0}")]
    PublicKey(#[from] KeyRefused),
}

/// Why a CA generation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key backend failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate does not pass our rules.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The signed certificate does not make an issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// Not made by [`request`] for an issuing authority.
    #[error(
        "the request is not one of `lanyard ca request` for an issuing authority: its subject has another form"
    )]
    NotARequest,
    /// The backend made a key that we refuse.
    #[error("the key backend made an unusable key: {0}")]
    PublicKey(#[from] KeyRefused),
}

/// A CA that can sign: its certificate, and the label of its key. The pair is checked when it is made.
#[derive(Debug, Clone)]
pub struct Issuer {
    certificate: Certificate,
    label: KeyLabel,
    kind: KeyKind,
    key: PublicKey,
    key_id: Vec<u8>,
    signature_algorithm: Vec<u8>,
    authority_key_id: Vec<u8>,
}

impl Issuer {
    /// Pairs a CA certificate with its key; refuses when the backend holds another key under `label`.
    pub fn new(
        certificate: Certificate,
        label: KeyLabel,
        backend: &dyn KeyBackend,
    ) -> Result<Self, IssuerError> {
        let facts = certificate.facts();
        let refuse = |rule| IssuerError::NotAnAuthority { serial: certificate.serial(), rule };
        if !facts.is_ca() {
            return Err(refuse("basicConstraints does not assert cA"));
        }
        if !facts.key_usage.is_some_and(|u| u.key_cert_sign()) {
            return Err(refuse("keyUsage does not assert keyCertSign"));
        }
        let key_id = facts.subject_key_id.clone().ok_or(refuse("it has no subjectKeyIdentifier"))?;
        let key = facts.key.clone()?;
        let kind = KeyKind::of(key.kind()).ok_or(refuse("no key backend makes keys of its kind"))?;
        if backend.public_spki(&label)? != key.der() {
            return Err(KeyError::NotTheCertifiedKey(label).into());
        }
        // Strangers send ciphertexts to such a key; one that signs certificates is not exposed to that.
        if backend.list()?.iter().any(|e| e.label == label && e.usage != KeyUse::Sign) {
            return Err(refuse("its key also decrypts"));
        }
        Ok(Self {
            signature_algorithm: kind.signature_algorithm(),
            authority_key_id: tbs::authority_key_id(&key_id),
            certificate,
            label,
            kind,
            key,
            key_id,
        })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The label of its key.
    pub fn label(&self) -> &KeyLabel {
        &self.label
    }

    pub(crate) fn side(&self) -> IssuerSide<'_> {
        let facts = self.certificate.facts();
        IssuerSide {
            label: &self.label,
            kind: self.kind,
            key: &self.key,
            signature_algorithm: &self.signature_algorithm,
            authority_key_id: &self.authority_key_id,
            view: IssuerView {
                subject: &facts.subject,
                key_id: &self.key_id,
                signature_algorithm: self.kind.signature_oid(),
                path_len: facts.basic_constraints.as_ref().and_then(|b| b.path_len_constraint),
                validity: Some((facts.not_before.at, facts.not_after.at)),
            },
        }
    }
}

/// What a new generation is made from.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// Where the key of the CA is (already generated).
    pub label: KeyLabel,
    /// Its serial number.
    pub serial: Serial,
}

/// Makes a self-signed root certificate ready to be signed by its own key.
pub fn prepare_root(
    naming: &Naming,
    generation: &Generation,
    backend: &dyn KeyBackend,
    now: Timestamp,
) -> Result<Prepared, AuthorityError> {
    let key = PublicKey::parse(&backend.public_spki(&generation.label)?)?;
    let kind = KeyKind::of(key.kind()).ok_or(KeyRefused::Unsupported(format!("{:?}", key.kind())))?;
    let profile = Profile::new(ProfileName::RootCa, naming.clone());
    let facts = SubjectFacts::Authority { generation: generation.number };
    let names = profile.names(&facts, &key).map_err(PrepareError::from)?;
    let key_id = key.key_id();
    let itself = IssuerSide {
        label: &generation.label,
        kind,
        key: &key,
        signature_algorithm: &kind.signature_algorithm(),
        authority_key_id: &tbs::authority_key_id(&key_id),
        view: IssuerView {
            subject: &names.subject,
            key_id: &key_id,
            signature_algorithm: kind.signature_oid(),
            path_len: None,
            validity: None,
        },
    };
    Ok(issue::assemble(&profile, &key, &facts, &itself, Lifetime::Default, generation.serial, now)?)
}

/// Makes an issuing CA certificate ready to be signed by `root`, whose list and certificate are `served` at these addresses.
pub fn prepare_issuing(
    naming: &Naming,
    generation: &Generation,
    root: &Issuer,
    served: Option<&RevocationUris>,
    backend: &dyn KeyBackend,
    now: Timestamp,
) -> Result<Prepared, AuthorityError> {
    let key = PublicKey::parse(&backend.public_spki(&generation.label)?)?;
    let revocation = served.cloned().map_or(Revocation::Unstated, Revocation::RootsList);
    let profile = Profile::issuing(naming.clone(), revocation);
    let facts = SubjectFacts::Authority { generation: generation.number };
    let lifetime = within(root, &profile, now);
    Ok(issue::assemble(&profile, &key, &facts, &root.side(), lifetime, generation.serial, now)?)
}

/// What the profile says, or as long as the root has left: one that somebody else certified may end sooner.
fn within(root: &Issuer, profile: &Profile, now: Timestamp) -> Lifetime {
    let left = root.certificate().not_after().seconds_since(now);
    match left < profile.lifetime_seconds() {
        true => Lifetime::Seconds(left),
        false => Lifetime::Default,
    }
}

/// A request (PKCS#10) for a certificate of an authority of ours that another CA is to sign: the name, key and constraints that a
/// generation of this profile has. The key is under `generation.label`; `generation.serial` is not used.
pub fn request(
    profile: ProfileName,
    naming: &Naming,
    generation: &Generation,
    backend: &dyn KeyBackend,
) -> Result<Vec<u8>, AuthorityError> {
    let key = PublicKey::parse(&backend.public_spki(&generation.label)?)?;
    let profile = Profile::new(profile, naming.clone());
    let facts = SubjectFacts::Authority { generation: generation.number };
    let names = profile.names(&facts, &key).map_err(PrepareError::from)?;
    let key_type = profile.checked_key(&key).map_err(PrepareError::from)?;
    let [key_usage, constant] = profile.extensions(key_type);
    let extensions = [key_usage, constant, tbs::subject_key_id(&key.key_id())].concat();
    let sign = |info: &[u8]| backend.sign(&generation.label, info);
    csr::build_with(key.der(), &names.subject, &extensions, sign).map_err(|error| match error {
        BuildCsrError::Signer(error) => AuthorityError::Key(error),
        BuildCsrError::Key(refused) => AuthorityError::PublicKey(refused),
        BuildCsrError::WrongSigner(_) | BuildCsrError::CommonName(_) => {
            AuthorityError::Key(KeyError::NotTheCertifiedKey(generation.label.clone()))
        }
    })
}

/// What a request of [`request`] for an issuing CA asks for, ready to be signed by `root`: for a root that is elsewhere than the
/// authority, in a ceremony. The name is made anew from what the request says; one of another form is refused. Of the root its
/// certificate alone is `served`: whoever has the authority cannot sign the root's list.
pub fn prepare_requested(
    naming: &Naming,
    request: &VerifiedCsr,
    root: &Issuer,
    served: Option<&RevocationUris>,
    serial: Serial,
    now: Timestamp,
) -> Result<Prepared, AuthorityError> {
    let number = |text: &String| {
        let (number, _) = text.strip_prefix("Lanyard Issuing CA g")?.split_once(' ')?;
        number.parse::<u32>().ok()
    };
    let generation = request.subject().iter().find_map(number).ok_or(AuthorityError::NotARequest)?;
    let revocation = served.cloned().map_or(Revocation::Unstated, Revocation::RootOnly);
    let profile = Profile::issuing(naming.clone(), revocation);
    let facts = SubjectFacts::Authority { generation };
    let lifetime = within(root, &profile, now);
    Ok(issue::assemble(&profile, request.key(), &facts, &root.side(), lifetime, serial, now)?)
}

/// Makes the certificate of a SCEP RA below `issuer` ready to be signed; its key is under `label`.
pub fn prepare_ra(
    naming: &Naming,
    label: &KeyLabel,
    issuer: &Issuer,
    serial: Serial,
    backend: &dyn KeyBackend,
    now: Timestamp,
) -> Result<Prepared, AuthorityError> {
    prepare_service((ProfileName::ScepRa, SubjectFacts::ScepRa), naming, label, issuer, serial, backend, now)
}

/// For a key of ours that answers in an authority's name, and is another than the authority's.
pub(crate) fn prepare_service<E>(
    (profile, facts): (ProfileName, SubjectFacts),
    naming: &Naming,
    label: &KeyLabel,
    issuer: &Issuer,
    serial: Serial,
    backend: &dyn KeyBackend,
    now: Timestamp,
) -> Result<Prepared, E>
where
    E: From<KeyError> + From<KeyRefused> + From<PrepareError>,
{
    let key = PublicKey::parse(&backend.public_spki(label)?)?;
    let side = issuer.side();
    if key.sha256() == side.key.sha256() {
        return Err(PrepareError::IssuersOwnKey.into());
    }
    let profile = Profile::new(profile, naming.clone());
    Ok(issue::assemble(&profile, &key, &facts, &side, Lifetime::Default, serial, now)?)
}

/// Root and issuing CA of one generation.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The trust anchor.
    pub root: Issuer,
    /// What signs end entities.
    pub issuing: Issuer,
}

impl Authority {
    /// Generates both keys and signs both certificates, without a record in between: for the first start, before
    /// there is a ledger, and for tests. A later generation goes through [`prepare_root`] and [`prepare_issuing`].
    pub fn create(
        naming: &Naming,
        backend: &dyn KeyBackend,
        root: &Generation,
        issuing: &Generation,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        // The root lives longer than its curve's margin may: P-384. The issuing CA signs thousands a second: P-256.
        backend.generate(&root.label, KeyKind::P384)?;
        backend.generate(&issuing.label, KeyKind::P256)?;
        let certificate = prepare_root(naming, root, backend, now)?.sign(backend)?;
        let root = Issuer::new(certificate, root.label.clone(), backend)?;
        let certificate = prepare_issuing(naming, issuing, &root, None, backend, now)?.sign(backend)?;
        let issuing = Issuer::new(certificate, issuing.label.clone(), backend)?;
        Ok(Self { root, issuing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::MemoryKeys;
    use crate::testing;

    // R50; reference: generations with one subject break path building.
    #[test]
    fn each_generation_has_its_own_subject_and_key_even_under_the_same_number() {
        let (a, b) = (testing::Installation::new(), testing::Installation::new());
        assert_ne!(
            a.authority.root.certificate().subject_der(),
            b.authority.root.certificate().subject_der()
        );
        assert_ne!(
            a.authority.issuing.certificate().subject_der(),
            b.authority.issuing.certificate().subject_der()
        );
    }

    // I10: a restored key directory of another state must not sign.
    #[test]
    fn a_certificate_and_a_key_of_two_states_do_not_make_an_issuer() {
        let a = testing::Installation::new();
        let other = MemoryKeys::default();
        other.generate(a.authority.issuing.label(), KeyKind::P256).unwrap();
        let refused = Issuer::new(
            a.authority.issuing.certificate().clone(),
            a.authority.issuing.label().clone(),
            &other,
        );
        assert!(matches!(refused, Err(IssuerError::Key(KeyError::NotTheCertifiedKey(_)))));
        let missing = Issuer::new(
            a.authority.issuing.certificate().clone(),
            a.authority.issuing.label().clone(),
            &MemoryKeys::default(),
        );
        assert!(matches!(missing, Err(IssuerError::Key(KeyError::NotFound(_)))));
    }

    #[test]
    fn a_device_certificate_does_not_make_an_issuer() {
        let a = testing::Installation::new();
        let device = a.device();
        let refused = Issuer::new(device.certificate, device.label, &*a.keys);
        assert!(matches!(refused, Err(IssuerError::NotAnAuthority { .. })));
    }

    #[test]
    fn an_issuing_ca_signs_no_other_ca() {
        let a = testing::Installation::new();
        let label: KeyLabel = "issuing-g2".parse().unwrap();
        a.keys.generate(&label, KeyKind::P256).unwrap();
        let generation = Generation { number: 2, label, serial: testing::serial(9) };
        let refused =
            prepare_issuing(&a.naming, &generation, &a.authority.issuing, None, &*a.keys, testing::NOW)
                .unwrap_err();
        let AuthorityError::Prepare(PrepareError::Lint(findings)) = refused else { panic!("{refused}") };
        assert!(findings.iter().any(|f| f.lint == "issuer_may_sign"), "{findings:?}");
    }
}
