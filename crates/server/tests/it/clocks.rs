//! The drill "clocks ten minutes off on either side": the device's, the gateway's, the control plane's. A certificate is issued,
//! renewed and used by our own protocol, EST and ACME; what is refused because of it says so.

use lanyard_agent::Agent;
use lanyard_agent::protocol::Protocol;
use lanyard_api::clock::Clock;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::tier::Tier;
use lanyard_gateway::RunningGateway;
use lanyard_sim::ehr::StandInEhr;

use crate::felt::{OBSERVATION, gateway_with};
use crate::hospital::record;
use crate::protocols::{Pump, Ward, enroll, seconds, ward};
use crate::restart::until;

const OFF: i64 = 600;
const PROTOCOLS: [Protocol; 3] = [Protocol::Native, Protocol::Est, Protocol::Acme];

/// Beside the control plane's.
fn beside(ward: &Ward, seconds: i64) -> Clock {
    // A clone would share its shift.
    let clock = Clock::shifted();
    clock.advance(seconds + ward.hospital.clock.now().seconds_since(clock.now()));
    clock
}

async fn admitted(ward: &Ward, protocol: Protocol, serial: &str) -> Pump {
    let pump = ward.pump_of(DeviceRecord { tier: Tier::Standard, ..record(serial) }, protocol).await;
    ward.hospital.approve(pump.id).await;
    ward.firmware.boot(&pump.tpm);
    pump
}

/// What the gateway answers: a status, or nothing that is one.
async fn sent(agent: &Agent, gateway: &RunningGateway, body: &str) -> Result<u16, String> {
    let path = agent.data_path(vec![gateway.fhir_addr.to_string().parse().unwrap()]);
    let reply = path.post("/fhir/Observation", body.to_owned(), None).await.map_err(|e| e.to_string())?;
    Ok(reply.status.as_u16())
}

/// Gets its certificate, renews it, and uses each at once: there is no time in which it would have to wait.
async fn is_served(ward: &Ward, gateway: &RunningGateway, off: i64, protocol: Protocol) {
    let serial = format!("{protocol}-{off}-{}", gateway.fhir_addr.port());
    let pump = admitted(ward, protocol, &serial).await;
    let agent = ward.agent_by(&pump, beside(ward, off));
    enroll(&agent, &pump, protocol).await.unwrap_or_else(|e| panic!("{serial}: {e}"));
    for _ in 0..2 {
        agent.show().await.unwrap_or_else(|e| panic!("{serial}: {e}"));
        // Who shows no evidence is known there, and not trusted: that is what it hears, and nothing about time.
        let is_served = |answer: &Result<u16, String>| match protocol {
            Protocol::Native => *answer == Ok(201),
            _ => answer.as_ref().is_err_and(|why| why.contains("AccessDenied")),
        };
        let mut last = sent(&agent, gateway, OBSERVATION).await;
        // The gateway's view follows within a second.
        for _ in 0..500 {
            if is_served(&last) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            last = sent(&agent, gateway, OBSERVATION).await;
        }
        assert!(is_served(&last), "{serial}: {last:?}");
        agent.renew_by(seconds(60)).await.unwrap_or_else(|e| panic!("{serial}: {e}"));
    }
}

// R43, R44, I7: the drill "clock ten minutes off on either side".
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_ten_minutes_off_cost_nobody_a_certificate_or_its_use() {
    let ward = ward().await;
    ward.hospital.release(&ward.firmware).await;
    let ehr = StandInEhr::start().await.unwrap();
    // Device and gateway beside the control plane: each alone, then both, which is the control plane's clock off.
    for (of_device, of_gateway) in [(OFF, 0), (-OFF, 0), (0, OFF), (0, -OFF), (OFF, OFF), (-OFF, -OFF)] {
        let dir = tempfile::tempdir().unwrap();
        let gateway = gateway_with(&ward.hospital, dir.path(), &ehr, beside(&ward, of_gateway)).await;
        for protocol in PROTOCOLS {
            println!("device {of_device}, gateway {of_gateway}, {protocol}");
            is_served(&ward, &gateway, of_device, protocol).await;
        }
        gateway.shutdown().await;
    }
    what_is_refused_says_that_it_is_the_clock(&ward, &ehr).await;
    ward.hospital.running.shutdown().await;
}

/// Beyond what certificates allow, and where a moment itself is judged: the words name the time and not the device.
async fn what_is_refused_says_that_it_is_the_clock(ward: &Ward, ehr: &StandInEhr) {
    let pump = admitted(ward, Protocol::Native, "P-far").await;
    // Twenty minutes late: nothing of ours has begun yet, and the device says so itself.
    let late = ward.agent_by(&pump, beside(ward, -2 * OFF)).enroll().await.unwrap_err().to_string();
    assert!(late.contains("NotValidYet"), "{late}");
    let agent = ward.agent_by(&pump, beside(ward, OFF));
    enroll(&agent, &pump, Protocol::Native).await.unwrap();
    let gateway = async |off| {
        let dir = tempfile::tempdir().unwrap();
        let gateway = gateway_with(&ward.hospital, dir.path(), ehr, beside(ward, off)).await;
        (dir, gateway)
    };

    // A reading of the future is none, by the gateway's clock; one of the past is.
    let (_dir, right) = gateway(0).await;
    until(async || sent(&agent, &right, OBSERVATION).await == Ok(201)).await;
    let dated = |seconds| {
        let at = ward.hospital.clock.now().plus_seconds(seconds);
        OBSERVATION.replacen('{', &format!("{{\"effectiveDateTime\":\"{}\",", at), 1)
    };
    assert_eq!(sent(&agent, &right, &dated(-OFF)).await, Ok(201));
    let path = agent.data_path(vec![right.fhir_addr.to_string().parse().unwrap()]);
    let refused = path.post("/fhir/Observation", dated(OFF), None).await.unwrap();
    let said = refused.diagnostics().unwrap();
    assert!(
        refused.status.is_client_error() && said.contains("check the device's clock"),
        "{}: {said}",
        refused.status
    );

    // A token by a control plane that is ahead of the gateway has not begun there.
    let token = agent.token(None).await.unwrap();
    let (_dir, late) = gateway(-OFF).await;
    until(async || sent(&agent, &late, OBSERVATION).await == Ok(201)).await;
    let path = agent.data_path(vec![late.fhir_addr.to_string().parse().unwrap()]);
    let refused = path.post("/fhir/Observation", OBSERVATION, Some(&token.access_token)).await.unwrap();
    let said = refused.diagnostics().unwrap();
    assert_eq!(refused.status.as_u16(), 401, "{said}");
    assert!(said.contains("issued in the future; check the clocks"), "{said}");
    right.shutdown().await;
    late.shutdown().await;
}
