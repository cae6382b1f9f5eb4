//! A control plane for transport tests: no rules, no ledger, but it checks what the proofs are bound to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use lanyard_api::device::{
    AttestRequest, CheckpointReply, EnrollBegin, EnrollChallenge, EnrollFinish, IssuanceProof, RenewRequest,
    TokenError, TokenReply,
};
use lanyard_api::listen::{Limits, Peer, read_body, serve};
use lanyard_api::problem::Problem;
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_attest::tcg::QUOTED_PCRS;
use lanyard_attest::tpm::credential::make_credential;
use lanyard_attest::tpm::structures::{Attest, Public, Signature};
use lanyard_attest::tpm::{certify, signature};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_pki::tls::{Gate, Refusal};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{DEVICE, Role, issued, server_config, standing};

const SECRET: &[u8] = b"the secret that one TPM can open";

/// A call that was answered, and by which certificate it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) leaf: Option<Vec<u8>>,
    pub(crate) body: Bytes,
}

/// What to answer instead of doing the work.
#[derive(Debug, Clone)]
pub(crate) enum Fail {
    Problem(u16),
    Status(u16),
    Cut,
}

pub(crate) struct Plane {
    pub(crate) address: String,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
    state: Arc<State>,
    stop: CancellationToken,
}

struct State {
    failures: Mutex<VecDeque<Fail>>,
    next_in_seconds: Mutex<u32>,
    renew_at: Mutex<Timestamp>,
    ak: Mutex<Option<Public>>,
    refused: Mutex<Option<Vec<u8>>>,
    told: mpsc::UnboundedSender<Seen>,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_as(Role::Control).await
    }

    pub(crate) async fn start_as(role: Role) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (told, seen) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            failures: Mutex::default(),
            next_in_seconds: Mutex::new(300),
            renew_at: Mutex::new(Timestamp::from_seconds(2_000_000_000)),
            ak: Mutex::default(),
            refused: Mutex::default(),
            told,
        });
        let asked = state.clone();
        let gate = Gate::new(move |chain| match asked.refused.lock().unwrap().as_deref() {
            Some(der) if **chain.leaf().der() == *der => Err(Refusal("distrusted".into())),
            _ => Ok(()),
        });
        let (config, stop) = (Arc::new(server_config(role, gate)), CancellationToken::new());
        let shared = state.clone();
        let service = service_fn(move |request| {
            let state = shared.clone();
            async move { Ok(state.respond(request).await) }
        });
        tokio::spawn(serve(listener, move || config.clone(), Limits::default(), stop.clone(), service));
        Self { address, seen, state, stop }
    }

    /// The next calls fail like this, one each.
    pub(crate) fn fail(&self, failures: impl IntoIterator<Item = Fail>) {
        self.state.failures.lock().unwrap().extend(failures);
    }

    /// Refuses this certificate in the handshake.
    pub(crate) fn refuse(&self, leaf: Option<&[u8]>) {
        *self.state.refused.lock().unwrap() = leaf.map(<[u8]>::to_vec);
    }

    pub(crate) fn pace(&self, next_in_seconds: u32) {
        *self.state.next_in_seconds.lock().unwrap() = next_in_seconds;
    }

    pub(crate) fn renew_at(&self, at: Timestamp) {
        *self.state.renew_at.lock().unwrap() = at;
    }

    /// The next call to `path`; calls to others are skipped.
    pub(crate) async fn next(&mut self, path: &str) -> Seen {
        let wait = async {
            loop {
                let seen = self.seen.recv().await.unwrap();
                if seen.path == path {
                    return seen;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("the call did not come")
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn json(status: u16, media_type: &str, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::from(serde_json::to_vec(body).unwrap()));
    Response::builder().status(status).header("content-type", media_type).body(body).unwrap()
}

fn checkpoint() -> CheckpointReply {
    CheckpointReply { origin: "test".into(), size: 9, root: Digest([5; 32]), note: String::new() }
}

impl State {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let peer = request.extensions().get::<Peer>().unwrap().clone();
        let path = request.uri().path().to_owned();
        let body = read_body(request.into_body(), 1 << 20, std::time::Duration::from_secs(5)).await.unwrap();
        let failure = self.failures.lock().unwrap().pop_front();
        let leaf = peer.leaf().map(|c| c.to_vec());
        let seen = Seen { path: path.clone(), leaf, body: body.clone() };
        let answer = match failure {
            Some(Fail::Cut) => {
                peer.connection.close();
                json(200, "application/json", &())
            }
            Some(Fail::Status(status)) => json(status, "text/plain", &"broken"),
            Some(Fail::Problem(status)) => {
                let problem = Problem::new(status, "not_approved", "Not approved", "ask security");
                json(status, "application/problem+json", &problem)
            }
            None => self.work(&path, &body, &peer),
        };
        self.told.send(seen).ok();
        answer
    }

    fn work(&self, path: &str, body: &[u8], peer: &Peer) -> Response<Full<Bytes>> {
        const JSON: &str = "application/json";
        let exporter = peer.exporter.unwrap();
        match path {
            "/v1/checkpoint" => json(200, JSON, &checkpoint()),
            "/v1/enroll/begin" => json(200, JSON, &self.begin(&serde_json::from_slice(body).unwrap())),
            "/v1/enroll/finish" => {
                assert!(peer.leaf().is_none());
                let finish: EnrollFinish = serde_json::from_slice(body).unwrap();
                assert_eq!(finish.secret.0, SECRET);
                self.issue(&finish.proof, Purpose::Enroll, exporter)
            }
            "/v1/renew" => {
                assert!(peer.leaf().is_some());
                let renew: RenewRequest = serde_json::from_slice(body).unwrap();
                self.issue(&renew.proof, Purpose::Attest, exporter)
            }
            "/v1/attest" => {
                assert!(peer.leaf().is_some());
                let attest: AttestRequest = serde_json::from_slice(body).unwrap();
                self.check_evidence(&attest.evidence.0, Purpose::Attest, exporter);
                json(200, JSON, &standing(*self.next_in_seconds.lock().unwrap()))
            }
            "/v1/token" if body == b"grant_type=client_credentials&scope=a+b" => {
                let reply = TokenReply {
                    access_token: "t".into(),
                    token_type: "Bearer".into(),
                    expires_in: 300,
                    scope: "a b".into(),
                };
                json(200, JSON, &reply)
            }
            "/v1/token" => {
                let refusal =
                    TokenError { error: "invalid_scope".into(), error_description: "ask for less".into() };
                json(400, JSON, &refusal)
            }
            "/fhir/Observation" => {
                let mut answer =
                    json(201, "application/fhir+json", &serde_json::json!({"resourceType": "Observation"}));
                answer.headers_mut().insert("location", "Observation/1".parse().unwrap());
                answer
            }
            "/fhir/Patient" => {
                let outcome = serde_json::json!({"resourceType": "OperationOutcome", "issue": [{"diagnostics": "not in scope"}]});
                json(403, "application/fhir+json", &outcome)
            }
            _ => json(404, JSON, &()),
        }
    }

    fn begin(&self, begin: &EnrollBegin) -> EnrollChallenge {
        let ek = Public::parse(&begin.ek_public.0).unwrap();
        let ak = Public::parse(&begin.ak_public.0).unwrap();
        let credential = make_credential(&ek, &ak.name(), SECRET).unwrap();
        *self.ak.lock().unwrap() = Some(ak);
        EnrollChallenge {
            device: DEVICE,
            credential_blob: Blob(credential.blob),
            encrypted_secret: Blob(credential.encrypted_secret),
            expires: Timestamp::from_seconds(1),
            checkpoint: checkpoint(),
            pcrs: QUOTED_PCRS.to_vec(),
        }
    }

    fn nonce(purpose: Purpose, exporter: [u8; 32]) -> [u8; 32] {
        qualifying_data(purpose, &CheckpointRef { size: 9, root: [5; 32] }, *DEVICE.as_bytes(), exporter)
    }

    fn check_evidence(&self, evidence: &[u8], purpose: Purpose, exporter: [u8; 32]) {
        let evidence = TpmEvidence::parse(evidence).unwrap();
        let attest = Attest::parse(&evidence.quote).unwrap();
        assert_eq!(attest.extra_data, Self::nonce(purpose, exporter), "bound to this connection");
        let ak = self.ak.lock().unwrap().clone().unwrap();
        assert!(signature::verify(&ak, &evidence.quote, &Signature::parse(&evidence.signature).unwrap()));
        assert_eq!(evidence.pcrs.iter().map(|(i, _)| *i).collect::<Vec<_>>(), QUOTED_PCRS);
    }

    fn issue(&self, proof: &IssuanceProof, purpose: Purpose, exporter: [u8; 32]) -> Response<Full<Bytes>> {
        assert_eq!(proof.checkpoint_size, 9);
        self.check_evidence(&proof.evidence.0, purpose, exporter);
        let ak = self.ak.lock().unwrap().clone().unwrap();
        let key = Public::parse(&proof.tls_public.0).unwrap();
        let nonce = Self::nonce(Purpose::Certify, exporter);
        let certified =
            certify::verify(&ak, &proof.certify.0, &proof.certify_signature.0, &nonce, &key).unwrap();
        let csr = lanyard_pki::csr::verify(&proof.csr.0).unwrap();
        assert_eq!(csr.spki_der(), certified.spki_der());
        let mut issued = issued(&csr, standing(*self.next_in_seconds.lock().unwrap()));
        issued.renew_at = *self.renew_at.lock().unwrap();
        json(200, "application/json", &issued)
    }
}
