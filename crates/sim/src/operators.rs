//! Virtual people: each with an id, a name, roles and a personal key; they sign what they decide and send it by the
//! same client as the command line.
//!
//! In scope: signing statements and reads. Out of scope: who should decide what; the control plane knows that.

use std::sync::Arc;

use http::Method;
use lanyard_api::client::{CallError, Client, json};
use lanyard_api::clock::Clock;
use lanyard_api::operator::{Bootstrap, Recorded, StatementRequest};
use lanyard_api::signing::{KeyFileError, OperatorKey, sign_request, sign_statement};
use lanyard_domain::id::OperatorId;
use lanyard_domain::operator::Role;
use lanyard_domain::statement::{Action, SignedStatement, Statement, StatementError};
use lanyard_domain::text::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rng::{NoRandomness, fresh};

/// A person of the hospital.
pub struct VirtualOperator {
    /// Their id.
    pub id: OperatorId,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
    key: OperatorKey,
}

/// Why a person could not do something.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The call.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The nonce.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The path is not one.
    #[error("`{0}` is not a path")]
    Path(String),
}

impl DeskError {
    /// The problem's code, when the control plane said no.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            DeskError::Call(CallError::Refused(problem)) => Some(problem.code()),
            _ => None,
        }
    }
}

impl VirtualOperator {
    /// A person with a new key.
    pub fn new(name: &str, roles: &[Role]) -> Result<Self, DeskError> {
        Ok(Self {
            id: OperatorId::from_random(fresh()?),
            name: name.to_owned(),
            roles: roles.to_vec(),
            key: OperatorKey::generate()?,
        })
    }

    /// The public half of their key.
    pub fn public_key(&self) -> Digest {
        self.key.public_key()
    }

    /// Their key, to be written to a file.
    pub fn key(&self) -> &OperatorKey {
        &self.key
    }

    /// What an admin signs to let them in.
    pub fn admission(&self) -> Action {
        Action::AddOperator {
            operator: self.id,
            name: self.name.clone(),
            roles: self.roles.clone(),
            public_key: self.public_key(),
        }
    }
}

/// A desk with a computer on it: the way of people to the control plane.
#[derive(Clone)]
pub struct Desk {
    client: Client,
    clock: Clock,
    log_origin: Arc<str>,
}

impl Desk {
    /// A desk; `client` shows no certificate.
    pub fn new(client: Client, clock: Clock, log_origin: &str) -> Self {
        Self { client, clock, log_origin: log_origin.into() }
    }

    /// The first operator, admitted by the bootstrap secret.
    pub async fn bootstrap(&self, operator: &VirtualOperator, secret: &str) -> Result<Recorded, DeskError> {
        let request = Bootstrap {
            secret: secret.to_owned(),
            operator: operator.id,
            name: operator.name.clone(),
            roles: operator.roles.clone(),
            public_key: operator.public_key(),
        };
        self.post("/v1/bootstrap", &request).await
    }

    /// A decision, signed by `operator`.
    pub fn sign(
        &self,
        operator: &VirtualOperator,
        action: Action,
        reason: &str,
    ) -> Result<SignedStatement, DeskError> {
        let statement = Statement {
            log: self.log_origin.to_string(),
            operator: operator.id,
            at: self.clock.now(),
            nonce: Digest(fresh()?),
            reason: reason.to_owned(),
            action,
        };
        Ok(sign_statement(&statement, &operator.key)?)
    }

    /// Signs a decision and has it carried out.
    pub async fn decide(
        &self,
        operator: &VirtualOperator,
        action: Action,
        reason: &str,
    ) -> Result<Recorded, DeskError> {
        let statement = self.sign(operator, action, reason)?;
        self.post("/v1/statements", &StatementRequest { statement }).await
    }

    /// A call that needs no request signature.
    pub async fn post<Req: Serialize, Rep: DeserializeOwned>(
        &self,
        path: &str,
        request: &Req,
    ) -> Result<Rep, DeskError> {
        Ok(self.client.connect().await?.call(Method::POST, path, Some(request)).await?)
    }

    /// A read without signature.
    pub async fn get<Rep: DeserializeOwned>(&self, path: &str) -> Result<Rep, DeskError> {
        Ok(self.client.connect().await?.call(Method::GET, path, None::<&()>).await?)
    }

    /// A call in an operator's name, its request signed.
    pub async fn signed<Req: Serialize, Rep: DeserializeOwned>(
        &self,
        operator: &VirtualOperator,
        method: Method,
        path: &str,
        request: Option<&Req>,
    ) -> Result<Rep, DeskError> {
        let target = path.parse().map_err(|_| DeskError::Path(path.to_owned()))?;
        let (now, body) = (self.clock.now(), json(request)?);
        let headers = sign_request(operator.id, &operator.key, &method, &target, now, fresh()?, &body);
        Ok(self.client.connect().await?.call_json(method, path, &headers, body).await?)
    }

    /// A read in an operator's name.
    pub async fn read<Rep: DeserializeOwned>(
        &self,
        operator: &VirtualOperator,
        path: &str,
    ) -> Result<Rep, DeskError> {
        self.signed(operator, Method::GET, path, None::<&()>).await
    }
}

#[cfg(test)]
mod tests {
    use lanyard_api::client::Server;
    use lanyard_api::signing::verify_statement;
    use lanyard_domain::id::DeviceId;

    use super::*;
    use crate::tls::anonymous;

    #[test]
    fn a_person_signs_for_this_log_with_their_own_key() {
        let clock = Clock::system();
        let server: Server = "127.0.0.1:1".parse().unwrap();
        let tls = anonymous(&crate::tls::tests::anchor(), &clock).unwrap();
        let desk = Desk::new(Client::new(vec![server], tls), clock, "hospital.example/log");
        let (one, other) = (
            VirtualOperator::new("One", &[Role::Security]).unwrap(),
            VirtualOperator::new("Other", &[Role::Security]).unwrap(),
        );
        let action = Action::QuarantineDevice { device: DeviceId::from_random([1; 16]) };
        let signed = desk.sign(&one, action.clone(), "suspicious").unwrap();
        let statement = signed.parse().unwrap();
        assert_eq!((statement.operator, statement.action.clone()), (one.id, action.clone()));
        assert_eq!(statement.log, "hospital.example/log");
        assert!(verify_statement(&signed, &one.public_key()).is_ok());
        assert!(verify_statement(&signed, &other.public_key()).is_err());
        assert_ne!(desk.sign(&one, action, "suspicious").unwrap().parse().unwrap().nonce, statement.nonce);
    }
}
