//! Operators' view of certificates and authorities.

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use lanyard_api::pki::{
    ApplicationLine, AuthorityLine, AuthorityRequest, InventoryLine, LateLine, ProfileLine, RenewalReport,
    RevokedLine, SiteLine,
};
use lanyard_control::authority::{KeyTrouble, thumbprint};
use lanyard_control::digest::sha256;
use lanyard_control::inventory::{Entry, IssuerIndex, ProfileIndex, Row, Status};
use lanyard_control::renewals::Late;
use lanyard_control::world::{Described, KnownAuthority, KnownProfile, World};
use lanyard_domain::application::Application;
use lanyard_domain::authority::AuthorityState;
use lanyard_domain::event::StreamKind;
use lanyard_domain::id::{ApplicationId, DeviceId, StreamId};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::profile::ProfileName;
use lanyard_pki::serial::Serial;
use serde::Deserialize;

use super::peer::OperatorPeer;
use super::problem::Answer;
use crate::state::State;

/// Filters of the inventory; each narrows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryFilter {
    /// Share of the lifetime that is left at most, in per cent.
    expiring_percent: Option<u32>,
    /// Ends before.
    before: Option<Timestamp>,
    site: Option<String>,
    owner: Option<String>,
    profile: Option<String>,
    issuer: Option<String>,
    /// Id of a device or gateway.
    subject: Option<String>,
    /// One certificate.
    serial: Option<String>,
    /// `true`: only revoked ones; `false`: only others.
    revoked: Option<bool>,
    /// At most so many, those that end first; 1,000 without it.
    limit: Option<usize>,
    /// Serial number of the last line that was seen: those after it.
    after: Option<String>,
}

/// `GET /v1/certificates`. A line is made only for what is shown: five million certificates cost one walk over them.
pub async fn certificates(
    Shared(state): Shared<State>,
    _who: OperatorPeer,
    Query(filter): Query<InventoryFilter>,
) -> Result<Json<Vec<InventoryLine>>, Answer> {
    let now = state.clock.now();
    let most = filter.limit.unwrap_or(1_000).min(100_000);
    let world = state.control.world();
    let issuers = issuers(&world);
    let after = filter.after.as_deref().map(|text| After::find(&world, text)).transpose()?;
    let found = match Wanted::new(&world, &issuers, &filter, after, now)? {
        Some(wanted) => wanted.found(&world, most),
        None => Vec::new(),
    };
    // Others' certificates stand on the page of ours that end when they do: pages are counted in ours.
    let last = found.last().filter(|_| found.len() == most).map(|(_, entry)| entry.not_after);
    let others = super::watched::inventory(&world).filter(|line| {
        after.is_none_or(|after| line.not_after > after.end)
            && last.is_none_or(|last| line.not_after <= last)
            && soon((line.not_before, line.not_after), &filter, now)
            && is_wanted(line, &filter)
    });
    let ours = found.iter().map(|(serial, entry)| line(&world, &issuers, serial, entry));
    // Stable: ours are in order already, and the last of those that end together, so a full page ends with one of ours.
    let mut lines: Vec<InventoryLine> = others.chain(ours).collect();
    lines.sort_by_key(|line| line.not_after);
    Ok(Json(lines))
}

/// A filter in the inventory's own terms.
struct Wanted<'a> {
    filter: &'a InventoryFilter,
    now: Timestamp,
    issuer: Option<IssuerIndex>,
    made_by: Option<MadeBy>,
    /// Whose, where the filter says anything about that.
    holders: Option<Vec<bool>>,
    serial: Option<Serial>,
    after: Option<After>,
}

/// The line that a page goes on after.
#[derive(Clone, Copy)]
struct After {
    end: Timestamp,
    /// None where it is somebody else's: ours that end with it come after it.
    serial: Option<Serial>,
}

impl After {
    fn find(world: &World, text: &str) -> Result<Self, Answer> {
        let unknown = |detail: String| Answer::new(StatusCode::BAD_REQUEST, "malformed", detail);
        // Others choose their serial numbers as they like: one that does not read may still be theirs.
        let serial = text.parse::<Serial>();
        if let Some((serial, entry)) = serial.as_ref().ok().and_then(|s| Some((s, world.inventory.entry(s)?)))
        {
            return Ok(Self { end: entry.not_after, serial: Some(*serial) });
        }
        let others = super::watched::inventory(world).filter(|line| line.serial == text);
        if let Some(end) = others.map(|line| line.not_after).max() {
            return Ok(Self { end, serial: None });
        }
        serial.map_err(|e| unknown(format!("after: {e}")))?;
        Err(unknown(format!("after: `{text}` is not in the inventory any more; list from the beginning")))
    }

    fn is_before(self, row: &Row) -> bool {
        match self.serial {
            Some(of_ours) => (row.not_after, row.serial) > (self.end, of_ours),
            None => row.not_after >= self.end,
        }
    }
}

/// What is by no profile that can be chosen has a name that stands in its line alone.
enum MadeBy {
    Profile(ProfileIndex),
    Kind(StreamKind),
}

impl<'a> Wanted<'a> {
    /// `None`: it names what does not exist, so nothing fits.
    fn new(
        world: &World,
        issuers: &[Named],
        filter: &'a InventoryFilter,
        after: Option<After>,
        now: Timestamp,
    ) -> Result<Option<Self>, Answer> {
        let issuer = match &filter.issuer {
            None => None,
            Some(name) => match issuers.iter().find(|i| i.name == *name).and_then(|i| i.index) {
                Some(index) => Some(index),
                None => return Ok(None),
            },
        };
        let made_by = match filter.profile.as_deref() {
            None => None,
            Some("gateway_server") => Some(MadeBy::Kind(StreamKind::Gateway)),
            Some(name) => match world.inventory.profile(name) {
                Some(index) => Some(MadeBy::Profile(index)),
                None => return Ok(None),
            },
        };
        let unknown = |detail: String| Answer::new(StatusCode::BAD_REQUEST, "malformed", detail);
        let serial = match &filter.serial {
            None => None,
            Some(text) => Some(text.parse().map_err(|e| unknown(format!("serial: {e}")))?),
        };
        let holders = subjects(world, filter);
        Ok(Some(Self { filter, now, issuer, made_by, holders, serial, after }))
    }

    /// The first `most` of ours.
    fn found(&self, world: &World, most: usize) -> Vec<(Serial, Entry)> {
        let inventory = &world.inventory;
        match self.serial {
            // One place to look at.
            Some(serial) => {
                let row = inventory.row(&serial).filter(|row| most > 0 && self.has(row));
                row.map(|row| (serial, inventory.entry_of(row))).into_iter().collect()
            }
            None => inventory.first_to_end(most, |row| self.has(row)),
        }
    }

    fn has(&self, row: &Row) -> bool {
        row.not_after >= self.now
            && self.serial.is_none_or(|wanted| wanted == row.serial)
            && self.issuer.is_none_or(|wanted| wanted == row.issuer)
            && self.after.is_none_or(|after| after.is_before(row))
            && soon((row.not_before, row.not_after), self.filter, self.now)
            && self.made_by.as_ref().is_none_or(|by| match by {
                MadeBy::Profile(index) => row.profile == Some(*index),
                MadeBy::Kind(kind) => row.subject_kind == *kind as u8,
            })
            && self.filter.revoked.is_none_or(|wanted| wanted == row.revoked)
            && self
                .holders
                .as_ref()
                .is_none_or(|wanted| wanted.get(row.holder.place()).copied().unwrap_or_default())
    }
}

/// Holders that fit what the filter says of them: far fewer than certificates, so they are gone through first.
fn subjects(world: &World, filter: &InventoryFilter) -> Option<Vec<bool>> {
    if filter.site.is_none() && filter.owner.is_none() && filter.subject.is_none() {
        return None;
    }
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|w| w == found);
    // All ids are spelled alike, and what is no id is nobody's.
    let subject = filter.subject.as_ref().map(|text| text.parse::<StreamId>().ok());
    let fits = |id: StreamId, site: &str, owner: &str| {
        subject.is_none_or(|wanted| wanted == Some(id)) && is(&filter.site, site) && is(&filter.owner, owner)
    };
    let devices = world.devices.values().filter(|d| fits(d.id.into(), &d.record.site, &d.record.owner));
    let applications =
        world.applications.values().filter(|a| fits(a.id.into(), &a.record.site, &a.record.owner));
    let gateways = world.gateways.values().filter(|g| fits(g.id.into(), &g.site, ""));
    let devices = devices.map(|d| StreamId::from(d.id));
    let others = applications.map(|a| StreamId::from(a.id)).chain(gateways.map(|g| g.id.into()));
    // Ours are nobody's: their lines have neither site nor owner nor id.
    let ours = is(&filter.site, "") && is(&filter.owner, "") && is(&filter.subject, "");
    Some(world.inventory.holders(devices.chain(others).chain(ours.then_some(StreamId::SYSTEM))))
}

/// Whether little enough is left of it.
fn soon((not_before, not_after): (Timestamp, Timestamp), filter: &InventoryFilter, now: Timestamp) -> bool {
    let by_share = filter.expiring_percent.is_none_or(|percent| {
        let whole = not_after.seconds_since(not_before).max(1);
        not_after.seconds_since(now).saturating_mul(100) <= whole.saturating_mul(i64::from(percent))
    });
    by_share && filter.before.is_none_or(|before| not_after < before)
}

/// Whether a certificate of somebody else fits: it has its line and nothing else.
fn is_wanted(line: &InventoryLine, filter: &InventoryFilter) -> bool {
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|w| w == found);
    is(&filter.site, &line.site)
        && is(&filter.owner, &line.owner)
        && is(&filter.profile, &line.profile)
        && is(&filter.issuer, &line.issuer)
        && is(&filter.subject, &line.subject)
        && is(&filter.serial, &line.serial)
        && filter.revoked.is_none_or(|wanted| wanted == line.revoked.is_some())
}

fn line(world: &World, issuers: &[Named], serial: &Serial, entry: &Entry) -> InventoryLine {
    let revoked = match world.inventory.status(entry.issuer, serial) {
        Status::Revoked(r) => Some(RevokedLine { at: r.at, reason: r.reason }),
        Status::Good(_) | Status::Unknown => None,
    };
    let issuer = issuers.iter().find(|i| i.index == Some(entry.issuer));
    let profile = entry.profile.map_or("", |index| world.inventory.profile_name(index));
    let (name, effect) = of_our_own(profile);
    let mut line = InventoryLine {
        serial: serial.to_string(),
        kind: "server".to_owned(),
        subject: String::new(),
        name: name.to_owned(),
        site: String::new(),
        owner: String::new(),
        profile: profile.to_owned(),
        issuer: issuer.map(|i| i.name.clone()).unwrap_or_default(),
        not_before: entry.not_before,
        not_after: entry.not_after,
        seen: true,
        revoked,
        effect: effect.to_owned(),
    };
    let holders = [StreamKind::Device, StreamKind::Application, StreamKind::Gateway];
    let kind = holders.into_iter().find(|kind| *kind as u8 == entry.subject_kind);
    if let Some((kind, who)) = kind.and_then(|kind| Some((kind, world.described(kind, entry.subject)?))) {
        line.kind = who.kind.to_owned();
        (line.subject, line.name, line.site, line.owner) = (who.subject, who.name, who.site, who.owner);
        match kind {
            StreamKind::Device => of_device(world, DeviceId::from(entry.subject), &mut line),
            StreamKind::Application => {
                let application = world.applications.get(&ApplicationId::from(entry.subject));
                let purpose = application.map(|a| a.record.purpose.as_str()).unwrap_or_default();
                line.effect = format!("{purpose}: clients refuse to talk to it");
            }
            _ => {
                line.profile = "gateway_server".to_owned();
                line.effect = "the devices of its site cannot send until it is renewed".to_owned();
            }
        }
    }
    line
}

/// What a certificate of our own services is, and what hangs on it.
fn of_our_own(profile: &str) -> (&'static str, &'static str) {
    if profile == ProfileName::OcspResponder.as_str() {
        (
            "OCSP responder",
            "relying parties that ask for status get no answer that counts until it is renewed",
        )
    } else if profile == ProfileName::ScepRa.as_str() {
        ("SCEP registration authority", "legacy devices cannot enroll or renew until it is renewed")
    } else {
        ("control plane", "nobody can enroll, renew or get a token until it is renewed")
    }
}

fn of_device(world: &World, id: DeviceId, line: &mut InventoryLine) {
    let Some(device) = world.devices.get(&id) else { return };
    let current = device.certificates.iter().chain(&device.former).find(|c| c.serial == line.serial);
    line.seen = current.is_some_and(|c| c.seen_at.is_some());
    let newer =
        device.certificates.iter().any(|c| *c.profile == line.profile && c.not_after > line.not_after);
    line.effect = match newer {
        true => "nothing: a newer certificate has taken its place".to_owned(),
        false => format!("{}: it cannot authenticate until it has renewed", device.record.purpose),
    };
}

struct Named {
    name: String,
    index: Option<IssuerIndex>,
}

fn issuers(world: &World) -> Vec<Named> {
    let named = |known: &KnownAuthority| {
        let certificate = Certificate::parse(&known.certificate).ok()?;
        let index = world.inventory.issuer(certificate.subject_der());
        Some(Named { name: known.name.clone(), index })
    };
    world.authorities.iter().filter_map(named).collect()
}

/// `GET /v1/profiles`.
pub async fn profiles(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<ProfileLine>> {
    let world = state.control.world();
    let line = |(name, known): (&String, &KnownProfile)| ProfileLine {
        name: name.clone(),
        active: known.active.clone(),
        proposed: known.proposed.as_ref().map(|(text, _)| text.clone()),
        proposed_sha256: known.proposed.as_ref().map(|(text, _)| sha256(text.as_bytes())),
        proposer: known.proposed.as_ref().map(|(_, by)| *by),
    };
    Json(world.profiles.iter().map(line).collect())
}

/// `GET /v1/applications`.
pub async fn applications(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<ApplicationLine>> {
    let world = state.control.world();
    let line = |a: &Application| ApplicationLine {
        application: a.id,
        record: a.record.clone(),
        stage: a.stage.name().to_owned(),
        certificates: a.certificates.iter().map(|c| c.serial.clone()).collect(),
    };
    let mut lines: Vec<ApplicationLine> = world.applications.values().map(line).collect();
    lines.sort_unstable_by(|a, b| (&a.record.name, a.application).cmp(&(&b.record.name, b.application)));
    Json(lines)
}

/// `GET /v1/renewals`.
pub async fn renewals(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<RenewalReport> {
    let found = state.control.renewals(state.clock.now());
    let world = state.control.world();
    let named = |late: Late| {
        let (kind, id) = late.holder;
        let Described { kind, subject, name, site, owner } = world.described(kind, id)?;
        let kind = kind.to_owned();
        let Late { serial, not_after, ended, .. } = late;
        Some(LateLine { kind, subject, name, site, owner, serial, not_after, ended })
    };
    Json(RenewalReport {
        watched: found.watched,
        on_time: found.on_time,
        due: found.due,
        median_lag_seconds: found.lags.get(found.lags.len() / 2).copied(),
        worst_lag_seconds: found.lags.last().copied(),
        late: found.late.into_iter().filter_map(named).collect(),
    })
}

/// `GET /v1/sites`.
pub async fn sites(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<SiteLine>> {
    let world = state.control.world();
    let line =
        |(site, windows): (&String, &Vec<_>)| SiteLine { site: site.clone(), windows: windows.clone() };
    Json(world.maintenance.iter().map(line).collect())
}

fn pem_of(der: &[u8]) -> Option<String> {
    Certificate::parse(der).ok().map(|c| c.to_pem())
}

/// `GET /v1/authorities/{name}/request`.
pub async fn authority_request(
    Shared(state): Shared<State>,
    _who: OperatorPeer,
    Path(name): Path<String>,
) -> Result<Json<AuthorityRequest>, Answer> {
    let der = state.control.authority_request(&name).await?;
    Ok(Json(AuthorityRequest { pem: request_pem(&der) }))
}

/// RFC 7468 7, 2: 64 characters a line.
fn request_pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem.push_str("\n-----END CERTIFICATE REQUEST-----\n");
    pem
}

/// `GET /v1/authorities`.
pub async fn authorities(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<AuthorityLine>> {
    let now = state.clock.now();
    let world = state.control.world();
    let troubles = state.control.key_troubles();
    Json(world.authorities.iter().map(|known| authority(&world, known, &troubles, now)).collect())
}

fn authority(
    world: &World,
    known: &KnownAuthority,
    troubles: &[KeyTrouble],
    now: Timestamp,
) -> AuthorityLine {
    let certificate = Certificate::parse(&known.certificate).ok();
    let of = certificate.as_ref();
    let index = of.and_then(|c| world.inventory.issuer(c.subject_der()));
    let state = world.authority_state(known);
    AuthorityLine {
        name: known.name.clone(),
        purpose: known.purpose,
        site: known.site.clone(),
        state,
        subject: of.map(Certificate::subject_text).unwrap_or_default(),
        not_before: of.map(Certificate::not_before),
        not_after: of.map(Certificate::not_after),
        sha256: of.map(thumbprint),
        live: match state {
            AuthorityState::Retired | AuthorityState::Revoked | AuthorityState::Planned => 0,
            _ => index.map_or(0, |index| world.inventory.live(index, now)),
        },
        certificate_pem: of.map(Certificate::to_pem).unwrap_or_default(),
        keys: known.keys,
        under_pem: known.under.as_deref().and_then(pem_of),
        above_pem: known.above.iter().filter_map(|der| pem_of(der)).collect(),
        trouble: troubles
            .iter()
            .find(|t| t.authority == known.name)
            .map(|t| format!("{}; {}", t.why, t.remedy)),
    }
}
