//! The order as a state machine, under any sequence of commands.

use proptest::prelude::*;

use super::*;
use crate::acme::order::Command;
use crate::acme::payload::NewOrder;

fn order() -> (Order, P256, Jwk) {
    let key = Jwk::parse(&ClientKey::p256().jwk()).unwrap();
    let account = Account {
        id: AccountId::from_random([1; 16]),
        key: key.clone(),
        contacts: vec![],
        status: AccountStatus::Valid,
        binding: None,
    };
    let json = br#"{"identifiers":[{"type":"dns","value":"a.example"},{"type":"dns","value":"b.example"}]}"#;
    let request = NewOrder::parse(json).unwrap();
    let challenges = |_: &Identifier| vec![ChallengeKind::Http01, ChallengeKind::Dns01];
    let order = Order::new(request, &account, challenges, &Seed::new([3; 32]), NOW, &Lifetimes::default());
    (order, P256::new(), key)
}

#[test]
fn every_challenge_has_its_own_token() {
    let (order, _, _) = order();
    let challenges = order.authorizations.iter().flat_map(|a| &a.challenges);
    let tokens: std::collections::BTreeSet<&str> = challenges.map(|c| c.token.as_str()).collect();
    assert_eq!(tokens.len(), 4);
}

/// What may follow what (RFC 8555 7.1.6); each may stay as it is.
fn follows(before: OrderStatus, after: OrderStatus) -> bool {
    use OrderStatus as S;
    before == after
        || matches!(
            (before, after),
            (S::Pending, S::Ready | S::Invalid)
                | (S::Ready, S::Processing | S::Invalid)
                | (S::Processing, S::Valid | S::Invalid)
                | (S::Valid, S::Invalid)
        )
}

proptest! {
    // I1, I3: no enrollment without every identifier proven, whatever comes in whatever order.
    #[test]
    fn no_sequence_of_commands_leads_past_a_proof(
        commands in prop::collection::vec((0u8..10, 0usize..3, any::<bool>(), 0i64..4000), 0..40)
    ) {
        let (mut order, key, account_key) = order();
        let csr = lanyard_pki::csr::verify(&key.request(sequence(&[]), &[])).unwrap();
        let mut now = NOW;
        let issued = Outcome::Issued { chain: vec![vec![1]] };
        let pending = Outcome::Pending { retry_after_seconds: 60, why: String::new() };
        let refused = Outcome::Refused { code: "x".into(), why: String::new() };
        let away = Outcome::Unavailable { why: String::new() };
        let problem = || Problem::new(ErrorType::Dns, "x");
        for (what, authorization, first, wait) in commands {
            now = now.plus_seconds(wait);
            let kind = if first { ChallengeKind::Http01 } else { ChallengeKind::Dns01 };
            let outcome = [&issued, &pending, &refused, &away][authorization];
            let conclude = Command::Conclude { outcome, alternates: &[] };
            let command = match what {
                0 | 1 => Command::Start { authorization, kind },
                2..=4 => Command::Prove { authorization, kind, attested: None },
                5 if wait < 500 => Command::Fail { authorization, kind, problem: problem() },
                6 if wait < 500 => Command::Deactivate { authorization },
                7 => Command::Retry,
                8 => conclude,
                _ => Command::Finalize { csr: csr.clone(), account_key: &account_key },
            };
            let before = order.status(now);
            if let Ok(event) = order.decide(command, &Lifetimes::default(), now) {
                order = order.apply(event);
            }
            let after = order.status(now);
            prop_assert!(follows(before, after), "{before:?} to {after:?}");
            let enrolling = after == OrderStatus::Processing;
            prop_assert_eq!(order.proven().is_some(), enrolling);
            if let Some((proven, _)) = order.proven() {
                prop_assert_eq!(proven.identifiers().len(), 2);
            }
        }
    }
}

#[test]
fn one_enrollment_runs_at_a_time() {
    let (mut order, key, account_key) = order();
    let lifetimes = Lifetimes::default();
    for authorization in 0..2 {
        let prove = Command::Prove { authorization, kind: ChallengeKind::Http01, attested: None };
        order = {
            let event = order.decide(prove, &lifetimes, NOW).unwrap();
            order.apply(event)
        };
    }
    let csr = lanyard_pki::csr::verify(&key.request(sequence(&[]), &[])).unwrap();
    let finalize = || Command::Finalize { csr: csr.clone(), account_key: &account_key };
    order = {
        let event = order.decide(finalize(), &lifetimes, NOW).unwrap();
        order.apply(event)
    };
    assert!(order.decide(finalize(), &lifetimes, NOW).is_err());
    // Somebody issues; a poll does not begin a second time, unless that somebody died.
    assert!(order.decide(Command::Retry, &lifetimes, NOW.plus_seconds(59)).is_err());
    assert!(order.decide(Command::Retry, &lifetimes, NOW.plus_seconds(61)).is_ok());
}
