//! What is answered to rr and genm.

use lanyard_control::certify::{GivenUp, outcome};
use lanyard_control::plane::ControlError;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::Outcome;
use lanyard_enroll::cmp::server::{Inform, RevocationOutcome, RevocationRequest};
use lanyard_enroll::cmp::{Answers, Question, RootUpdate};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::profile::KeyType;
use lanyard_pki::spki::PublicKeyKind;

use crate::state::State;

/// A device gives a certificate of its own up.
pub(super) async fn revoke(state: &State, request: &RevocationRequest) -> RevocationOutcome {
    let Some(reason) = RevocationReason::by_holder(request.reason.code()) else {
        return RevocationOutcome::Refused {
            code: "reason_not_a_holders".to_owned(),
            why:
                "a holder does not say that an authority is compromised, and nothing is revoked for a while: \
                  give reason 0, 1, 3, 4, 5 or 9 (RFC 5280 5.3.1)"
                    .to_owned(),
        };
    };
    let named = &request.certificate;
    let (control, now) = (&state.control, state.clock.now());
    match control.revoke_own(&request.authentication, &named.issuer, named.serial, reason, now).await {
        Ok(GivenUp::Revoked) => {
            tracing::info!(cert.serial = %named.serial, %reason, protocol = "cmp", "a device gave a certificate up");
            RevocationOutcome::Revoked
        }
        Ok(GivenUp::AlreadyRevoked) => RevocationOutcome::AlreadyRevoked,
        Ok(GivenUp::Unknown) => RevocationOutcome::Unknown,
        Err(error) => {
            tracing::info!(cert.serial = %named.serial, %error, protocol = "cmp", "a revocation was refused");
            match outcome(Err(error)) {
                Outcome::Refused { code, why } => RevocationOutcome::Refused { code, why },
                Outcome::Unavailable { why } | Outcome::Pending { why, .. } => {
                    RevocationOutcome::Unavailable { why }
                }
                Outcome::Issued { .. } => RevocationOutcome::Unavailable { why: "internal fault".to_owned() },
            }
        }
    }
}

/// What a device may know before it asks for a certificate: authorities, and what its profile wants. Lists of what is revoked
/// are not told here: their addresses stand in the certificates.
pub(super) async fn inform(state: &State, inform: &Inform, now: Timestamp) -> Result<Answers, ControlError> {
    let device = state.control.device_of(&inform.authentication, now).await?;
    let issuers = state.control.authority.issuers();
    let key_kinds = {
        let world = state.control.world();
        let known = world.devices.get(&device);
        let profile = known
            .map(|device| issuers.profiles().for_device(device, inform.profile.as_deref()))
            .transpose()?;
        profile.map(|p| p.csr_expectation().key_types).unwrap_or_default()
    };
    let authorities = issuers.trusted().into_iter();
    Ok(Answers {
        ca_certificates: authorities.map(|c| c.der().to_vec()).collect(),
        root_update: inform.questions.iter().find_map(|question| match question {
            Question::RootUpdate(known) => root_after(issuers.roots(), known.as_deref()),
            _ => None,
        }),
        key_kinds: key_kinds.into_iter().filter_map(kind).collect(),
        crls: Vec::new(),
    })
}

/// ML-DSA has no kind here yet: no message can be signed with it.
fn kind(key: KeyType) -> Option<PublicKeyKind> {
    match key {
        KeyType::P256 => Some(PublicKeyKind::P256),
        KeyType::P384 => Some(PublicKeyKind::P384),
        KeyType::Ed25519 => Some(PublicKeyKind::Ed25519),
        // More bits are taken, fewer are not; who has to choose is told the size that lasts beyond 2030 (NIST SP 800-57).
        KeyType::Rsa2048 => Some(PublicKeyKind::Rsa(3072)),
        KeyType::MlDsa65 => None,
    }
}

/// The newest root, for a client that has another of ours (RFC 9483 4.3.2). Certificates from root to root are not made:
/// what vouches for it is the signature over this answer, whose chain leads to the root that the client has.
fn root_after(roots: &[Certificate], known: Option<&[u8]>) -> Option<RootUpdate> {
    let newest = roots.last()?;
    let older = roots.iter().find(|root| known.is_none_or(|known| root.der().as_ref() == known))?;
    (older != newest).then(|| RootUpdate {
        new_with_new: newest.der().to_vec(),
        new_with_old: None,
        old_with_new: None,
    })
}
