//! The gateway as a device, the control plane and the EHR see it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod hospital;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lanyard_api::device::{Confirmation, TokenClaims};
use lanyard_api::gateway::{Answer, Question};
use lanyard_domain::event::Event;
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Blob;
use lanyard_domain::trust::{Reason, Verdict};
use lanyard_gateway::{Gateway, StartError};
use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::note::NoteVerifier;
use lanyard_ledger::{leaf, tree};
use lanyard_pki::tls::IdentityStore;

use hospital::{Ca, Control, Hospital, Identity, Mood, OBSERVATION, client, post};

async fn status_of(hospital: &Hospital, identity: &Identity) -> Result<u16, String> {
    let mut channel = hospital.client(identity).connect().await.map_err(|e| e.to_string())?;
    let response = channel.call_raw(post(OBSERVATION, None)).await.map_err(|e| e.to_string())?;
    Ok(response.status().as_u16())
}

fn outcome(body: &Bytes) -> (String, String) {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(json["resourceType"], "OperationOutcome", "{json}");
    let issue = &json["issue"][0];
    let code = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    (code(&issue["code"]), code(&issue["details"]["coding"][0]["code"]))
}

// R55, R81, I3, I4: accepted, recorded before and after, and provable from the gateway's anchored log
#[tokio::test(flavor = "multi_thread")]
async fn a_reading_reaches_the_ehr_and_its_decision_can_be_proven() {
    let hospital = Hospital::start().await;
    let (device, identity, _) = hospital.device().await;
    let mut channel = hospital.client(&identity).connect().await.unwrap();
    let response = channel.call_raw(post(OBSERVATION, None)).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/fhir/Observation/r1/_history/1");
    let decision = response.headers()["x-lanyard-decision"].to_str().unwrap().to_owned();
    let read = Request::get("/fhir/Patient/p1").body(Bytes::new()).unwrap();
    let read = channel.call_raw(read).await.unwrap();
    assert_eq!(
        (read.status().as_u16(), read.body().as_ref()),
        (200, &br#"{"resourceType":"Patient","id":"p1"}"#[..])
    );

    let bundle = hospital.ehr.received.lock().unwrap()[0].clone();
    assert_eq!(bundle["entry"][0]["resource"]["resourceType"], "Observation");
    assert!(bundle["entry"][1]["resource"].to_string().contains(&device.urn()));

    let reading = Question::Reading { location: "Observation/r1".into() };
    let Answer::Reading { leaves, checkpoint } = hospital.control.ask(reading).await else { panic!() };
    let verifier =
        NoteVerifier::parse(&hospital.keys.vkey(hospital::ORIGIN, hospital.config.id).unwrap()).unwrap();
    let (head, _) = Checkpoint::open(checkpoint.as_bytes(), &verifier).unwrap();
    assert!(
        hospital.control.shared.anchors.lock().unwrap().contains(&checkpoint),
        "the checkpoint is anchored"
    );
    assert_eq!(leaves.len(), 2);
    let mut events = Vec::new();
    for proven in &leaves {
        let (header, commitment) = leaf::decode(&proven.entry.0).unwrap();
        let proof: Vec<_> = proven.proof.iter().map(|d| lanyard_ledger::Hash(d.0)).collect();
        tree::verify_inclusion(&leaf::leaf_hash(&proven.entry.0), header.pos, head.size, &proof, &head.root)
            .unwrap();
        let salt: [u8; 32] = proven.salt.as_ref().unwrap().0.as_slice().try_into().unwrap();
        let payload = &proven.payload.as_ref().unwrap().0;
        assert_eq!(leaf::commit(&salt, payload), commitment);
        assert_eq!(&header.stream, device.as_bytes());
        events.push(Event::from_payload(header.kind, payload).unwrap());
    }
    let Event::AccessDecided(record) = &events[0] else { panic!() };
    assert!(record.allowed && record.decision.to_string() == decision);
    let Event::AccessCompleted { decision: completed, status: 201, location: Some(location), .. } =
        &events[1]
    else {
        panic!()
    };
    assert_eq!((*completed, location.as_str()), (record.decision, "Observation/r1"));

    let unknown = Question::Reading { location: "Observation/none".into() };
    let Answer::Reading { leaves, .. } = hospital.control.ask(unknown).await else { panic!() };
    assert!(leaves.is_empty());
    hospital.gateway.shutdown().await;
}

// I6: the open connection is cut, the next handshake refused, within a second
#[tokio::test(flavor = "multi_thread")]
async fn distrust_cuts_the_open_connection_and_refuses_the_next_handshake() {
    let hospital = Hospital::start().await;
    let (device, identity, mut view) = hospital.device().await;
    let (_, other, _) = hospital.device().await;
    let mut channel = hospital.client(&identity).connect().await.unwrap();
    let mut healthy = hospital.client(&other).connect().await.unwrap();
    for channel in [&mut channel, &mut healthy] {
        assert_eq!(channel.call_raw(post(OBSERVATION, None)).await.unwrap().status(), 201);
    }
    view.verdict = Verdict::Untrusted;
    view.reasons = vec![Reason::new("quarantined", "It is in quarantine.")];
    let told = Instant::now();
    hospital.control.change(&view);
    tokio::time::timeout(Duration::from_secs(1), channel.closed()).await.expect("cut within a second");
    let cut = told.elapsed();
    assert!(status_of(&hospital, &identity).await.is_err(), "no handshake");
    assert!(told.elapsed() < Duration::from_secs(1), "{cut:?} {:?}", told.elapsed());
    let cuts = hospital.gateway.cuts();
    assert_eq!((cuts.len(), cuts[0].device, cuts[0].connections), (1, device, 1));
    // I7: nobody else noticed.
    assert_eq!(healthy.call_raw(post(OBSERVATION, None)).await.unwrap().status(), 201);
    // A person's release lets it back in.
    view.verdict = Verdict::Trusted;
    view.reasons.clear();
    hospital.tell(&view).await;
    assert_eq!(status_of(&hospital, &identity).await, Ok(201));
    hospital.gateway.shutdown().await;
}

// I5: nobody says anything, time alone takes the trust away
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_when_the_verdict_expires_by_time() {
    let hospital = Hospital::start().await;
    let (_, identity, _) = hospital.device().await;
    let mut channel = hospital.client(&identity).connect().await.unwrap();
    assert_eq!(channel.call_raw(post(OBSERVATION, None)).await.unwrap().status(), 201);
    hospital.clock.advance(3601);
    tokio::time::timeout(Duration::from_secs(3), channel.closed()).await.expect("cut by the sweep");
    assert!(status_of(&hospital, &identity).await.is_err());
    hospital.gateway.shutdown().await;
}

// R53, R7: no certificate, another authority's, an unregistered device, an old certificate
#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_get_through_the_handshake() {
    let hospital = Hospital::start().await;
    let (device, identity, mut view) = hospital.device().await;
    let now = hospital.clock.now();
    let foreign = Ca::new(now.plus_seconds(-3 * 86_400)).device(device, now);
    let unregistered = hospital.ca.device(DeviceId::from_random([9; 16]), now);
    // Issued hours ago, no longer among the current ones.
    let superseded = hospital.ca.device(device, now.plus_seconds(-7200));
    for (name, stranger) in
        [("foreign", &foreign), ("unregistered", &unregistered), ("superseded", &superseded)]
    {
        assert!(status_of(&hospital, stranger).await.is_err(), "{name}");
    }
    let nobody = client(&hospital.ca, IdentityStore::empty(), &hospital.clock, hospital.gateway.fhir_addr);
    let call = async {
        let mut channel = nobody.connect().await.map_err(|e| e.to_string())?;
        channel.call_raw(post(OBSERVATION, None)).await.map_err(|e| e.to_string())
    };
    assert!(call.await.is_err());
    // I11: the probes of a retirement give the same answers.
    let old: Vec<Blob> = [&identity, &superseded].map(|i| Blob(i.certificate.der().to_vec())).to_vec();
    let probe = |certificates| Question::Probe { device, certificates };
    let Answer::Probed { probes } = hospital.control.ask(probe(old.clone())).await else { panic!() };
    assert_eq!(probes.iter().map(|p| p.refused).collect::<Vec<_>>(), [false, false, false, true, true, true]);
    view.verdict = Verdict::Untrusted;
    view.certificates.clear();
    hospital.tell(&view).await;
    let Answer::Probed { probes } = hospital.control.ask(probe(old)).await else { panic!() };
    assert_eq!(probes.len(), 6);
    assert!(probes.iter().all(|p| p.refused && !p.answer.is_empty()), "{probes:?}");
    hospital.gateway.shutdown().await;
}

// R38, I6: a certificate that lives long enough to be listed is good for as long as the feed tells of it, and no list is
// read here.
#[tokio::test(flavor = "multi_thread")]
async fn a_listed_certificate_is_good_while_it_is_a_current_one() {
    let hospital = Hospital::start().await;
    let (device, short_lived, mut view) = hospital.device().await;
    let listed = hospital.ca.listed_device(device, hospital.clock.now().plus_seconds(-3_600));
    assert!(status_of(&hospital, &listed).await.is_err(), "not yet told of");
    view.certificates.push(lanyard_domain::text::Digest(listed.certificate.thumbprint()));
    hospital.tell(&view).await;
    assert_eq!(status_of(&hospital, &listed).await, Ok(201));
    // Revoked: gone from the view.
    view.certificates.pop();
    hospital.tell(&view).await;
    assert!(status_of(&hospital, &listed).await.is_err());
    assert_eq!(status_of(&hospital, &short_lived).await, Ok(201));
    hospital.gateway.shutdown().await;
}

// I7: a certificate that is newer than what the feed told costs no request, also when the clocks here and there are ten minutes apart
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_works_before_the_feed_tells_of_it() {
    let hospital = Hospital::start().await;
    let (device, identity, mut view) = hospital.device().await;
    assert_eq!(status_of(&hospital, &identity).await, Ok(201));
    for apart in [0, -600, 600] {
        let renewed = hospital.ca.device(device, hospital.clock.now().plus_seconds(apart));
        let mut channel = hospital.client(&renewed).connect().await.unwrap();
        view.certificates.push(lanyard_domain::text::Digest(renewed.certificate.thumbprint()));
        let (response, ()) = tokio::join!(channel.call_raw(post(OBSERVATION, None)), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            hospital.control.change(&view);
        });
        assert_eq!(response.unwrap().status(), 201, "{apart} s apart");
    }
    // One that the feed never tells of is refused after all.
    let never = hospital.ca.device(device, hospital.clock.now());
    assert_eq!(status_of(&hospital, &never).await, Ok(401));
    hospital.gateway.shutdown().await;
}

// R82: the EHR's trouble is told as such, and each outcome is recorded
#[tokio::test(flavor = "multi_thread")]
async fn the_ehrs_failure_is_never_a_success() {
    let hospital = Hospital::start().await;
    let (_, identity, _) = hospital.device().await;
    let mut channel = hospital.client(&identity).connect().await.unwrap();
    for (mood, status, code) in [
        (Mood::Garbled, 502, "ehr_garbled"),
        (Mood::HalfDone, 502, "ehr_garbled"),
        (Mood::Refuses, 422, "ehr_refused"),
        (Mood::RefusesUs, 502, "ehr_failed"),
        (Mood::BreaksOff, 502, "ehr_broke_off"),
        (Mood::Slow, 504, "ehr_timeout"),
    ] {
        hospital.ehr.feels(mood);
        let response = channel.call_raw(post(OBSERVATION, None)).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), outcome(response.body()).1.as_str()),
            (status, code),
            "{mood:?}"
        );
        assert!(!String::from_utf8_lossy(response.body()).contains("p1"), "{mood:?}");
    }
    hospital.ehr.feels(Mood::Well);
    assert_eq!(channel.call_raw(post(OBSERVATION, None)).await.unwrap().status(), 201);
    hospital.ehr.stop();
    let response = channel.call_raw(post(OBSERVATION, None)).await.unwrap();
    assert!(matches!(response.status().as_u16(), 502 | 503));
    // A refusal by the guard is answered and the connection stays.
    let response = channel.call_raw(post("{}", None)).await.unwrap();
    assert_eq!(response.status(), 400);
    // 8 decisions with 8 completions; the refusal follows without anyone waiting for it.
    let log = hospital.gateway.log().clone();
    for _ in 0..100 {
        if log.size() == 17 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(log.size(), 17);
    hospital.gateway.shutdown().await;
}

// I5, I6: a restart without the control plane goes on with the last state, distrust included
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_the_control_plane_goes_on_with_the_last_state() {
    let hospital = Hospital::start().await;
    let (_, good, _) = hospital.device().await;
    let (_, bad, mut view) = hospital.device().await;
    assert_eq!(status_of(&hospital, &good).await, Ok(201));
    view.verdict = Verdict::Untrusted;
    hospital.tell(&view).await;
    let Hospital { ca, clock, control, ehr, gateway, config, keys, dir } = hospital;
    gateway.shutdown().await;
    control.stop();
    let address = control.address;
    clock.advance(60);

    let gateway = Gateway::start(config.clone(), keys.clone()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), gateway.ready()).await.unwrap();
    let status = gateway.status();
    assert!(status.certified && status.devices == 2 && status.state_age_seconds >= Some(60), "{status:?}");
    let hospital = Hospital { ca, clock, control, ehr, gateway, config, keys, dir };
    assert_eq!(status_of(&hospital, &good).await, Ok(201));
    assert!(status_of(&hospital, &bad).await.is_err());

    // The control plane comes back: state gets younger, and the log is anchored again although nobody remembers how far.
    let shared = hospital.control.shared.clone();
    std::fs::remove_file(hospital.config.data_dir.join("anchored")).unwrap();
    let control = Control::start(shared.clone(), address).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        while hospital.gateway.status().state_age_seconds > Some(5) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    let reading = Question::Reading { location: "Observation/r2".into() };
    let Answer::Reading { leaves, .. } = control.ask(reading).await else { panic!() };
    assert_eq!(leaves.len(), 2);

    // A journal that someone else changed is not used at all.
    let Hospital { gateway, config, keys, .. } = hospital;
    gateway.shutdown().await;
    let journal = config.data_dir.join("state.journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    assert!(matches!(Gateway::start(config, keys).await, Err(StartError::Journal(_))));
}

fn token_key() -> (EncodingKey, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..65]));
    let jwk = serde_json::json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": x, "y": y});
    let jwks = serde_json::json!({ "keys": [jwk] }).to_string();
    (EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()), jwks)
}

// R56, R79: a token acts only with its certificate, its scope and the device's trust
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_worth_nothing_with_another_certificate_or_after_distrust() {
    let hospital = Hospital::start().await;
    let (key, jwks) = token_key();
    hospital.control.shared.snapshot.lock().unwrap().jwks = jwks;
    // A new feed brings the new keys.
    hospital.control.shared.feeds.lock().unwrap().clear();
    let (device, identity, mut view) = hospital.device_after_reconnect().await;
    let (_, other, _) = hospital.device().await;
    let now = hospital.clock.now().as_seconds();
    let token = |scope: &str, thumbprint: [u8; 32]| {
        let claims = TokenClaims {
            iss: "urn:lanyard:log:hospital.example/log".into(),
            sub: device.urn(),
            device,
            aud: lanyard_api::device::TOKEN_AUDIENCE.into(),
            iat: now,
            exp: now + 300,
            jti: "1".into(),
            scope: scope.into(),
            cnf: Confirmation { x5t_s256: BASE64URL_NOPAD.encode(&thumbprint) },
        };
        encode(&Header { kid: Some("k".into()), ..Header::new(Algorithm::ES256) }, &claims, &key).unwrap()
    };
    let good = token("system/Observation.c", identity.certificate.thumbprint());
    let narrow = token("system/Patient.r", identity.certificate.thumbprint());
    let bound = token("system/Observation.c", other.certificate.thumbprint());
    let call = async |identity: &Identity, token: &str| {
        let mut channel = hospital.client(identity).connect().await.unwrap();
        let response = channel.call_raw(post(OBSERVATION, Some(token))).await.unwrap();
        let challenge = response.headers().contains_key("www-authenticate");
        assert_eq!(challenge, response.status() == 401);
        response.status().as_u16()
    };
    assert_eq!(call(&identity, &good).await, 201);
    assert_eq!(call(&identity, &narrow).await, 403);
    assert_eq!(call(&other, &good).await, 401, "another device's certificate");
    assert_eq!(call(&identity, &bound).await, 401, "bound to another certificate");
    assert_eq!(call(&identity, "x.y.z").await, 401);

    // The first request of a connection that was accepted before trust fell. In TLS 1.3 the client is done before the
    // server has judged its certificate and nothing tells it when that is, so this one wait is by time.
    let mut channel = hospital.client(&identity).connect().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    view.verdict = Verdict::Untrusted;
    hospital.tell(&view).await;
    let response = channel.call_raw(post(OBSERVATION, Some(&good))).await.unwrap();
    assert_eq!((response.status().as_u16(), outcome(response.body()).0.as_str()), (401, "login"));
    hospital.gateway.shutdown().await;
}

impl Hospital {
    async fn device_after_reconnect(&self) -> (DeviceId, Identity, lanyard_domain::access::DeviceView) {
        tokio::time::timeout(Duration::from_secs(10), async {
            while self.control.shared.feeds.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        self.device().await
    }
}

// I3: many at once, one chain without gap
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_of_one_device_make_one_chain() {
    let hospital = Arc::new(Hospital::start().await);
    let (device, identity, _) = hospital.device().await;
    let identity = Arc::new(identity);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (hospital, identity) = (hospital.clone(), identity.clone());
        tasks.push(tokio::spawn(async move {
            let mut channel = hospital.client(&identity).connect().await.unwrap();
            for _ in 0..25 {
                assert_eq!(channel.call_raw(post(OBSERVATION, None)).await.unwrap().status(), 201);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(hospital.gateway.log().size(), 400);
    let reading = Question::Reading { location: "Observation/r137".into() };
    let Answer::Reading { leaves, .. } = hospital.control.ask(reading).await else { panic!() };
    let decoded: Vec<_> = leaves.iter().map(|l| leaf::decode(&l.entry.0).unwrap().0).collect();
    assert!(decoded.len() == 2 && decoded[0].seq < decoded[1].seq && decoded[0].stream == *device.as_bytes());
}

// R7, I12: a flood of refusals does not fill the log
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_device_cannot_fill_the_disk() {
    let hospital = Hospital::start().await;
    let (_, identity, _) = hospital.device().await;
    let mut channel = hospital.client(&identity).connect().await.unwrap();
    for _ in 0..200 {
        assert_eq!(channel.call_raw(post("{", None)).await.unwrap().status(), 400);
    }
    let log = hospital.gateway.log().clone();
    hospital.gateway.shutdown().await;
    assert!((20..60).contains(&log.size()), "{}", log.size());
}
