//! What may happen to an order: commands, events, `decide` and `apply`.

use lanyard_attest::webauthn::AttestedKey;
use lanyard_domain::time::Timestamp;
use lanyard_pki::csr::VerifiedCsr;

use super::{AuthorizationState, ChallengeState, Order, OrderState, OrderStatus, ProvenIdentifier};
use crate::Outcome;
use crate::acme::challenge::ChallengeKind;
use crate::acme::jwk::Jwk;
use crate::acme::policy::Lifetimes;
use crate::acme::problem::{ErrorType, Problem};

/// Issuance ends within a second, disk and all; a caller that said nothing for a minute has died.
const LEASE_SECONDS: i64 = 60;
/// Log or key store away: restarts take seconds.
const UNAVAILABLE_RETRY_SECONDS: u32 = 5;
/// An approval is noticed by the next day at the latest.
const MAX_RETRY_SECONDS: u32 = 24 * 3600;

/// What somebody wants of an order.
pub(in crate::acme) enum Command<'a> {
    /// A client says that one may look.
    Start { authorization: usize, kind: ChallengeKind },
    /// A challenge was met.
    Prove { authorization: usize, kind: ChallengeKind, attested: Option<Box<AttestedKey>> },
    /// A challenge was not met.
    Fail { authorization: usize, kind: ChallengeKind, problem: Problem },
    /// A client gives an authorization up.
    Deactivate { authorization: usize },
    /// A client sends its certificate request.
    Finalize { csr: VerifiedCsr, account_key: &'a Jwk },
    /// A client polls.
    Retry,
    /// What became of the enrollment.
    Conclude { outcome: &'a Outcome, alternates: &'a [Vec<Vec<u8>>] },
    /// The account ended.
    Cancel,
}

/// What happened to an order.
pub(in crate::acme) enum Event {
    Started {
        authorization: usize,
        kind: ChallengeKind,
    },
    Proven {
        authorization: usize,
        kind: ChallengeKind,
        at: Timestamp,
        attested: Option<Box<AttestedKey>>,
    },
    Failed {
        authorization: usize,
        kind: ChallengeKind,
        at: Timestamp,
        problem: Problem,
        until: Timestamp,
    },
    Deactivated {
        authorization: usize,
        until: Timestamp,
    },
    /// An enrollment begins, the first time or again.
    Enrolling {
        csr: Box<VerifiedCsr>,
        lease: Timestamp,
        until: Timestamp,
    },
    Waiting {
        next_try: Timestamp,
    },
    Issued {
        chains: Vec<Vec<Vec<u8>>>,
        until: Timestamp,
    },
    Ended {
        problem: Problem,
        until: Timestamp,
    },
}

impl Order {
    /// What a command leads to, or why it is not followed.
    pub(in crate::acme) fn decide(
        &self,
        command: Command<'_>,
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Event, Problem> {
        let done = now.plus_seconds(i64::from(lifetimes.done_seconds));
        match command {
            Command::Start { authorization, kind } => {
                self.open_challenge(authorization, kind, now)?;
                Ok(Event::Started { authorization, kind })
            }
            Command::Prove { authorization, kind, attested } => {
                self.open_challenge(authorization, kind, now)?;
                Ok(Event::Proven { authorization, kind, at: now, attested })
            }
            Command::Fail { authorization, kind, problem } => {
                self.open_challenge(authorization, kind, now)?;
                Ok(Event::Failed { authorization, kind, at: now, problem, until: done })
            }
            Command::Deactivate { authorization } => {
                let found =
                    self.authorizations.get(authorization).ok_or(Problem::not_found("authorization"))?;
                let open = matches!(found.state, AuthorizationState::Pending | AuthorizationState::Valid(_));
                if !open || !self.is_open(now) {
                    return Err(Problem::malformed("the authorization is not pending or valid any more"));
                }
                Ok(Event::Deactivated { authorization, until: done })
            }
            Command::Finalize { csr, account_key } => self.finalize(csr, account_key, lifetimes, now),
            Command::Retry => match &self.state {
                OrderState::Processing { csr, next_try, lease }
                    if *next_try <= now && lease.is_none_or(|until| until < now) =>
                {
                    let lease = now.plus_seconds(LEASE_SECONDS);
                    Ok(Event::Enrolling { csr: csr.clone(), lease, until: self.expires })
                }
                _ => Err(Problem::new(ErrorType::OrderNotReady, "there is nothing to try again now")),
            },
            Command::Conclude { outcome, alternates } => {
                if !matches!(self.state, OrderState::Processing { .. }) {
                    return Err(Problem::new(ErrorType::OrderNotReady, "the order is not being processed"));
                }
                Ok(conclude(outcome, alternates, now, done))
            }
            Command::Cancel => {
                let text = "the account was deactivated";
                Ok(Event::Ended { problem: Problem::new(ErrorType::Unauthorized, text), until: done })
            }
        }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        matches!(self.state, OrderState::Open) && now <= self.expires
    }

    fn open_challenge(&self, at: usize, kind: ChallengeKind, now: Timestamp) -> Result<(), Problem> {
        let authorization = self.authorizations.get(at).ok_or(Problem::not_found("authorization"))?;
        let challenge = self.challenge(at, kind).ok_or(Problem::not_found("challenge"))?;
        let open = matches!(challenge.state, ChallengeState::Pending | ChallengeState::Processing)
            && matches!(authorization.state, AuthorizationState::Pending)
            && self.is_open(now);
        if open { Ok(()) } else { Err(Problem::malformed("the challenge is not pending any more")) }
    }

    fn finalize(
        &self,
        csr: VerifiedCsr,
        account_key: &Jwk,
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Event, Problem> {
        if self.status(now) != OrderStatus::Ready {
            let text = format!("the order is {}, not ready", self.status(now).as_str());
            return Err(Problem::new(ErrorType::OrderNotReady, text));
        }
        let bad = |text: &str| Err(Problem::new(ErrorType::BadCsr, text));
        // RFC 8555 11.1.
        if csr.spki_der() == account_key.public_key().der() {
            return bad("the certificate's key must not be the account's key");
        }
        for authorization in &self.authorizations {
            let AuthorizationState::Valid(proof) = &authorization.state else { continue };
            // Draft, 8: attested key, requested key and device are bound together.
            if proof.attested().is_some_and(|key| key.spki_der() != csr.spki_der()) {
                return bad("the certificate request is for another key than the attested one");
            }
        }
        Ok(Event::Enrolling {
            csr: Box::new(csr),
            lease: now.plus_seconds(LEASE_SECONDS),
            until: now.plus_seconds(i64::from(lifetimes.waiting_seconds)),
        })
    }

    /// The order after an event.
    pub(in crate::acme) fn apply(mut self, event: Event) -> Self {
        match event {
            Event::Started { authorization, kind } => {
                self.set_challenge(authorization, kind, ChallengeState::Processing);
            }
            Event::Proven { authorization, kind, at, attested } => {
                self.set_challenge(authorization, kind, ChallengeState::Valid { at });
                if let Some(found) = self.authorizations.get_mut(authorization) {
                    let identifier = found.identifier.clone();
                    found.state =
                        AuthorizationState::Valid(ProvenIdentifier { identifier, by: kind, at, attested });
                }
            }
            Event::Failed { authorization, kind, at, problem, until } => {
                self.set_challenge(
                    authorization,
                    kind,
                    ChallengeState::Invalid { at, problem: problem.clone() },
                );
                if let Some(found) = self.authorizations.get_mut(authorization) {
                    found.state = AuthorizationState::Invalid;
                }
                self.state = OrderState::Invalid { problem };
                self.expires = until;
            }
            Event::Deactivated { authorization, until } => {
                if let Some(found) = self.authorizations.get_mut(authorization) {
                    found.state = AuthorizationState::Deactivated;
                }
                let text = "an authorization was deactivated by the client";
                self.state = OrderState::Invalid { problem: Problem::new(ErrorType::Unauthorized, text) };
                self.expires = until;
            }
            Event::Enrolling { csr, lease, until } => {
                self.state = OrderState::Processing { csr, next_try: lease, lease: Some(lease) };
                self.expires = until;
            }
            Event::Waiting { next_try: at } => {
                if let OrderState::Processing { next_try, lease, .. } = &mut self.state {
                    *next_try = at;
                    *lease = None;
                }
            }
            Event::Issued { chains, until } => {
                self.state = OrderState::Valid { chains };
                self.expires = until;
            }
            Event::Ended { problem, until } => {
                self.state = OrderState::Invalid { problem };
                self.expires = until;
            }
        }
        self
    }

    fn set_challenge(&mut self, authorization: usize, kind: ChallengeKind, state: ChallengeState) {
        let found = self.authorizations.get_mut(authorization);
        let mut challenges = found.into_iter().flat_map(|a| &mut a.challenges);
        if let Some(challenge) = challenges.find(|c| c.kind == kind) {
            challenge.state = state;
        }
    }
}

fn conclude(outcome: &Outcome, alternates: &[Vec<Vec<u8>>], now: Timestamp, done: Timestamp) -> Event {
    let wait = |seconds: u32| {
        let seconds = seconds.clamp(1, MAX_RETRY_SECONDS);
        Event::Waiting { next_try: now.plus_seconds(i64::from(seconds)) }
    };
    match outcome {
        Outcome::Issued { chain } => {
            let mut chains = vec![chain.clone()];
            chains.extend(alternates.iter().cloned());
            Event::Issued { chains, until: done }
        }
        Outcome::Pending { retry_after_seconds, .. } => wait(*retry_after_seconds),
        Outcome::Unavailable { .. } => wait(UNAVAILABLE_RETRY_SECONDS),
        Outcome::Refused { code, why } => {
            let problem = Problem::new(ErrorType::Unauthorized, format!("{why} ({code})"));
            Event::Ended { problem, until: done }
        }
    }
}
