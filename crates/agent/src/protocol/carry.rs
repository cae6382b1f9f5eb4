//! One message of a protocol over one connection, bounded.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use lanyard_api::client::{CallError, Channel, Client};

use crate::error::AgentError;

/// The longest answer of the three engines is below it; each has its own, smaller bound.
pub(super) const MAX_ANSWER: usize = 256 * 1024;

/// A connection that is made anew when the server has closed it: people take longer than idle times.
pub(super) struct Line {
    client: Client,
    channel: Option<Channel>,
}

impl Line {
    pub(super) fn new(client: &Client) -> Self {
        Self { client: client.clone().with_max_response(MAX_ANSWER), channel: None }
    }

    /// `host:port` of the server that is talked to.
    pub(super) async fn server(&mut self) -> Result<String, AgentError> {
        Ok(self.channel().await?.server().to_owned())
    }

    async fn channel(&mut self) -> Result<&mut Channel, AgentError> {
        if self.channel.as_ref().is_none_or(Channel::is_closed) {
            self.channel = Some(self.client.connect().await?);
        }
        self.channel.as_mut().ok_or(AgentError::Stopping)
    }

    /// Any status is an answer.
    pub(super) async fn send(
        &mut self,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, AgentError> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(all) = request.headers_mut() {
            for (name, value) in headers {
                let mut value =
                    HeaderValue::from_str(value).map_err(|e| CallError::Request(e.to_string()))?;
                value.set_sensitive(*name == "authorization");
                all.insert(HeaderName::from_static(name), value);
            }
        }
        let request = request.body(Bytes::from(body)).map_err(|e| CallError::Request(e.to_string()))?;
        let outcome = self.channel().await?.call_raw(request).await;
        if outcome.is_err() {
            self.channel = None;
        }
        Ok(outcome?)
    }
}

/// A header's value as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
