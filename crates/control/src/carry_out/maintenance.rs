//! A site's maintenance windows: who runs the devices says when their certificates may be replaced (R44).

use lanyard_domain::event::Event;
use lanyard_domain::maintenance::{MOST_WINDOWS, Window};
use lanyard_domain::text::check_slug;
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::journal::Journal;
use crate::plane::{Control, ControlError};

/// Campuses, clinics and ambulances of the largest group that we know of, tenfold.
const MOST_SITES: usize = 10_000;

impl<J: Journal> Control<J> {
    pub(super) async fn set_maintenance(
        &self,
        accepted: Accepted,
        site: String,
        windows: Vec<Window>,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        check_slug("site", &site).map_err(|e| ControlError::malformed("site", e))?;
        if windows.len() > MOST_WINDOWS {
            return Err(ControlError::malformed(
                "windows",
                format!("must list at most {MOST_WINDOWS} windows; found {}", windows.len()),
            ));
        }
        let count = windows.len();
        let event = Event::MaintenanceSet { site: site.clone(), windows, statement: accepted.signed.clone() };
        let appended = self
            .on_system_by(accepted.by.id, accepted.once(), now, |world| {
                if world.maintenance.len() >= MOST_SITES && !world.maintenance.contains_key(&site) {
                    return Err(ControlError::refused(
                        "too_many_sites",
                        format!("{MOST_SITES} sites have windows"),
                    ));
                }
                Ok(event.clone())
            })
            .await?;
        // Windows may come before the first device does; a site that nobody has is more often a typing error.
        let unknown = match self.world().has_site(&site) {
            true => "",
            false => "; no device, application or gateway of this site is known yet: look at its spelling",
        };
        Ok(Done::new(
            appended,
            match count {
                0 => format!(
                    "site `{site}` has no windows: its devices renew at two thirds of a lifetime{unknown}"
                ),
                _ => format!(
                    "certificates of site `{site}` are renewed inside its windows where one comes before their end{unknown}"
                ),
            },
        ))
    }
}
