//! A gateway's place in the control plane: admitted by a person, certified by its key, ended for good.

use lanyard_api::gateway::{GatewayCertificateReply, GatewayCertificateRequest};
use lanyard_api::operator::GatewayLine;
use lanyard_domain::id::GatewayId;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use lanyard_ledger::note::NoteSigner;
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::{csr, spki::PublicKey};

use crate::hospital::{Hospital, random, refusal};

// R49, R126
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_gateway_gets_no_certificate_again_and_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let gateway = GatewayId::from_random(random());
    let keys = MemoryKeys::default();
    let label: KeyLabel = "gateway-tls".parse().unwrap();
    let spki = keys.generate(&label, KeyKind::P256).unwrap();
    let vkey = NoteSigner::from_seed(&format!("test.hospital/main/gateway/{gateway}"), &[7; 32]).unwrap();
    let spki_sha256 = Digest(PublicKey::parse(&spki).unwrap().sha256());
    let csr = csr::build(&spki, "gateway", |tbs| keys.sign(&label, tbs)).unwrap();
    let request = GatewayCertificateRequest { gateway, csr: Blob(csr) };
    let ask = async || {
        let mut channel = hospital.channel().await;
        let answer = channel
            .call::<_, GatewayCertificateReply>(http::Method::POST, "/v1/gateway/certificate", Some(&request))
            .await;
        refusal(answer)
    };
    assert_eq!(ask().await.unwrap_err().code(), "gateway_unknown");

    let names = vec!["127.0.0.1".to_owned()];
    let site = "north".to_owned();
    let add = Action::AddGateway { gateway, site, spki_sha256, vkey: vkey.verifier().vkey(), names };
    assert_eq!(hospital.decide(&hospital.registrar, add.clone()).await.unwrap_err().code(), "role_missing");
    hospital.decide(&hospital.admin, add.clone()).await.unwrap();
    ask().await.unwrap();

    let remove = Action::RemoveGateway { gateway };
    assert_eq!(
        hospital.decide(&hospital.registrar, remove.clone()).await.unwrap_err().code(),
        "role_missing"
    );
    hospital.decide(&hospital.security, remove.clone()).await.unwrap();
    assert_eq!(ask().await.unwrap_err().code(), "gateway_removed");
    assert_eq!(hospital.decide(&hospital.admin, remove).await.unwrap_err().code(), "gateway_removed");
    assert_eq!(hospital.decide(&hospital.admin, add).await.unwrap_err().code(), "gateway_exists");
    let lines: Vec<GatewayLine> = hospital.look(&hospital.security, "/v1/gateways").await.unwrap();
    assert!(lines.iter().all(|g| g.removed && !g.connected));

    // Its site retires devices without it: there is nobody left to refuse there.
    let device = hospital.admitted("P-1").await;
    hospital.decide(&hospital.biomed, Action::RetireDevice { device }).await.unwrap();
    crate::restart::until(async || hospital.device(device).await.stage == "retired").await;
    hospital.running.shutdown().await;
}
