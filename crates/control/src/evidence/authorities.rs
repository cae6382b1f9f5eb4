//! Authorities: which of them had ended by a moment, and which certificates ended with them.
//!
//! A certificate says for itself until when it is good; its authority may end before, and then nothing that it signed counts:
//! retired, revoked after a compromise, or compromised so that everything is distrusted at once. One that is being replaced
//! first still counts: there each certificate has its own revocation in its device's chain.
//! In scope: what the log says. Out of scope: the path itself (`verify::certificates`).
//!
//! To add a way in which an authority ends: its event in [`named`] and [`Ended::of`], its code in [`ENDINGS`] and
//! `collect::SYSTEM_KINDS`, its line in `docs/evidence-bundle.md` 9.4 and in the Python verifier.

use std::collections::{BTreeSet, HashMap};

use lanyard_domain::compromise::CompromiseMode;
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Digest;
use lanyard_pki::certificate::Certificate;

use super::history::{History, Line};

/// Codes of the events that end an authority (`Event::kind`).
pub(super) const ENDINGS: [u16; 3] = [109, 117, 118];

/// Whether the line may end an authority; also one whose payload is not there to say which.
pub(super) fn is_ending(line: &Line) -> bool {
    line.header.stream_kind == StreamKind::System as u8 && ENDINGS.contains(&line.header.kind)
}

/// Which authority a line that may end one is about.
pub(super) fn named(line: &Line) -> Option<&str> {
    match &line.event {
        Some(
            Event::AuthorityRetired { name, .. }
            | Event::AuthorityRevoked { name, .. }
            | Event::AuthorityCompromiseConfirmed { name, .. },
        ) => Some(name),
        _ => None,
    }
}

/// Names of the authorities above a device's certificates, each certificate's own among them.
pub(super) fn above(history: &History, device: DeviceId) -> BTreeSet<String> {
    let known = Known::of(history);
    let of_device = issued(history, device).filter_map(|(_, der)| Certificate::parse(der).ok());
    of_device.flat_map(|leaf| known.path(&leaf)).map(str::to_owned).collect()
}

/// The authorities that had ended within a horizon, and whose certificates they were.
pub(super) struct Ended<'a> {
    known: Known<'a>,
    names: BTreeSet<&'a str>,
}

impl<'a> Ended<'a> {
    /// By the lines for which `counts` holds.
    pub(super) fn of(history: &'a History, counts: impl Fn(&Line) -> bool) -> Self {
        let ends = |line: &'a Line| match &line.event {
            Some(Event::AuthorityCompromiseConfirmed { plan, .. })
                if plan.mode == CompromiseMode::ReplaceFirst =>
            {
                None
            }
            _ => named(line),
        };
        let names: BTreeSet<&str> = history.lines().iter().filter(|l| counts(l)).filter_map(ends).collect();
        // Most bundles have none, and then nothing is read twice.
        let known = if names.is_empty() { Known::default() } else { Known::of(history) };
        Self { known, names }
    }

    /// The ended authority below which a certificate of the device stands.
    pub(super) fn end_of(&self, history: &History, device: DeviceId, sha256: &Digest) -> Option<&str> {
        if self.names.is_empty() {
            return None;
        }
        let (_, der) = issued(history, device).find(|(found, _)| *found == sha256)?;
        let leaf = Certificate::parse(der).ok()?;
        self.known.path(&leaf).find(|name| self.names.contains(name))
    }
}

/// Certificates that were issued to a device, with their digests.
fn issued(history: &History, device: DeviceId) -> impl Iterator<Item = (&Digest, &[u8])> {
    history.stream(StreamKind::Device, device).filter_map(|line| match &line.event {
        Some(Event::CertificateIssued { certificate, certificate_sha256, .. }) => {
            Some((certificate_sha256, certificate.0.as_slice()))
        }
        _ => None,
    })
}

/// Authorities by the names in their certificates.
#[derive(Default)]
struct Known<'a> {
    by_subject: HashMap<Vec<u8>, (&'a str, Vec<u8>)>,
}

impl<'a> Known<'a> {
    fn of(history: &'a History) -> Self {
        let created = history.lines().iter().filter_map(|line| match &line.event {
            Some(
                Event::AuthorityCreated { name, certificate, .. }
                | Event::AuthorityImported { name, certificate, .. },
            ) => Some((name.as_str(), Certificate::parse(&certificate.0).ok()?)),
            _ => None,
        });
        let by_subject =
            created.map(|(name, c)| (c.subject_der().to_vec(), (name, c.issuer_der().to_vec()))).collect();
        Self { by_subject }
    }

    /// Names of the authorities above a certificate, its issuer first. Each is met once: a circle of names ends.
    fn path<'s>(&'s self, leaf: &Certificate) -> impl Iterator<Item = &'a str> + use<'a, 's> {
        let mut next = Some(leaf.issuer_der().to_vec());
        let mut left = self.by_subject.len();
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (name, issuer) = self.by_subject.get(&next.take()?)?;
            next = Some(issuer.clone());
            Some(*name)
        })
    }
}
