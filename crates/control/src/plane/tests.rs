//! Somebody else writes between a decision and its append: what was decided on is not what the log has any more.

pub(crate) mod house;

use futures_util::FutureExt as _;
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines};
use lanyard_domain::statement::Action;

use super::*;
use crate::evidence::testkit::{PEOPLE, Person, START};
use house::{House, Written, device, planned, statement};

fn compromise() -> Vec<Written> {
    let (name, successor) = ("issuing-1".to_owned(), "issuing-2".to_owned());
    let plan = CompromisePlan {
        mode: CompromiseMode::DistrustNow,
        per_minute: 60,
        deadlines: Deadlines::all(86_400),
    };
    [
        Event::AuthorityActivated { name: successor.clone(), statement: statement() },
        Event::AuthorityCompromiseDeclared {
            name: name.clone(),
            successor: successor.clone(),
            plan,
            statement: statement(),
        },
        Event::AuthorityCompromiseConfirmed { name, successor, plan, statement: statement() },
    ]
    .map(|event| (StreamKind::System, StreamId::SYSTEM, event))
    .to_vec()
}

// R50, I3: a certificate that was signed when its authority ended is recorded and given to nobody; the asker gets one by another.
#[test]
fn what_an_authority_signed_while_it_ended_is_given_to_nobody() {
    let retired = |with: &str| {
        let activated = Event::AuthorityActivated { name: "issuing-2".into(), statement: statement() };
        let retired = Event::AuthorityRetired { name: with.to_owned(), statement: statement() };
        [activated, retired].map(|event| (StreamKind::System, StreamId::SYSTEM, event)).to_vec()
    };
    for end in [compromise(), retired("issuing-1")] {
        let house = House::new();
        let (issued, abandoned) = (5, 6);
        house.before(issued, end.clone());
        assert!(
            matches!(house.certify_device(), Err(ControlError::Unavailable(why)) if why.contains("ask again"))
        );
        assert_eq!((house.recorded(issued), house.recorded(abandoned)), (0, 1));
        house.control.follow_authorities().unwrap();
        let by = house.certify_device().unwrap().issuer_der().to_vec();
        assert!(
            house
                .control
                .authority
                .issuers()
                .issuing()
                .iter()
                .any(|ca| { ca.name == "issuing-2" && ca.certificate().subject_der() == by })
        );
        let house = House::new();
        let certified = 81;
        house.before(certified, end);
        assert!(matches!(house.certify_gateway(), Err(ControlError::Unavailable(_))));
        assert_eq!((house.recorded(certified), house.recorded(abandoned)), (0, 1));
        assert!(house.control.world().open_intents.is_empty());
        house.control.follow_authorities().unwrap();
        house.certify_gateway().unwrap();
    }
    // Another event about authorities in between is no reason to refuse.
    let house = House::new();
    house.before(5, vec![(StreamKind::System, StreamId::SYSTEM, planned("issuing-3"))]);
    house.certify_device().unwrap();
}

// R50
#[test]
fn the_control_planes_own_certificate_is_by_an_authority_that_goes_on() {
    let house = House::new();
    let certified = 106;
    let names = ["lanyard.hospital.example".to_owned()];
    let certify = || house.control.certify_self(&house.csr("own"), &names, START).now_or_never().unwrap();
    house.before(certified, compromise());
    let told = certify().map(|_| ());
    assert!(matches!(told, Err(ControlError::Unavailable(_))), "{told:?}");
    assert_eq!(house.recorded(certified), 0);
    assert!(house.control.world().open_intents.is_empty(), "the intent is given up");
    house.control.follow_authorities().unwrap();
    certify().unwrap();
}

// I1: what an operator signed counts while they are in office, also when the removal comes between the look and the log.
#[test]
fn what_a_removed_operator_signed_is_not_carried_out() {
    let quarantine = Action::QuarantineDevice { device: device() };
    let removed = |who: &Person| {
        (StreamKind::Operator, StreamId::from(who.id), Event::OperatorRemoved { statement: statement() })
    };
    let house = House::new();
    let signed = PEOPLE.sam.sign(START, quarantine.clone());
    let quarantined = 12;
    house.before(quarantined, vec![removed(&PEOPLE.sam)]);
    let refused = house.control.carry_out(&signed, START).now_or_never().unwrap();
    assert!(matches!(refused, Err(ControlError::Refused(r)) if r.code == "operator_unknown"));
    assert_eq!(house.recorded(quarantined), 0);
    // Whoever is still there is not held up by it.
    let house = House::new();
    house.before(quarantined, vec![removed(&PEOPLE.ada)]);
    house.control.carry_out(&PEOPLE.sam.sign(START, quarantine), START).now_or_never().unwrap().unwrap();
    assert_eq!(house.recorded(quarantined), 1);
}

// I1: the same for a key that was replaced in between; by the new one its owner goes on.
#[test]
fn what_a_replaced_key_signed_is_not_carried_out() {
    let quarantine = Action::QuarantineDevice { device: device() };
    let new = PEOPLE.sam.with_key_of(0x70);
    let replaced = |who: &Person, new: &Person| {
        let event = Event::OperatorKeyReplaced { public_key: new.public_key(), statement: statement() };
        (StreamKind::Operator, StreamId::from(who.id), event)
    };
    let house = House::new();
    let signed = PEOPLE.sam.sign(START, quarantine.clone());
    let quarantined = 12;
    house.before(quarantined, vec![replaced(&PEOPLE.sam, &new)]);
    let refused = house.control.carry_out(&signed, START).now_or_never().unwrap();
    assert!(matches!(refused, Err(ControlError::Refused(r)) if r.code == "signature_invalid"));
    assert_eq!(house.recorded(quarantined), 0);
    house.control.carry_out(&new.sign(START, quarantine.clone()), START).now_or_never().unwrap().unwrap();
    assert_eq!(house.recorded(quarantined), 1);
    // Another person's new key holds nobody up.
    let house = House::new();
    house.before(quarantined, vec![replaced(&PEOPLE.ada, &PEOPLE.ada.with_key_of(0x71))]);
    house.control.carry_out(&PEOPLE.sam.sign(START, quarantine), START).now_or_never().unwrap().unwrap();
    assert_eq!(house.recorded(quarantined), 1);
}
