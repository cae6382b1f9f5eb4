//! A fleet in memory: events in, what is due and how far it is out. The log is folded again after each round, so that every
//! assertion also holds for a start after a kill.

use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::compromise::Deadlines;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{IssuanceId, SecretId};
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::tier::Tier;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::key::MemoryKeys;
use lanyard_pki::name::Naming;

use super::progress::{Place, progress};
use super::round::{Due, Left, due};
use super::*;
use crate::inventory::Status;

const START: Timestamp = Timestamp::from_seconds(1_795_348_800);

fn statement() -> SignedStatement {
    SignedStatement { text: String::new(), signature: Blob(Vec::new()) }
}

/// A log and what it folds to.
struct Fleet {
    log: Vec<(Origin, Event)>,
    world: World,
    old: Certificate,
    new: Certificate,
    serials: u32,
}

fn id(n: u16) -> StreamId {
    let mut bytes = [0x44; 16];
    bytes[12..14].copy_from_slice(&n.to_be_bytes());
    bytes[14..].copy_from_slice(&n.wrapping_mul(40_503).to_be_bytes());
    StreamId::from_bytes(bytes)
}

/// As much of a certificate as the inventory reads: its issuer's name.
fn leaf(issuer: &Certificate) -> Vec<u8> {
    let tlv = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    };
    let head = [tlv(0xa0, &[2, 1, 2]), tlv(2, &[1]), tlv(0x30, &[])].concat();
    tlv(0x30, &tlv(0x30, &[&head[..], issuer.subject_der()].concat()))
}

impl Fleet {
    fn new() -> Self {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = MemoryKeys::default();
        let generation = |label: &str, n| Generation {
            number: u32::from(n),
            label: label.parse().unwrap(),
            serial: Serial::from_random([n; 16]),
        };
        let mut made = [("root-1", "issuing-1", 1), ("root-2", "issuing-2", 3)].map(|(root, issuing, n)| {
            Authority::create(&naming, &keys, &generation(root, n), &generation(issuing, n + 1), START)
                .unwrap()
        });
        let [first, second] = &mut made;
        let (old, new) = (first.issuing.certificate().clone(), second.issuing.certificate().clone());
        let mut fleet = Self { log: Vec::new(), world: World::default(), old, new, serials: 0 };
        for (name, certificate) in [("issuing-1", fleet.old.clone()), ("issuing-2", fleet.new.clone())] {
            fleet.system(Event::AuthorityPlanned {
                name: name.to_owned(),
                purpose: AuthorityPurpose::Devices,
                site: None,
                under: None,
                keys: KeyStore::Sealed,
                statement: statement(),
            });
            fleet.system(Event::AuthorityCreated {
                name: name.to_owned(),
                certificate_sha256: Digest(certificate.thumbprint()),
                certificate: Blob(certificate.der().to_vec()),
                keys: KeyStore::Sealed,
            });
            fleet.system(Event::AuthorityActivated { name: name.to_owned(), statement: statement() });
        }
        fleet
    }

    fn record(&mut self, kind: StreamKind, stream: StreamId, at: Timestamp, event: Event) {
        let actor = OperatorId::from_bytes([u8::from(kind == StreamKind::System); 16]);
        let origin = Origin { stream, stream_kind: kind as u8, pos: self.world.next_pos, time: at, actor };
        self.world.apply(origin, Some(&event));
        self.log.push((origin, event));
    }

    fn system(&mut self, event: Event) {
        self.record(StreamKind::System, StreamId::SYSTEM, START, event);
    }

    /// What a start makes of the same log.
    fn restart(&mut self) {
        let mut again = World::default();
        for (origin, event) in &self.log {
            again.apply(*origin, Some(event));
        }
        assert_eq!(again.compromises, self.world.compromises);
        self.world = again;
    }

    fn device(&mut self, n: u16, tier: Tier) -> StreamId {
        let record = DeviceRecord {
            vendor: "Acme".into(),
            model: "Pump X".into(),
            serial: format!("P-{n}"),
            site: "north".into(),
            owner: format!("team-{n}"),
            department: "ICU".into(),
            purpose: "infusion".into(),
            class: "infusion-pump".into(),
            tier,
            ai: false,
            scopes: vec!["system/Observation.c".parse().unwrap()],
            ae_title: None,
            zone: "icu".into(),
            ek_sha256: None,
        };
        let stream = id(n);
        let device = StreamKind::Device;
        self.record(device, stream, START, Event::DeviceRegistered { record, statement: statement() });
        for role in [Role::Security, Role::Biomedical] {
            self.record(device, stream, START, Event::DeviceApproved { role, statement: statement() });
        }
        let secret = SecretId::from_random([1; 5]);
        self.record(device, stream, START, Event::SoftKeyAccepted { secret });
        stream
    }

    fn application(&mut self, n: u16) -> StreamId {
        let record = ApplicationRecord {
            name: format!("app-{n}"),
            dns: vec![format!("app-{n}.hospital.example")],
            ips: vec![],
            site: "north".into(),
            owner: "imaging".into(),
            purpose: "viewing".into(),
            profiles: vec![],
        };
        let event = Event::ApplicationRegistered { record, statement: statement() };
        self.record(StreamKind::Application, id(n), START, event);
        id(n)
    }

    fn certify(&mut self, kind: StreamKind, stream: StreamId, by: &Certificate, at: Timestamp) -> String {
        self.certify_for("device_ldevid", kind, stream, by, at)
    }

    fn certify_for(
        &mut self,
        profile: &str,
        kind: StreamKind,
        stream: StreamId,
        by: &Certificate,
        at: Timestamp,
    ) -> String {
        self.serials += 1;
        let serial = format!("4a{:08x}", self.serials);
        let issuance = IssuanceId::from_bytes([7; 16]);
        if kind == StreamKind::Device {
            let intended = Event::IssuanceIntended {
                issuance,
                protocol: "est".into(),
                profile: profile.into(),
                serial: serial.clone(),
                spki_sha256: Digest::default(),
                tbs_sha256: Digest::default(),
                evidence_sha256: Digest::default(),
            };
            self.record(kind, stream, at, intended);
        }
        let digest = Digest(crate::digest::sha256(serial.as_bytes()).0);
        let event = match kind {
            StreamKind::Gateway => Event::GatewayCertified {
                serial: serial.clone(),
                certificate: Blob(leaf(by)),
                certificate_sha256: digest,
                not_after: at.plus_seconds(30 * 86_400),
            },
            _ => Event::CertificateIssued {
                issuance,
                serial: serial.clone(),
                certificate: Blob(leaf(by)),
                certificate_sha256: digest,
                spki_sha256: digest,
                not_before: at,
                not_after: at.plus_seconds(30 * 86_400),
            },
        };
        self.record(kind, stream, at, event);
        serial
    }

    fn compromise(&mut self, mode: CompromiseMode) {
        let plan = CompromisePlan {
            mode,
            per_minute: 10,
            deadlines: Deadlines { critical: 4 * 3_600, ..Deadlines::all(86_400) },
        };
        let (name, successor) = ("issuing-1".to_owned(), "issuing-2".to_owned());
        self.system(Event::AuthorityCompromiseDeclared {
            name: name.clone(),
            successor: successor.clone(),
            plan,
            statement: statement(),
        });
        assert!(self.world.compromise_of("issuing-1").is_none(), "one person alone ends nothing");
        self.system(Event::AuthorityCompromiseConfirmed { name, successor, plan, statement: statement() });
    }

    fn due(&self, holder: StreamId, at: Timestamp) -> Due {
        let compromise = self.world.compromise_of("issuing-1").unwrap();
        let holder = *compromise.confirmed.as_ref().unwrap().holders.iter().find(|h| h.id == holder).unwrap();
        due(&self.world, compromise, holder, at)
    }

    /// Carries out what is due for everyone; true when nothing is waited for any more.
    fn round(&mut self, at: Timestamp) -> bool {
        let holders = self.world.compromise_of("issuing-1").unwrap().confirmed.clone().unwrap().holders;
        let mut over = true;
        for holder in holders {
            let kind = match holder.id {
                id if self.world.devices.contains_key(&id.into()) => StreamKind::Device,
                id if self.world.applications.contains_key(&id.into()) => StreamKind::Application,
                _ => StreamKind::Gateway,
            };
            match self.due(holder.id, at) {
                Due::Nothing => {}
                Due::Later => over = false,
                Due::Revoke { serials, .. } => {
                    for serial in serials {
                        let reason = RevocationReason::IssuerCompromised;
                        self.record(kind, holder.id, at, Event::CertificateRevoked { serial, reason });
                    }
                    let left = self.due(holder.id, at);
                    assert!(!matches!(left, Due::Revoke { .. }), "a second round finds nothing to do");
                    over &= left == Due::Nothing;
                }
            }
        }
        self.restart();
        over
    }

    fn count(&self, class: &str, place: Place, at: Timestamp) -> usize {
        let found = progress(&self.world, &self.world.compromises[0], at);
        let class = class.parse().unwrap();
        let line = *found.classes.iter().find(|c| c.class == class).unwrap();
        assert_eq!(line.places.iter().sum::<usize>(), line.total, "everyone is somewhere");
        line.at(place)
    }

    fn status(&self, serial: &str) -> Status {
        let issuer = self.world.inventory.issuer(self.old.subject_der()).unwrap();
        self.world.inventory.status(issuer, &serial.parse().unwrap())
    }
}

// R49, R44, I7: nobody is off the air who renews in time, those of more risk come first, and a start in between changes nothing.
#[test]
fn a_fleet_is_replaced_first_and_revoked_after_in_the_order_of_risk() {
    let mut fleet = Fleet::new();
    let (old, new) = (fleet.old.clone(), fleet.new.clone());
    let mut devices = Vec::new();
    for n in 0..200 {
        let tier = Tier::ALL[usize::from(n % 4)];
        let stream = fleet.device(n, tier);
        let serial = fleet.certify(StreamKind::Device, stream, &old, START);
        devices.push((tier, stream, serial));
    }
    let viewer = fleet.application(900);
    let viewers = fleet.certify(StreamKind::Application, viewer, &old, START);
    fleet.compromise(CompromiseMode::ReplaceFirst);
    assert_eq!(fleet.world.compromises[0].confirmed.as_ref().unwrap().counts, [50, 50, 50, 50, 1]);
    let known = fleet.world.authorities[0].clone();
    assert_eq!(fleet.world.authority_state(&known), lanyard_domain::authority::AuthorityState::Compromised);
    // The very first has its turn at once.
    let (told, waiting) = (Place::Told, Place::Waiting);
    assert_eq!((fleet.count("critical", told, START), fleet.count("critical", waiting, START)), (1, 49));

    // 10 a minute: the last of tier critical has its turn before the first of tier high.
    let turn = |fleet: &Fleet, serial: &str| fleet.world.turn_of(&serial.parse().unwrap()).unwrap();
    let turns = |fleet: &Fleet, tier| {
        let of_tier: Vec<Timestamp> =
            devices.iter().filter(|d| d.0 == tier).map(|d| turn(fleet, &d.2)).collect();
        (*of_tier.iter().min().unwrap(), *of_tier.iter().max().unwrap())
    };
    for pair in Tier::ALL.windows(2) {
        assert!(turns(&fleet, pair[0]).1 <= turns(&fleet, pair[1]).0, "{pair:?}");
    }
    assert!(turns(&fleet, Tier::Critical).1 > START.plus_seconds(240), "they are not told all at once");
    assert!(turns(&fleet, Tier::Low).1 <= START.plus_seconds(20 * 60));
    assert!(!fleet.round(START), "nothing is due, nothing is revoked");

    // Half of each tier renews; a new certificate alone ends nothing, its use does.
    let later = START.plus_seconds(1_800);
    for (n, (_, stream, serial)) in devices.iter().enumerate().filter(|(n, _)| n % 8 < 4) {
        let renewed = fleet.certify(StreamKind::Device, *stream, &new, later);
        assert_eq!(fleet.due(*stream, later), Due::Later, "{n}");
        assert!(matches!(fleet.status(serial), Status::Good(_)));
        assert_eq!(fleet.world.turn_of(&renewed.parse().unwrap()), None);
        fleet.record(StreamKind::Device, *stream, later, Event::CertificateSeen { serial: renewed });
    }
    assert_eq!(fleet.count("critical", Place::Settling, later), 25);
    assert!(!fleet.round(later));
    assert_eq!(fleet.count("critical", Place::Replaced, later), 25);
    assert_eq!(fleet.count("low", Place::Told, later), 25);
    assert!(matches!(fleet.status(&devices[0].2), Status::Revoked(r) if r.reason.crl_reason() == 2));

    // One was given a certificate and never seen with it: at its deadline that is no replacement.
    let (_, unheard, _) = devices[4].clone();
    fleet.certify(StreamKind::Device, unheard, &new, later);

    // The critical ones' deadline comes first; whoever did not renew until then is off the air, and named.
    let evening = START.plus_seconds(4 * 3_600);
    assert_eq!(fleet.count("critical", Place::Overdue, evening), 24);
    assert!(matches!(fleet.due(unheard, evening), Due::Revoke { left: Left::Unseen, .. }));
    assert!(!fleet.round(evening));
    assert_eq!(fleet.count("critical", Place::OffTheAir, evening), 24);
    assert_eq!(fleet.count("critical", Place::Settling, evening), 1);
    assert_eq!(fleet.count("high", Place::Overdue, evening), 25);
    assert!(matches!(fleet.status(&viewers), Status::Good(_)));
    let found = progress(&fleet.world, &fleet.world.compromises[0], evening);
    assert!(found.stuck.iter().all(|s| s.owner.starts_with("team-") || s.owner == "imaging"));
    assert_eq!(found.stuck[0].class, RiskClass::Device(Tier::Critical));
    assert!(fleet.round(START.plus_seconds(86_400)), "after the last deadline nothing is waited for");
    assert!(matches!(fleet.status(&viewers), Status::Revoked(_)));
}

// I7: who went over from another authority to the compromised one has no successor yet.
#[test]
fn an_older_certificate_is_no_successor() {
    let mut fleet = Fleet::new();
    let (old, new) = (fleet.old.clone(), fleet.new.clone());
    let stream = fleet.device(1, Tier::Critical);
    let before = fleet.certify(StreamKind::Device, stream, &new, START.plus_seconds(-60));
    fleet.record(StreamKind::Device, stream, START, Event::CertificateSeen { serial: before });
    fleet.certify(StreamKind::Device, stream, &old, START);
    fleet.compromise(CompromiseMode::ReplaceFirst);
    assert_eq!(fleet.due(stream, START.plus_seconds(60)), Due::Later);
    let after = fleet.certify(StreamKind::Device, stream, &new, START.plus_seconds(120));
    fleet.record(StreamKind::Device, stream, START, Event::CertificateSeen { serial: after });
    assert!(matches!(fleet.due(stream, START.plus_seconds(180)), Due::Revoke { left: Left::InUse, .. }));
}

// R49, I7: a device with a certificate for its network port beside the one for TLS replaces each by its own successor.
#[test]
fn a_certificate_for_another_use_is_no_successor() {
    let mut fleet = Fleet::new();
    let (old, new) = (fleet.old.clone(), fleet.new.clone());
    let (device, port) = (StreamKind::Device, "network-port");
    let stream = fleet.device(1, Tier::Critical);
    let tls = fleet.certify(device, stream, &old, START);
    let network = fleet.certify_for(port, device, stream, &old, START);
    fleet.compromise(CompromiseMode::ReplaceFirst);
    let later = START.plus_seconds(120);
    let renewed = fleet.certify(device, stream, &new, later);
    assert_eq!(fleet.due(stream, later), Due::Later);
    fleet.record(device, stream, later, Event::CertificateSeen { serial: renewed });
    let only = |serial: &String| Due::Revoke { serials: vec![serial.clone()], left: Left::InUse };
    assert_eq!(fleet.due(stream, later), only(&tls));
    assert!(!fleet.round(later), "the port's is waited for");
    assert!(matches!(fleet.status(&network), Status::Good(_)));
    assert_eq!(fleet.count("critical", Place::Told, later), 1);
    let renewed = fleet.certify_for(port, device, stream, &new, later.plus_seconds(60));
    assert_eq!(fleet.count("critical", Place::Settling, later), 1);
    fleet.record(device, stream, later, Event::CertificateSeen { serial: renewed });
    assert_eq!(fleet.due(stream, later), only(&network));
    fleet.round(later);
    assert_eq!(fleet.count("critical", Place::Replaced, later), 1);
}

// R49: a gateway goes over by itself, an application's hosts do not tell us.
#[test]
fn gateways_and_applications_have_their_own_end() {
    let mut fleet = Fleet::new();
    let (old, new) = (fleet.old.clone(), fleet.new.clone());
    let (gateway, viewer) = (id(800), fleet.application(900));
    let added = Event::GatewayAdded {
        site: "north".into(),
        vkey: String::new(),
        spki_sha256: Digest([1; 32]),
        names: vec!["gw.hospital.example".into()],
        statement: None,
    };
    fleet.record(StreamKind::Gateway, gateway, START, added);
    let gateways = fleet.certify(StreamKind::Gateway, gateway, &old, START);
    fleet.certify(StreamKind::Application, viewer, &old, START);
    fleet.compromise(CompromiseMode::ReplaceFirst);
    fleet.certify(StreamKind::Gateway, gateway, &new, START);
    fleet.certify(StreamKind::Application, viewer, &new, START.plus_seconds(1));
    assert_eq!(fleet.due(gateway, START.plus_seconds(30)), Due::Later);
    fleet.round(START.plus_seconds(90));
    assert!(matches!(fleet.status(&gateways), Status::Revoked(_)));
    assert_eq!(fleet.world.gateways[&gateway.into()].certificates.len(), 1);
    assert_eq!(fleet.due(viewer, START.plus_seconds(90)), Due::Later);
    assert_eq!(
        fleet.due(viewer, START.plus_seconds(86_400)),
        Due::Revoke {
            serials: fleet.world.applications[&viewer.into()].certificates[..1]
                .iter()
                .map(|c| c.serial.clone())
                .collect(),
            left: Left::InUse,
        }
    );
}

// R49, I6: with a key that others use nothing counts from the very event on, before any certificate is revoked on its own.
#[test]
fn a_key_in_other_hands_ends_everything_with_one_event() {
    let mut fleet = Fleet::new();
    let (old, new) = (fleet.old.clone(), fleet.new.clone());
    let (stream, other) = (fleet.device(1, Tier::Critical), fleet.device(2, Tier::Critical));
    let serial = fleet.certify(StreamKind::Device, stream, &old, START);
    fleet.certify(StreamKind::Device, other, &new, START);
    let shown = Digest(crate::digest::sha256(serial.as_bytes()).0);
    assert!(fleet.world.holds(stream.into(), &shown).is_some());
    fleet.compromise(CompromiseMode::DistrustNow);
    assert!(fleet.world.holds(stream.into(), &shown).is_none());
    let view = |fleet: &Fleet, id: StreamId| {
        fleet.world.view(&fleet.world.devices[&id.into()], START).certificates.len()
    };
    assert_eq!((view(&fleet, stream), view(&fleet, other)), (0, 1));
    assert!(matches!(fleet.status(&serial), Status::Revoked(r) if r.reason.crl_reason() == 2));
    assert_eq!(fleet.world.compromised_issuers().distrusted, [old.subject_der().to_vec()]);
    assert_eq!(fleet.count("critical", Place::OffTheAir, START), 1);
    assert!(fleet.round(START));
    assert!(fleet.world.devices[&stream.into()].certificates.is_empty(), "its own chain says so too");
    let renewed = fleet.certify(StreamKind::Device, stream, &new, START.plus_seconds(60));
    assert!(fleet.world.stands(&fleet.world.devices[&stream.into()].certificates[0]));
    assert_eq!(
        fleet.count("critical", Place::Settling, START.plus_seconds(60)),
        1,
        "its answer may have been lost"
    );
    fleet.record(StreamKind::Device, stream, START, Event::CertificateSeen { serial: renewed });
    assert_eq!(fleet.count("critical", Place::Replaced, START.plus_seconds(60)), 1);
    fleet.system(Event::AuthorityRevoked { name: "issuing-1".into(), serial: old.serial().to_string() });
    fleet.restart();
    let known = fleet.world.authorities[0].clone();
    assert_eq!(fleet.world.authority_state(&known), lanyard_domain::authority::AuthorityState::Revoked);
}
