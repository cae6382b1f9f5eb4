//! A snapshot is what the fold gives, wherever the log is cut.

use std::collections::BTreeSet;

use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::event::{Event, RevocationReason, StreamKind};
use lanyard_domain::id::{OperatorId, SecretId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::super::verify::may_stand;
use super::catalogue;
use crate::snapshot::Part;
use crate::world::{Origin, World};

const KINDS: [StreamKind; 7] = [
    StreamKind::Device,
    StreamKind::Device,
    StreamKind::Release,
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
    history_of(catalogue::events(), seed, length)
}

fn history_of(known: Vec<Event>, seed: u64, length: u64) -> Vec<(Origin, Option<Event>)> {
    let mut dice = Dice(seed);
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
    let serial = |dice: &mut Dice| format!("4{:031x}", dice.below(8_000));
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
            not_after: Timestamp::from_seconds(1_795_000_000 + dice.below(5_000_000) as i64),
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

/// Folds the history whole, and cut in two.
fn check(seed: u64, history: &[(Origin, Option<Event>)]) -> World {
    let length = history.len();
    let mut whole = World::default();
    fold(&mut whole, history);
    let expected = whole.to_snapshot().unwrap();
    let mut dice = Dice(seed ^ 0x5eed);
    for cut in [0, dice.below(length), dice.below(length), length] {
        let (before, after) = history.split_at(cut);
        let mut world = World::default();
        fold(&mut world, before);
        let mut world = World::from_snapshot(&world.to_snapshot().unwrap()).unwrap();
        fold(&mut world, after);
        assert!(world.to_snapshot().unwrap() == expected, "seed {seed}: cut at {cut} of {length}");
        assert!(world == whole, "seed {seed}: cut at {cut} of {length}: a member is not in the snapshot");
    }
    whole
}

/// Every event of the catalogue, as it is, in every kind of stream that may hold it: in the order of a device's life, then what
/// was left. Twice, so that what follows on an event of each kind is there; the second time with names that fit each other.
fn one_of_each() -> Vec<(Origin, Option<Event>)> {
    const STREAMS: [StreamKind; 6] = [
        StreamKind::System,
        StreamKind::Device,
        StreamKind::Release,
        StreamKind::Operator,
        StreamKind::Gateway,
        StreamKind::Application,
    ];
    let mut dice = Dice(1);
    let known = catalogue::events();
    let again: Vec<Event> = known.iter().cloned().map(|event| vary(event, &mut dice)).collect();
    let mut all = Vec::new();
    for event in known.into_iter().chain(again) {
        let log = usize::from(event.kind() >= 120);
        for kind in STREAMS.into_iter().filter(|kind| may_stand(log, event.kind(), *kind as u8)) {
            let pos = all.len() as u64;
            let origin = Origin {
                stream: StreamId::from_bytes([kind as u8; 16]),
                stream_kind: kind as u8,
                pos,
                time: Timestamp::from_seconds(1_795_000_000 + (pos as i64) * 60),
                actor: OperatorId::from_bytes([1; 16]),
            };
            all.push((origin, Some(event.clone())));
        }
    }
    all
}

/// Members of the world that are still as they were before the first event.
fn untouched(world: &World) -> BTreeSet<String> {
    let empty = |line: &&str| [": {}", ": []", ": None", ": 0"].iter().any(|none| line.ends_with(none));
    let text = format!("{world:#?}");
    let lines = text.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let lines = lines.map(|line| line.trim().trim_end_matches(','));
    lines.filter(empty).filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

// R51, I3
#[test]
fn a_snapshot_and_the_events_after_it_give_what_all_events_give() {
    for seed in 1..=60 {
        check(seed, &history(seed, 400));
    }
    // Long enough for the inventory to forget what has ended, and for numbers to come again.
    let certificates =
        |event: &Event| matches!(event, Event::CertificateIssued { .. } | Event::CertificateRevoked { .. });
    let known = catalogue::events();
    let often = known.iter().filter(|event| certificates(event)).cycle().take(2 * known.len()).cloned();
    let history = history_of(known.iter().cloned().chain(often).collect(), 61, 60_000);
    let serials: BTreeSet<&str> = (history.iter())
        .filter_map(|(_, event)| match event {
            Some(Event::CertificateIssued { serial, .. }) => Some(serial.as_str()),
            _ => None,
        })
        .collect();
    let whole = check(61, &history);
    assert!(serials.len() > 5_000, "{}", serials.len());
    assert!(whole.inventory.rows().count() < 5_000, "{}", whole.inventory.rows().count());
}

// R51, I3
#[test]
fn a_log_with_one_event_of_every_kind_can_be_cut_at_each_position() {
    let history = one_of_each();
    let kinds: BTreeSet<u16> = history.iter().filter_map(|(_, e)| e.as_ref()).map(Event::kind).collect();
    let known: BTreeSet<u16> = catalogue::events().iter().map(Event::kind).collect();
    assert_eq!(kinds, known, "each may stand somewhere");
    let mut whole = World::default();
    fold(&mut whole, &history);
    let expected = whole.to_snapshot().unwrap();
    for cut in 0..=history.len() {
        let (before, after) = history.split_at(cut);
        let mut folded = World::default();
        fold(&mut folded, before);
        let mut world = World::from_snapshot(&folded.to_snapshot().unwrap()).unwrap();
        assert!(world == folded, "at {cut}: {:?}", before.last());
        fold(&mut world, after);
        assert!(world == whole && world.to_snapshot().unwrap() == expected, "cut at {cut}");
    }
}

/// A member that no history ever fills would be in every snapshot as nothing, and the tests above would prove nothing of it.
#[test]
fn the_histories_fill_every_member_of_the_world() {
    let mut never: Option<BTreeSet<String>> = None;
    for history in (1..=60).map(|seed| history(seed, 400)).chain([one_of_each()]) {
        let mut world = World::default();
        fold(&mut world, &history);
        let untouched = untouched(&world);
        never = Some(match never {
            Some(before) => before.intersection(&untouched).cloned().collect(),
            None => untouched,
        });
    }
    assert_eq!(never, Some(BTreeSet::new()));
    assert!(untouched(&World::default()).len() > 25);
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
