//! Access tokens: OAuth 2.0 client credentials over mutual TLS (RFC 6749 4.4, RFC 8705).

use bytes::Bytes;
use http::{Request, StatusCode, header};
use lanyard_api::client::CallError;
use lanyard_api::device::{TokenError, TokenReply};
use lanyard_api::problem::Problem;

use crate::agent::Agent;
use crate::error::AgentError;

impl Agent {
    /// A token bound to the current certificate, for `scope` or for all that the record allows.
    pub async fn token(&self, scope: Option<&str>) -> Result<TokenReply, AgentError> {
        let (mut channel, _) = self.connect().await?;
        let request = Request::post("/v1/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form(scope)))
            .map_err(|e| CallError::Request(e.to_string()))?;
        let response = channel.call_raw(request).await?;
        let body = response.body();
        if response.status() == StatusCode::OK {
            return serde_json::from_slice(body).map_err(|e| {
                CallError::Malformed { server: channel.server().to_owned(), why: e.to_string() }.into()
            });
        }
        if let Ok(refusal) = serde_json::from_slice::<TokenError>(body) {
            return Err(AgentError::Token(refusal));
        }
        if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
            return Err(CallError::Refused(problem).into());
        }
        let excerpt = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect();
        Err(CallError::Status { server: channel.server().to_owned(), status: response.status(), excerpt }
            .into())
    }
}

/// The body of the request (RFC 6749 4.4.2).
fn form(scope: Option<&str>) -> String {
    let mut form = "grant_type=client_credentials".to_owned();
    if let Some(scope) = scope {
        form.push_str("&scope=");
        for byte in scope.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                    form.push(char::from(byte))
                }
                b' ' => form.push('+'),
                _ => form.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_form_encoded() {
        assert_eq!(form(None), "grant_type=client_credentials");
        assert_eq!(
            form(Some("system/Observation.c a&b=ü")),
            "grant_type=client_credentials&scope=system%2FObservation.c+a%26b%3D%C3%BC"
        );
    }
}
