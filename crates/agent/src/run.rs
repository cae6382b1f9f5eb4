//! The loop that keeps a device's identity alive: enroll once, attest when told, renew in time, and after any failure
//! try again for ever, at another server if there is one.
//!
//! What fails never takes anything away: certificate, key and standing stay as they are. A refusal is reported and asked
//! again at the usual pace; only a silent or broken server is asked with growing pauses.

use std::time::Duration;

use lanyard_api::device::Standing;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::client::RenewalWindow;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::error::{AgentError, Reaction};
use crate::identity::Identity;
use crate::pace::{self, Fraction};
use crate::protocol::{Patience, Protocol};
use crate::status::{Fault, Step};

/// Pace of a device that was not told one: not approved yet, for example.
const UNTOLD_SECONDS: u32 = 60;
/// Longest sleep without a look at the clock: wall time jumps, and devices are suspended.
const LOOK: Duration = Duration::from_secs(30);

/// When things are due.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    attest_at: Timestamp,
    renew_at: Timestamp,
    /// Not before this, after a failure.
    hold_until: Timestamp,
    failures: u32,
    /// The step that failed last, until one succeeds.
    failed: Option<Step>,
    /// Of the certificate that `renew_at` was drawn for.
    generation: u64,
    /// The certificate proves nothing any more: the hardware must speak again.
    anew: bool,
    /// When to ask the server for its window (ACME).
    ask_at: Timestamp,
    /// The window that `renew_at` was drawn from, if the server said one.
    window: Option<RenewalWindow>,
}

/// Without an answer it is asked again after an hour, and the share of the lifetime holds.
const ASK_AGAIN_SECONDS: u32 = 3_600;
/// A person decides meanwhile; then the attempt goes on at the next round, and the device shows itself in between.
const PATIENCE: Duration = Duration::from_secs(300);

impl Plan {
    /// At a start: attest now, because much may have changed while the agent was off.
    fn new(now: Timestamp) -> Self {
        Self {
            attest_at: now,
            renew_at: now,
            hold_until: now,
            failures: 0,
            failed: None,
            generation: 0,
            anew: false,
            ask_at: now,
            window: None,
        }
    }

    /// Draws the time of renewal once for each certificate.
    fn learn(&mut self, identity: Option<&Identity>, generation: u64, r: Fraction) {
        if let Some(i) = identity.filter(|_| generation != self.generation) {
            self.renew_at = pace::renew_time(i.renew_at, i.not_after, r);
            self.generation = generation;
            (self.ask_at, self.window) = (i.renew_at.min(self.ask_at), None);
        }
    }

    /// Whether the server is to be asked when to renew.
    fn asks(&self, identity: Option<&Identity>, now: Timestamp) -> bool {
        self.ask_at <= now && identity.is_some_and(|i| i.protocol == Protocol::Acme && i.not_after > now)
    }

    /// RFC 9773 4.2: a time within the server's window, drawn once for each window; a tenth of the certificate's last third
    /// stays for retries whatever the server says.
    fn steer(
        &mut self,
        identity: &Identity,
        told: Result<RenewalWindow, AgentError>,
        now: Timestamp,
        r: Fraction,
    ) {
        match told {
            Ok(window) => {
                self.ask_at = after(now, pace::about(window.retry_after_seconds, r));
                if self.window.as_ref().is_none_or(|w| (w.start, w.end) != (window.start, window.end)) {
                    let rest = identity.not_after.seconds_since(identity.renew_at);
                    let latest = identity.not_after.plus_seconds(-rest / 10);
                    self.renew_at = window.pick(r.millionths()).min(latest);
                }
                self.window = Some(window);
            }
            Err(error) => {
                tracing::warn!(%error, "when to renew was not told; the share of the lifetime holds");
                self.ask_at = after(now, pace::about(ASK_AGAIN_SECONDS, r));
            }
        }
    }

    /// The next step and its time. By our own protocol an expired certificate cannot renew: the device enrolls again. By
    /// others it can, or its hardware can; a one-time secret would be gone.
    fn next(&self, identity: Option<&Identity>, now: Timestamp) -> (Step, Timestamp) {
        let (step, at) = match identity {
            None => (Step::Enroll, self.hold_until),
            // Only our own protocol proves the hardware anew; the others' certificates say all they have.
            Some(i) if self.anew || (i.not_after <= now && i.protocol.is_native()) => {
                (Step::Enroll, self.hold_until)
            }
            Some(i) if i.not_after <= now => (Step::Renew, self.hold_until),
            // A renewal that fails must not keep the device from proving its state.
            Some(_) if self.failed == Some(Step::Renew) && self.attest_at <= now => {
                (Step::Attest, self.attest_at)
            }
            // Renewal re-attests: when both are due, one call does.
            Some(_) if self.renew_at <= self.attest_at.max(now) => (Step::Renew, self.renew_at),
            Some(_) => (Step::Attest, self.attest_at),
        };
        (step, at.max(self.hold_until))
    }

    fn succeeded(&mut self, standing: &Standing, now: Timestamp, r: Fraction) {
        (self.failures, self.failed) = (0, None);
        self.hold_until = now;
        self.attest_at = after(now, pace::about(standing.next_in_seconds.max(1), r));
        // The control plane spreads its fleet: no jitter of ours on top.
        self.renew_at = standing.renew_at.map_or(self.renew_at, |told| told.min(self.renew_at));
    }

    fn fell_short(&mut self, step: Step, reaction: Reaction, pace_seconds: u32, now: Timestamp, r: Fraction) {
        self.failed = Some(step);
        self.failures = self.failures.saturating_add(1);
        let wait = match reaction {
            Reaction::Retry => pace::back_off(self.failures, r),
            Reaction::Wait => pace::about(pace_seconds, r),
        };
        self.hold_until = after(now, wait);
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_add(micros))
}

impl Agent {
    /// Runs until `stop`. A step under way is given up then; nothing is lost by that.
    pub async fn run(&self, stop: CancellationToken) {
        let mut plan = Plan::new(self.parts.clock.now());
        loop {
            let now = self.parts.clock.now();
            let identity = self.parts.identities.current();
            plan.learn(identity.as_ref(), self.parts.identities.generation(), Fraction::fresh());
            if let Some(identity) = identity.as_ref().filter(|i| plan.asks(Some(i), now)) {
                let told = tokio::select! {
                    () = stop.cancelled() => return,
                    told = self.renewal_window() => told,
                };
                plan.steer(identity, told, self.parts.clock.now(), Fraction::fresh());
            }
            let (step, at) = plan.next(identity.as_ref(), now);
            self.announce(step, at, identity.as_ref()).await;
            if at > now {
                let wait = Duration::from_micros(u64::try_from(at.micros_since(now)).unwrap_or(0)).min(LOOK);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                    () = self.parts.nudge.notified() => {
                        plan.attest_at = now;
                        plan.hold_until = now;
                    }
                }
                continue;
            }
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.step(step) => outcome,
            };
            self.follow(&mut plan, step, outcome);
        }
    }

    async fn step(&self, step: Step) -> Result<Standing, AgentError> {
        match step {
            Step::Enroll => self.first(Patience::of(PATIENCE)).await,
            Step::Renew => self.renew_by(Patience::of(PATIENCE)).await,
            Step::Attest => self.show().await,
        }
    }

    /// As the configuration says.
    async fn first(&self, patience: Patience) -> Result<Standing, AgentError> {
        let protocol = self.parts.config.enrollment.protocol;
        let secret = self.blocking(|parts| parts.config.enrollment.secret()).await?;
        self.enroll_by(protocol, secret, patience).await
    }

    fn follow(&self, plan: &mut Plan, step: Step, outcome: Result<Standing, AgentError>) {
        let (now, r) = (self.parts.clock.now(), Fraction::fresh());
        match outcome {
            Ok(standing) => {
                plan.anew &= step != Step::Enroll;
                plan.succeeded(&standing, now, r);
                self.parts.status.send_modify(|status| status.fault = None);
            }
            Err(error) => {
                plan.anew |= error.code() == Some("issuer_compromised");
                let reaction = error.reaction();
                let told = self.parts.status.borrow().standing.as_ref().map(|s| s.next_in_seconds);
                let pace = error.retry_after_seconds().or(told).unwrap_or(UNTOLD_SECONDS).max(1);
                plan.fell_short(step, reaction, pace, now, r);
                if reaction == Reaction::Retry {
                    self.parts.mutual.avoid_preferred();
                    self.parts.anonymous.avoid_preferred();
                    if let Some(fronts) = &self.parts.fronts {
                        fronts.anonymous.avoid_preferred();
                        fronts.mutual.avoid_preferred();
                    }
                }
                self.report(step, &error, plan.failures, now);
            }
        }
    }

    fn report(&self, step: Step, error: &AgentError, times: u32, now: Timestamp) {
        let (text, refused) = (error.to_string(), error.is_refusal());
        tracing::warn!(?step, refused, times, "{text}");
        self.parts.status.send_modify(|status| {
            status.fault = Some(Fault { step, at: now, text, refused, times });
        });
    }

    /// Publishes what comes next; writes it down when it changed.
    async fn announce(&self, step: Step, at: Timestamp, identity: Option<&Identity>) {
        let changed = self.parts.status.send_if_modified(|status| {
            let before = (status.next, status.next_at);
            status.device = identity.map(|i| i.device);
            status.not_after = identity.map(|i| i.not_after);
            status.renew_at = identity.map(|i| i.renew_at);
            (status.next, status.next_at) = (Some(step), Some(at));
            before != (status.next, status.next_at)
        });
        let Some(dir) = self.parts.config.state_dir.clone().filter(|_| changed) else { return };
        let status = self.parts.status.borrow().clone();
        // The loop goes on without it: people lose a view, the device nothing.
        if let Err(error) = self.blocking(move |_| status.write(&dir)).await {
            tracing::warn!(%error, "status cannot be written");
        }
    }
}

#[cfg(test)]
mod tests;
