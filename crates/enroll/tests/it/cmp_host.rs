//! A CMP server around the engine as the control plane will have it, with the few lines of HTTP that a test needs.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use lanyard_enroll::cmp::server::{
    Endpoint, Enroll, NotReceived, Policy, Reference, Refusal, Request, RevocationOutcome, RevocationRequest,
    Server,
};
use lanyard_enroll::cmp::{Answers, Fresh, Settled, TransactionLimits, Transactions};
use lanyard_enroll::secret::Secret;
use lanyard_enroll::{Outcome, Reply};
use lanyard_pki::spki::PublicKeyKind;

use crate::hospital::{Hospital, now, random};

/// What the use case says to the next request.
#[derive(Debug, Clone)]
pub enum Decision {
    Issue,
    Wait,
    Refuse,
    Unavailable,
    /// A certificate for another key, as a broken use case would give.
    Mixup,
}

pub struct Host {
    pub hospital: Hospital,
    server: Server,
    secrets: Vec<Secret>,
    pub transactions: Mutex<Transactions>,
    /// What is decided in turn; nothing left means: issue.
    pub decisions: Mutex<VecDeque<Decision>>,
    pub seen: Mutex<Seen>,
}

/// What came out of the engine.
#[derive(Debug, Default)]
pub struct Seen {
    pub enrolled: Vec<lanyard_enroll::EnrollmentRequest>,
    pub settled: Vec<Settled>,
    pub revoked: Vec<RevocationRequest>,
    pub refused: Vec<Refusal>,
    pub aborted: Vec<String>,
}

impl Host {
    pub fn new(secrets: Vec<Secret>, policy: Policy) -> Self {
        let hospital = Hospital::new();
        let chain = vec![hospital.signer.clone(), hospital.issuing().clone()];
        let server = Server::new(chain, vec![hospital.root().clone()], policy).unwrap();
        Self {
            hospital,
            server,
            secrets,
            transactions: Mutex::new(Transactions::new(TransactionLimits::default())),
            decisions: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    pub fn decide(&self, decisions: impl IntoIterator<Item = Decision>) {
        self.decisions.lock().unwrap().extend(decisions);
    }

    /// One POST, the five steps of the engine.
    pub fn post(&self, path: &str, content_type: Option<&str>, body: &[u8]) -> Reply {
        let Ok(endpoint) = Endpoint::from_path(path) else { return Reply::empty(404) };
        let fresh = || Fresh::from_random(random());
        let sign = |message: &[u8]| self.hospital.sign(&self.hospital.signer_label, message);
        let received = match self.server.receive(body, content_type, &endpoint, now()) {
            Ok(received) => received,
            Err(NotReceived::Rejected(rejected)) => return rejected.reply(),
            Err(NotReceived::Refused(refused)) => {
                self.seen.lock().unwrap().refused.push(refused.refusal().clone());
                return refused.answer(fresh(), now()).sign(&self.server, sign).unwrap();
            }
        };
        let secret = match received.reference() {
            Reference::Secret(id) => self.secrets.iter().find(|secret| secret.id() == id),
            Reference::UnknownSecret | Reference::Certificate => None,
        };
        let request = received.verify(secret).and_then(|verified| {
            verified.accept(&self.server, &mut self.transactions.lock().unwrap(), now())
        });
        let draft = match request {
            Ok(Request::Enroll(enroll)) => {
                let outcome = self.outcome(&enroll);
                enroll.answer(&self.server, &outcome, &mut self.transactions.lock().unwrap(), fresh(), now())
            }
            Ok(Request::Confirm(confirm)) => confirm.answer(fresh(), now()),
            Ok(Request::Abort(abort)) => {
                self.seen.lock().unwrap().aborted.push(abort.why.clone());
                abort.answer(fresh(), now())
            }
            Ok(Request::Revoke(revoke)) => {
                let outcome = self.revoke(&revoke.request);
                revoke.answer(&outcome, fresh(), now())
            }
            Ok(Request::Inform(inform)) => {
                let answers = Answers {
                    ca_certificates: [self.hospital.issuing(), self.hospital.root()]
                        .map(|c| c.der().to_vec())
                        .to_vec(),
                    key_kinds: vec![
                        PublicKeyKind::P256,
                        PublicKeyKind::P384,
                        PublicKeyKind::Ed25519,
                        PublicKeyKind::Rsa(3072),
                    ],
                    ..Answers::default()
                };
                inform.answer(&answers, fresh(), now())
            }
            Err(refused) => {
                self.seen.lock().unwrap().refused.push(refused.refusal().clone());
                refused.answer(fresh(), now())
            }
        };
        let settled = self.transactions.lock().unwrap().take_settled();
        self.seen.lock().unwrap().settled.extend(settled);
        draft.sign(&self.server, sign).unwrap()
    }

    fn outcome(&self, enroll: &Enroll) -> Outcome {
        self.seen.lock().unwrap().enrolled.push(enroll.request.clone());
        let csr = &enroll.request.csr;
        match self.decisions.lock().unwrap().pop_front().unwrap_or(Decision::Issue) {
            Decision::Issue => Outcome::Issued { chain: self.hospital.chain(csr) },
            Decision::Wait => {
                Outcome::Pending { retry_after_seconds: 1, why: "approval by biomed is missing".into() }
            }
            Decision::Refuse => {
                Outcome::Refused { code: "not_approved".into(), why: "the record is retired".into() }
            }
            Decision::Unavailable => Outcome::Unavailable { why: "the key store does not answer".into() },
            Decision::Mixup => Outcome::Issued {
                chain: vec![self.hospital.signer.der().to_vec(), self.hospital.issuing().der().to_vec()],
            },
        }
    }

    /// As a control plane does that lets devices give up their own certificates only.
    fn revoke(&self, request: &RevocationRequest) -> RevocationOutcome {
        let mut seen = self.seen.lock().unwrap();
        if !request.is_own {
            return RevocationOutcome::Refused {
                code: "not_yours".into(),
                why: "only its holder may".into(),
            };
        }
        if seen.revoked.iter().any(|other| other.certificate == request.certificate) {
            return RevocationOutcome::AlreadyRevoked;
        }
        seen.revoked.push(request.clone());
        RevocationOutcome::Revoked
    }
}

/// Serves `host` until the process ends.
pub fn serve(host: Arc<Host>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer_one(&host, stream.unwrap());
        }
    });
    address
}

fn answer_one(host: &Host, stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length, mut content_type) = (String::new(), 0, None);
    if reader.read_line(&mut request).unwrap_or(0) == 0 {
        return;
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "content-type" => content_type = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    let reply = host.post(path, content_type.as_deref(), &body);
    let mut head = format!(
        "HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let stream = reader.get_mut();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&reply.body).unwrap();
}
