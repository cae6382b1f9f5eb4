//! What is answered to rr and genm.

use lanyard_control::authority::Issuers;
use lanyard_control::certify::{GivenUp, outcome};
use lanyard_domain::event::RevocationReason;
use lanyard_enroll::Outcome;
use lanyard_enroll::cmp::server::{RevocationOutcome, RevocationRequest};
use lanyard_enroll::cmp::{Answers, Question, RootUpdate};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::spki::PublicKeyKind;

use crate::state::State;

/// A device gives a certificate of its own up.
pub(super) async fn revoke(state: &State, request: &RevocationRequest) -> RevocationOutcome {
    let Some(reason) = RevocationReason::by_holder(request.reason as u8) else {
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

/// What a client may know before it asks for a certificate. CRLs are not among it: none are made yet.
pub(super) fn inform(issuers: &Issuers, questions: &[Question]) -> Answers {
    let authorities = issuers.issuing().iter().map(|i| i.issuer.certificate()).chain(issuers.roots());
    Answers {
        ca_certificates: authorities.map(|c| c.der().to_vec()).collect(),
        root_update: questions.iter().find_map(|question| match question {
            Question::RootUpdate(known) => root_after(issuers.roots(), known.as_deref()),
            _ => None,
        }),
        // RSA from 2048 bits on is certified; who has to choose is told the size that lasts beyond 2030 (NIST SP 800-57).
        key_kinds: vec![
            PublicKeyKind::P256,
            PublicKeyKind::P384,
            PublicKeyKind::Ed25519,
            PublicKeyKind::Rsa(3072),
        ],
        crls: Vec::new(),
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
