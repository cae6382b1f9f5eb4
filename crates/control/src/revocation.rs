//! What relying parties are told about revocation: lists, the standing of a serial number, and responders' certificates.
//!
//! All of it is read from the inventory, which is folded from the log: a revocation that is recorded is in the next answer.
//! In scope: what is said. Out of scope: how it is asked and kept ready (the server).

use lanyard_domain::event::{Event, RevocationReason};
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::Issuer;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::crl::shard::Place;
use lanyard_pki::crl::{self, Contents, Kind, Scope, SignedCrl};
use lanyard_pki::key::{KeyKind, KeyLabel};
use lanyard_pki::ocsp::{Policy, Responder, Standing, prepare_responder};
use lanyard_pki::profile::ProfileName;
use lanyard_pki::revocation::{Reason, Revocation};
use lanyard_pki::serial::Serial;

use crate::digest::random;
use crate::inventory::{Revoked, Status};
use crate::journal::Journal;
use crate::plane::{Control, ControlError};
use crate::world::World;

/// From thisUpdate to nextUpdate: a relying party that cannot reach us for a night goes on with the list it has.
const LIST_SECONDS: i64 = 24 * 3_600;
/// Differences are there to be fresh: whoever keeps one keeps it for an hour.
const DELTA_SECONDS: i64 = 3_600;
/// Differences go back so far behind the list that they count from: an event that was under way when that was made.
const DELTA_OVERLAP_SECONDS: i64 = 300;
/// Before now, for relying parties whose clocks are late; as certificates.
const BACKDATE_SECONDS: i64 = 300;

impl<J: Journal> Control<J> {
    /// The list at this place as of now, signed. `None`: no such authority, another number of shards, or we serve no lists.
    pub fn revocation_list(&self, place: &Place, now: Timestamp) -> Result<Option<SignedCrl>, ControlError> {
        let issuers = self.authority.issuers();
        // Roots of ours below somebody else's, too: the authorities that they sign name their list.
        let root = |c: &&Certificate| c.subject_key_id() == Some(place.ca_key_id());
        if let Some(root) = issuers.roots().iter().chain(issuers.between()).find(root) {
            return self.root_list(root, place, now);
        }
        self.shard(place, None, now)
    }

    /// What was revoked since the complete list with this number was made (RFC 5280 5.2.4). `None` as above, and where the
    /// complete list is so short that no difference of it is served.
    pub fn delta_list(
        &self,
        place: &Place,
        since: (u64, Timestamp),
        now: Timestamp,
    ) -> Result<Option<SignedCrl>, ControlError> {
        self.shard(place, Some(since), now)
    }

    fn shard(
        &self,
        place: &Place,
        since: Option<(u64, Timestamp)>,
        now: Timestamp,
    ) -> Result<Option<SignedCrl>, ControlError> {
        let issuers = self.authority.issuers();
        let ca =
            issuers.issuing().iter().find(|i| i.certificate().subject_key_id() == Some(place.ca_key_id()));
        let (Some(ca), Some(uris)) = (ca, self.authority.installation.revocation.as_ref()) else {
            return Ok(None);
        };
        if place.shards() != uris.shards() {
            return Ok(None);
        }
        let bug = |e: String| ControlError::Bug(format!("a revocation list of `{}`: {e}", ca.name));
        let mut entries = revoked_at(&self.world(), ca.certificate(), place);
        let has_delta = uris.has_delta(entries.len());
        let kind = match since {
            None if has_delta => {
                Kind::Complete { freshest: Some(uris.delta(place).map_err(|e| bug(e.to_string()))?) }
            }
            None => Kind::Complete { freshest: None },
            Some(_) if !has_delta => return Ok(None),
            Some((base, made)) => {
                // What the complete list had already may stand in the difference too; what was recorded while it was being made
                // must.
                let from = made.plus_seconds(-DELTA_OVERLAP_SECONDS);
                entries.retain(|entry| entry.revocation.at >= from);
                Kind::Delta { base }
            }
        };
        // Whole seconds stand in the list; the number must grow with each list, also within one second.
        let scope = Scope::Users(uris.crl(place).map_err(|e| bug(e.to_string()))?);
        let this_update = Timestamp::from_seconds(now.as_seconds() - BACKDATE_SECONDS);
        let contents = Contents {
            number: u64::try_from(now.as_micros()).unwrap_or_default(),
            scope: &scope,
            kind: &kind,
            this_update,
            next_update: this_update.plus_seconds(match kind {
                Kind::Complete { .. } => LIST_SECONDS,
                Kind::Delta { .. } => DELTA_SECONDS,
            }),
            entries: &entries,
        };
        let prepared = crl::prepare(ca.issuer()?, &contents).map_err(|e| bug(e.to_string()))?;
        prepared
            .sign(self.authority.keys.as_ref())
            .map(Some)
            .map_err(|e| ControlError::Unavailable(format!("the signing key of `{}`: {e}", ca.name)))
    }

    /// The list of a root: authorities below it that were revoked. One list, for there are few.
    fn root_list(
        &self,
        root: &Certificate,
        place: &Place,
        now: Timestamp,
    ) -> Result<Option<SignedCrl>, ControlError> {
        if place.shards().count() != 1 {
            return Ok(None);
        }
        let (name, at, entries) = {
            let world = self.world();
            let known = world.authorities.iter().find(|a| a.certificate == root.der().as_ref());
            let Some(known) = known else { return Ok(None) };
            (known.name.clone(), known.keys, revoked_below(&world, root))
        };
        let away =
            |e: String| ControlError::Unavailable(format!("the list of root `{name}` needs its key: {e}"));
        let keys = self.authority.keys.as_ref();
        let label: KeyLabel = name.parse().map_err(|e| ControlError::malformed("authority", e))?;
        keys.place(&label, at);
        let store = keys.ready(at).and_then(|()| keys.of(at)).map_err(|e| away(e.to_string()))?;
        let issuer = Issuer::new(root.clone(), label, store).map_err(|e| away(e.to_string()))?;
        let this_update = Timestamp::from_seconds(now.as_seconds() - BACKDATE_SECONDS);
        let contents = Contents {
            number: u64::try_from(now.as_micros()).unwrap_or_default(),
            scope: &Scope::All,
            kind: &Kind::Complete { freshest: None },
            this_update,
            next_update: this_update.plus_seconds(LIST_SECONDS),
            entries: &entries,
        };
        let bug = |e: String| ControlError::Bug(format!("the revocation list of root `{name}`: {e}"));
        let prepared = crl::prepare(&issuer, &contents).map_err(|e| bug(e.to_string()))?;
        prepared.sign(keys).map(Some).map_err(|e| away(e.to_string()))
    }

    /// What is known of a serial number of the authority with this subject name (DER).
    pub fn standing_of(&self, issuer_der: &[u8], serial: &Serial) -> Standing {
        let world = self.world();
        let Some(index) = world.inventory.issuer(issuer_der) else { return Standing::NeverIssued };
        match world.inventory.status(index, serial) {
            Status::Good(_) => Standing::Good,
            Status::Revoked(revoked) => Standing::Revoked(said(&revoked)),
            Status::Unknown => Standing::NeverIssued,
        }
    }

    /// Names of the authorities that have a responder: also those that issue nothing yet, so that it is there before it is
    /// asked.
    pub fn answerable(&self) -> Vec<String> {
        self.authority.issuers().issuing().iter().map(|i| i.name.clone()).collect()
    }

    /// The responder that an authority had before a restart, while its certificate is good: relying parties go on being
    /// answered although the authority's own key is away.
    pub fn kept_responder(&self, authority: &str, now: Timestamp) -> Option<Responder> {
        let recorded = self.world().responders.get(authority).cloned()?;
        let certificate = Certificate::parse(&recorded).ok().filter(|c| now < c.not_after())?;
        let issuers = self.authority.issuers();
        let ca = issuers.issuing().iter().find(|i| i.name == authority)?;
        let label = responder_label(authority).ok()?;
        let keys = self.authority.keys.as_ref();
        Responder::new(certificate, ca.certificate(), label, keys, Policy::DEFAULT).ok()
    }

    /// A responder for an authority, with a certificate of its own: intent, signature, record (I3).
    pub async fn certify_responder(
        &self,
        authority: &str,
        now: Timestamp,
    ) -> Result<Responder, ControlError> {
        let issuers = self.authority.issuers();
        let ca = issuers
            .issuing()
            .iter()
            .find(|i| i.name == authority)
            .ok_or_else(|| ControlError::NotFound { what: "authority", id: authority.to_owned() })?;
        let keys = self.authority.keys.as_ref();
        let label =
            self.own_key(responder_label(authority)?, |keys, label| keys.generate(label, KeyKind::P256))?;
        let serial = Serial::from_random(random()?);
        let naming = &self.authority.installation.naming;
        let prepared = prepare_responder(naming, &label, ca.issuer()?, serial, keys, now)
            .map_err(|e| ControlError::refused("certificate_not_prepared", e.to_string()))?;
        let profile = ProfileName::OcspResponder.as_str();
        let certificate = self
            .certify_own(profile, prepared, now, |made| Event::ResponderCertified {
                issuance: made.issuance,
                authority: authority.to_owned(),
                serial: made.serial,
                certificate: made.certificate,
                certificate_sha256: made.certificate_sha256,
                not_after: made.not_after,
            })
            .await?;
        Responder::new(certificate, ca.certificate(), label, keys, Policy::DEFAULT)
            .map_err(|e| ControlError::Bug(format!("the responder of `{authority}`: {e}")))
    }

    /// Signs with the authority's key store; for responders.
    pub fn keys(&self) -> &dyn lanyard_pki::key::KeyBackend {
        self.authority.keys.as_ref()
    }
}

/// Slugs end at 63 characters, labels at 64.
fn responder_label(authority: &str) -> Result<KeyLabel, ControlError> {
    let label: String = format!("ocsp-{authority}").chars().take(64).collect();
    label.parse().map_err(|e| ControlError::malformed("authority", e))
}

/// What stands in the list at this place.
fn revoked_at(world: &World, ca: &Certificate, place: &Place) -> Vec<crl::Entry> {
    let index = world.inventory.issuer(ca.subject_der());
    let of_it = index.map(|index| world.inventory.revoked_by(index));
    let entry =
        |(serial, revoked): (&Serial, &Revoked)| crl::Entry { serial: *serial, revocation: said(revoked) };
    of_it.into_iter().flatten().filter(|(serial, _)| place.holds(serial)).map(entry).collect()
}

/// Authorities by this root whose compromise has come to its end.
fn revoked_below(world: &World, root: &Certificate) -> Vec<crl::Entry> {
    let mut entries: Vec<crl::Entry> = world
        .compromises
        .iter()
        .filter_map(|compromise| {
            let at = compromise.ended?;
            let known = world.authorities.iter().find(|a| a.name == compromise.name)?;
            let certificate = Certificate::parse(&known.certificate).ok()?;
            (certificate.issuer_der() == root.subject_der()).then(|| crl::Entry {
                serial: certificate.serial(),
                revocation: Revocation { at, reason: Reason::CaCompromise },
            })
        })
        .collect();
    entries.sort_unstable_by_key(|entry| entry.serial);
    entries
}

fn said(revoked: &Revoked) -> Revocation {
    Revocation { at: revoked.at, reason: reason(revoked.reason) }
}

const fn reason(reason: RevocationReason) -> Reason {
    match reason {
        RevocationReason::Compromised | RevocationReason::Lost | RevocationReason::Stolen => {
            Reason::KeyCompromise
        }
        RevocationReason::IssuerCompromised => Reason::CaCompromise,
        RevocationReason::Transferred => Reason::AffiliationChanged,
        RevocationReason::Superseded => Reason::Superseded,
        RevocationReason::Retired | RevocationReason::Recalled | RevocationReason::GivenUp => {
            Reason::CessationOfOperation
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5280 5.3.1: the event's reason and the list's have one number.
    #[test]
    fn reasons_of_events_and_of_lists_have_one_number() {
        for known in RevocationReason::ALL {
            assert_eq!(reason(known).code(), known.crl_reason(), "{known}");
        }
    }
}
