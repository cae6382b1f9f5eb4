//! The device's way to the gateway: FHIR requests over one kept connection with mutual TLS.
//!
//! The connection is made anew when it has ended, and before the next request when the device has a newer certificate;
//! an open request is never interrupted for a renewal (I7). A request that broke is not repeated here: it may have
//! been carried out, and only the caller knows whether twice is harmful.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use lanyard_api::client::{CallError, Channel, Client};
use tokio::sync::Mutex;

use crate::identity::Identities;

/// RFC 7763 does not know it; FHIR R4 3.1.0.1.11 does.
const FHIR_JSON: &str = "application/fhir+json";

/// A way for data. One request at a time; make several for more.
pub struct DataPath {
    client: Client,
    identities: Arc<Identities>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    channel: Channel,
    generation: u64,
}

/// What the gateway answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// `Location`, as the EHR named the resource.
    pub location: Option<String>,
    /// Resource or OperationOutcome.
    pub body: Bytes,
}

impl Reply {
    /// The text of the first issue of an OperationOutcome, when it is one: why it was refused.
    pub fn diagnostics(&self) -> Option<String> {
        let outcome: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let issue = outcome.get("issue")?.get(0)?;
        let text = issue.get("diagnostics").or_else(|| issue.get("details")?.get("text"))?;
        text.as_str().map(str::to_owned)
    }
}

impl DataPath {
    pub(crate) fn new(client: Client, identities: Arc<Identities>) -> Self {
        Self { client, identities, kept: Mutex::new(None) }
    }

    /// Sends a resource or transaction; `token` beside the certificate when given.
    pub async fn post(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        token: Option<&str>,
    ) -> Result<Reply, CallError> {
        self.send(Method::POST, path, body.into(), token).await
    }

    /// Reads.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Reply, CallError> {
        self.send(Method::GET, path, Bytes::new(), token).await
    }

    /// Any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        token: Option<&str>,
    ) -> Result<Reply, CallError> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, FHIR_JSON);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, FHIR_JSON);
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|e| CallError::Request(e.to_string()))?;
        let mut kept = self.kept.lock().await;
        let mut open = self.open(kept.take()).await?;
        // Taken out while in use: a request that is given up half-way leaves no half-used connection behind.
        let response = open.channel.call_raw(request).await?;
        if !open.channel.is_closed() {
            *kept = Some(open);
        }
        let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
        Ok(Reply {
            status: response.status(),
            location: location.map(str::to_owned),
            body: response.body().clone(),
        })
    }

    /// Connects if there is no usable connection.
    pub async fn connect(&self) -> Result<(), CallError> {
        let mut kept = self.kept.lock().await;
        *kept = Some(self.open(kept.take()).await?);
        Ok(())
    }

    /// Completes when the connection that is open now has ended; at once when none is open.
    pub async fn closed(&self) {
        let closed = self.kept.lock().await.as_ref().map(|k| k.channel.closed());
        if let Some(closed) = closed {
            closed.await;
        }
    }

    /// Whether a connection is open.
    pub async fn is_open(&self) -> bool {
        self.kept.lock().await.as_ref().is_some_and(|k| !k.channel.is_closed())
    }

    async fn open(&self, kept: Option<Kept>) -> Result<Kept, CallError> {
        // Read before the handshake: a certificate that arrives during it leads to one more connection, not to none.
        let generation = self.identities.generation();
        if let Some(kept) = kept.filter(|k| k.generation == generation && !k.channel.is_closed()) {
            return Ok(kept);
        }
        Ok(Kept { channel: self.client.connect().await?, generation })
    }
}
