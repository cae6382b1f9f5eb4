//! Folds a checked log again and judges what it says: every payload reads as its kind, every decision is signed by the
//! person in its leaf with the key that the log had admitted before, nobody approved what they had registered, no device
//! stands otherwise than its chain allows.
//!
//! In scope: what events mean. Out of scope: bytes, hashes and chains (`lanyard_store::check`).
//! To add a rule: a function on [`Refold`], called in [`Refold::judge`].

use std::fmt;

use lanyard_api::signing::verify_statement;
use lanyard_control::world::{Origin, World};
use lanyard_domain::device::Stage;
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{ApplicationId, DeviceId, OperatorId, StreamId};
use lanyard_domain::operator::Role;
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::time::Timestamp;
use lanyard_ledger::leaf::LeafHeader;

/// The first event that cannot be as the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pos: u64,
    what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event at position {}: {}", self.pos, self.what)
    }
}

/// What a log folds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// Devices.
    pub devices: usize,
    /// Operators, removed ones included.
    pub operators: usize,
    /// Decisions whose signature was checked.
    pub statements: u64,
    /// Intents without certificate: a crash, or an issuance under way.
    pub open_issuances: usize,
}

/// The fold so far.
#[derive(Default)]
pub struct Refold {
    world: World,
    statements: u64,
    first: Option<Difference>,
}

impl Refold {
    /// Takes the next event.
    pub fn take(&mut self, header: &LeafHeader, payload: Option<&[u8]>) {
        if self.first.is_some() {
            return;
        }
        let origin = Origin {
            stream: StreamId::from_bytes(header.stream),
            stream_kind: header.stream_kind,
            pos: header.pos,
            time: Timestamp::from_micros(header.time_micros),
            actor: OperatorId::from_bytes(header.actor),
        };
        if let Err(what) = self.judge(header.kind, origin, payload) {
            self.first = Some(Difference { pos: header.pos, what });
        }
    }

    /// The result, once the log is through.
    pub fn finish(self) -> Result<Folded, Difference> {
        match self.first {
            Some(difference) => Err(difference),
            None => Ok(Folded {
                devices: self.world.devices.len(),
                operators: self.world.operators.len(),
                statements: self.statements,
                open_issuances: self.world.devices.values().map(|d| d.pending.len()).sum::<usize>()
                    + self.world.applications.values().map(|a| a.pending.len()).sum::<usize>(),
            }),
        }
    }

    fn judge(&mut self, kind: u16, origin: Origin, payload: Option<&[u8]>) -> Result<(), String> {
        let event = payload.map(|p| Event::from_payload(kind, p)).transpose().map_err(|e| e.to_string())?;
        if let Some(event) = &event {
            self.signed_by_the_actor(event, origin)?;
            self.approver_is_another_person(event, origin)?;
            self.certified_only_when_intended(event, origin)?;
        }
        self.nothing_after_retirement(kind, origin)?;
        self.world.apply(origin, event.as_ref());
        Ok(())
    }

    /// I4: the server cannot make up a person's decision.
    fn signed_by_the_actor(&mut self, event: &Event, origin: Origin) -> Result<(), String> {
        let signed = match carried(event) {
            Carried::Nothing => return Ok(()),
            Carried::Statement(signed) => signed,
            Carried::MissingOf(what) if self.may_be_unsigned(event) => {
                tracing::debug!(pos = origin.pos, what, "admitted without an operator");
                return Ok(());
            }
            Carried::MissingOf(what) => return Err(format!("{what} without an operator's signature")),
        };
        let statement = signed.parse().map_err(|e| e.to_string())?;
        if statement.operator != origin.actor {
            return Err(format!(
                "operator {} signed it, but the leaf names {}",
                statement.operator, origin.actor
            ));
        }
        if Some(&statement.log) != self.world.origin.as_ref() {
            return Err(format!("the decision in it was signed for the log `{}`", statement.log));
        }
        let operator = self.world.operators.get(&statement.operator).filter(|o| o.active);
        // An erased payload takes the key with it: the signature can then not be judged here.
        let Some(operator) = operator else {
            return if self.world.operator_seq.contains_key(&statement.operator)
                && !self.world.operators.contains_key(&statement.operator)
            {
                Ok(())
            } else {
                Err(format!("operator {} had no rights then", statement.operator))
            };
        };
        verify_statement(signed, &operator.public_key)
            .map_err(|_| format!("the signature is not operator {}'s", statement.operator))?;
        self.statements += 1;
        Ok(())
    }

    /// The first operator comes in by the bootstrap secret, a gateway in the same process by its own control plane.
    fn may_be_unsigned(&self, event: &Event) -> bool {
        match event {
            Event::OperatorAdded { .. } => self.world.operator_seq.is_empty(),
            Event::GatewayAdded { .. } | Event::DeviceQuarantined { .. } => true,
            _ => false,
        }
    }

    /// I1
    fn approver_is_another_person(&self, event: &Event, origin: Origin) -> Result<(), String> {
        if let Event::ApplicationApproved { .. } = event {
            return match self.world.applications.get(&ApplicationId::from(origin.stream)) {
                Some(application) if application.requester != origin.actor => Ok(()),
                Some(_) => Err(format!("operator {} approved their own request", origin.actor)),
                None => Err("an approval of an application that was never registered".to_owned()),
            };
        }
        if let Event::OperatorKeyReplaced { .. } = event
            && OperatorId::from(origin.stream) == origin.actor
        {
            return Err(format!("operator {} replaced their own key", origin.actor));
        }
        let Event::DeviceApproved { role, .. } = event else { return Ok(()) };
        let Some(device) = self.world.devices.get(&DeviceId::from(origin.stream)) else {
            return Err("an approval of a device that was never registered".to_owned());
        };
        let Stage::Registered(approvals) = &device.stage else {
            return Err(format!("an approval of a device that is {}", device.stage.name()));
        };
        if approvals.requester == origin.actor || approvals.given.iter().any(|(_, by)| *by == origin.actor) {
            return Err(format!("operator {} approved twice, or their own request", origin.actor));
        }
        let fits = matches!(role, Role::Security | Role::Biomedical)
            && approvals.given.iter().all(|(r, _)| r != role);
        if fits { Ok(()) } else { Err(format!("an approval as {role} that does not count")) }
    }

    /// I3
    fn certified_only_when_intended(&self, event: &Event, origin: Origin) -> Result<(), String> {
        let Event::CertificateIssued { issuance, serial, .. } = event else { return Ok(()) };
        let device = self.world.devices.get(&DeviceId::from(origin.stream)).map(|d| &d.pending);
        let application =
            self.world.applications.get(&ApplicationId::from(origin.stream)).map(|a| &a.pending);
        if device.or(application).is_some_and(|pending| pending.iter().any(|p| p.issuance == *issuance)) {
            return Ok(());
        }
        Err(format!("certificate {serial} was issued without a recorded intent"))
    }

    /// I2: a retired device is retired for ever. What only takes away (an intent given up, a revocation) may still come.
    fn nothing_after_retirement(&self, kind: u16, origin: Origin) -> Result<(), String> {
        const LIFE: [u16; 21] =
            [2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24, 25, 26, 27];
        let retired = origin.stream_kind == StreamKind::Device as u8
            && self
                .world
                .devices
                .get(&DeviceId::from(origin.stream))
                .is_some_and(|d| d.stage == Stage::Retired);
        if retired && LIFE.contains(&kind) {
            return Err(format!("an event of kind {kind} in the life of a retired device"));
        }
        Ok(())
    }
}

enum Carried<'a> {
    /// Not a person's decision.
    Nothing,
    /// A person's decision.
    Statement(&'a SignedStatement),
    /// A decision that carries no signature.
    MissingOf(&'static str),
}

fn carried(event: &Event) -> Carried<'_> {
    match (event.statement(), event) {
        (Some(signed), _) => Carried::Statement(signed),
        (None, Event::OperatorAdded { .. }) => Carried::MissingOf("an operator was added"),
        (None, Event::GatewayAdded { .. }) => Carried::MissingOf("a gateway was added"),
        (None, Event::DeviceQuarantined { .. }) => Carried::MissingOf("a quarantine"),
        _ => Carried::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use lanyard_api::signing::{OperatorKey, sign_statement};
    use lanyard_domain::application::ApplicationRecord;
    use lanyard_domain::id::IssuanceId;
    use lanyard_domain::record::DeviceRecord;
    use lanyard_domain::statement::{Action, Statement};
    use lanyard_domain::text::{Blob, Digest};
    use lanyard_domain::tier::Tier;
    use lanyard_ledger::Hash;

    use super::*;

    const ORIGIN: &str = "hospital.example/lanyard";
    const PUMP: [u8; 16] = [0x50; 16];

    struct Person {
        id: OperatorId,
        key: OperatorKey,
    }

    fn person(byte: u8) -> Person {
        Person { id: OperatorId::from_bytes([byte; 16]), key: OperatorKey::generate().unwrap() }
    }

    impl Person {
        fn signs(&self, log: &str, action: Action) -> SignedStatement {
            let statement = Statement {
                log: log.to_owned(),
                operator: self.id,
                at: Timestamp::default(),
                nonce: Digest([0; 32]),
                reason: "test".into(),
                action,
            };
            sign_statement(&statement, &self.key).unwrap()
        }

        fn added(&self, statement: Option<SignedStatement>) -> Event {
            let roles = vec![Role::Admin, Role::Security];
            Event::OperatorAdded { name: "P".into(), roles, public_key: self.key.public_key(), statement }
        }
    }

    /// A log under construction.
    #[derive(Default)]
    struct Log {
        refold: Refold,
        pos: u64,
    }

    impl Log {
        fn record(&mut self, kind: StreamKind, stream: [u8; 16], actor: OperatorId, event: &Event) {
            self.raw(kind, stream, actor, event.kind(), &event.to_payload().unwrap());
        }

        fn raw(&mut self, kind: StreamKind, stream: [u8; 16], actor: OperatorId, code: u16, payload: &[u8]) {
            let header = LeafHeader {
                kind: code,
                pos: self.pos,
                time_micros: 1,
                stream_kind: kind as u8,
                stream,
                seq: 0,
                prev: None,
                actor: *actor.as_bytes(),
                policy: Hash([0; 32]),
            };
            self.refold.take(&header, Some(payload));
            self.pos += 1;
        }

        fn refused(self, words: &str) {
            let difference = self.refold.finish().expect_err(words).to_string();
            assert!(difference.contains(words), "{words}: {difference}");
        }
    }

    /// A log with its origin, two people, and a device that the first registered.
    fn begun() -> (Log, Person, Person) {
        let (anna, ben, mut log) = (person(1), person(2), Log::default());
        let itself = OperatorId::from_bytes([0; 16]);
        let started = Event::LedgerStarted { origin: ORIGIN.into(), vkey: "v".into(), policy: "p".into() };
        log.record(StreamKind::System, [0; 16], itself, &started);
        log.record(StreamKind::Operator, *anna.id.as_bytes(), anna.id, &anna.added(None));
        let signed = anna.signs(ORIGIN, Action::RemoveOperator { operator: ben.id });
        log.record(StreamKind::Operator, *ben.id.as_bytes(), anna.id, &ben.added(Some(signed)));
        let signed = anna.signs(ORIGIN, Action::RetireDevice { device: DeviceId::from_bytes(PUMP) });
        let registered = Event::DeviceRegistered { record: record(), statement: signed };
        log.record(StreamKind::Device, PUMP, anna.id, &registered);
        (log, anna, ben)
    }

    fn record() -> DeviceRecord {
        DeviceRecord {
            vendor: "Acme".into(),
            model: "P1".into(),
            serial: "S".into(),
            site: "main".into(),
            owner: "biomed".into(),
            department: "ICU".into(),
            purpose: "Infusion".into(),
            class: "pump".into(),
            tier: Tier::Low,
            ai: false,
            scopes: Vec::new(),
            ae_title: None,
            zone: "icu".into(),
            ek_sha256: None,
        }
    }

    fn approval(by: &Person, role: Role) -> Event {
        let action = Action::ApproveDevice { device: DeviceId::from_bytes(PUMP), role };
        Event::DeviceApproved { role, statement: by.signs(ORIGIN, action) }
    }

    #[test]
    fn a_good_log_is_counted() {
        let (mut log, _, ben) = begun();
        log.record(StreamKind::Device, PUMP, ben.id, &approval(&ben, Role::Security));
        let folded = log.refold.finish().unwrap();
        assert_eq!(folded, Folded { devices: 1, operators: 2, statements: 3, open_issuances: 0 });
    }

    // I4
    #[test]
    fn a_decision_that_its_person_did_not_sign_is_found() {
        let (mut log, _, ben) = begun();
        let forger = Person { id: ben.id, key: OperatorKey::generate().unwrap() };
        log.record(StreamKind::Device, PUMP, ben.id, &approval(&forger, Role::Security));
        log.refused("position 4: the signature is not operator");

        let (mut log, anna, ben) = begun();
        log.record(StreamKind::Device, PUMP, anna.id, &approval(&ben, Role::Security));
        log.refused("but the leaf names");

        let (mut log, _, ben) = begun();
        let elsewhere = ben.signs("other/log", Action::RemoveOperator { operator: ben.id });
        log.record(StreamKind::Device, PUMP, ben.id, &Event::RetirementBegun { statement: elsewhere });
        log.refused("signed for the log `other/log`");
    }

    // I1
    #[test]
    fn an_unsigned_operator_a_second_hat_and_an_approval_of_the_own_request_are_found() {
        let (mut log, _, _) = begun();
        let mallory = person(9);
        log.record(StreamKind::Operator, *mallory.id.as_bytes(), mallory.id, &mallory.added(None));
        log.refused("an operator was added without an operator's signature");

        let (mut log, anna, _) = begun();
        log.record(StreamKind::Device, PUMP, anna.id, &approval(&anna, Role::Security));
        log.refused("approved twice, or their own request");

        let (mut log, _, ben) = begun();
        log.record(StreamKind::Device, PUMP, ben.id, &approval(&ben, Role::Security));
        log.record(StreamKind::Device, PUMP, ben.id, &approval(&ben, Role::Biomedical));
        log.refused("approved twice, or their own request");

        let (mut log, anna, ben) = begun();
        let signed = anna.signs(ORIGIN, Action::RemoveOperator { operator: ben.id });
        log.record(
            StreamKind::Operator,
            *ben.id.as_bytes(),
            anna.id,
            &Event::OperatorRemoved { statement: signed },
        );
        log.record(StreamKind::Device, PUMP, ben.id, &approval(&ben, Role::Security));
        log.refused("had no rights then");
    }

    // I1
    #[test]
    fn a_replaced_key_signs_what_comes_after_and_nobody_replaces_their_own() {
        let replaced = |by: &Person, whose: OperatorId, new: &Person| Event::OperatorKeyReplaced {
            public_key: new.key.public_key(),
            statement: by.signs(
                ORIGIN,
                Action::ReplaceOperatorKey { operator: whose, public_key: new.key.public_key() },
            ),
        };
        let (mut log, anna, ben) = begun();
        let new = Person { id: ben.id, ..person(9) };
        log.record(StreamKind::Operator, *ben.id.as_bytes(), anna.id, &replaced(&anna, ben.id, &new));
        log.record(StreamKind::Device, PUMP, ben.id, &approval(&ben, Role::Security));
        log.refused("the signature is not operator");

        let (mut log, anna, ben) = begun();
        let new = Person { id: ben.id, ..person(9) };
        log.record(StreamKind::Operator, *ben.id.as_bytes(), anna.id, &replaced(&anna, ben.id, &new));
        log.record(StreamKind::Device, PUMP, ben.id, &approval(&new, Role::Security));
        assert_eq!(log.refold.finish().unwrap().operators, 2);

        let (mut log, anna, _) = begun();
        log.record(StreamKind::Operator, *anna.id.as_bytes(), anna.id, &replaced(&anna, anna.id, &person(9)));
        log.refused("replaced their own key");
    }

    // I1
    #[test]
    fn an_application_that_was_approved_by_who_registered_it_is_found() {
        let (mut log, anna, ben) = begun();
        let registered = Event::ApplicationRegistered {
            record: ApplicationRecord {
                name: "pacs".into(),
                dns: vec!["pacs.hospital.example".into()],
                ips: Vec::new(),
                site: "main".into(),
                owner: "imaging".into(),
                purpose: "Images".into(),
                profiles: Vec::new(),
            },
            statement: anna.signs(ORIGIN, Action::RemoveOperator { operator: ben.id }),
        };
        let approved = |by: &Person| Event::ApplicationApproved {
            statement: by.signs(ORIGIN, Action::RemoveOperator { operator: ben.id }),
        };
        log.record(StreamKind::Application, [0x60; 16], anna.id, &registered);
        log.record(StreamKind::Application, [0x60; 16], anna.id, &approved(&anna));
        log.refused("approved their own request");
        let (mut log, _, ben) = begun();
        let approved = Event::ApplicationApproved {
            statement: ben.signs(ORIGIN, Action::RemoveOperator { operator: ben.id }),
        };
        log.record(StreamKind::Application, [0x60; 16], ben.id, &approved);
        log.refused("never registered");
    }

    // I3
    #[test]
    fn a_certificate_without_its_intent_is_found() {
        let issued = Event::CertificateIssued {
            issuance: IssuanceId::from_bytes([7; 16]),
            serial: "0a".into(),
            certificate: Blob::default(),
            certificate_sha256: Digest::default(),
            spki_sha256: Digest::default(),
            not_before: Timestamp::default(),
            not_after: Timestamp::default(),
        };
        for kind in [StreamKind::Device, StreamKind::Application] {
            let (mut log, _, ben) = begun();
            log.record(kind, PUMP, ben.id, &issued);
            log.refused("certificate 0a was issued without a recorded intent");
        }
    }

    // I2
    #[test]
    fn a_life_after_retirement_is_found() {
        let (mut log, _, ben) = begun();
        log.record(StreamKind::Device, PUMP, ben.id, &Event::DeviceRetired {});
        log.record(StreamKind::Device, PUMP, ben.id, &Event::DeviceInService {});
        log.refused("in the life of a retired device");
    }

    // I12
    #[test]
    fn a_payload_that_is_not_its_kind_is_found() {
        let (mut log, _, ben) = begun();
        let payload = Event::DeviceRetired {}.to_payload().unwrap();
        log.raw(StreamKind::Device, PUMP, ben.id, Event::DeviceInService {}.kind(), &payload);
        log.refused("event payload is of kind");
        for end in 0..payload.len() {
            let (mut log, _, ben) = begun();
            log.raw(StreamKind::Device, PUMP, ben.id, 16, payload.get(..end).unwrap());
            assert!(log.refold.finish().is_err(), "cut at {end}");
        }
    }
}
