//! A hospital with a SCEP service: the engine, a test CA, and rules that a test can bend.

use std::path::Path;
use std::sync::{Arc, Mutex};

use lanyard_domain::id::StreamId;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::scep::{Algorithms, Answer, Fresh, Incoming, Received, Responder, Transactions, Wish};
use lanyard_enroll::secret::{self, Secret, SecretId, SecretKey};
use lanyard_enroll::{Authentication, EnrollmentRequest, Outcome, Reply};

use super::client::write_pem;
use super::http::Server;
use super::issuing::{Identity, random};

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);
const ISSUING: &str = "SCEP Issuing CA";

/// Its memory.
#[derive(Default)]
struct State {
    transactions: Transactions,
    /// How many more times a request is left pending.
    pending: usize,
    issued: Vec<Vec<u8>>,
    /// What was asked and what became of it, in order.
    diary: Vec<String>,
}

pub struct Hospital {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    ca: Identity,
    own: Identity,
    responder: Responder,
    secret: Secret,
    state: Mutex<State>,
}

impl Hospital {
    pub fn open(algorithms: Algorithms) -> Self {
        let ca = Identity::ca(ISSUING);
        let own = ca.certify(ISSUING, "SCEP Responder");
        let next = Identity::ca("SCEP Issuing CA G2").certificate;
        let responder = Responder::new(&own.certificate, std::slice::from_ref(&ca.certificate), algorithms);
        let responder = responder.unwrap().with_next(vec![next]).unwrap();
        let secret = SecretKey::new(random()).derive(
            SecretId::from_random(random()),
            StreamId::from_bytes(random()),
            NOW.plus_seconds(3600),
        );
        let shared = Arc::new(Shared { ca, own, responder, secret, state: Mutex::default() });
        let serving = Arc::clone(&shared);
        let server = Server::start(Box::new(move |method, target, body| serving.serve(method, target, body)));
        Self { server, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/scep", self.server.address)
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address
    }

    /// The secret of the one device that is awaited.
    pub fn secret(&self) -> &str {
        self.shared.secret.reveal()
    }

    /// Leaves the next `times` askings pending.
    pub fn leave_pending(&self, times: usize) {
        self.shared.state.lock().unwrap().pending = times;
    }

    /// As after a restart.
    pub fn forget_transactions(&self) {
        self.shared.state.lock().unwrap().transactions = Transactions::default();
    }

    pub fn diary(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().diary.clone()
    }

    pub fn last_issued(&self) -> Vec<u8> {
        self.shared.state.lock().unwrap().issued.last().cloned().expect("a certificate was issued")
    }

    /// Writes `ca.pem` and `ra.pem`, and both as `.der`.
    pub fn write_certificates(&self, dir: &Path) {
        for (name, der) in [("ca", &self.shared.ca.certificate), ("ra", &self.shared.own.certificate)] {
            write_pem(&dir.join(format!("{name}.pem")), der);
            std::fs::write(dir.join(format!("{name}.der")), der).unwrap();
        }
    }
}

impl Shared {
    fn serve(&self, method: &str, target: &str, body: &[u8]) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let incoming = Incoming { method, path, query, body };
        let mut state = self.state.lock().unwrap();
        let fresh = Fresh::from_random(random());
        let (sign, decrypt) = (|m: &[u8]| self.own.sign(m), |w: &[u8]| self.own.decrypt(w));
        let asked = match self.responder.receive(
            &incoming,
            decrypt,
            sign,
            || true,
            (&state.transactions, NOW, &fresh),
        ) {
            Received::Done(done) => {
                if let Some(refusal) = done.refusal {
                    state.diary.push(format!("refused: {refusal}"));
                }
                return done.reply;
            }
            Received::Later => unreachable!("this hospital admits everybody"),
            Received::Asked(asked) => *asked,
        };
        let answer = match asked.wish {
            Wish::Enroll(enrollment) => {
                let known = secret::id_of(enrollment.challenge()).is_ok_and(|id| id == self.secret.id());
                match self.secret.prove(enrollment.challenge()).filter(|_| known) {
                    Some(proven) => self.decide(enrollment.proven(proven), &mut state),
                    None => Answer::WrongChallenge,
                }
            }
            Wish::Decide(request) => self.decide(request, &mut state),
        };
        let transactions = &mut state.transactions;
        let done = self.responder.answer(&asked.exchange, answer, sign, transactions, NOW, &fresh);
        if let Some(refusal) = done.refusal {
            state.diary.push(format!("refused: {refusal}"));
        }
        done.reply
    }

    fn decide(&self, request: EnrollmentRequest, state: &mut State) -> Answer {
        let outcome = match &request.authentication {
            Authentication::Certificate(chain) if !state.issued.contains(&chain[0]) => {
                Outcome::Refused { code: "unknown".into(), why: "not a certificate of this hospital".into() }
            }
            _ if state.pending > 0 => {
                state.pending -= 1;
                Outcome::Pending { retry_after_seconds: 1, why: "two people must approve".into() }
            }
            _ => {
                let leaf = self.ca.issue(ISSUING, "device", request.csr.spki_der());
                state.issued.push(leaf.clone());
                Outcome::Issued { chain: vec![leaf, self.ca.certificate.clone()] }
            }
        };
        let by = match request.authentication {
            Authentication::Secret(_) => "by secret",
            Authentication::Certificate(_) => "by certificate",
            Authentication::Order(_) => "by an order, which SCEP has not",
        };
        let became = match outcome {
            Outcome::Issued { .. } => "issued",
            Outcome::Pending { .. } => "pending",
            _ => "no",
        };
        state.diary.push(format!("{by}: {became}"));
        Answer::Decided { request: Box::new(request), outcome }
    }
}
