use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use lanyard_api::client::CallError;
use lanyard_api::clock::Clock;
use lanyard_attest::tcg::build::LogBuilder;

use super::*;
use crate::config::AgentConfig;
use crate::measure::MeasureError;
use crate::protocol::{Enrollment, Protocol};
use crate::status::Status;
use crate::testkit::{DEVICE, Fail, Plane, Role, anchors_pem, soft_tpm};
use crate::tpm::{KeySlot, RootOfTrust, TpmError};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HALF: Fraction = Fraction::HALF;

fn log(_: &dyn RootOfTrust) -> Result<Vec<u8>, MeasureError> {
    Ok(LogBuilder::new().s_crtm_version("1.0").separators().finish().0)
}

fn agent(servers: &[&str], root: Arc<dyn RootOfTrust>, state_dir: Option<&Path>) -> Agent {
    let config = AgentConfig {
        servers: servers.iter().map(|s| (*s).to_owned()).collect(),
        anchors_pem: anchors_pem(),
        state_dir: state_dir.map(Path::to_owned),
        vendor: "Acme".into(),
        model: "P1".into(),
        serial: "S1".into(),
        event_log: "/nowhere".into(),
        models: vec![],
        gateways: vec![],
        enrollment: Enrollment::default(),
    };
    Agent::new(config, root, Arc::new(log), Clock::system()).unwrap()
}

async fn enrolled() -> (Plane, Agent) {
    let plane = Plane::start().await;
    let agent = agent(&[&plane.address], Arc::new(soft_tpm()), None);
    agent.enroll().await.unwrap();
    (plane, agent)
}

// R36: the test plane refuses proofs that are not of this device, checkpoint and connection.
#[tokio::test]
async fn a_device_enrolls_attests_renews_and_gets_a_token() {
    let (mut plane, agent) = enrolled().await;
    let first = agent.identities().leaf().unwrap();
    assert_eq!(agent.attest().await.unwrap().next_in_seconds, 300);
    assert_eq!(plane.next("/v1/attest").await.leaf.as_deref(), Some(first.as_ref()));

    agent.renew().await.unwrap();
    let second = agent.identities().leaf().unwrap();
    assert_ne!(first, second);
    assert_eq!(plane.next("/v1/renew").await.leaf.as_deref(), Some(first.as_ref()));
    assert!(agent.root().load_tls_key(KeySlot::A).is_ok());
    agent.attest().await.unwrap();
    assert_eq!(plane.next("/v1/attest").await.leaf.as_deref(), Some(second.as_ref()));
    assert!(matches!(agent.root().load_tls_key(KeySlot::A), Err(TpmError::NotFound(_))));
    for _ in 0..3 {
        agent.renew().await.unwrap();
    }

    assert_eq!(agent.token(Some("a b")).await.unwrap().scope, "a b");
    let refused = agent.token(Some("c")).await.unwrap_err();
    assert_eq!(refused.to_string(), "token refused: `invalid_scope`, ask for less");
    assert!(refused.is_refusal());
}

#[tokio::test]
async fn a_device_without_identity_says_so_and_calls_nobody() {
    let agent = agent(&["127.0.0.1:1"], Arc::new(soft_tpm()), None);
    assert!(matches!(agent.attest().await, Err(AgentError::NotEnrolled)));
    assert!(matches!(agent.renew().await, Err(AgentError::NotEnrolled)));
    assert!(matches!(agent.token(None).await, Err(AgentError::NotEnrolled)));
}

// R99: a gateway of the same hospital is not the control plane, but takes data.
#[tokio::test]
async fn only_the_control_plane_is_asked_for_an_identity() {
    let (_plane, enrolled) = enrolled().await;
    let gateway = Plane::start_as(Role::Gateway).await;
    let misled = agent(&[&gateway.address], Arc::new(soft_tpm()), None);
    let refused = misled.enroll().await.unwrap_err();
    let invalid = rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure);
    assert!(
        matches!(&refused, AgentError::Call(CallError::Tls { source, .. }) if *source == invalid),
        "{refused:?}"
    );
    assert!(!refused.is_refusal());
    let path = enrolled.data_path(vec![gateway.address.parse().unwrap()]);
    assert_eq!(path.post("/fhir/Observation", "{}", None).await.unwrap().status, StatusCode::CREATED);
}

// R53: a server of the hospital that is no gateway gets no data, though its certificate is good for the address.
#[tokio::test]
async fn an_application_is_not_taken_for_a_gateway() {
    let (_plane, enrolled) = enrolled().await;
    let application = Plane::start_as(Role::Application).await;
    let path = enrolled.data_path(vec![application.address.parse().unwrap()]);
    let refused = path.post("/fhir/Observation", "{}", None).await.unwrap_err();
    assert!(format!("{refused:?}").contains("ApplicationVerificationFailure"), "{refused:?}");
}

// I7: a certificate that the server does not know yet, or never will, does not lock the device out.
#[tokio::test]
async fn a_new_certificate_that_tls_refuses_gives_way_to_the_old_one() {
    let (plane, agent) = enrolled().await;
    let old = agent.identities().leaf();
    agent.renew().await.unwrap();
    plane.refuse(agent.identities().leaf().as_deref());
    let error = agent.attest().await.unwrap_err();
    assert!(error.is_refusal(), "{error:?}");
    assert_eq!(agent.identities().leaf(), old);
    agent.attest().await.unwrap();
    assert!(agent.identities().current().unwrap().renew_at <= Clock::system().now());
    agent.renew().await.unwrap();
    agent.attest().await.unwrap();
}

// A restart of either side changes nothing.
#[tokio::test]
async fn a_restarted_agent_goes_on_with_its_identity() {
    let (dir, root): (_, Arc<dyn RootOfTrust>) = (tempfile::tempdir().unwrap(), Arc::new(soft_tpm()));
    let mut plane = Plane::start().await;
    let (stop, before) = (CancellationToken::new(), agent(&[&plane.address], root.clone(), Some(dir.path())));
    let running = {
        let (a, s) = (before.clone(), stop.clone());
        tokio::spawn(async move { a.run(s).await })
    };
    plane.next("/v1/enroll/finish").await;
    let mut status = before.status();
    status.wait_for(|s| s.standing.is_some() && s.next == Some(Step::Attest)).await.unwrap();
    while Status::read(dir.path()).unwrap().is_none_or(|s| s.next != Some(Step::Attest)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    running.await.unwrap();

    let again = agent(&[&plane.address], root, Some(dir.path()));
    assert_eq!(again.identities().current(), before.identities().current());
    let kept = again.status().borrow().clone();
    assert_eq!((kept.device, kept.standing.map(|s| s.pos)), (Some(DEVICE), Some(7)));
    let (stop, running) = (CancellationToken::new(), again.clone());
    let run = {
        let s = stop.clone();
        tokio::spawn(async move { running.run(s).await })
    };
    let seen = plane.next("/v1/attest").await;
    assert_eq!(seen.leaf.as_deref(), again.identities().leaf().as_deref());
    stop.cancel();
    run.await.unwrap();
}

// I7: broken, cut and silent servers cost nothing; the loop goes on until it is answered.
#[tokio::test]
async fn failures_are_retried_until_they_pass_and_take_nothing_away() {
    let (mut plane, agent) = enrolled().await;
    let before = agent.identities().current();
    plane.fail([Fail::Status(503), Fail::Cut, Fail::Problem(500)]);
    let (stop, mut status) = (CancellationToken::new(), agent.status());
    let running = {
        let (a, s) = (agent.clone(), stop.clone());
        tokio::spawn(async move { a.run(s).await })
    };
    status.wait_for(|s| s.fault.as_ref().is_some_and(|f| f.times == 3 && !f.refused)).await.unwrap();
    assert_eq!(agent.identities().current(), before);
    plane.next("/v1/attest").await;
    status.wait_for(|s| s.fault.is_none() && s.standing.is_some()).await.unwrap();
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_reported_and_asked_again_at_the_usual_pace() {
    let (mut plane, agent) = enrolled().await;
    plane.fail([Fail::Problem(403)]);
    let (stop, mut status) = (CancellationToken::new(), agent.status());
    let running = {
        let (a, s) = (agent.clone(), stop.clone());
        tokio::spawn(async move { a.run(s).await })
    };
    let fault = status.wait_for(|s| s.fault.is_some()).await.unwrap().fault.clone().unwrap();
    assert!(fault.refused && fault.text.contains("ask security"), "{fault:?}");
    let next_at =
        status.wait_for(|s| s.next_at.is_some_and(|at| at > fault.at)).await.unwrap().next_at.unwrap();
    assert!((269..=331).contains(&next_at.seconds_since(fault.at)), "told 300 s, asks again in {next_at}");
    // Somebody wants to know now.
    agent.nudge();
    plane.next("/v1/attest").await;
    status.wait_for(|s| s.fault.is_none()).await.unwrap();
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_down_or_broken() {
    let (mut broken, mut good) = (Plane::start().await, Plane::start().await);
    broken.fail((0..50).map(|_| Fail::Status(500)));
    let agent = agent(&["127.0.0.1:1", &broken.address, &good.address], Arc::new(soft_tpm()), None);
    let (stop, running) = (CancellationToken::new(), agent.clone());
    let run = {
        let s = stop.clone();
        tokio::spawn(async move { running.run(s).await })
    };
    broken.next("/v1/enroll/begin").await;
    good.next("/v1/enroll/finish").await;
    good.stop();
    stop.cancel();
    run.await.unwrap();
}

// R43, R44
#[tokio::test]
async fn the_loop_renews_when_it_is_time_while_data_flows_without_a_failure() {
    let (mut plane, agent) = enrolled().await;
    let path = agent.data_path(vec![plane.address.parse().unwrap()]);
    let old = agent.identities().leaf().unwrap();
    plane.renew_at(Timestamp::from_seconds(1));
    plane.pace(1);
    agent.renew().await.unwrap();
    plane.renew_at(Timestamp::from_seconds(2_000_000_000));
    let (stop, running) = (CancellationToken::new(), agent.clone());
    let run = {
        let s = stop.clone();
        tokio::spawn(async move { running.run(s).await })
    };
    let generation = agent.identities().generation();
    let mut sent = 0;
    while agent.identities().generation() == generation || sent < 5 {
        let reply = path.post("/fhir/Observation", "{}", None).await.unwrap();
        assert_eq!(reply.status, StatusCode::CREATED);
        sent += 1;
    }
    path.post("/fhir/Observation", "{}", None).await.unwrap();
    stop.cancel();
    run.await.unwrap();
    let mut last = None;
    while let Ok(seen) = plane.seen.try_recv() {
        if seen.path == "/fhir/Observation" {
            last = seen.leaf;
        }
    }
    assert_eq!(last.as_deref(), agent.identities().leaf().as_deref());
    assert_ne!(last.as_deref(), Some(old.as_ref()));
}

#[tokio::test]
async fn data_goes_over_one_kept_connection_and_refusals_are_answers() {
    let (mut plane, agent) = enrolled().await;
    let path = agent.data_path(vec![plane.address.parse().unwrap()]);
    assert!(!path.is_open().await);
    let reply = path.post("/fhir/Observation", "{}", Some("token")).await.unwrap();
    assert_eq!(reply.location.as_deref(), Some("Observation/1"));
    assert!(path.is_open().await);
    let refused = path.get("/fhir/Patient", None).await.unwrap();
    assert_eq!(
        (refused.status, refused.diagnostics().as_deref()),
        (StatusCode::FORBIDDEN, Some("not in scope"))
    );
    plane.fail([Fail::Cut]);
    assert!(matches!(path.post("/fhir/Observation", "{}", None).await, Err(CallError::Unavailable { .. })));
    path.closed().await;
    assert!(!path.is_open().await);
    path.connect().await.unwrap();
    assert_eq!(path.post("/fhir/Observation", "{}", None).await.unwrap().status, StatusCode::CREATED);
    plane.next("/fhir/Patient").await;
}

fn identity(renew_at: i64, not_after: i64) -> Identity {
    Identity {
        device: DEVICE,
        slot: crate::identity::Slot::A,
        chain_pem: String::new(),
        renew_at: NOW.plus_seconds(renew_at),
        not_after: NOW.plus_seconds(not_after),
        pcrs: vec![],
        protocol: Protocol::Native,
    }
}

#[test]
fn the_next_step_is_what_is_due_first() {
    let at = |attest, renew, hold, failed| Plan {
        attest_at: NOW.plus_seconds(attest),
        renew_at: NOW.plus_seconds(renew),
        hold_until: NOW.plus_seconds(hold),
        failures: 0,
        failed,
        ..Plan::new(NOW)
    };
    let live = identity(100, 1000);
    let expired = identity(-900, 0);
    let by_est = Identity { protocol: Protocol::Est, ..expired.clone() };
    for (plan, identity, step, seconds) in [
        (at(10, 100, 0, None), None, Step::Enroll, 0),
        (at(10, 100, 20, None), None, Step::Enroll, 20),
        (at(10, 100, 0, None), Some(&expired), Step::Enroll, 0),
        // Its one-time secret is spent: what has ended is shown once more, and a person or the tier lets it renew.
        (at(10, 100, 5, None), Some(&by_est), Step::Renew, 5),
        (at(10, 100, 0, None), Some(&live), Step::Attest, 10),
        (at(100, 10, 0, None), Some(&live), Step::Renew, 10),
        (at(-5, -1, 0, None), Some(&live), Step::Renew, 0),
        (at(-5, -1, 30, None), Some(&live), Step::Renew, 30),
        // A renewal that fails must not keep the device from proving its state.
        (at(-5, -1, 7, Some(Step::Renew)), Some(&live), Step::Attest, 7),
        (at(5, -1, 7, Some(Step::Renew)), Some(&live), Step::Renew, 7),
    ] {
        assert_eq!(plan.next(identity, NOW), (step, NOW.plus_seconds(seconds)), "{plan:?}");
    }
}

// R49: a compromised authority's fleet is steered by the answers to attestations; where nothing counts any more, the hardware
// speaks again.
#[test]
fn an_answer_brings_renewal_forward_and_a_compromise_lets_the_device_enroll_anew() {
    let live = identity(100, 1000);
    let mut plan = Plan::new(NOW);
    plan.learn(Some(&live), 1, HALF);
    let usual = plan.renew_at;
    plan.succeeded(&crate::testkit::standing(60), NOW, HALF);
    assert_eq!(plan.renew_at, usual);
    let told = |at| Standing { renew_at: Some(NOW.plus_seconds(at)), ..crate::testkit::standing(60) };
    plan.succeeded(&told(900), NOW, HALF);
    assert_eq!(plan.renew_at, usual, "later than it would be anyway");
    plan.succeeded(&told(20), NOW, HALF);
    assert_eq!(plan.next(Some(&live), NOW), (Step::Renew, NOW.plus_seconds(20)));
    plan.anew = true;
    assert_eq!(plan.next(Some(&live), NOW).0, Step::Enroll);
}

#[test]
fn renewal_time_is_drawn_once_for_each_certificate() {
    let mut plan = Plan::new(NOW);
    plan.learn(Some(&identity(100, 1100)), 1, HALF);
    assert_eq!(plan.renew_at, NOW.plus_seconds(150));
    plan.learn(Some(&identity(500, 1100)), 1, HALF);
    assert_eq!(plan.renew_at, NOW.plus_seconds(150));
    plan.learn(Some(&identity(500, 1500)), 2, HALF);
    assert_eq!(plan.renew_at, NOW.plus_seconds(550));
}

// R44: the server's window goes before the share of the lifetime, each drawn once; never so late that nothing is left.
#[test]
fn a_window_that_the_server_told_is_kept_to() {
    let live = Identity { protocol: Protocol::Acme, ..identity(100, 1100) };
    let window = |start: i64, end: i64| {
        Ok(RenewalWindow {
            start: NOW.plus_seconds(start),
            end: NOW.plus_seconds(end),
            explanation: None,
            retry_after_seconds: 600,
        })
    };
    let mut plan = Plan::new(NOW);
    plan.learn(Some(&live), 1, HALF);
    assert!(plan.asks(Some(&live), NOW) && !plan.asks(Some(&identity(100, 1100)), NOW));
    plan.steer(&live, window(200, 400), NOW, HALF);
    assert_eq!((plan.renew_at, plan.asks(Some(&live), NOW)), (NOW.plus_seconds(300), false));
    plan.steer(&live, window(200, 400), NOW, Fraction::from_random([0; 4]));
    assert_eq!(plan.renew_at, NOW.plus_seconds(300), "drawn once");
    plan.steer(&live, window(-400, -200), NOW, HALF);
    assert_eq!(plan.next(Some(&live), NOW).0, Step::Renew, "at once");
    plan.steer(&live, window(5000, 6000), NOW, HALF);
    assert_eq!(plan.renew_at, NOW.plus_seconds(1000), "a tenth of the rest stays");
    plan.steer(&live, Err(AgentError::NotEnrolled), NOW, HALF);
    assert_eq!((plan.renew_at, plan.ask_at), (NOW.plus_seconds(1000), NOW.plus_seconds(3600)));
    plan.learn(Some(&live), 2, HALF);
    assert_eq!(plan.renew_at, NOW.plus_seconds(150), "a new certificate, a new draw");
}

#[test]
fn failures_back_off_and_refusals_keep_the_pace() {
    let mut plan = Plan::new(NOW);
    let mut last = 0;
    for _ in 0..9 {
        plan.fell_short(Step::Attest, Reaction::Retry, 120, NOW, HALF);
        let wait = plan.hold_until.micros_since(NOW);
        assert!(wait > last);
        last = wait;
    }
    plan.fell_short(Step::Attest, Reaction::Wait, 120, NOW, HALF);
    assert_eq!((plan.hold_until, plan.failures), (NOW.plus_seconds(120), 10));
    plan.succeeded(&crate::testkit::standing(60), NOW, HALF);
    assert_eq!((plan.attest_at, plan.hold_until, plan.failures), (NOW.plus_seconds(60), NOW, 0));
}
