//! The last look at the authority that signed, before its certificate is recorded and given out: one that was compromised or
//! retired since the intent has nothing more to say.
//!
//! In scope: the look, and that it still holds when the log takes the certificate. Out of scope: which authority issues
//! (`crate::authority`), what a compromise does with older certificates (`crate::compromise`).

use lanyard_domain::authority::AuthorityState;
use lanyard_domain::id::StreamId;
use lanyard_pki::key::KeyLabel;

use crate::journal::Entry;
use crate::plane::ControlError;
use crate::world::World;

const ENDED: &str = "authority_ended";

/// Lets `entry`, which records what `issuer` signed, pass while that authority issues. Decisions about authorities are events of
/// the system stream: one in between is a conflict, and this is asked again.
pub(crate) fn while_it_issues(
    world: &World,
    issuer: &KeyLabel,
    entry: &mut Entry,
) -> Result<(), ControlError> {
    let known = world.authorities.iter().find(|a| a.name == issuer.as_str());
    let state = known.map(|known| world.authority_state(known));
    match state {
        Some(AuthorityState::Created | AuthorityState::Active | AuthorityState::Draining) => {
            if entry.stream != StreamId::SYSTEM {
                entry.steady.push((StreamId::SYSTEM, world.system_seq));
            }
            Ok(())
        }
        _ => Err(ControlError::refused(
            ENDED,
            format!(
                "authority `{issuer}` was compromised or retired while it signed this certificate; nobody gets it, ask again"
            ),
        )),
    }
}

/// What became of recording a signed certificate. A refusal is final (its holder was retired or removed meanwhile, its authority ended):
/// nobody has seen the certificate, and the intent is given up by `give_up`, which hears why. Anything else is left to recovery: the log
/// may have it. That an authority has ended is nothing that the asker did: another issues by now, and the answer is "later".
pub(crate) async fn or_given_up<T>(
    recorded: Result<T, ControlError>,
    give_up: impl AsyncFnOnce(&str),
) -> Result<T, ControlError> {
    match recorded {
        Err(ControlError::Refused(refused)) => {
            give_up(&refused.text).await;
            match refused.code == ENDED {
                true => Err(ControlError::Unavailable(refused.text)),
                false => Err(refused.into()),
            }
        }
        other => other,
    }
}
