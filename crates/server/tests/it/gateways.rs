//! A gateway's place in the control plane: admitted by a person, certified by its key, ended for good.

use lanyard_api::gateway::{GatewayCertificateReply, GatewayCertificateRequest};
use lanyard_api::operator::GatewayLine;
use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{ApplicationId, GatewayId};
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use lanyard_ledger::note::NoteSigner;
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::ocsp::Standing;
use lanyard_pki::revocation::{Reason, Revocation};
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
    // A name that no certificate can say is refused here, not when the gateway asks for its first one.
    for wrong in ["gw .hospital.example", "Gw.hospital.example", "-gw.hospital.example", "a..b", ""] {
        let mut unfit = add.clone();
        if let Action::AddGateway { names, .. } = &mut unfit {
            names.push(wrong.to_owned());
        }
        let refused = hospital.decide(&hospital.admin, unfit).await.unwrap_err();
        assert_eq!(refused.code(), "malformed", "{wrong}");
        assert!(refused.detail.contains("names"), "{}", refused.detail);
    }
    hospital.decide(&hospital.admin, add.clone()).await.unwrap();
    let certified = chain_from_pem(ask().await.unwrap().chain_pem.as_bytes()).unwrap().remove(0);
    let standing = || hospital.running.state.control.standing_of(certified.issuer_der(), &certified.serial());
    assert_eq!(standing(), Standing::Good);

    let remove = Action::RemoveGateway { gateway, reason: Some(RevocationReason::Stolen) };
    assert_eq!(
        hospital.decide(&hospital.registrar, remove.clone()).await.unwrap_err().code(),
        "role_missing"
    );
    let recalled = Action::RemoveGateway { gateway, reason: Some(RevocationReason::Recalled) };
    assert_eq!(hospital.decide(&hospital.security, recalled).await.unwrap_err().code(), "malformed");
    hospital.decide(&hospital.security, remove.clone()).await.unwrap();
    // Whoever is shown its certificate hears that it was stolen, from the very next answer on.
    assert!(
        matches!(standing(), Standing::Revoked(Revocation { reason: Reason::KeyCompromise, .. })),
        "{:?}",
        standing()
    );
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

fn application(name: &str, dns: &str, ips: &[&str]) -> Action {
    Action::RegisterApplication {
        application: ApplicationId::from_random(random()),
        record: ApplicationRecord {
            name: name.to_owned(),
            dns: vec![dns.to_owned()],
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            site: "north".to_owned(),
            owner: "imaging".to_owned(),
            purpose: "viewing".to_owned(),
            profiles: Vec::new(),
        },
    }
}

fn admission(n: u8, names: &[&str]) -> Action {
    let vkey = NoteSigner::from_seed(&format!("test.hospital/main/gateway/{n}"), &[n; 32]).unwrap();
    Action::AddGateway {
        gateway: GatewayId::from_random(random()),
        site: "north".to_owned(),
        spki_sha256: Digest([n; 32]),
        vkey: vkey.verifier().vkey(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

// I2: a certificate for a name is one owner's; whoever asks for it second is refused, whoever that is.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_second_to_a_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let viewer = application("viewer", "viewer.hospital.example", &["10.0.0.8"]);
    hospital.decide(&hospital.registrar, viewer).await.unwrap();
    for taken in ["viewer.hospital.example", "10.0.0.8"] {
        let refused = hospital.decide(&hospital.admin, admission(1, &["gw.hospital.example", taken])).await;
        assert_eq!(refused.unwrap_err().code(), "name_taken", "{taken}");
    }
    hospital.decide(&hospital.admin, admission(1, &["gw.hospital.example", "10.0.0.9"])).await.unwrap();
    for (dns, ips) in [
        ("gw.hospital.example", &[][..]),
        ("other.hospital.example", &["10.0.0.9"]),
        // The control plane of these tests is dialled at this address.
        ("other.hospital.example", &["127.0.0.1"]),
        ("viewer.hospital.example", &[]),
    ] {
        let refused = hospital.decide(&hospital.registrar, application("other", dns, ips)).await;
        assert_eq!(refused.unwrap_err().code(), "name_taken", "{dns} {ips:?}");
    }
    let other = application("other", "other.hospital.example", &["10.0.0.8"]);
    hospital.decide(&hospital.registrar, other).await.unwrap();
    let control = &hospital.running.state.control;
    let request = csr_for("control");
    let named = |name: &str| vec!["127.0.0.1".to_owned(), name.to_owned()];
    let now = hospital.clock.now();
    let refused = control.certify_self(&request, &named("other.hospital.example"), now).await.unwrap_err();
    assert!(refused.to_string().contains("application `other`"), "{refused}");
    control.certify_self(&request, &named("free.hospital.example"), now).await.unwrap();
    hospital.running.shutdown().await;
}

fn csr_for(name: &str) -> Vec<u8> {
    let keys = MemoryKeys::default();
    let label: KeyLabel = name.parse().unwrap();
    let spki = keys.generate(&label, KeyKind::P256).unwrap();
    csr::build(&spki, name, |tbs| keys.sign(&label, tbs)).unwrap()
}
