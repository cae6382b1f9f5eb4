//! Orders and what belongs to them: authorizations, challenges, finalize, certificate (RFC 8555 7.4, 7.5).

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::pem_of;

use super::super::account::Account;
use super::super::challenge::{ChallengeKind, Failure, Validation, key_authorization, verify_attestation};
use super::super::csr;
use super::super::id::OrderId;
use super::super::jws::Payload;
use super::super::order::{ChallengeState, Command, Order, OrderState};
use super::super::payload::{self, AuthorizationUpdate, NewOrder};
use super::super::problem::{ErrorType, Problem};
use super::super::seed::Seed;
use super::super::urls::Route;
use super::accounts::only_get;
use super::render::json_reply;
use super::{Context, Predecessor, Server, State, Step};
use crate::{Authentication, EnrollmentRequest, Outcome, Protocol, Reply};

impl Server {
    pub(super) fn new_order(
        &self,
        context: &mut Context<'_>,
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        let wish = NewOrder::read(payload)?;
        if wish.profile.as_ref().is_some_and(|p| !self.policy.profiles.contains_key(p)) {
            let text = "this profile is not offered: the directory names those that are";
            return Err(Problem::new(ErrorType::InvalidProfile, text));
        }
        let unserved = wish.identifiers.iter().filter(|i| self.policy.challenges_for(i).is_empty());
        let unserved: Vec<_> = unserved.cloned().collect();
        if !unserved.is_empty() {
            let text = "no challenge is offered for identifiers of this type";
            let problem = Problem::new(ErrorType::RejectedIdentifier, text);
            return Err(unserved
                .into_iter()
                .fold(problem, |p, i| p.about(i, ErrorType::RejectedIdentifier, text)));
        }
        if let Some(text) = context.records.refusal(account, &wish.identifiers) {
            return Err(Problem::new(ErrorType::RejectedIdentifier, text));
        }
        self.check_predecessor(context, account, &wish)?;
        let challenges = |identifier: &_| self.policy.challenges_for(identifier);
        let lifetimes = &self.policy.lifetimes;
        let order = Order::new(wish, account, challenges, context.seed, context.now, lifetimes);
        let reply = self.order_reply(201, &order, context.now);
        context.state.orders.insert(order, context.now)?;
        Ok(self.reply(reply, context))
    }

    /// RFC 9773 5.
    fn check_predecessor(
        &self,
        context: &Context<'_>,
        account: &Account,
        wish: &NewOrder,
    ) -> Result<(), Problem> {
        let Some(certificate) = &wish.replaces else { return Ok(()) };
        let replaced = || {
            let text = "the certificate that `replaces` names was replaced by another order";
            Problem::new(ErrorType::AlreadyReplaced, text)
        };
        if context.state.orders.replacing(certificate, context.now).is_some() {
            return Err(replaced());
        }
        match context.records.predecessor(account, certificate, &wish.identifiers) {
            Predecessor::Current => Ok(()),
            Predecessor::Replaced => Err(replaced()),
            Predecessor::Unknown => Err(Problem::malformed("`replaces` names no certificate of this server")),
            Predecessor::Foreign => {
                let text = "`replaces` names a certificate of another account, or for other identifiers";
                Err(Problem::new(ErrorType::Unauthorized, text))
            }
        }
    }

    pub(super) fn order(
        &self,
        context: &mut Context<'_>,
        id: OrderId,
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        only_get(payload)?;
        let order = find(context, account, id)?;
        // A poll is when a waiting enrollment is tried again.
        if let Ok(event) = order.decide(Command::Retry, &self.policy.lifetimes, context.now) {
            return self.enroll(context, order.apply(event));
        }
        Ok(self.reply(self.order_reply(200, &order, context.now), context))
    }

    pub(super) fn authorization(
        &self,
        context: &mut Context<'_>,
        (id, at): (OrderId, usize),
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        let mut order = find(context, account, id)?;
        if !payload.is_empty() {
            let update: AuthorizationUpdate = payload.read("authorization update")?;
            if update.status != "deactivated" {
                return Err(Problem::malformed("an authorization's `status` can become `deactivated` only"));
            }
            let command = Command::Deactivate { authorization: at };
            let event = order.decide(command, &self.policy.lifetimes, context.now)?;
            order = order.apply(event);
            context.state.orders.replace(order.clone());
        }
        let found = order.authorizations.get(at).ok_or_else(|| Problem::not_found("authorization"))?;
        let reply = json_reply(200, &self.authorization_json(&order, at, found, context.now));
        Ok(self.reply(wait(reply, &order, context.now), context))
    }

    pub(super) fn challenge(
        &self,
        context: &mut Context<'_>,
        (id, at, kind): (OrderId, usize, ChallengeKind),
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        let order = find(context, account, id)?;
        let challenge = order.challenge(at, kind).ok_or_else(|| Problem::not_found("challenge"))?;
        let identifier = order.authorizations.get(at).map(|a| a.identifier.clone());
        let identifier = identifier.ok_or_else(|| Problem::not_found("authorization"))?;
        // Reading it, or saying again what was said: nothing new begins.
        if payload.is_empty() || !matches!(challenge.state, ChallengeState::Pending) {
            return Ok(self.reply(self.challenge_reply(&order, at, kind)?, context));
        }
        let token = challenge.token.clone();
        let key_authorization = key_authorization(&token, &account.key);
        let lifetimes = &self.policy.lifetimes;
        if kind != ChallengeKind::DeviceAttest01 {
            // RFC 8555 7.5.1: an empty object; what else is in it is ignored.
            let _: serde_json::Map<String, serde_json::Value> = payload.read("challenge response")?;
            let event = order.decide(Command::Start { authorization: at, kind }, lifetimes, context.now)?;
            context.state.orders.replace(order.apply(event));
            let look =
                Validation { order: id, authorization: at, kind, identifier, token, key_authorization };
            return Ok(Step::Validate(Box::new(look)));
        }
        let verdict =
            verify_attestation(payload, &identifier, &token, &key_authorization, &self.trust, context.now);
        let (command, refusal) = match verdict {
            Ok(attested) => (Command::Prove { authorization: at, kind, attested: Some(attested) }, None),
            // Draft, 5: the challenge becomes invalid, and the answer is the problem.
            Err(problem) if problem.kind() == ErrorType::BadAttestationStatement => {
                (Command::Fail { authorization: at, kind, problem: problem.clone() }, Some(problem))
            }
            Err(problem) => return Err(problem),
        };
        let event = order.decide(command, lifetimes, context.now)?;
        let order = order.apply(event);
        let reply = self.challenge_reply(&order, at, kind)?;
        context.state.orders.replace(order);
        match refusal {
            Some(problem) => Err(problem),
            None => Ok(self.reply(reply, context)),
        }
    }

    /// The reply after [`Step::Validate`]: the challenge as it is by now.
    pub fn looking(&self, state: &State, look: &Validation, seed: &Seed, now: Timestamp) -> Reply {
        let reply = match state.orders.get(look.order) {
            None => Err(Problem::not_found("order")),
            Some(order) => self.challenge_reply(order, look.authorization, look.kind),
        };
        self.finish(reply.unwrap_or_else(|problem| problem.to_reply()), state, seed, now)
    }

    /// What came of the look of [`Step::Validate`]. The client learns it by the reply, or when it polls.
    pub fn validated(
        &self,
        state: &mut State,
        look: &Validation,
        outcome: Result<(), Failure>,
        now: Timestamp,
    ) {
        let Some(order) = state.orders.get(look.order).cloned() else { return };
        let (authorization, kind) = (look.authorization, look.kind);
        let command = match outcome {
            Ok(()) => Command::Prove { authorization, kind, attested: None },
            Err(failure) => Command::Fail { authorization, kind, problem: failure.problem(&look.identifier) },
        };
        // An order that ended meanwhile stays as it is.
        if let Ok(event) = order.decide(command, &self.policy.lifetimes, now) {
            state.orders.replace(order.apply(event));
        }
    }

    pub(super) fn finalize(
        &self,
        context: &mut Context<'_>,
        id: OrderId,
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        let order = find(context, account, id)?;
        let der = payload::certificate_request(payload)?;
        let csr = csr::check(&der, &order.request.identifiers, self.policy.device_names)?;
        let command = Command::Finalize { csr, account_key: &account.key };
        let event = order.decide(command, &self.policy.lifetimes, context.now)?;
        self.enroll(context, order.apply(event))
    }

    fn enroll(&self, context: &mut Context<'_>, order: Order) -> Result<Step, Problem> {
        let (proven, csr) = order.proven().ok_or_else(|| {
            Problem::new(ErrorType::OrderNotReady, "not every identifier of the order is proven")
        })?;
        let request = EnrollmentRequest {
            protocol: Protocol::Acme,
            profile: order.request.profile.clone(),
            csr,
            authentication: Authentication::Order(Box::new(proven)),
        };
        let id = order.id;
        context.state.orders.replace(order);
        Ok(Step::Enroll { order: id, request: Box::new(request) })
    }

    /// The reply after [`Step::Enroll`]. `alternates` are other chains for the same certificate, for clients that do
    /// not know the first one's root yet.
    pub fn enrolled(
        &self,
        state: &mut State,
        order: OrderId,
        outcome: &Outcome,
        alternates: &[Vec<Vec<u8>>],
        seed: &Seed,
        now: Timestamp,
    ) -> Reply {
        let reply = match state.orders.get(order).cloned() {
            None => Problem::not_found("order").to_reply(),
            Some(order) => {
                let command = Command::Conclude { outcome, alternates };
                let order = match order.decide(command, &self.policy.lifetimes, now) {
                    Ok(event) => order.apply(event),
                    Err(_) => order,
                };
                let reply = self.order_reply(200, &order, now);
                state.orders.replace(order);
                reply
            }
        };
        self.finish(reply, state, seed, now)
    }

    /// RFC 8555 7.4.2.
    pub(super) fn certificate(
        &self,
        context: &mut Context<'_>,
        (id, at): (OrderId, usize),
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        only_get(payload)?;
        let order = find(context, account, id)?;
        let missing = || Problem::not_found("certificate");
        let OrderState::Valid { chains } = &order.state else { return Err(missing()) };
        let chain = chains.get(at).ok_or_else(missing)?;
        let pem: String = chain.iter().map(|der| pem_of(der)).collect();
        let mut reply = Reply::new(200, "application/pem-certificate-chain", pem.into_bytes());
        for other in (0..chains.len()).filter(|other| *other != at) {
            let url = self.urls.to(&Route::Certificate(id, other));
            reply = reply.with("link", format!("<{url}>;rel=\"alternate\""));
        }
        Ok(self.reply(reply, context))
    }

    fn order_reply(&self, status: u16, order: &Order, now: Timestamp) -> Reply {
        let reply = json_reply(status, &self.order_json(order, now))
            .with("location", self.urls.to(&Route::Order(order.id)));
        wait(reply, order, now)
    }

    fn challenge_reply(&self, order: &Order, at: usize, kind: ChallengeKind) -> Result<Reply, Problem> {
        let challenge = order.challenge(at, kind).ok_or_else(|| Problem::not_found("challenge"))?;
        // RFC 8555 7.5.1: the way up.
        let up = format!("<{}>;rel=\"up\"", self.urls.to(&Route::Authorization(order.id, at)));
        Ok(json_reply(200, &self.challenge_json(order, at, challenge)).with("link", up))
    }
}

fn find(context: &Context<'_>, account: &Account, id: OrderId) -> Result<Order, Problem> {
    // Another account's order is not there: ids are not to be tried out.
    context.state.orders.of(account.id, id).cloned().ok_or_else(|| Problem::not_found("order"))
}

/// RFC 8555 7.4 and 7.5.1: when to ask again, where there is something to wait for.
fn wait(reply: Reply, order: &Order, now: Timestamp) -> Reply {
    match order.retry_after(now) {
        Some(seconds) => reply.with("retry-after", seconds.to_string()),
        None => reply,
    }
}
