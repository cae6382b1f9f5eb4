//! Authorities of ours under somebody else's root: the request for the hospital's CA to sign, and the answer (R50).
//!
//! Two people agree on what is trusted: who orders the request names the root by its certificate, and another person brings a
//! chain that ends in exactly that one. From then on root and chain are in every bundle; activating is a third act, by
//! another person than who ordered. In scope: who may, and that what is brought fits. Out of scope: the rules of the chain
//! (`lanyard_pki::path::import`).

use std::net::IpAddr;

use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::event::Event;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::{Certificate, MAX_CHAIN};
use lanyard_pki::path::import::{self, Imported, Wanted};

use super::authorities::find;
use super::{Accepted, Done};
use crate::authority::thumbprint;
use crate::journal::Journal;
use crate::plane::{Control, ControlError};
use crate::world::{KnownAuthority, World};

/// What is ordered.
pub(super) struct Order {
    pub(super) name: String,
    pub(super) purpose: AuthorityPurpose,
    pub(super) site: Option<String>,
    pub(super) keys: KeyStore,
    pub(super) under: Blob,
}

impl<J: Journal> Control<J> {
    pub(super) async fn request_authority(
        &self,
        accepted: Accepted,
        order: Order,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        self.check_order(&order.name, order.site.as_deref(), order.keys)?;
        let Order { name, purpose, site, keys, under } = order;
        let is_root = purpose == AuthorityPurpose::Root;
        // Verifiers of evidence tell roots from issuers by this word.
        if is_root != name.starts_with("root") {
            return Err(ControlError::malformed("name", "starts with `root` if it is a root, and only then"));
        }
        if is_root && site.is_some() {
            return Err(ControlError::malformed("site", "a root is for all sites"));
        }
        let root = Certificate::parse(&under.0).map_err(|e| ControlError::malformed("under", e))?;
        import::check_root(&root, now).map_err(|e| ControlError::malformed("under", e))?;
        let statement = accepted.signed.clone();
        let planned = Event::AuthorityPlanned {
            name: name.clone(),
            purpose,
            site,
            keys,
            under: Some(under),
            statement,
        };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                super::authorities::is_free(world, &name)?;
                room_for(world, &root)?;
                Ok(planned.clone())
            })
            .await?;
        Ok(Done::new(
            appended,
            format!(
                "authority `{name}` is ordered under `{}` (SHA-256 {}); have its request signed, then another person imports the certificate",
                root.subject_text(),
                thumbprint(&root)
            ),
        ))
    }

    pub(super) async fn import_authority(
        &self,
        accepted: Accepted,
        name: String,
        (certificate, above): (Blob, Vec<Blob>),
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let spki = self.requested_key(&name).await?;
        let imported = self.fits(&self.world(), &name, &spki, (&certificate, &above), now)?;
        let event = Event::AuthorityImported {
            name: name.clone(),
            certificate_sha256: thumbprint(imported.certificate()),
            certificate,
            above,
            statement: accepted.signed.clone(),
        };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                let known = ordered(world, &name)?;
                if known.planner == Some(accepted.by.id) {
                    return Err(ControlError::refused(
                        "requester_cannot_approve",
                        "who ordered an authority named its root; another person brings the certificate",
                    ));
                }
                Ok(event.clone())
            })
            .await?;
        self.follow_authorities()?;
        Ok(Done::new(
            appended,
            format!(
                "authority `{name}` and its root are trusted, and it issues nothing yet; take the bundle to everyone who verifies (devices, gateways, operators, applications), then another person than who ordered it activates it"
            ),
        ))
    }

    fn fits(
        &self,
        world: &World,
        name: &str,
        spki: &[u8],
        (certificate, above): (&Blob, &[Blob]),
        now: Timestamp,
    ) -> Result<Imported, ControlError> {
        let known = ordered(world, name)?;
        let under = known.under.as_deref().unwrap_or_default();
        let root = Certificate::parse(under)
            .map_err(|e| ControlError::Bug(format!("the root that was ordered cannot be read: {e}")))?;
        let read =
            |field, der: &Blob| Certificate::parse(&der.0).map_err(|e| ControlError::malformed(field, e));
        if above.len() > MAX_CHAIN {
            return Err(ControlError::malformed(
                "above",
                format!("at most {MAX_CHAIN} certificates are read"),
            ));
        }
        let ours = read("certificate", certificate)?;
        let given = above.iter().map(|der| read("above", der)).collect::<Result<Vec<_>, _>>()?;
        let shown: Vec<Certificate> = std::iter::once(ours.clone()).chain(given.iter().cloned()).collect();
        let taken: Vec<Vec<u8>> = world.authorities.iter().filter_map(subject).collect();
        let wanted = Wanted {
            spki,
            below: u8::from(known.purpose == AuthorityPurpose::Root),
            root: &root,
            naming: &self.authority.installation.naming,
            addresses: &addresses(world),
            taken: &taken,
            now,
        };
        let imported =
            import::check(&shown, &wanted).map_err(|e| ControlError::malformed("certificate", e))?;
        if *imported.certificate() != ours || imported.above() != given {
            return Err(ControlError::malformed(
                "above",
                "must be in order: the issuer first, and last the root that was ordered",
            ));
        }
        Ok(imported)
    }

    /// The key of an authority that was ordered, made when there is none yet.
    async fn requested_key(&self, name: &str) -> Result<Vec<u8>, ControlError> {
        let request = self.authority_request(name).await?;
        let csr = lanyard_pki::csr::verify(&request)
            .map_err(|e| ControlError::Bug(format!("our own request does not read: {e}")))?;
        Ok(csr.spki_der().to_vec())
    }
}

/// The authority, if somebody else is to certify it and has not yet.
pub(crate) fn ordered<'a>(world: &'a World, name: &str) -> Result<&'a KnownAuthority, ControlError> {
    let known = find(world, name)?;
    let state = world.authority_state(known);
    if known.under.is_none() {
        return Err(ControlError::refused(
            "not_requested",
            format!(
                "authority `{name}` is certified by our own root; `lanyard ca request` orders one for another CA to sign"
            ),
        ));
    }
    if state != AuthorityState::Planned {
        return Err(super::authorities::wrong_state(name, state, "imported"));
    }
    Ok(known)
}

/// As many roots as a bundle has room for.
fn room_for(world: &World, root: &Certificate) -> Result<(), ControlError> {
    let mut roots: Vec<Digest> = vec![thumbprint(root)];
    let trusted = |a: &&KnownAuthority| world.authority_state(a) != AuthorityState::Retired;
    for known in world.authorities.iter().filter(trusted) {
        let own =
            (known.purpose == AuthorityPurpose::Root && known.above.is_empty()).then_some(&known.certificate);
        let anchor = known.under.as_ref().or(own).filter(|der| !der.is_empty());
        let anchor = anchor.and_then(|der| Certificate::parse(der).ok());
        if let Some(sha256) = anchor.as_ref().map(thumbprint).filter(|sha256| !roots.contains(sha256)) {
            roots.push(sha256);
        }
    }
    if roots.len() > MAX_CHAIN {
        return Err(ControlError::refused(
            "too_many_roots",
            format!(
                "{MAX_CHAIN} roots are trusted at most: retire the authorities below one of them, and then it"
            ),
        ));
    }
    Ok(())
}

fn subject(known: &KnownAuthority) -> Option<Vec<u8>> {
    Certificate::parse(&known.certificate).ok().map(|c| c.subject_der().to_vec())
}

/// What our listeners and gateways are dialled by, where it is an address.
fn addresses(world: &World) -> Vec<IpAddr> {
    let gateways = world.gateways.values().filter(|g| !g.removed).flat_map(|g| &g.names);
    let own = world.own.ips().iter().copied();
    own.chain(gateways.filter_map(|name| name.parse().ok())).collect()
}
