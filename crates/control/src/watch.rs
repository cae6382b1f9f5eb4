//! Servers whose certificates are watched: what was seen of them becomes events, and alarms for their present owners.
//!
//! In scope: recording. Out of scope: connections (the server's worker), the rules (`domain::watched`).

use lanyard_domain::event::Event;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::watched::{SeenCertificate, WatchAlarm, Watched};

use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError};
use crate::upkeep::ITSELF;

impl<J: Journal> Control<J> {
    /// Records what a watched server shows, when it is another certificate than before, and what its owner is told.
    /// Returns what was told.
    pub async fn saw_server(
        &self,
        address: &str,
        seen: &SeenCertificate,
        now: Timestamp,
    ) -> Result<Vec<WatchAlarm>, ControlError> {
        self.record_watch(address, Some(seen), now).await
    }

    /// What time alone makes due: a server that cannot be reached has a certificate that ends all the same.
    pub async fn told_by_time(&self, address: &str, now: Timestamp) -> Result<Vec<WatchAlarm>, ControlError> {
        self.record_watch(address, None, now).await
    }

    async fn record_watch(
        &self,
        address: &str,
        seen: Option<&SeenCertificate>,
        now: Timestamp,
    ) -> Result<Vec<WatchAlarm>, ControlError> {
        let (_, told) = self
            .record(now, |world| {
                // It may have been taken off the list while it was looked at.
                let Some(watched) = world.watched.get(address) else { return Ok((Vec::new(), Vec::new())) };
                let events = events(watched, seen, now);
                let told = events.iter().filter_map(|event| match event {
                    Event::WatchAlarmRaised { alarm, .. } => Some(*alarm),
                    _ => None,
                });
                let told = told.collect();
                Ok((vec![Entry::system(world, ITSELF, events)], told))
            })
            .await?;
        Ok(told)
    }
}

fn events(watched: &Watched, seen: Option<&SeenCertificate>, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    let mut after = watched.clone();
    let address = &watched.record.address;
    let owner = &watched.record.owner;
    if let Some(seen) = seen
        && watched.seen.as_ref().map(|s| s.sha256) != Some(seen.sha256)
    {
        events.push(Event::ServerSeen { address: address.clone(), certificate: seen.clone() });
        if watched.is_unexpected(seen, now) {
            let detail = format!(
                "{address} shows another certificate than before, by `{}`, until {}; owner: {owner}",
                seen.issuer, seen.not_after
            );
            events.push(alarm(address, WatchAlarm::Changed, seen.sha256, detail));
        }
        after.seen = Some(seen.clone());
        after.told.clear();
    }
    if let (Some(due), Some(certificate)) = (after.due(now), &after.seen) {
        let what = match due {
            WatchAlarm::Ended => "ended at",
            WatchAlarm::Ending | WatchAlarm::Changed => "has not been renewed and ends at",
        };
        let detail = format!(
            "the certificate of {address} {what} {}: {}; owner: {owner}",
            certificate.not_after, watched.record.purpose
        );
        events.push(alarm(address, due, certificate.sha256, detail));
    }
    events
}

fn alarm(address: &str, alarm: WatchAlarm, certificate_sha256: Digest, detail: String) -> Event {
    Event::WatchAlarmRaised { address: address.to_owned(), alarm, certificate_sha256, detail }
}
