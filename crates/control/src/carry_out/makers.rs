//! Take a maker's list of revoked certificates.

use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::event::Event;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_pki::serial::Serial;

use super::{Accepted, Done, SKEW_SECONDS};
use crate::digest::sha256;
use crate::journal::Journal;
use crate::makers::list::{Contents, Form, verify};
use crate::makers::{MOST_LISTS, MakerList};
use crate::plane::{Control, ControlError};
use crate::world::World;

/// Devices that are cut off before the answer; the worker goes on with the others, within two seconds.
const BEFORE_THE_ANSWER: usize = 1_024;

impl<J: Journal> Control<J> {
    pub(super) async fn take_maker_list(
        &self,
        accepted: Accepted,
        (authority, issuers): (Digest, Vec<Blob>),
        list: Vec<u8>,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let known = self.world().endorsements.iter().find(|e| e.sha256 == authority).cloned();
        let known = known.ok_or_else(|| ControlError::NotFound {
            what: "endorsement authority",
            id: authority.to_string(),
        })?;
        let above: Vec<&[u8]> = issuers.iter().map(|c| c.0.as_slice()).collect();
        let contents =
            verify(&list, &above, &known.certificate).map_err(|e| ControlError::malformed("list", e))?;
        if contents.form == Form::Status && !known.accepts(EndorsementUse::AndroidKey) {
            return Err(ControlError::refused(
                "wrong_use",
                "a status list names attestation keys of Android, and this authority is not accepted for `android-key`",
            ));
        }
        // Who hands in a list that says no time of its own says that it is the maker's today.
        let this_update = contents.this_update.unwrap_or(accepted.statement.at);
        if this_update.seconds_since(now) > SKEW_SECONDS {
            return Err(ControlError::malformed(
                "list",
                format!("it is of {this_update}, which is still to come ({now}): check the clocks"),
            ));
        }
        if contents.next_update.is_some_and(|next| next < this_update) {
            return Err(ControlError::malformed("list", "its nextUpdate is before its thisUpdate"));
        }
        let list_sha256 = sha256(&list);
        let event = Event::MakerListTaken {
            authority_sha256: authority,
            issuers,
            list_sha256,
            number: contents.number.map(|n| n.to_string()),
            this_update,
            next_update: contents.next_update,
            statement: accepted.signed.clone(),
        };
        let before = self.world().maker_lists.get(&contents.key()).cloned();
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                may_take(world, &contents, this_update, list_sha256)?;
                Ok(event.clone())
            })
            .await?;
        let devices = self.newly_listed();
        let found = devices.len();
        let some = devices.into_iter().take(BEFORE_THE_ANSWER).collect();
        let failed = self.draw_from_lists(some, now).await;
        let left = failed + found.saturating_sub(BEFORE_THE_ANSWER);
        Ok(Done::new(appended, outcome(&contents, before.as_ref(), (found, left), now)))
    }
}

/// A list never goes back.
fn may_take(
    world: &World,
    contents: &Contents,
    this_update: Timestamp,
    list_sha256: Digest,
) -> Result<(), ControlError> {
    let Some(old) = world.maker_lists.get(&contents.key()) else {
        if world.maker_lists.len() >= MOST_LISTS {
            return Err(ControlError::refused(
                "too_many_lists",
                format!(
                    "{MOST_LISTS} lists are kept already; this one is of another issuer or part than each of them"
                ),
            ));
        }
        return Ok(());
    };
    if old.sha256 == list_sha256 && contents.this_update.is_some() {
        return Err(ControlError::refused("list_known", format!("the {} was taken already", old.name())));
    }
    let back = match (old.number, contents.number) {
        (Some(old), Some(new)) => new <= old,
        // Who has numbered its lists does not stop.
        (Some(_), None) => true,
        (None, _) => false,
    };
    if back || this_update < old.this_update {
        return Err(ControlError::refused(
            "list_older",
            format!(
                "it is not newer than the {}, which was taken already: a list's number and time never go back (RFC 5280 5.2.3); \
                 fetch the newest one",
                old.name()
            ),
        ));
    }
    Ok(())
}

fn outcome(
    contents: &Contents,
    before: Option<&MakerList>,
    (found, left): (usize, usize),
    now: Timestamp,
) -> String {
    let entries = contents.entries.len();
    let new = |serial: &&Serial| !before.is_some_and(|old| old.entries.contains_key(*serial));
    let new = contents.entries.keys().filter(new).count();
    let gone = before.map_or(0, |old| (old.entries.len() + new).saturating_sub(entries));
    let mut text = format!(
        "`{}` has {entries} revoked certificates, {new} new and {gone} no longer listed; ",
        contents.issuer_name
    );
    text.push_str(&match found {
        0 => "no enrolled device is newly named".to_owned(),
        _ => format!(
            "{found} enrolled devices are newly named: what follows for each stands on its chain, with an alarm"
        ),
    });
    if left > 0 {
        text.push_str(&format!(" ({left} of them within seconds: `lanyard endorsement list` counts them)"));
    }
    match contents.next_update {
        Some(next) if next < now => {
            text.push_str(&format!("; it is out of date since {next}: devices of tier critical and high are refused until a newer one is taken"));
        }
        Some(next) => text.push_str(&format!("; take the next one by {next}")),
        None => text.push_str("; it does not say when the next one comes: it counts for 30 days"),
    }
    text
}
