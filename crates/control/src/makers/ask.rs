//! Comparing what hardware shows for itself with its maker's lists.

use lanyard_domain::device::Command;
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::event::AlarmCode;
use lanyard_domain::id::DeviceId;
use lanyard_domain::maker::MakerCertificate;
use lanyard_domain::text::Digest;
use lanyard_domain::tier::Tier;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::serial::Serial;

use super::list::{Form, issuer_sha256};
use super::{Hit, MakerList};
use crate::digest::sha256;
use crate::journal::Journal;
use crate::plane::{Control, ControlError, Refused};
use crate::world::{Endorsement, World};

/// Leaf, three authorities, and one to spare.
const LONGEST: usize = 5;

/// By which a certificate of a maker is found again: its issuer and serial number.
pub(super) fn certificate_key(issuer: &Digest, serial: &Serial) -> [u8; 16] {
    let digest = sha256(&[issuer.0.as_slice(), serial.to_string().as_bytes()].concat());
    digest.0.first_chunk().copied().unwrap_or_default()
}

/// The certificates of a maker by which hardware spoke for a device, its own first. Their path to the authority was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The accepted authority at its end.
    pub endorsement: Digest,
    /// What lists can name; empty when the device's own certificate cannot be compared.
    pub certificates: Vec<MakerCertificate>,
}

impl Shown {
    /// From what was shown, the device's own certificate first, and the authority that its path ended at. What does not belong to
    /// the path is left out: nobody's certificate stands or falls with one that somebody put beside it.
    pub(crate) fn of<'a>(chain: impl IntoIterator<Item = &'a [u8]>, anchor: &Endorsement) -> Self {
        let mut certificates = Vec::new();
        let mut chain = chain.into_iter();
        let leaf = chain.next().and_then(|der| Certificate::parse(der).ok());
        if let (Some(leaf), Ok(anchor)) = (leaf, Certificate::parse(&anchor.certificate)) {
            let others = chain.filter_map(|der| Certificate::parse(der).ok());
            let others: Vec<Certificate> = others.chain([anchor.clone()]).collect();
            let mut current = leaf;
            while current != anchor && certificates.len() < LONGEST {
                let by_name = |c: &&Certificate| c.subject_der() == current.issuer_der() && **c != current;
                // By its signature; an issuer with a key of a kind that is read elsewhere is found by its name.
                let signed = others.iter().filter(by_name).find(|c| current.is_signed_by(c));
                let Some(issuer) = signed.or_else(|| others.iter().find(by_name)) else { break };
                certificates.push(MakerCertificate {
                    issuer_sha256: issuer_sha256(issuer),
                    serial: current.serial().to_string(),
                });
                current = issuer.clone();
            }
        }
        Self { endorsement: anchor.sha256, certificates }
    }
}

/// What the lists say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The lists that speak of these certificates, by their SHA-256.
    pub(crate) lists: Vec<Digest>,
    /// The first that names one.
    pub(crate) hit: Option<Hit>,
    /// The first that is out of date, and since when.
    pub(crate) stale: Option<(String, Timestamp)>,
}

impl World {
    /// Whether certificates below this authority stand on status lists, which know no issuers.
    pub(crate) fn has_status_lists(&self, authority: &Digest) -> bool {
        let authority = self.endorsements.iter().find(|e| e.sha256 == *authority);
        authority.is_some_and(|e| e.accepts(EndorsementUse::AndroidKey))
    }

    pub(crate) fn ask_makers(&self, shown: &Shown, now: Timestamp) -> Answer {
        let mut answer = Answer { lists: Vec::new(), hit: None, stale: None };
        for list in self.maker_lists.values() {
            let speaks = |c: &&MakerCertificate| match list.form {
                Form::Crl => c.issuer_sha256 == list.issuer,
                Form::Status => list.authority == shown.endorsement,
            };
            let mut asked = shown.certificates.iter().filter(speaks).peekable();
            if asked.peek().is_none() {
                continue;
            }
            answer.lists.push(list.sha256);
            if list.is_stale(now) && answer.stale.is_none() {
                answer.stale = Some((list.name(), list.until()));
            }
            if answer.hit.is_none() {
                answer.hit = asked.filter_map(|c| c.serial.parse().ok()).find_map(|serial| list.hit(serial));
            }
        }
        answer
    }

    /// Refuses what a list names, and, for a tier that may not go on without knowing, what an outdated one does not name.
    pub(crate) fn believes_maker(&self, shown: &Shown, tier: Tier, now: Timestamp) -> Result<(), Refused> {
        let answer = self.ask_makers(shown, now);
        if let Some(hit) = answer.hit {
            return Err(refused(&hit));
        }
        if shown.certificates.is_empty()
            && self.maker_lists.values().any(|l| l.authority == shown.endorsement)
        {
            return Err(Refused::new(
                "maker_certificate_unreadable",
                "the maker's certificate of this hardware cannot be compared with the maker's list of revoked ones, which is \
                 kept here: its serial number or form is not that of RFC 5280",
            ));
        }
        match answer.stale {
            Some((list, until)) if must_know(tier) => Err(Refused::new(
                "maker_list_stale",
                format!(
                    "whether its maker revoked this hardware's certificate is not known: the {list} was current until {until}, \
                     and a device of tier `{tier}` does not enroll on an old one; take the maker's newest list with \
                     `lanyard endorsement revocations`, then ask again"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// What to record when hardware speaks for a device: its certificates, when they were not known, and which lists were asked.
    pub(crate) fn show_makers(
        &self,
        device: DeviceId,
        shown: &Shown,
        now: Timestamp,
    ) -> Option<Command<'static>> {
        let lists = self.ask_makers(shown, now).lists;
        let known = |c: &MakerCertificate| {
            let key = c.serial.parse().map(|serial| certificate_key(&c.issuer_sha256, &serial));
            key.is_ok_and(|key| self.maker_certificates.contains(&(key, device)))
        };
        if shown.certificates.is_empty() || (lists.is_empty() && shown.certificates.iter().all(known)) {
            return None;
        }
        Some(Command::ShowMakerCertificates {
            endorsement_sha256: shown.endorsement,
            certificates: shown.certificates.clone(),
            lists,
        })
    }
}

impl MakerList {
    pub(super) fn hit(&self, serial: Serial) -> Option<Hit> {
        let listed = *self.entries.get(&serial)?;
        Some(Hit { list: self.name(), list_sha256: self.sha256, issuer: self.issuer, serial, listed })
    }
}

/// For these tiers a maker's silence is not enough: harm comes before anybody looks (docs/adr/0014).
fn must_know(tier: Tier) -> bool {
    matches!(tier, Tier::Critical | Tier::High)
}

fn refused(hit: &Hit) -> Refused {
    let since = hit.listed.at.map(|at| format!(" as of {at}")).unwrap_or_default();
    Refused::new(
        "maker_revoked",
        format!(
            "the {} names this hardware's certificate {} as revoked{since} ({}): its maker does not vouch for it any more. Ask the \
             maker, and replace the hardware; when the maker takes it back, take its newer list with \
             `lanyard endorsement revocations`",
            hit.list, hit.serial, hit.listed.reason
        ),
    )
}

impl<J: Journal> Control<J> {
    /// Asks the lists about hardware that speaks for a device, and lets people hear of what is wrong.
    pub(crate) async fn ask_lists(
        &self,
        id: DeviceId,
        shown: &Shown,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let (asked, stale) = {
            let world = self.world();
            let tier = crate::plane::find(&world, id)?.record.tier;
            (world.believes_maker(shown, tier, now), world.ask_makers(shown, now).stale)
        };
        if let Err(refused) = asked {
            let code = match refused.code.as_str() {
                "maker_list_stale" => AlarmCode::MakerListStale,
                _ => AlarmCode::MakerRevoked,
            };
            self.alarm(id, code, &refused, now).await;
            return Err(refused.into());
        }
        if let Some((list, until)) = stale {
            let told = Refused::new(
                "maker_list_stale",
                format!(
                    "it enrolls although the {list} was current until {until} only: take the maker's newest list"
                ),
            );
            self.alarm(id, AlarmCode::MakerListStale, &told, now).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lanyard_pki::authority::{Authority, Generation};
    use lanyard_pki::key::MemoryKeys;
    use lanyard_pki::name::Naming;

    use super::*;

    fn authority(name: &str) -> Authority {
        let generation = |label: &str, n| Generation {
            number: 1,
            label: label.parse().unwrap(),
            serial: Serial::from_random([n; 16]),
        };
        let naming = Naming::new(name, "acme.example").unwrap();
        let (root, issuing) = (generation("root-g1", 1), generation("issuing-g1", 2));
        let now = Timestamp::from_seconds(1_795_305_600);
        Authority::create(&naming, &MemoryKeys::default(), &root, &issuing, now).unwrap()
    }

    // R34, R49
    #[test]
    fn what_is_compared_is_the_path_and_nothing_that_lies_beside_it() {
        let (maker, other) = (authority("Acme Silicon"), authority("Acme Silicon"));
        let (root, issuing) = (maker.root.certificate(), maker.issuing.certificate());
        let anchor = Endorsement {
            certificate: root.der().to_vec(),
            sha256: Digest(root.thumbprint()),
            grade: None,
            uses: Vec::new(),
        };
        let expected = vec![MakerCertificate {
            issuer_sha256: issuer_sha256(root),
            serial: issuing.serial().to_string(),
        }];
        let foreign: &[u8] = other.root.certificate().der();
        let of = |chain: &[&[u8]]| Shown::of(chain.iter().copied(), &anchor).certificates;
        assert_eq!(of(&[issuing.der()]), expected);
        // A root of the same name that did not sign it, what is no certificate, and the anchor itself.
        assert_eq!(of(&[issuing.der(), foreign, b"x", root.der()]), expected);
        // The device's own must be readable: another does not take its place.
        assert_eq!(of(&[b"x", issuing.der()]), vec![]);
        assert_eq!(of(&[]), vec![]);
    }
}
