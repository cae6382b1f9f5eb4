//! Our authorities: where each is in its life.

use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};

use super::{KnownAuthority, World};

impl World {
    /// The first start's authorities come without a plan: a root, and an issuing one that is active at once.
    pub(super) fn authority_created(&mut self, name: &str, certificate: &[u8], keys: KeyStore, pos: u64) {
        if let Some(planned) = self.authorities.iter_mut().find(|a| a.name == name) {
            planned.certificate = certificate.to_vec();
            return;
        }
        let root = name.starts_with("root");
        self.authorities.push(KnownAuthority {
            name: name.to_owned(),
            certificate: certificate.to_vec(),
            purpose: if root { AuthorityPurpose::Root } else { AuthorityPurpose::Devices },
            site: None,
            activated: (!root).then_some(pos),
            retired: false,
            planner: None,
            keys,
            under: None,
            above: Vec::new(),
        });
    }

    /// Where an authority is in its life: of those for one purpose and site, the one activated last issues.
    pub fn authority_state(&self, of: &KnownAuthority) -> AuthorityState {
        if of.retired {
            return AuthorityState::Retired;
        }
        if let Some(compromise) = self.compromise_of(&of.name) {
            return match compromise.ended {
                Some(_) => AuthorityState::Revoked,
                None => AuthorityState::Compromised,
            };
        }
        if of.certificate.is_empty() {
            return AuthorityState::Planned;
        }
        if of.purpose == AuthorityPurpose::Root {
            // Those of the first start were never ordered, and sign from the beginning.
            return match (of.planner, of.activated) {
                (Some(_), None) => AuthorityState::Created,
                _ => AuthorityState::Active,
            };
        }
        let Some(activated) = of.activated else { return AuthorityState::Created };
        let overtaken = self.authorities.iter().any(|other| {
            (other.purpose, &other.site) == (of.purpose, &of.site)
                && !other.retired
                && self.compromise_of(&other.name).is_none()
                && other.activated.is_some_and(|later| later > activated)
        });
        if overtaken { AuthorityState::Draining } else { AuthorityState::Active }
    }
}
