//! An order from newOrder to the certificate (RFC 8555 7.4, 7.5), as a state machine.
//!
//! What must not happen twice (finalize, a challenge's response) is not repeated blindly when its answer never came: the
//! order is read first, and the way goes on from how it stands.

use std::collections::BTreeSet;

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::csr;
use serde_json::{Value, json};

use super::challenge::{Proof, ToProve};
use super::error::ClientError;
use super::message::Answer;
use super::resources::{
    AuthorizationView, ChallengeView, OrderView, ServerProblem, Status, same_origin, says_valid,
};
use super::wish::{Issued, Next, Wish};
use super::{Call, Client, Heard, Place};
use crate::acme::base64url::encode;
use crate::acme::challenge::key_authorization;
use crate::acme::identifier::Identifier;
use crate::acme::payload::MAX_IDENTIFIERS;

/// Each authorization is answered once, and again where an answer was lost; more is a server that leads in circles.
const MAX_ANSWERED: usize = 4 * MAX_IDENTIFIERS;

/// An order under way.
#[derive(Debug)]
pub struct Ordering {
    wish: Wish,
    until: Timestamp,
    url: Option<String>,
    order: Option<OrderView>,
    /// Of the request, as soon as there is one.
    request: Option<(Vec<u8>, [u8; 32])>,
    stage: Stage,
    /// A request was made, and its answer not heard.
    open: bool,
    /// Challenges (their addresses) that were answered, and the server has heard it.
    answered: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    New,
    Look,
    Authorization {
        at: usize,
    },
    Prove {
        at: usize,
        view: Box<ChallengeView>,
    },
    Respond {
        at: usize,
        url: String,
        payload: Value,
    },
    /// Until then, then on with `then`.
    Pause {
        until: Timestamp,
        why: String,
        then: Box<Stage>,
    },
    Finalize,
    Finalizing,
    Download {
        url: String,
    },
    Done(Box<Issued>),
    /// No more can come of it.
    Ended(ClientError),
}

impl Ordering {
    /// A new order, which is to be done by `until`.
    pub fn new(wish: Wish, until: Timestamp) -> Result<Self, ClientError> {
        let bad = |field, rule: &str| Err(ClientError::Wish { field, rule: rule.to_owned() });
        if !(1..=MAX_IDENTIFIERS).contains(&wish.identifiers.len()) {
            return bad("identifiers", "an order has 1 to 16");
        }
        let usable = |identifier: &Identifier| wish.challenges.iter().any(|kind| kind.fits(identifier));
        if !wish.identifiers.iter().all(usable) {
            return bad("challenges", "each identifier needs one that can prove it");
        }
        Ok(Self {
            wish,
            until,
            url: None,
            order: None,
            request: None,
            stage: Stage::New,
            open: false,
            answered: BTreeSet::new(),
        })
    }

    /// An order that was begun before ([`Self::url`]), by the same account and with the same certificate request, if one
    /// was sent already.
    pub fn resume(
        client: &Client,
        wish: Wish,
        url: &str,
        request: Option<&[u8]>,
        until: Timestamp,
    ) -> Result<Self, ClientError> {
        same_origin(client.origin(), "order", url)?;
        let mut order = Self::new(wish, until)?;
        order.url = Some(url.to_owned());
        order.stage = Stage::Look;
        if let Some(request) = request {
            order.keep_request(request)?;
        }
        Ok(order)
    }

    /// The order's address, once there is one. To be kept until the certificate is.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// What to do.
    pub fn next(&mut self, client: &mut Client, now: Timestamp) -> Result<Next, ClientError> {
        if let Stage::Ended(why) = &self.stage {
            return Err(why.clone());
        }
        if std::mem::take(&mut self.open) && matches!(self.stage, Stage::Respond { .. } | Stage::Finalizing) {
            // Whether the last message arrived is not known.
            self.stage = Stage::Look;
        }
        if let Stage::Pause { until, why, then } = &self.stage {
            if *until > now {
                let last = (*until).min(self.until);
                if now < self.until {
                    return Ok(Next::Wait { until: last, why: why.clone() });
                }
                return Err(ClientError::Deadline(why.clone()));
            }
            self.stage = (**then).clone();
        }
        match &self.stage {
            Stage::Done(issued) => return Ok(Next::Done(issued.clone())),
            Stage::Finalize => return Ok(Next::Finalize),
            Stage::Prove { view, at } => {
                let identifier = self.identifier(*at)?;
                return Ok(Next::Prove(Box::new(ToProve {
                    identifier,
                    kind: view.kind,
                    token: view.token.clone(),
                    key_authorization: key_authorization(&view.token, client.key().jwk()),
                })));
            }
            _ => {}
        }
        // What is done can be fetched at any time; only waiting has an end.
        if now >= self.until && !matches!(self.stage, Stage::Download { .. }) {
            return Err(ClientError::Deadline(self.waits_for()));
        }
        let call = self.call()?;
        let outgoing = client.request(&call)?;
        self.open = client.sent == Some(super::Sent::Call);
        Ok(Next::Send(outgoing))
    }

    fn waits_for(&self) -> String {
        match &self.order {
            None => "the order was not made".to_owned(),
            Some(order) if order.status == Status::Pending => "an identifier is not proven".to_owned(),
            Some(_) => "the server is still processing; a person may have to approve first".to_owned(),
        }
    }

    /// The identifier of an authorization is the authorization's own; until it was read, the order's.
    fn identifier(&self, at: usize) -> Result<Identifier, ClientError> {
        let order = self.order.as_ref().ok_or(ClientError::OutOfTurn("a proof"))?;
        order.identifiers.get(at).cloned().ok_or(ClientError::OutOfTurn("a proof"))
    }

    fn call(&self) -> Result<Call, ClientError> {
        let read = |what, url: &str| Call { what, place: Place::Url(url.to_owned()), payload: None };
        let url = || self.url.as_deref().ok_or(ClientError::OutOfTurn("an order's address"));
        let order = || self.order.as_ref().ok_or(ClientError::OutOfTurn("an order"));
        Ok(match &self.stage {
            Stage::New => {
                Call { what: "newOrder", place: Place::NewOrder, payload: Some(self.wish.payload()) }
            }
            Stage::Authorization { at } => {
                let missing = ClientError::OutOfTurn("an authorization");
                read("authorization", order()?.authorizations.get(*at).ok_or(missing)?)
            }
            Stage::Respond { url, payload, .. } => {
                Call { what: "challenge", place: Place::Url(url.clone()), payload: Some(payload.clone()) }
            }
            Stage::Finalizing => {
                let (request, _) = self.request.as_ref().ok_or(ClientError::OutOfTurn("a request"))?;
                let payload = json!({ "csr": encode(request) });
                Call {
                    what: "finalize",
                    place: Place::Url(order()?.finalize.clone()),
                    payload: Some(payload),
                }
            }
            Stage::Download { url } => read("certificate", url),
            _ => read("order", url()?),
        })
    }

    /// Takes the answer to the request that [`Self::next`] gave last. An error of [`ClientError::is_temporary`] leaves the
    /// order as it is; any other ends it.
    pub fn hear(
        &mut self,
        client: &mut Client,
        answer: &Answer<'_>,
        now: Timestamp,
    ) -> Result<(), ClientError> {
        let call = self.call()?;
        let was_open = std::mem::take(&mut self.open);
        match client.hear(&call, answer) {
            Ok(Heard::More) => Ok(()),
            Ok(Heard::Answered) => {
                self.read(client, answer, now).inspect_err(|e| self.stage = Stage::Ended(e.clone()))
            }
            Err(ClientError::Unavailable { what, retry_after_seconds, why }) => {
                // It may have been done all the same.
                let then = match &self.stage {
                    Stage::Respond { .. } | Stage::Finalizing if was_open => Stage::Look,
                    other => other.clone(),
                };
                self.pause(now, retry_after_seconds, format!("`{what}`: {why}"), then);
                Ok(())
            }
            // A challenge's refusal stands in the order with its reason, or leaves it open; and what was finalized before
            // is not ready a second time.
            Err(ClientError::Refused { problem, .. })
                if self.stage == Stage::Finalizing && problem.code == "orderNotReady" =>
            {
                self.pause(now, answer.retry_after_seconds(), problem.to_string(), Stage::Look);
                Ok(())
            }
            Err(other) => {
                self.stage = Stage::Ended(other.clone());
                Err(other)
            }
        }
    }

    fn read(&mut self, client: &Client, answer: &Answer<'_>, now: Timestamp) -> Result<(), ClientError> {
        let origin = client.origin();
        let wait = answer.retry_after_seconds();
        match self.stage.clone() {
            Stage::New => {
                let url = answer.location.ok_or_else(|| ClientError::Malformed {
                    what: "newOrder",
                    rule: "it has no `Location`, the order's address (RFC 8555 7.4)".to_owned(),
                })?;
                same_origin(origin, "order", url)?;
                let order = OrderView::parse(origin, answer.content("newOrder", JSON)?)?;
                self.url = Some(url.to_owned());
                self.follow(order, wait, now)
            }
            Stage::Look | Stage::Finalizing => {
                let order = OrderView::parse(origin, answer.content("order", JSON)?)?;
                self.follow(order, wait, now)
            }
            Stage::Authorization { at } => {
                let view = AuthorizationView::parse(origin, answer.content("authorization", JSON)?)?;
                self.authorization(at, view, wait, now)
            }
            Stage::Respond { at, url, .. } => {
                self.answered.insert(url);
                if self.answered.len() > MAX_ANSWERED {
                    let rule = "it gives new challenges again and again".to_owned();
                    return Err(ClientError::Malformed { what: "authorization", rule });
                }
                // RFC 8555 7.1.6: a valid challenge makes its authorization valid. Of anything else the authorization says more.
                let valid = answer.content("challenge", JSON).is_ok_and(says_valid);
                self.stage = if valid { self.after(at) } else { Stage::Authorization { at } };
                Ok(())
            }
            Stage::Download { .. } => {
                let body = answer.content("certificate", "application/pem-certificate-chain")?;
                self.stage = Stage::Done(Box::new(self.certificate(body)?));
                Ok(())
            }
            _ => Err(ClientError::OutOfTurn("an answer")),
        }
    }

    fn follow(&mut self, order: OrderView, wait: u32, now: Timestamp) -> Result<(), ClientError> {
        let mut asked = self.wish.identifiers.clone();
        let mut found = order.identifiers.clone();
        asked.sort();
        found.sort();
        if asked != found || order.authorizations.len() != order.identifiers.len() {
            let rule = "its identifiers and authorizations are not those that were asked for".to_owned();
            return Err(ClientError::Malformed { what: "order", rule });
        }
        let again = self.order.as_ref().is_some_and(|before| before.status == order.status);
        match order.status {
            // All were seen to be proven and the order is not ready yet: some servers take their time.
            Status::Pending if again => {
                let then = Stage::Authorization { at: 0 };
                self.pause(now, wait, "the server has not taken note of every proof yet".to_owned(), then);
            }
            Status::Pending => self.stage = Stage::Authorization { at: 0 },
            Status::Ready if again && self.request.is_some() => {
                self.pause(
                    now,
                    wait,
                    "the server has not taken the request yet".to_owned(),
                    Stage::Finalizing,
                );
            }
            Status::Ready => {
                self.stage = if self.request.is_some() { Stage::Finalizing } else { Stage::Finalize };
            }
            Status::Processing => {
                let why = "the certificate is being issued, or a person must approve first".to_owned();
                self.pause(now, wait, why, Stage::Look);
            }
            Status::Valid => {
                let url = order.certificate.clone().unwrap_or_default();
                self.stage = Stage::Download { url };
            }
            Status::Ended => {
                let unsaid = ServerProblem { status: 0, code: String::new(), detail: String::new() };
                return Err(ClientError::OrderEnded(order.error.unwrap_or(unsaid)));
            }
        }
        self.order = Some(order);
        Ok(())
    }

    fn authorization(
        &mut self,
        at: usize,
        view: AuthorizationView,
        wait: u32,
        now: Timestamp,
    ) -> Result<(), ClientError> {
        let order = self.order.as_mut().ok_or(ClientError::OutOfTurn("an authorization"))?;
        // RFC 8555 7.1.3 promises no order of the two lists: what belongs together is put at one place.
        let place = order.identifiers.iter().skip(at).position(|i| *i == view.identifier);
        let Some(place) = place else {
            let rule = "it is for an identifier that was not asked for, or for one twice".to_owned();
            return Err(ClientError::Malformed { what: "authorization", rule });
        };
        order.identifiers.swap(at, at + place);
        match view.status {
            Status::Valid => self.stage = self.after(at),
            Status::Pending => {
                let mut usable = self.wish.challenges.iter().filter_map(|kind| {
                    let fits = kind.fits(&view.identifier);
                    view.challenges.iter().find(|c| fits && c.kind == *kind)
                });
                let Some(found) = usable.next() else {
                    let identifier = view.identifier.to_string();
                    let offered: Vec<String> = view.offered.iter().map(|kind| format!("`{kind}`")).collect();
                    return Err(ClientError::NoChallenge { identifier, offered: offered.join(", ") });
                };
                match found.status {
                    Status::Ended => return Err(not_proven(&view, Some(found))),
                    // Some servers leave it pending while they look.
                    Status::Pending if !self.answered.contains(&found.url) => {
                        self.stage = Stage::Prove { at, view: Box::new(found.clone()) };
                    }
                    _ => {
                        let why = format!("the server looks whether `{}` is proven", view.identifier);
                        self.pause(now, wait, why, Stage::Authorization { at });
                    }
                }
            }
            _ => {
                let told = view.challenges.iter().find(|c| c.error.is_some());
                return Err(not_proven(&view, told));
            }
        }
        Ok(())
    }

    /// The one at `at` is proven. Behind the last one comes finalize (RFC 8555 7.4: once the client believes that it has done what
    /// was asked); a server that has not taken note of every proof says so, and then the order is looked at.
    fn after(&mut self, at: usize) -> Stage {
        if let Some(order) = &mut self.order {
            if at + 1 < order.authorizations.len() {
                return Stage::Authorization { at: at + 1 };
            }
            order.status = Status::Ready;
        }
        if self.request.is_some() { Stage::Finalizing } else { Stage::Finalize }
    }

    /// The challenge of [`Next::Prove`] is answered by this.
    pub fn prove(&mut self, proof: &Proof) -> Result<(), ClientError> {
        let Stage::Prove { at, view } = &self.stage else { return Err(ClientError::OutOfTurn("a proof")) };
        if !proof.fits(view.kind) {
            let rule = format!("`{}` is not answered by it", view.kind.as_str());
            return Err(ClientError::Wish { field: "proof", rule });
        }
        self.stage = Stage::Respond { at: *at, url: view.url.clone(), payload: proof.payload() };
        Ok(())
    }

    /// The certificate request (PKCS#10, DER) that [`Next::Finalize`] asks for. To be kept as the address is.
    pub fn finalize(&mut self, request: &[u8]) -> Result<(), ClientError> {
        if self.stage != Stage::Finalize {
            return Err(ClientError::OutOfTurn("a certificate request"));
        }
        self.keep_request(request)?;
        self.stage = Stage::Finalizing;
        Ok(())
    }

    fn keep_request(&mut self, request: &[u8]) -> Result<(), ClientError> {
        // A wrong signer is seen here and not at the server.
        let verified = csr::verify(request)
            .map_err(|e| ClientError::Wish { field: "certificate request", rule: e.to_string() })?;
        self.request = Some((request.to_vec(), verified.spki_sha256()));
        Ok(())
    }

    fn certificate(&self, pem: &[u8]) -> Result<Issued, ClientError> {
        let mut chain = chain_from_pem(pem)?.into_iter();
        // RFC 8555 7.4.2: the end-entity certificate comes first.
        let certificate = chain.next().ok_or(ClientError::OtherKey)?;
        match &self.request {
            Some((_, key)) if certificate.spki_sha256() == *key => {}
            _ => return Err(ClientError::OtherKey),
        }
        Ok(Issued { certificate, issuers: chain.collect() })
    }

    fn pause(&mut self, now: Timestamp, seconds: u32, why: String, then: Stage) {
        let until = now.plus_seconds(i64::from(seconds));
        self.stage = Stage::Pause { until, why, then: Box::new(then) };
    }
}

const JSON: &str = "application/json";

fn not_proven(view: &AuthorizationView, challenge: Option<&ChallengeView>) -> ClientError {
    let unsaid = ServerProblem { status: 0, code: String::new(), detail: String::new() };
    let problem = challenge.and_then(|c| c.error.clone()).unwrap_or(unsaid);
    ClientError::NotProven { identifier: view.identifier.to_string(), problem }
}
