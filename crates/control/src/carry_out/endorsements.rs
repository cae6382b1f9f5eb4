//! Accept a maker's endorsement authority.

use lanyard_domain::endorsement::{EndorsementUse, accepted_for};
use lanyard_domain::event::Event;
use lanyard_domain::text::{Blob, check_text};
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::digest::sha256;
use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError};

impl<J: Journal> Control<J> {
    pub(super) async fn add_endorsement(
        &self,
        accepted: Accepted,
        certificate: Vec<u8>,
        (grade, uses): (Option<String>, Vec<EndorsementUse>),
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        if let Some(grade) = &grade {
            check_text("grade", grade, 64).map_err(|e| ControlError::malformed("grade", e))?;
        }
        crate::authority::check_anchor(&certificate)?;
        // One spelling for one decision.
        if uses.windows(2).any(|two| matches!(two, [a, b] if a >= b)) {
            return Err(ControlError::malformed(
                "uses",
                format!(
                    "must be sorted, each once: {}",
                    EndorsementUse::ALL.map(EndorsementUse::as_str).join(", ")
                ),
            ));
        }
        let digest = sha256(&certificate);
        let (appended, ()) = self
            .record(now, |world| {
                if world.endorsements.iter().any(|e| e.sha256 == digest) {
                    return Err(ControlError::refused(
                        "endorsement_exists",
                        "this authority is accepted already",
                    ));
                }
                let event = Event::EndorsementAdded {
                    certificate: Blob(certificate.clone()),
                    certificate_sha256: digest,
                    grade: grade.clone(),
                    uses: uses.clone(),
                    statement: accepted.signed.clone(),
                };
                let mut entry = Entry::system(world, accepted.by.id, vec![event]);
                entry.once = accepted.once();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(
            appended,
            format!("accepted for {}: what chains to {digest} can now enroll", words(&uses)),
        ))
    }
}

fn words(uses: &[EndorsementUse]) -> String {
    let accepted = EndorsementUse::ALL.into_iter().filter(|one| accepted_for(uses, *one));
    accepted.map(EndorsementUse::as_str).collect::<Vec<_>>().join(", ")
}
