//! A snapshot is what the fold gives, wherever the log is cut.

use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::event::{Event, RevocationReason, StreamKind};
use lanyard_domain::id::{OperatorId, SecretId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::catalogue;
use crate::snapshot::Part;
use crate::world::{Origin, World};

const KINDS: [StreamKind; 6] = [
    StreamKind::Device,
    StreamKind::Device,
    StreamKind::Application,
    StreamKind::Gateway,
    StreamKind::Operator,
    StreamKind::System,
];

/// Numbers of a seed (xorshift64*), so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
    fn byte(&mut self) -> u8 {
        self.below(12) as u8
    }
}

/// Any event in any stream: the fold takes all that a log can hold, also what no rule would have let in.
fn history(seed: u64, length: u64) -> Vec<(Origin, Option<Event>)> {
    let (mut dice, known) = (Dice(seed), catalogue::events());
    let registered: Vec<Event> =
        known.iter().filter(|e| matches!(e, Event::DeviceRegistered { .. })).cloned().collect();
    let mut all = Vec::new();
    for pos in 0..length {
        let kind = KINDS[dice.below(KINDS.len())];
        let first = kind == StreamKind::Device && dice.below(3) == 0;
        let from = if first { &registered } else { &known };
        let event = vary(from[dice.below(from.len())].clone(), &mut dice);
        let origin = Origin {
            stream: StreamId::from_bytes([dice.byte(); 16]),
            stream_kind: kind as u8,
            pos,
            time: Timestamp::from_seconds(1_795_000_000 + (pos as i64) * 60),
            actor: OperatorId::from_bytes([dice.byte(); 16]),
        };
        // One in twenty was erased.
        all.push((origin, (dice.below(20) != 0).then_some(event)));
    }
    all
}

/// The events of the catalogue name nothing; these name each other.
fn vary(event: Event, dice: &mut Dice) -> Event {
    let serial = |dice: &mut Dice| format!("4{:031x}", dice.below(4_000));
    match event {
        Event::CertificateIssued {
            issuance,
            certificate,
            certificate_sha256,
            spki_sha256,
            not_before,
            ..
        } => Event::CertificateIssued {
            issuance,
            serial: serial(dice),
            certificate,
            certificate_sha256,
            spki_sha256,
            not_before,
            not_after: Timestamp::from_seconds(1_795_000_000 + dice.below(1_000_000) as i64),
        },
        Event::CertificateRevoked { .. } => Event::CertificateRevoked {
            serial: serial(dice),
            reason: RevocationReason::ALL[dice.below(RevocationReason::ALL.len())],
        },
        Event::CertificateSeen { .. } => Event::CertificateSeen { serial: serial(dice) },
        Event::EnrollmentSecretUsed { spki_sha256, .. } => {
            Event::EnrollmentSecretUsed { secret: SecretId::from_random([dice.byte(); 5]), spki_sha256 }
        }
        Event::EnrollmentSecretIssued { expires, statement, .. } => Event::EnrollmentSecretIssued {
            secret: SecretId::from_random([dice.byte(); 5]),
            expires,
            statement,
        },
        Event::AcmeAccountBound { jwk, .. } => {
            Event::AcmeAccountBound { account_sha256: Digest([dice.byte(); 32]), jwk }
        }
        Event::AcmeAccountEnded { .. } => {
            let successor = (dice.below(2) == 0).then(|| Digest([dice.byte(); 32]));
            Event::AcmeAccountEnded { account_sha256: Digest([dice.byte(); 32]), successor }
        }
        Event::ApplicationRegistered { statement, .. } => Event::ApplicationRegistered {
            record: ApplicationRecord {
                name: "viewer".to_owned(),
                dns: vec![format!("a{}.example", dice.byte())],
                ips: vec![[10, 0, 0, 1].into()],
                site: "north".to_owned(),
                owner: "it".to_owned(),
                purpose: "images".to_owned(),
                profiles: vec!["viewer".to_owned(); dice.below(2)],
            },
            statement,
        },
        Event::AuthorityCompromiseDeclared { name, successor, plan, statement } => {
            Event::AuthorityCompromiseDeclared { name: authority(dice, name), successor, plan, statement }
        }
        Event::AuthorityCompromiseConfirmed { name, successor, plan, statement } => {
            Event::AuthorityCompromiseConfirmed { name: authority(dice, name), successor, plan, statement }
        }
        Event::AuthorityRevoked { name, serial } => {
            Event::AuthorityRevoked { name: authority(dice, name), serial }
        }
        Event::MaintenanceSet { site, statement, .. } => {
            let window = "sun 02:00-05:00 +01:00".parse().unwrap();
            Event::MaintenanceSet { site, windows: vec![window; dice.below(3)], statement }
        }
        Event::ServerSeen { address, mut certificate } => {
            certificate.sha256 = Digest([dice.byte(); 32]);
            Event::ServerSeen { address, certificate }
        }
        other => other,
    }
}

/// One that the catalogue's other events made, as often as one of nobody.
fn authority(dice: &mut Dice, nobody: String) -> String {
    if dice.below(2) == 0 { nobody } else { "issuing-g1".to_owned() }
}

fn fold(world: &mut World, history: &[(Origin, Option<Event>)]) {
    for (origin, event) in history {
        world.apply(*origin, event.as_ref());
    }
}

fn check(seed: u64, length: u64) {
    let history = history(seed, length);
    let mut whole = World::default();
    fold(&mut whole, &history);
    let expected = whole.to_snapshot().unwrap();
    let mut dice = Dice(seed ^ 0x5eed);
    for cut in [0, dice.below(history.len()), dice.below(history.len()), history.len()] {
        let (before, after) = history.split_at(cut);
        let mut world = World::default();
        fold(&mut world, before);
        let mut world = World::from_snapshot(&world.to_snapshot().unwrap()).unwrap();
        fold(&mut world, after);
        assert!(world.to_snapshot().unwrap() == expected, "seed {seed}: cut at {cut} of {length}");
    }
}

// R51, I3
#[test]
fn a_snapshot_and_the_events_after_it_give_what_all_events_give() {
    for seed in 1..=60 {
        check(seed, 400);
    }
    // Long enough for the inventory to forget what has ended.
    check(61, 60_000);
}

// I12
#[test]
fn every_cut_of_a_snapshot_is_refused_and_no_flipped_byte_brings_it_down() {
    let of_seed = |seed| {
        let mut world = World::default();
        fold(&mut world, &history(seed, 300));
        world.to_snapshot().unwrap()
    };
    // The rest, certificates, devices: not each short history has a certificate that is not refused.
    let parts = (1..200).map(of_seed).find(|parts| parts.len() == 3).expect("one with all kinds of parts");
    for number in 0..parts.len() {
        let bytes = &parts[number];
        let with = |other: Option<Vec<u8>>| {
            let others = parts.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, p)| p.clone());
            World::from_snapshot(&others.chain(other).collect::<Vec<_>>())
        };
        assert!(with(Some(bytes.clone())).is_ok(), "in any order");
        assert!(with(None).is_err(), "part {number} is missing");
        for length in 0..bytes.len() {
            assert!(Part::read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Part::read(&[bytes.as_slice(), &[0]].concat()).is_err());
        let mut flipped = bytes.clone();
        for at in 0..bytes.len() {
            flipped[at] ^= 0xff;
            // Whether it still reads is nothing to rely on: a snapshot is authenticated before it is read.
            let _ = with(Some(flipped.clone()));
            flipped[at] ^= 0xff;
        }
    }
}
