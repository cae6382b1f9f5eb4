//! The one place where a use case's outcome becomes an HTTP answer (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lanyard_api::problem::{MEDIA_TYPE, Problem};
use lanyard_control::plane::ControlError;

/// An answer that is not the one asked for.
#[derive(Debug)]
pub struct Answer(pub Problem);

impl Answer {
    /// A problem of `code`.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("refused");
        Self(Problem::new(status.as_u16(), code, title, detail))
    }
}

impl From<ControlError> for Answer {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Refused(refused) => {
                let status = status_of(&refused.code);
                let title = status.canonical_reason().unwrap_or("refused");
                Self(
                    Problem::new(status.as_u16(), &refused.code, title, refused.text)
                        .with_reasons(refused.reasons),
                )
            }
            ControlError::Malformed { field, reason } => {
                Self::new(StatusCode::BAD_REQUEST, "malformed", format!("{field}: {reason}"))
            }
            ControlError::NotFound { what, id } => {
                Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} `{id}`"))
            }
            ControlError::Unavailable(what) => {
                tracing::warn!(%what, "a request was turned away for now");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", what)
            }
            ControlError::Bug(what) => {
                tracing::error!(%what, "internal fault; please report it");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal_fault",
                    "internal fault; the server's log has it",
                )
            }
        }
    }
}

/// Refusals are 403; those that say "not any more" or "already" are 409, those about who asks are 401.
fn status_of(code: &str) -> StatusCode {
    match code {
        "operator_unknown" | "signature_invalid" | "certificate_not_current" => StatusCode::UNAUTHORIZED,
        "device_exists"
        | "release_exists"
        | "operator_exists"
        | "gateway_exists"
        | "application_exists"
        | "authority_exists"
        | "secret_exists"
        | "name_taken"
        | "endorsement_exists"
        | "label_taken"
        | "already_approved"
        | "wrong_stage"
        | "statement_replayed"
        | "request_used"
        | "already_bootstrapped"
        | "release_withdrawn" => StatusCode::CONFLICT,
        "too_often" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::FORBIDDEN,
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let again = match status {
            StatusCode::SERVICE_UNAVAILABLE => Some("2"),
            // A bound of this many in a minute.
            StatusCode::TOO_MANY_REQUESTS => Some("60"),
            _ => None,
        };
        if let Some(seconds) = again {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}
