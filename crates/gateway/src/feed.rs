//! The line to the control plane: state comes in (snapshot, ordered changes), answers and log checkpoints go out.
//!
//! Two tasks: [`follow`] reads the feed and nothing else, so that a distrust never waits behind a question; [`report`]
//! answers questions and anchors the decision log, one call after the other.
//! In scope: order, reconnecting, what an answer is made of. Out of scope: what a change means (`state`, `cut`).
//! To answer a new question: a variant in `lanyard_api::gateway::Question`, an arm in [`Reporter::answer`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lanyard_api::client::{CallError, Channel, Client};
use lanyard_api::clock::Clock;
use lanyard_api::gateway::{AnchorReply, AnchorRequest, Answer, AnswerRequest, FeedItem, Question, Snapshot};
use lanyard_domain::access;
use lanyard_domain::event::Probe;
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::trust::Verdict;
use lanyard_pki::certificate::{Certificate, PeerIdentity, chain_from_pem};
use lanyard_pki::path::Anchors;
use lanyard_pki::tls::AnchorStore;
use lanyard_store::SealedCheckpoint;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cut::Connections;
use crate::fhir::denied;
use crate::gate;
use crate::log::{DecisionLog, LogError};
use crate::state::{FeedFault, Saver, State};

/// Heartbeats come every second; five missed are a dead line.
const SILENCE: Duration = Duration::from_secs(5);
/// First wait before a new try; doubled up to [`SLOWEST`].
const FIRST: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(5);
/// How often the decision log is anchored, when it has grown.
const ANCHOR_EVERY: Duration = Duration::from_secs(5);
/// Sealed sizes tried in one round when it is not known which one is anchored.
const TRIES: usize = 64;

/// What [`follow`] works on.
#[derive(Debug)]
pub struct Follower {
    /// With our certificate.
    pub client: Client,
    /// What it changes.
    pub state: Arc<State>,
    /// Where it is kept.
    pub saver: Saver,
    /// What it cuts.
    pub connections: Arc<Connections>,
    /// Whose authorities count; follows the snapshot.
    pub anchors: Arc<AnchorStore>,
    /// Time.
    pub clock: Clock,
    /// Where questions go.
    pub questions: mpsc::Sender<(u64, Question)>,
}

/// Follows the feed until `stop`, for ever anew.
pub async fn follow(follower: Follower, stop: CancellationToken) {
    let mut wait = FIRST;
    loop {
        let before = follower.state.heard_at();
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = follower.session() => outcome,
        };
        if follower.state.heard_at() > before {
            wait = FIRST;
        }
        match outcome {
            Ok(()) => tracing::info!("the control plane closed the feed; reconnecting"),
            Err(Broken::Call(error)) => {
                tracing::warn!(%error, age_seconds = ?follower.age(), "no feed; going on with what is known");
                follower.client.avoid_preferred();
            }
            Err(Broken::Fault(fault)) => tracing::error!(%fault, "the feed cannot be used"),
        }
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(jittered(wait)) => {} }
        wait = (wait * 2).min(SLOWEST);
    }
}

/// Between half and all of `wait`, so that a site's gateways do not come back in step.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [128u8];
    // Without randomness there is no jitter; nothing depends on it.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    wait / 2 + wait * u32::from(byte.first().copied().unwrap_or(128)) / 512
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Fault(#[from] FeedFault),
}

impl Follower {
    async fn session(&self) -> Result<(), Broken> {
        let channel = self.client.connect().await?;
        let mut lines = channel.stream("/v1/gateway/feed", SILENCE).await?;
        let mut first = true;
        while let Some(line) = lines.next().await? {
            if line.is_empty() {
                continue;
            }
            let item: FeedItem = serde_json::from_slice(&line).map_err(|e| CallError::Malformed {
                server: lines.channel().server().to_owned(),
                why: e.to_string(),
            })?;
            if first && !matches!(item, FeedItem::Snapshot(_)) {
                return Err(FeedFault::NoSnapshot.into());
            }
            first = false;
            self.take(item)?;
        }
        Ok(())
    }

    /// Applies, cuts, then saves: distrust acts before it is written down.
    fn take(&self, item: FeedItem) -> Result<(), FeedFault> {
        let heard = self.clock.now();
        let effect = self.state.apply(&item, heard)?;
        self.connections.judge(&effect.touched, heard, &self.clock, |d| self.is_untrusted(d));
        match item {
            FeedItem::Ask { question, what } => {
                if self.questions.try_send((question, what)).is_err() {
                    tracing::warn!(question, "too many questions at once; this one is not answered");
                }
            }
            item => {
                if let FeedItem::Snapshot(snapshot) = &item {
                    adopt_anchors(snapshot, &self.anchors);
                }
                self.saver.save(item, heard);
            }
        }
        Ok(())
    }

    fn is_untrusted(&self, device: DeviceId) -> bool {
        let view = self.state.view(device);
        view.is_none_or(|v| v.verdict_at(self.clock.now()) == Verdict::Untrusted || v.certificates.is_empty())
    }

    fn age(&self) -> Option<i64> {
        self.state.heard_at().map(|at| self.clock.now().seconds_since(at))
    }
}

/// A CA generation that comes or goes reaches the gateway with the snapshot, over a connection that the old one secured.
pub fn adopt_anchors(snapshot: &Snapshot, store: &AnchorStore) {
    let anchors = chain_from_pem(snapshot.anchors_pem.as_bytes())
        .map_err(|e| e.to_string())
        .and_then(|certificates| Anchors::new(certificates).map_err(|e| e.to_string()));
    match anchors {
        Ok(anchors) => store.replace(anchors),
        Err(error) => {
            tracing::error!(%error, "the snapshot's trust anchors cannot be used; keeping those known")
        }
    }
}

/// What [`report`] works on.
#[derive(Debug)]
pub struct Reporter {
    client: Client,
    state: Arc<State>,
    log: DecisionLog,
    clock: Clock,
    channel: Option<Channel>,
    anchored: Anchored,
}

/// What of the decision log lies under the main log.
#[derive(Debug)]
struct Anchored {
    /// File that remembers `size`. Lost or rolled back: found again by trying; written by an attacker: the control plane
    /// refuses proofs from a wrong size, nothing else.
    file: PathBuf,
    /// Size that the control plane is believed to have.
    size: u64,
    /// The checkpoint as anchored, once this process has done so.
    checkpoint: Option<SealedCheckpoint>,
}

/// Why something was not reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The control plane.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No size that we sealed is the one that is anchored.
    #[error(
        "the control plane has anchored another log under this gateway's name than the one here; nothing is anchored"
    )]
    Forked,
}

/// Answers questions and anchors the log until `stop`; once more at the end.
pub async fn report(
    mut reporter: Reporter,
    mut questions: mpsc::Receiver<(u64, Question)>,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(ANCHOR_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => break,
            question = questions.recv() => match question {
                Some((number, what)) => reporter.reply(number, what).await,
                None => break,
            },
            _ = tick.tick() => reporter.upkeep().await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "could not report to the control plane; trying again");
        }
    }
    // What was decided since the last round; a control plane that is away must not hold up the end.
    let _ = tokio::time::timeout(Duration::from_secs(2), reporter.anchor()).await;
}

impl Reporter {
    /// A reporter that remembers in `file` what is anchored.
    pub fn new(client: Client, state: Arc<State>, log: DecisionLog, clock: Clock, file: PathBuf) -> Reporter {
        let size = std::fs::read_to_string(&file).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        let anchored = Anchored { file, size, checkpoint: None };
        Reporter { client, state, log, clock, channel: None, anchored }
    }

    async fn upkeep(&mut self) -> Result<(), ReportError> {
        self.log.index().await?;
        self.anchor().await
    }

    async fn reply(&mut self, question: u64, what: Question) -> Result<(), ReportError> {
        let answer = self.answer(what).await?;
        let _: serde_json::Value =
            self.call("/v1/gateway/answer", &AnswerRequest { question, answer }).await?;
        Ok(())
    }

    async fn answer(&mut self, what: Question) -> Result<Answer, ReportError> {
        match what {
            Question::Probe { device, certificates } => {
                let probes = certificates.iter().flat_map(|der| self.probe(device, der)).collect();
                Ok(Answer::Probed { probes })
            }
            Question::Reading { location } => self.reading(&location).await,
        }
    }

    /// Would these be let in now? The same functions that judge real connections and requests (I11).
    fn probe(&self, device: DeviceId, der: &Blob) -> [Probe; 3] {
        let now = self.clock.now();
        let thumbprint = Digest(lanyard_ledger::hash::sha256(&[&der.0]).0);
        let parsed = Certificate::parse(&der.0);
        let credential = parsed.as_ref().map_or_else(|_| thumbprint.to_string(), |c| c.serial().to_string());
        let handshake = match &parsed {
            Ok(leaf) => match gate::admit(&self.state, leaf, PeerIdentity::Device(device), now) {
                Ok(_) => Ok(()),
                Err(refusal) => Err(refusal.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        let request = match self.state.view(device) {
            None => Err("401: the device is not registered at this site, or was retired".to_owned()),
            Some(view) => access::authenticate(&view, &thumbprint, now).map(|_| ()).map_err(|d| {
                let refusal = denied(&d);
                let reasons: Vec<&str> = refusal.reasons.iter().map(|r| r.code.as_str()).collect();
                format!("{}: {}", refusal.status, reasons.join(", "))
            }),
        };
        // A token acts only together with its certificate: the relay authenticates before it reads the token.
        let outcomes =
            [("gateway mtls", handshake), ("gateway fhir", request.clone()), ("gateway token", request)];
        outcomes.map(|(point, outcome)| Probe {
            point: point.to_owned(),
            credential: credential.clone(),
            refused: outcome.is_err(),
            answer: outcome.err().unwrap_or_else(|| "accepted".to_owned()),
        })
    }

    /// The proofs lead to a checkpoint that is anchored: anchor first when the leaves are newer.
    async fn reading(&mut self, location: &str) -> Result<Answer, ReportError> {
        let nothing = Answer::Reading { leaves: Vec::new(), checkpoint: String::new() };
        let Some(found) = self.log.find(location).await? else { return Ok(nothing) };
        let newest = found.positions.iter().copied().max().unwrap_or_default();
        let covers = |anchored: &Anchored| anchored.checkpoint.as_ref().is_some_and(|c| c.size > newest);
        if !covers(&self.anchored) {
            self.anchor().await?;
        }
        match &self.anchored.checkpoint {
            Some(checkpoint) if checkpoint.size > newest => {
                let leaves = self.log.prove(&found, checkpoint.size).await?;
                Ok(Answer::Reading { leaves, checkpoint: checkpoint.note.clone() })
            }
            _ => Ok(nothing),
        }
    }

    /// Puts the log's newest checkpoint under the main log.
    async fn anchor(&mut self) -> Result<(), ReportError> {
        let Some(checkpoint) = self.log.seal(self.clock.now()).await? else { return Ok(()) };
        if self.anchored.checkpoint.as_ref().is_some_and(|c| c.size == checkpoint.size) {
            return Ok(());
        }
        for _ in 0..TRIES {
            let from = self.anchored.size.min(checkpoint.size);
            let consistency =
                if from == 0 { Vec::new() } else { self.log.consistency(from, checkpoint.size).await? };
            let request = AnchorRequest { checkpoint: checkpoint.note.clone(), consistency };
            let outcome: Result<AnchorReply, _> = self.call("/v1/gateway/anchor", &request).await;
            match outcome {
                Ok(_) => {
                    self.anchored.size = checkpoint.size;
                    self.anchored.checkpoint = Some(checkpoint);
                    self.remember();
                    return Ok(());
                }
                // It has anchored a later checkpoint of ours than we remember: one of those that we sealed since.
                Err(ReportError::Call(CallError::Refused(problem)))
                    if problem.code() == "gateway_log_forked" =>
                {
                    let next = self.log.sealed_after(from).await?;
                    self.anchored.size =
                        next.filter(|size| *size <= checkpoint.size).ok_or(ReportError::Forked)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ReportError::Forked)
    }

    fn remember(&self) {
        let fresh = self.anchored.file.with_extension("new");
        let written = std::fs::write(&fresh, format!("{}\n", self.anchored.size))
            .and_then(|()| std::fs::rename(&fresh, &self.anchored.file));
        if let Err(error) = written {
            tracing::warn!(%error, "the anchored size is not remembered; it will be found again by trying");
        }
    }

    async fn call<Req: serde::Serialize, Rep: serde::de::DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Req,
    ) -> Result<Rep, ReportError> {
        let mut channel = match self.channel.take() {
            Some(channel) if !channel.is_closed() => channel,
            _ => self.client.connect().await?,
        };
        let reply = channel.call(Method::POST, path, Some(body)).await;
        // After a refusal the channel is as good as before; after anything else it is made anew.
        if matches!(reply, Ok(_) | Err(CallError::Refused(_))) {
            self.channel = Some(channel);
        }
        Ok(reply?)
    }
}
