//! Devices without network: files that a person carries, and how each of them is refused.

use std::sync::Arc;

use lanyard_agent::offline::RequestWith;
use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_agent::tpm::{KeySlot, RootOfTrust};
use lanyard_agent::{Agent, AgentError};
use lanyard_api::offline::{ChallengeFile, ChallengeRequest, FileAnswer, FileHandIn, FileLook, FileSeen};
use lanyard_api::operator::EventLine;
use lanyard_api::problem::Problem;
use lanyard_api::signing::{sign_request, sign_statement};
use lanyard_domain::id::DeviceId;
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::tier::Tier;
use lanyard_enroll::offline::{Attested, Keys, Proof, RequestFile};

use crate::hospital::{Firmware, Hospital, Person, person, random, record, refusal};

/// A hospital, and a pump of tier critical that nobody ever connects.
struct Bench {
    _dir: tempfile::TempDir,
    hospital: Hospital,
    firmware: Firmware,
    maker: MakerCa,
    tpm: Arc<SoftTpm>,
    device: DeviceId,
}

async fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let (maker, firmware) = hospital.supplied().await;
    let device = hospital.admitted("P-1").await;
    let tpm = Arc::new(SoftTpm::in_memory(&maker, "Chip 2", "P-1").unwrap());
    firmware.boot(&tpm);
    Bench { _dir: dir, hospital, firmware, maker, tpm, device }
}

impl Bench {
    fn agent(&self) -> Agent {
        self.hospital.agent("P-1", &self.tpm, &self.firmware)
    }

    async fn challenge(&self, who: &Person, request: ChallengeRequest) -> Result<ChallengeFile, Problem> {
        self.signed(who, "/v1/files/challenge", &request).await
    }

    async fn challenge_for(&self, keys: Vec<u8>) -> Vec<u8> {
        let request = ChallengeRequest::Keys { file: Blob(keys) };
        self.challenge(&self.hospital.registrar, request).await.unwrap().file.0
    }

    async fn look(&self, who: &Person, file: &[u8]) -> Result<FileSeen, Problem> {
        self.signed(who, "/v1/files/look", &FileLook { file: Blob(file.to_vec()) }).await
    }

    async fn signed<Req: serde::Serialize, Rep: serde::de::DeserializeOwned>(
        &self,
        who: &Person,
        path: &str,
        body: &Req,
    ) -> Result<Rep, Problem> {
        let body = serde_json::to_vec(body).unwrap();
        self.signed_for(who, path, &body, body.clone()).await
    }

    /// Signed for one body, sent with another.
    async fn signed_for<Rep: serde::de::DeserializeOwned>(
        &self,
        who: &Person,
        path: &str,
        signed: &[u8],
        sent: Vec<u8>,
    ) -> Result<Rep, Problem> {
        let target: http::Uri = path.parse().unwrap();
        let now = self.hospital.clock.now();
        let headers = sign_request(who.id, &who.key, &http::Method::POST, &target, now, random(), signed);
        let mut channel = self.hospital.channel().await;
        refusal(channel.call_json(http::Method::POST, path, &headers, sent).await)
    }

    async fn send(&self, who: &Person, file: &[u8], action: Action) -> Result<FileAnswer, Problem> {
        let statement = sign_statement(&self.hospital.statement(who, action), &who.key).unwrap();
        let body = FileHandIn { file: Blob(file.to_vec()), statement, again: false };
        let mut channel = self.hospital.channel().await;
        refusal(channel.call(http::Method::POST, "/v1/files/request", Some(&body)).await)
    }

    async fn hand_in(&self, file: &[u8]) -> Result<Vec<u8>, Problem> {
        let request_sha256 = RequestFile::verify(file).unwrap().sha256();
        let action = Action::HandInRequest { device: self.device, request_sha256 };
        match self.send(&self.hospital.registrar, file, action).await? {
            FileAnswer::Issued { file, device, .. } => {
                assert_eq!(device, self.device);
                Ok(file.0)
            }
            FileAnswer::Waiting { why } => panic!("waits: {why}"),
        }
    }

    async fn refused(&self, file: &[u8]) -> String {
        self.hand_in(file).await.unwrap_err().code().to_owned()
    }

    /// The request with something changed in it, signed again with its own key: what only the device itself could send.
    fn forged(&self, file: &[u8], slot: KeySlot, change: impl FnOnce(&mut Attested)) -> Vec<u8> {
        let request = RequestFile::verify(file).unwrap();
        let Proof::Challenge(answer) = &request.file().proof else { panic!("not by challenge") };
        let mut answer = answer.clone();
        change(&mut answer);
        RequestFile::with_challenge(&request.file().csr, &answer)
            .sign(|bytes| self.tpm.sign_tls(slot, bytes))
            .unwrap()
    }

    async fn events(&self, name: &str) -> Vec<serde_json::Value> {
        let path = format!("/v1/devices/{}/events", self.device);
        let lines: Vec<EventLine> = self.hospital.look(&self.hospital.security, &path).await.unwrap();
        lines.into_iter().filter_map(|l| l.event).filter(|e| e["event"] == name).collect()
    }
}

// R34, R57, R66: five minutes for tier critical, from the challenge to the record.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_by_file_is_no_older_than_the_tier_allows() {
    let bench = bench().await;
    let clock = &bench.hospital.clock;
    let agent = bench.agent();
    let challenge = bench.challenge_for(agent.keys_file().await.unwrap()).await;
    let late = agent.request_file(RequestWith::Challenge(challenge.clone())).await.unwrap();
    clock.advance(Tier::Critical.rules().fresh_seconds + 1);
    assert_eq!(bench.refused(&late).await, "challenge_expired");
    // The device says so itself when it is asked too late.
    let error = agent.request_file(RequestWith::Challenge(challenge)).await.unwrap_err();
    assert!(matches!(error, AgentError::FileExpired { what: "challenge", .. }), "{error}");
    assert!(bench.events("request_file_handed_in").await.is_empty(), "what expired is not recorded");

    let challenge = bench.challenge_for(agent.keys_file().await.unwrap()).await;
    clock.advance(Tier::Critical.rules().fresh_seconds - 60);
    let in_time = agent.request_file(RequestWith::Challenge(challenge)).await.unwrap();
    let response = bench.hand_in(&in_time).await.unwrap();
    // A response waits for a week, or as long as its signer's certificate.
    clock.advance(8 * 86_400);
    let error = agent.accept_file(response).await.unwrap_err();
    assert!(matches!(error, AgentError::File(_) | AgentError::FileExpired { .. }), "{error}");
    assert!(agent.identities().current().is_none());
    bench.hospital.running.shutdown().await;
}

// R34, R44: who comes with a file is told the same time as who is connected: one in the site's window.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_says_to_come_again_in_the_sites_window() {
    let bench = bench().await;
    let agent = bench.agent();
    // Certificates live a day: two thirds are in 16 hours, four fifths in 19. The window begins in between.
    let (.., hour, _, _) = bench.hospital.clock.now().plus_seconds(17 * 3_600).civil();
    let window = format!("daily {hour:02}:00-{:02}:00 Z", (hour + 2) % 24).parse().unwrap();
    let set = Action::SetMaintenance { site: "north".into(), windows: vec![window] };
    bench.hospital.decide(&bench.hospital.biomed, set).await.unwrap();
    let challenge = bench.challenge_for(agent.keys_file().await.unwrap()).await;
    let request = agent.request_file(RequestWith::Challenge(challenge)).await.unwrap();
    let installed = agent.accept_file(bench.hand_in(&request).await.unwrap()).await.unwrap();
    let (.., told, _, _) = installed.renew_at.civil();
    assert!(told == hour || told == (hour + 1) % 24, "{}", installed.renew_at);
    bench.hospital.running.shutdown().await;
}

// R36, R44, I7: the first key serves until the second one is there, and a crash between two steps leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_enrolls_and_renews_by_files() {
    let bench = bench().await;
    let agent = bench.agent();
    let challenge = bench.challenge_for(agent.keys_file().await.unwrap()).await;
    let request = agent.request_file(RequestWith::Challenge(challenge)).await.unwrap();
    let response = bench.hand_in(&request).await.unwrap();
    // Another process of the same device: what waits stands on disk.
    let agent = bench.agent();
    let waiting = bench.hospital.devices.path().join("P-1/offline.json");
    let kept = std::fs::read(&waiting).unwrap();
    let installed = agent.accept_file(response.clone()).await.unwrap();
    assert_eq!(installed.device, bench.device);
    assert!(matches!(agent.accept_file(response.clone()).await, Err(AgentError::NotAwaited)));
    let first = agent.identities().leaf();
    // Killed after the certificate was on disk, before the wait had ended: the same response ends it.
    std::fs::write(&waiting, kept).unwrap();
    let agent = bench.agent();
    assert_eq!(agent.accept_file(response).await.unwrap(), installed);
    assert_eq!((agent.identities().leaf(), waiting.exists()), (first.clone(), false));

    let renewal = ChallengeRequest::Device { device: bench.device };
    let challenge = bench.challenge(&bench.hospital.biomed, renewal).await.unwrap().file.0;
    let request = agent.request_file(RequestWith::Challenge(challenge)).await.unwrap();
    assert_eq!(agent.identities().leaf(), first, "until the response is there");
    agent.accept_file(bench.hand_in(&request).await.unwrap()).await.unwrap();
    assert_ne!(agent.identities().leaf(), first);
    // It works on a network.
    agent.attest().await.unwrap();
    bench.hospital.running.shutdown().await;
}

// R38, I2: each thing that the request says is held against the challenge.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_says_something_else_than_its_challenge_is_refused() {
    let bench = bench().await;
    let agent = bench.agent();
    let challenge = bench.challenge_for(agent.keys_file().await.unwrap()).await;
    let request = agent.request_file(RequestWith::Challenge(challenge)).await.unwrap();
    let slot = KeySlot::A;
    let guessed = bench.forged(&request, slot, |a| a.enroll.as_mut().unwrap().1 = vec![0; 32]);
    assert_eq!(bench.refused(&guessed).await, "activation_failed");
    let alarms = bench.events("alarm_raised").await;
    assert!(alarms.iter().any(|a| a["code"] == "clone_suspected"), "{alarms:?}");
    let renamed = bench.forged(&request, slot, |a| a.enroll.as_mut().unwrap().0.serial = "P-2".into());
    assert_eq!(bench.refused(&renamed).await, "other_keys");
    let prolonged = bench.forged(&request, slot, |a| a.ticket.expires = a.ticket.expires.plus_seconds(600));
    assert_eq!(bench.refused(&prolonged).await, "challenge_not_ours");
    let elsewhere = bench.forged(&request, slot, |a| a.ticket.device = DeviceId::from_random(random()));
    assert_eq!(bench.refused(&elsewhere).await, "challenge_not_ours");
    let stripped = bench.forged(&request, slot, |a| a.evidence = vec![0; 40]);
    assert_eq!(bench.refused(&stripped).await, "malformed");
    // A key that the TPM did not certify.
    let other = SoftTpm::in_memory(&bench.maker, "Chip 2", "P-9").unwrap();
    let foreign = other.create_tls_key(KeySlot::A).unwrap();
    let uncertified = bench.forged(&request, slot, |a| a.tls_public = foreign);
    assert_eq!(bench.refused(&uncertified).await, "key_not_certified");
    assert!(bench.events("certificate_issued").await.is_empty());
    // The honest one still counts: nothing of the above used it up.
    bench.hand_in(&request).await.unwrap();
    assert_eq!(bench.refused(&request).await, "request_used");
    bench.hospital.running.shutdown().await;
}

// R35, I1: who may carry, and what a signature is for.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_handed_in_by_somebody_who_may_and_who_signed_for_it() {
    let bench = bench().await;
    let hospital = &bench.hospital;
    let auditor = person();
    let action = Action::AddOperator {
        operator: auditor.id,
        name: "Otto".into(),
        roles: vec![Role::Auditor],
        public_key: auditor.key.public_key(),
    };
    hospital.decide(&hospital.admin, action).await.unwrap();
    let agent = bench.agent();
    let keys = agent.keys_file().await.unwrap();
    let ask = ChallengeRequest::Keys { file: Blob(keys.clone()) };
    assert_eq!(bench.challenge(&auditor, ask).await.unwrap_err().code(), "role_missing");
    let request = agent.request_file(RequestWith::Challenge(bench.challenge_for(keys).await)).await.unwrap();
    assert_eq!(bench.look(&auditor, &request).await.unwrap_err().code(), "role_missing");
    let seen = bench.look(&hospital.biomed, &request).await.unwrap();
    assert_eq!((seen.device, seen.label.as_str(), seen.used), (bench.device, "Acme Pump X P-1", false));
    let right = Action::HandInRequest { device: bench.device, request_sha256: seen.request_sha256 };
    let code = async |who: &Person, action: Action| {
        bench.send(who, &request, action).await.unwrap_err().code().to_owned()
    };
    assert_eq!(code(&auditor, right.clone()).await, "role_missing");
    assert_eq!(code(&person(), right.clone()).await, "operator_unknown");
    let other = Action::HandInRequest { device: bench.device, request_sha256: Digest([1; 32]) };
    assert_eq!(code(&hospital.registrar, other).await, "other_request");
    let stranger = Action::HandInRequest {
        device: DeviceId::from_random(random()),
        request_sha256: seen.request_sha256,
    };
    assert_eq!(code(&hospital.registrar, stranger).await, "other_request");
    assert_eq!(
        code(&hospital.biomed, Action::RetireDevice { device: bench.device }).await,
        "wrong_statement"
    );
    // The statement alone, where statements go.
    assert_eq!(hospital.decide(&hospital.registrar, right).await.unwrap_err().code(), "wrong_call");
    bench.hospital.running.shutdown().await;
}

// R7, R35: a challenge is for a device that is registered, by a maker that is accepted; a renewal for one whose TPM is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_made_for_known_devices_only() {
    let bench = bench().await;
    let code = async |request: ChallengeRequest| {
        bench.challenge(&bench.hospital.registrar, request).await.unwrap_err().code().to_owned()
    };
    assert_eq!(code(ChallengeRequest::Device { device: bench.device }).await, "no_identity");
    let unknown = ChallengeRequest::Device { device: DeviceId::from_random(random()) };
    assert_eq!(code(unknown).await, "not_found");
    let keys = Keys::parse(&bench.agent().keys_file().await.unwrap()).unwrap();
    let file = |keys: Keys| ChallengeRequest::Keys { file: Blob(keys.encode()) };
    assert_eq!(code(file(Keys { serial: "P-2".into(), ..keys.clone() })).await, "not_registered");
    assert_eq!(code(file(Keys { ek_certificates: vec![], ..keys.clone() })).await, "not_endorsed");
    assert_eq!(code(ChallengeRequest::Keys { file: Blob(b"LNYO".to_vec()) }).await, "malformed");
    // The same chip for a second record.
    let second = bench.hospital.register(record("P-2")).await.unwrap();
    bench.hospital.approve(second).await;
    let challenge = bench.challenge_for(keys.encode()).await;
    let request = bench.agent().request_file(RequestWith::Challenge(challenge)).await.unwrap();
    bench.hand_in(&request).await.unwrap();
    assert_eq!(code(file(Keys { serial: "P-2".into(), ..keys })).await, "hardware_key_reused");
    bench.hospital.running.shutdown().await;
}

// R99: what the control plane answers is what the person asked, not what somebody put in its place on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_call_with_another_body_is_refused() {
    let bench = bench().await;
    let who = &bench.hospital.registrar;
    let ask = |device| serde_json::to_vec(&ChallengeRequest::Device { device }).unwrap();
    let (mine, other) = (ask(bench.device), ask(DeviceId::from_random([9; 16])));
    let look = serde_json::to_vec(&FileLook { file: Blob(b"x".to_vec()) }).unwrap();
    for path in ["/v1/files/challenge", "/v1/files/look", "/v1/evidence/claim"] {
        for (signed, sent, code) in [
            (&mine, &other, "signature_invalid"),
            (&look, &mine, "signature_invalid"),
            // A signature that leaves the body out, as those of older programs do.
            (&Vec::new(), &mine, "signature_needed"),
            // One of a body that is not there.
            (&mine, &Vec::new(), "signature_needed"),
        ] {
            let answer: Result<serde_json::Value, Problem> =
                bench.signed_for(who, path, signed, sent.clone()).await;
            let refused = answer.unwrap_err();
            assert_eq!((refused.status, refused.code()), (401, code), "{path}");
        }
    }
    // As it was signed, it is read.
    let answer: Result<serde_json::Value, Problem> =
        bench.signed_for(who, "/v1/files/look", &look, look.clone()).await;
    assert_ne!(answer.unwrap_err().status, 401);
    bench.hospital.running.shutdown().await;
}
