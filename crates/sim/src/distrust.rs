//! How long distrust takes to reach every path: from the moment a tampered device sends its evidence until its token,
//! its handshake, its open connection and its FHIR writes are refused.
//!
//! Each path is watched by its own task that saw it work before. The clock starts before the attestation is sent, so the
//! appraisal and the durable record are part of every number. In scope: measuring. Out of scope: what the limit is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lanyard_agent::AgentError;
use lanyard_agent::fhir::DataPath;
use lanyard_api::client::CallError;
use lanyard_api::device::Standing;
use lanyard_domain::trust::Verdict;
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use crate::device::{DeviceError, VirtualDevice};

/// Longest wait for one path; far above the second that is promised.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two attempts of a watcher: a thousandth of the promise.
const PAUSE: Duration = Duration::from_millis(1);
/// Tokens are recorded in the ledger one by one; twenty a second are enough to see the edge.
const TOKEN_PAUSE: Duration = Duration::from_millis(10);

/// Milliseconds until each path was closed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DistrustTimes {
    /// Token endpoint.
    pub token: f64,
    /// New handshakes at the gateway.
    pub mtls: f64,
    /// The connection that was open.
    pub connection: f64,
    /// FHIR writes.
    pub fhir: f64,
    /// The largest.
    pub max: f64,
}

/// What came of a measurement.
#[derive(Debug, Clone)]
pub struct Distrusted {
    /// The answer to the tampered device's evidence.
    pub standing: Standing,
    /// How long each path took.
    pub times: DistrustTimes,
    /// Why the token endpoint refused.
    pub token_reason: String,
    /// Why the gateway refused a handshake or request.
    pub gateway_reason: String,
}

/// Why no measurement came out.
#[derive(Debug, thiserror::Error)]
pub enum DistrustError {
    /// A path did not even work before.
    #[error("{path} did not work before the tampering: {why}")]
    NotOpen {
        /// Which.
        path: &'static str,
        /// What it said.
        why: String,
    },
    /// A path stayed open.
    #[error("{0} was still open after {PATIENCE:?}")]
    StillOpen(&'static str),
    /// The evidence was not contraindicated.
    #[error("the tampered device is {0}")]
    Trusted(Verdict),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A task that ends with the measurement, whatever comes of it.
type Watcher = AbortOnDropHandle<Seen>;

struct Seen {
    at: Instant,
    why: String,
}

/// Watches all paths of `device`, lets it attest, and waits until all are closed. Its firmware is already tampered
/// with; until it attests, nobody knows.
pub async fn measure(device: &Arc<VirtualDevice>) -> Result<Distrusted, DistrustError> {
    let idle = Arc::new(device.another_path()?);
    open(device, &idle, "the open connection").await?;
    let writes = Arc::new(device.another_path()?);
    open(device, &writes, "a FHIR write").await?;
    let token = device.agent.token(None).await;
    token.map_err(|e| DistrustError::NotOpen { path: "the token endpoint", why: e.to_string() })?;

    let watchers = [
        ("the token endpoint", watch_token(device.clone())),
        ("a new handshake", watch_handshake(device.clone())),
        ("the open connection", watch_connection(idle)),
        ("a FHIR write", watch_writes(device.clone(), writes)),
    ];
    let sent = Instant::now();
    let standing = device.agent.attest().await.map_err(DeviceError::from)?;
    if standing.verdict != Verdict::Untrusted {
        return Err(DistrustError::Trusted(standing.verdict));
    }
    let mut seen = Vec::with_capacity(watchers.len());
    for (path, watcher) in watchers {
        let closed = tokio::time::timeout(PATIENCE, watcher).await.ok().and_then(Result::ok);
        seen.push(closed.ok_or(DistrustError::StillOpen(path))?);
    }
    let [token, mtls, connection, fhir] =
        <[Seen; 4]>::try_from(seen).map_err(|_| DistrustError::StillOpen("a path"))?;
    let ms = |seen: &Seen| (seen.at.saturating_duration_since(sent).as_secs_f64() * 10_000.0).round() / 10.0;
    let each = [ms(&token), ms(&mtls), ms(&connection), ms(&fhir)];
    Ok(Distrusted {
        standing,
        times: DistrustTimes {
            token: ms(&token),
            mtls: ms(&mtls),
            connection: ms(&connection),
            fhir: ms(&fhir),
            max: each.into_iter().fold(0.0, f64::max),
        },
        token_reason: token.why,
        gateway_reason: mtls.why,
    })
}

/// How long after an order (a person's revocation, say) the open connection of `path` was cut. The clock starts before the order
/// is sent, so its signature's check and its durable record are part of the number.
pub async fn cut_after<T>(
    path: Arc<DataPath>,
    order: impl Future<Output = T>,
) -> Result<(T, Duration), DistrustError> {
    let watcher = watch_connection(path);
    let sent = Instant::now();
    let done = order.await;
    let seen = tokio::time::timeout(PATIENCE, watcher).await.ok().and_then(Result::ok);
    let seen = seen.ok_or(DistrustError::StillOpen("the open connection"))?;
    Ok((done, seen.at.saturating_duration_since(sent)))
}

/// A write that is accepted shows that the path is open.
async fn open(device: &VirtualDevice, path: &DataPath, name: &'static str) -> Result<(), DistrustError> {
    let not_open = |why: String| DistrustError::NotOpen { path: name, why };
    let reply = device.send_over(path, None).await.map_err(|e| not_open(e.to_string()))?;
    if reply.status.is_success() {
        return Ok(());
    }
    Err(not_open(reply.diagnostics().unwrap_or_else(|| reply.status.to_string())))
}

fn watch_token(device: Arc<VirtualDevice>) -> Watcher {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            match device.agent.token(None).await {
                // Any other error is the endpoint's trouble, not its refusal.
                Err(AgentError::Token(refusal)) if refusal.error == "invalid_client" => {
                    return Seen { at: Instant::now(), why: refusal.error_description };
                }
                _ => tokio::time::sleep(TOKEN_PAUSE).await,
            }
        }
    }))
}

/// A handshake counts as accepted when the gateway answers anything over it.
fn watch_handshake(device: Arc<VirtualDevice>) -> Watcher {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if let Ok(path) = device.another_path()
                && let Err(e @ CallError::Tls { .. }) = path.get("/fhir/Patient/none", None).await
            {
                return Seen { at: Instant::now(), why: e.to_string() };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }))
}

fn watch_connection(path: Arc<DataPath>) -> Watcher {
    AbortOnDropHandle::new(tokio::spawn(async move {
        path.closed().await;
        Seen { at: Instant::now(), why: "connection was cut".to_owned() }
    }))
}

/// Writes as fast as answers come; a connection that breaks is no refusal yet, the next attempt tells.
fn watch_writes(device: Arc<VirtualDevice>, path: Arc<DataPath>) -> Watcher {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let refused = match device.send_over(&path, None).await {
                Ok(reply) if matches!(reply.status.as_u16(), 401 | 403) => {
                    Some(reply.diagnostics().unwrap_or_else(|| reply.status.to_string()))
                }
                Err(DeviceError::Call(e @ CallError::Tls { .. })) => Some(e.to_string()),
                _ => None,
            };
            match refused {
                Some(why) => return Seen { at: Instant::now(), why },
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }))
}
