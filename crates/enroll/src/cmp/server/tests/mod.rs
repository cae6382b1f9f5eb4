//! Every rule of the server, each with the message that breaks it.

use lanyard_pki::csr::CsrError;
use lanyard_pki::spki::SignatureRefused;
use lanyard_pki::write;

use super::*;
use crate::cmp::confirm::Confirmation;
use crate::cmp::crmf::{CertificateId, RequestRefused};
use crate::cmp::hash::Hash;
use crate::cmp::header::Header;
use crate::cmp::mac::MacAlgorithm;
use crate::cmp::message::{Kind, Parts};
use crate::cmp::name::common_name;
use crate::cmp::revocation;
use crate::cmp::status::{FailInfo, Status, StatusInfo};
use crate::cmp::testing::{Hospital, Letter, NOW, ask, fresh, secret};
use crate::cmp::tlv::only;
use crate::cmp::transactions::{Settlement, TransactionId, TransactionLimits, Transactions};
use crate::cmp::{CONTENT_TYPE, EnrollKind, Question, Sender, oid, poll};
use crate::{Authentication, Outcome};
use lanyard_pki::revocation::Reason;

mod answers;
mod headers;
mod recorded;
mod requests;
mod senders;
mod transactions;

struct Bench {
    hospital: Hospital,
    server: Server,
    transactions: Transactions,
}

impl Bench {
    fn new() -> Self {
        Self::with(Policy::default(), TransactionLimits::default())
    }

    fn with(policy: Policy, limits: TransactionLimits) -> Self {
        let hospital = Hospital::new();
        let server = hospital.server(policy);
        Self { hospital, server, transactions: Transactions::new(limits) }
    }

    fn ask(&mut self, message: &[u8]) -> Result<Request, Refusal> {
        ask(&self.server, &mut self.transactions, message, Some(&secret(1)), NOW)
    }

    fn ir(&self) -> Letter {
        Letter::new(Kind::Ir, self.hospital.cert_req(None))
    }

    /// An ir that `outcome` answers: the answer's header and body.
    fn answered(&mut self, letter: Letter, outcome: &Outcome) -> (Header, Vec<u8>) {
        let message = letter.mac(&secret(1));
        let Ok(Request::Enroll(enroll)) = self.ask(&message) else { panic!("not an enrollment") };
        let issued = Outcome::Issued { chain: self.hospital.chain(&enroll.request.csr) };
        let outcome = if matches!(outcome, Outcome::Issued { .. }) { &issued } else { outcome };
        let draft = enroll.answer(&self.server, outcome, &mut self.transactions, fresh(), NOW);
        let reply = self.hospital.finish(&self.server, draft);
        assert_eq!(reply.status, 200);
        let parts = Parts::of(&reply.body).unwrap();
        (parts.header().unwrap(), parts.body().unwrap().whole.to_vec())
    }

    /// A certificate that waits for its certConf: the answer's header, and the certificate.
    fn unconfirmed(&mut self) -> (Header, Certificate) {
        let (header, body) = self.answered(self.ir(), &Outcome::Issued { chain: vec![] });
        let body = only(&body, write::SEQUENCE, "ip").unwrap();
        let reply = crate::cmp::cert_reply::CertReply::read(body).unwrap();
        (header, Certificate::parse(reply.certificate.unwrap()).unwrap())
    }

    fn settled(&mut self) -> Vec<Settlement> {
        self.transactions.take_settled().into_iter().map(|s| s.how).collect()
    }
}

fn pending() -> Outcome {
    Outcome::Pending { retry_after_seconds: 60, why: "approval is missing".into() }
}

fn accepted(certificate: &Certificate) -> Confirmation {
    let hash = Hash::Sha256.digest(certificate.der()).as_ref().to_vec();
    Confirmation { hash, request_id: 0, status: None, hash_algorithm: None }
}

fn refusal_of(result: Result<Request, Refusal>) -> Refusal {
    result.map(|request| format!("{request:?}")).expect_err("it was served")
}
