//! Devices' calls: checkpoint, enroll, attest, renew, token.

use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use lanyard_api::device::{
    AttestRequest, CheckpointReply, EnrollBegin, EnrollChallenge, EnrollFinish, IssuanceProof, Issued,
    RenewRequest, Standing, TokenError, TokenReply,
};
use lanyard_attest::tcg::QUOTED_PCRS;
use lanyard_control::appraise::{Presented, Standing as Stands};
use lanyard_control::digest::sha256;
use lanyard_control::enroll::{Claimed, Issued as Certified, Proof};
use lanyard_control::journal::{Journal, SealedAt};
use lanyard_control::plane::ControlError;
use lanyard_domain::record::Scope;
use lanyard_domain::text::Blob;
use serde::Deserialize;

use super::peer::{Channel, DevicePeer};
use super::problem::Answer;
use crate::state::State;

/// `GET /v1/checkpoint`.
pub async fn checkpoint(Shared(state): Shared<State>) -> Result<Json<CheckpointReply>, Answer> {
    let newest = state
        .control
        .journal
        .newest_checkpoint()
        .ok_or_else(|| ControlError::Unavailable("no checkpoint has been published yet".to_owned()))?;
    Ok(Json(checkpoint_reply(&state, newest)))
}

/// `POST /v1/enroll/begin`.
pub async fn enroll_begin(
    Shared(state): Shared<State>,
    Channel(channel): Channel,
    Json(begin): Json<EnrollBegin>,
) -> Result<Json<EnrollChallenge>, Answer> {
    let challenge = state.control.enroll_begin(&claimed(begin), channel, state.clock.now()).await?;
    Ok(Json(EnrollChallenge {
        device: challenge.device,
        credential_blob: Blob(challenge.credential.blob),
        encrypted_secret: Blob(challenge.credential.encrypted_secret),
        expires: challenge.expires,
        checkpoint: checkpoint_reply(&state, challenge.checkpoint),
        pcrs: QUOTED_PCRS.to_vec(),
    }))
}

/// `POST /v1/enroll/finish`.
pub async fn enroll_finish(
    Shared(state): Shared<State>,
    Channel(channel): Channel,
    Json(finish): Json<EnrollFinish>,
) -> Result<Json<Issued>, Answer> {
    let now = state.clock.now();
    let claimed = claimed(finish.begin);
    let issued = state
        .control
        .enroll_finish(&claimed, finish.expires, &finish.secret.0, proof(finish.proof), channel, now)
        .await?;
    issued_reply(&state, issued)
}

/// `POST /v1/attest`.
pub async fn attest(
    Shared(state): Shared<State>,
    peer: DevicePeer,
    Json(request): Json<AttestRequest>,
) -> Result<Json<Standing>, Answer> {
    let presented = Presented {
        device: peer.device,
        checkpoint_size: request.checkpoint_size,
        channel: peer.channel,
        evidence: request.evidence.0,
    };
    Ok(Json(standing(state.control.attest(presented, &peer.certificate, state.clock.now()).await?)))
}

/// `GET /v1/standing`: where the device stands, without new evidence. Asking is a use of its certificate (R44).
pub async fn whereabouts(Shared(state): Shared<State>, peer: DevicePeer) -> Result<Json<Standing>, Answer> {
    Ok(Json(standing(state.control.standing(peer.device, Some(&peer.certificate), state.clock.now())?)))
}

/// `POST /v1/renew`.
pub async fn renew(
    Shared(state): Shared<State>,
    peer: DevicePeer,
    Json(request): Json<RenewRequest>,
) -> Result<Json<Issued>, Answer> {
    let issued =
        state.control.renew(peer.device, proof(request.proof), peer.channel, state.clock.now()).await?;
    issued_reply(&state, issued)
}

/// `GET /v1/jwks`.
pub async fn jwks(Shared(state): Shared<State>) -> Response {
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], state.tokens.jwks().to_owned()).into_response()
}

/// RFC 6749 4.4.2 request.
#[derive(Deserialize)]
pub struct TokenForm {
    grant_type: String,
    scope: Option<String>,
    client_id: Option<String>,
}

/// `POST /v1/token`: client credentials over mutual TLS (RFC 8705 2).
pub async fn token(
    Shared(state): Shared<State>,
    peer: Result<DevicePeer, Answer>,
    Form(form): Form<TokenForm>,
) -> Response {
    let answered = match peer {
        Ok(peer) => grant(&state, &peer, &form).await,
        Err(Answer(problem)) => Err(oauth(StatusCode::UNAUTHORIZED, "invalid_client", problem.detail)),
    };
    let mut response = answered.map_or_else(|refusal| refusal, |reply| Json(reply).into_response());
    // RFC 6749 5.1.
    response.headers_mut().extend(HeaderMap::from_iter([
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ]));
    response
}

async fn grant(state: &State, peer: &DevicePeer, form: &TokenForm) -> Result<TokenReply, Response> {
    if form.grant_type != "client_credentials" {
        let text = "only `client_credentials` is granted here".to_owned();
        return Err(oauth(StatusCode::BAD_REQUEST, "unsupported_grant_type", text));
    }
    if form.client_id.as_ref().is_some_and(|id| *id != peer.device.to_string() && *id != peer.device.urn()) {
        let text = "client_id is not the device that the certificate names".to_owned();
        return Err(oauth(StatusCode::UNAUTHORIZED, "invalid_client", text));
    }
    let wanted: Option<Vec<Scope>> = form
        .scope
        .as_deref()
        .map(|text| text.split_ascii_whitespace().map(str::parse).collect())
        .transpose()
        .map_err(|e: lanyard_domain::text::FieldError| {
            oauth(StatusCode::BAD_REQUEST, "invalid_scope", e.to_string())
        })?;
    let now = state.clock.now();
    let permit = state
        .control
        .may_have_token(peer.device, peer.certificate, wanted.as_deref(), now)
        .map_err(refused)?;
    let token = state
        .tokens
        .sign(&permit, &peer.certificate, now)
        .map_err(|e| oauth(StatusCode::INTERNAL_SERVER_ERROR, "server_error", e.to_string()))?;
    state.control.record_token(&permit, sha256(token.as_bytes()), now).await.map_err(refused)?;
    let scopes: Vec<String> = permit.scopes.iter().map(ToString::to_string).collect();
    Ok(TokenReply {
        access_token: token,
        token_type: "Bearer".to_owned(),
        expires_in: u32::try_from(permit.expires.seconds_since(now)).unwrap_or_default(),
        scope: scopes.join(" "),
    })
}

fn refused(error: ControlError) -> Response {
    match error {
        ControlError::Refused(refused) => {
            let reasons: Vec<String> = refused.reasons.iter().map(|r| r.text.clone()).collect();
            let text = format!("{}: {}", refused.text, reasons.join(" "));
            match refused.code.as_str() {
                "too_often" => oauth(StatusCode::TOO_MANY_REQUESTS, "slow_down", text),
                "not_in_scope" => oauth(StatusCode::BAD_REQUEST, "invalid_scope", text),
                _ => oauth(StatusCode::UNAUTHORIZED, "invalid_client", text),
            }
        }
        other => {
            let Answer(problem) = Answer::from(other);
            oauth(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", problem.detail)
        }
    }
}

fn oauth(status: StatusCode, error: &str, description: String) -> Response {
    (status, Json(TokenError { error: error.to_owned(), error_description: description })).into_response()
}

fn claimed(begin: EnrollBegin) -> Claimed {
    Claimed {
        vendor: begin.vendor,
        model: begin.model,
        serial: begin.serial,
        ek_certificates: begin.ek_certificates.into_iter().map(|c| c.0).collect(),
        ek_public: begin.ek_public.0,
        ak_public: begin.ak_public.0,
    }
}

fn proof(proof: IssuanceProof) -> Proof {
    Proof {
        checkpoint_size: proof.checkpoint_size,
        tls_public: proof.tls_public.0,
        certify: proof.certify.0,
        certify_signature: proof.certify_signature.0,
        csr: proof.csr.0,
        evidence: proof.evidence.0,
    }
}

fn issued_reply(state: &State, issued: Certified) -> Result<Json<Issued>, Answer> {
    let standing = standing(state.control.standing(issued.device, None, state.clock.now())?);
    Ok(Json(Issued {
        device: issued.device,
        chain_pem: issued.chain_pem,
        renew_at: issued.renew_at,
        not_after: issued.not_after,
        standing,
    }))
}

fn standing(stands: Stands) -> Standing {
    Standing {
        verdict: stands.trust.verdict,
        reasons: stands.trust.reasons,
        restore: stands.trust.restore,
        next_in_seconds: stands.next_in_seconds,
        stage: stands.stage.to_owned(),
        pos: stands.pos,
        level: stands.level.to_owned(),
        renew_at: stands.renew_at,
    }
}

fn checkpoint_reply(state: &State, sealed: SealedAt) -> CheckpointReply {
    let origin = state.control.world().origin.clone().unwrap_or_default();
    CheckpointReply { origin, size: sealed.size, root: sealed.root, note: sealed.note }
}
