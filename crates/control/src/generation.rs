//! Making a generation of an authority: its key, its certificate, and the record of both. The first start's root and issuing
//! authority, and those that people order later.
//!
//! Every step is safe to repeat and each is durable before the next: key, intent, signature, record (I3). A stop in between
//! leaves a key without a certificate, which the next start goes on with, or an intent, which it gives up.
//! In scope: making. Out of scope: who may order one (`carry_out::authorities`).

use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::event::Event;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{
    AuthorityError, Generation, Issuer, IssuerError, prepare_issuing, prepare_root, request,
};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::issue::Prepared;
use lanyard_pki::key::{KeyBackend, KeyError, KeyKind, KeyLabel};
use lanyard_pki::profile::ProfileName;
use lanyard_pki::serial::Serial;

use crate::carry_out::authorities::find;
use crate::carry_out::external::ordered;
use crate::digest::random;
use crate::journal::Journal;
use crate::plane::{Control, ControlError};
use crate::profiles::Installation;
use crate::world::{KnownAuthority, World};

/// The root of the first start; also the label of its key.
const FIRST_ROOT: &str = "root-1";
/// The issuing authority of the first start.
const FIRST_ISSUING: &str = "issuing-1";

/// Where the first start makes its keys. Later ones are said in each order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FirstKeys {
    /// The root's.
    pub root: KeyStore,
    /// The issuing authority's.
    pub issuing: KeyStore,
}

impl<J: Journal> Control<J> {
    /// The authorities without which there is no hospital: a root, and one that issues for devices at all sites. Those that
    /// are recorded are left alone.
    pub async fn make_first_authorities(
        &self,
        places: FirstKeys,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let _one_at_a_time = self.making.lock().await;
        let missing = |name: &str| !self.world().authorities.iter().any(|a| a.name == name);
        if self.world().authorities.len() >= 2 {
            return Ok(());
        }
        let naming = &self.authority.installation.naming;
        let keys = self.authority.keys.as_ref();
        if missing(FIRST_ROOT) {
            let generation = first_generation(FIRST_ROOT)?;
            keys.place(&generation.label, places.root);
            key(keys, &generation.label, key_kind(AuthorityPurpose::Root))?;
            let prepared = prepare_root(naming, &generation, keys, now).map_err(not_prepared)?;
            self.certify_authority(FIRST_ROOT, ProfileName::RootCa, prepared, places.root, now).await?;
        }
        if missing(FIRST_ISSUING) {
            let generation = first_generation(FIRST_ISSUING)?;
            keys.place(&generation.label, places.issuing);
            key(keys, &generation.label, key_kind(AuthorityPurpose::Devices))?;
            let root = self.root()?;
            let served = self.authority.installation.revocation.as_ref();
            let prepared =
                prepare_issuing(naming, &generation, &root, served, keys, now).map_err(not_prepared)?;
            self.certify_authority(FIRST_ISSUING, ProfileName::IssuingCa, prepared, places.issuing, now)
                .await?;
        }
        self.follow_authorities()
    }

    /// Makes the key and the certificate of an authority that a person ordered. Safe to repeat: a start goes on with what
    /// the last stop cut short.
    pub async fn complete_authority(&self, name: &str, now: Timestamp) -> Result<(), ControlError> {
        let _one_at_a_time = self.making.lock().await;
        let (number, purpose, place) = {
            let world = self.world();
            let known = find(&world, name)?;
            if world.authority_state(known) != AuthorityState::Planned || known.under.is_some() {
                return Ok(());
            }
            (generation_number(&world, known), known.purpose, known.keys)
        };
        let label = label(name)?;
        let keys = self.authority.keys.as_ref();
        keys.ready(place).map_err(unavailable)?;
        keys.place(&label, place);
        key(keys, &label, key_kind(purpose))?;
        let root = self.root()?;
        let generation = Generation { number, label, serial: Serial::from_random(random()?) };
        let Installation { naming, revocation, .. } = &self.authority.installation;
        let prepared = prepare_issuing(naming, &generation, &root, revocation.as_ref(), keys, now)
            .map_err(not_prepared)?;
        self.certify_authority(name, ProfileName::IssuingCa, prepared, KeyStore::Sealed, now).await?;
        self.follow_authorities()
    }

    /// The request (PKCS#10) of an authority that somebody else's CA is to certify; its key is made when there is none. Each
    /// answer is signed anew over the same.
    pub async fn authority_request(&self, name: &str) -> Result<Vec<u8>, ControlError> {
        let _one_at_a_time = self.making.lock().await;
        let (number, purpose, place) = {
            let world = self.world();
            let known = ordered(&world, name)?;
            (generation_number(&world, known), known.purpose, known.keys)
        };
        let label = label(name)?;
        let keys = self.authority.keys.as_ref();
        keys.ready(place).map_err(unavailable)?;
        keys.place(&label, place);
        key(keys, &label, key_kind(purpose))?;
        let profile = match purpose {
            AuthorityPurpose::Root => ProfileName::RootCa,
            AuthorityPurpose::Devices | AuthorityPurpose::Legacy => ProfileName::IssuingCa,
        };
        // A request has no serial number.
        let generation = Generation { number, label, serial: Serial::from_random([0; 16]) };
        request(profile, &self.authority.installation.naming, &generation, keys).map_err(not_prepared)
    }

    /// Authorities that were ordered and have no certificate yet. Those that somebody else certifies are not ours to make.
    pub fn planned_authorities(&self) -> Vec<String> {
        let world = self.world();
        let planned =
            |a: &&KnownAuthority| a.under.is_none() && world.authority_state(a) == AuthorityState::Planned;
        world.authorities.iter().filter(planned).map(|a| a.name.clone()).collect()
    }

    /// `unordered`: where the key is, when no order says so.
    async fn certify_authority(
        &self,
        name: &str,
        profile: ProfileName,
        prepared: Prepared,
        unordered: KeyStore,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        self.certify_own(profile.as_str(), prepared, now, |made| Event::AuthorityCreated {
            name: name.to_owned(),
            certificate: made.certificate,
            certificate_sha256: made.certificate_sha256,
            keys: unordered,
        })
        .await
        .map(|_| ())
    }

    /// The newest root, to sign with.
    fn root(&self) -> Result<Issuer, ControlError> {
        let (name, certificate, place) = newest_root(&self.world())?;
        let (keys, label) = (self.authority.keys.as_ref(), label(&name)?);
        keys.place(&label, place);
        let usable = keys.ready(place).and_then(|()| keys.of(place)).map_err(IssuerError::Key);
        usable.and_then(|store| Issuer::new(certificate, label, store)).map_err(|e| {
            ControlError::Unavailable(format!("the key of root `{name}` is needed and away: {e}"))
        })
    }
}

/// How many there were for the same purpose and site up to this one: its number.
fn generation_number(world: &World, known: &KnownAuthority) -> u32 {
    let same = |a: &&KnownAuthority| a.purpose == known.purpose && a.site == known.site;
    let until = world.authorities.iter().take_while(|a| a.name != known.name).filter(same).count();
    u32::try_from(until + 1).unwrap_or(u32::MAX)
}

fn newest_root(world: &World) -> Result<(String, Certificate, KeyStore), ControlError> {
    let known = world
        .authorities
        .iter()
        .filter(|a| a.purpose == AuthorityPurpose::Root && world.authority_state(a) == AuthorityState::Active)
        .max_by_key(|a| a.activated)
        .ok_or_else(|| {
            ControlError::refused(
                "no_root",
                "there is no root of ours any more; `lanyard ca request` orders an authority for another CA to sign",
            )
        })?;
    let certificate = Certificate::parse(&known.certificate)
        .map_err(|e| ControlError::Bug(format!("the recorded root cannot be read: {e}")))?;
    Ok((known.name.clone(), certificate, known.keys))
}

fn first_generation(name: &str) -> Result<Generation, ControlError> {
    Ok(Generation { number: 1, label: label(name)?, serial: Serial::from_random(random()?) })
}

pub(crate) fn label(name: &str) -> Result<KeyLabel, ControlError> {
    name.parse().map_err(|e| ControlError::malformed("name", e))
}

/// The key under a label, made when there is none.
fn key(keys: &dyn KeyBackend, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, ControlError> {
    let found = match keys.public_spki(label) {
        Err(KeyError::NotFound(_)) => keys.generate(label, kind),
        found => found,
    };
    found.map_err(unavailable)
}

fn unavailable(error: KeyError) -> ControlError {
    ControlError::Unavailable(error.to_string())
}

const fn key_kind(purpose: AuthorityPurpose) -> KeyKind {
    match purpose {
        // It lives longer than its curve's margin may.
        AuthorityPurpose::Root => KeyKind::P384,
        // Signs thousands a second.
        AuthorityPurpose::Devices => KeyKind::P256,
        // SCEP clients verify nothing else (RFC 8894 2.9). It signs only: what they encrypt goes to its RA's key.
        AuthorityPurpose::Legacy => KeyKind::Rsa3072,
    }
}

fn not_prepared(error: AuthorityError) -> ControlError {
    match error {
        AuthorityError::Key(error) => unavailable(error),
        other => ControlError::refused("certificate_not_prepared", other.to_string()),
    }
}
