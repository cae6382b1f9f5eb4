//! Servers whose certificates are to be watched: on the list, off the list.

use lanyard_domain::event::Event;
use lanyard_domain::time::Timestamp;
use lanyard_domain::watched::{MOST_WATCHED, WatchRecord};

use super::{Accepted, Done};
use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError};

impl<J: Journal> Control<J> {
    /// Puts a server on the list, or gives one that is on it another owner, site or purpose.
    pub(super) async fn watch_server(
        &self,
        accepted: Accepted,
        record: WatchRecord,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        record.check().map_err(|e| ControlError::malformed("record", e))?;
        let (appended, known) = self
            .record(now, |world| {
                let known = world.watched.contains_key(&record.address);
                if !known && world.watched.len() >= MOST_WATCHED {
                    return Err(ControlError::refused(
                        "too_many_watched",
                        format!(
                            "{MOST_WATCHED} servers are watched already; take those off the list that are gone: `lanyard \
                             watch list`"
                        ),
                    ));
                }
                let event =
                    Event::ServerWatched { record: record.clone(), statement: accepted.signed.clone() };
                Ok((vec![Entry { once: accepted.once(), ..Entry::system(world, accepted.by.id, vec![event]) }], known))
            })
            .await?;
        let what = if known { "watched as before, for" } else { "watched from now on, for" };
        Ok(Done::new(
            appended,
            format!(
                "{} is {what} {}; `lanyard watch list` says within seconds what it shows, or why nobody can look at it",
                record.address, record.owner
            ),
        ))
    }

    /// Takes a server off the list.
    pub(super) async fn unwatch_server(
        &self,
        accepted: Accepted,
        address: String,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let (appended, ()) = self
            .record(now, |world| {
                if !world.watched.contains_key(&address) {
                    return Err(ControlError::NotFound { what: "watched server", id: address.clone() });
                }
                let statement = accepted.signed.clone();
                let event = Event::ServerUnwatched { address: address.clone(), statement };
                Ok((
                    vec![Entry {
                        once: accepted.once(),
                        ..Entry::system(world, accepted.by.id, vec![event])
                    }],
                    (),
                ))
            })
            .await?;
        Ok(Done::new(appended, format!("{address} is no longer watched")))
    }
}
