//! Evidence: what would be claimed, and the bundle once an operator has signed for it.

use axum::Json;
use axum::extract::State as Shared;
use lanyard_api::operator::{EvidenceClaim, EvidenceExport, EvidenceFile, EvidenceRequest};
use lanyard_control::evidence::Claim;
use lanyard_domain::text::Blob;

use super::peer::OperatorPeer;
use super::problem::Answer;
use crate::state::State;

/// `POST /v1/evidence/claim`.
pub async fn claim(
    Shared(state): Shared<State>,
    _who: OperatorPeer,
    Json(request): Json<EvidenceRequest>,
) -> Result<Json<EvidenceClaim>, Answer> {
    let (claim, text) = crate::evidence::claim(&state, request, state.clock.now()).await?;
    Ok(Json(EvidenceClaim { device: claim.device, claim_sha256: Claim::digest_of(&text), claim: text }))
}

/// `POST /v1/evidence/bundle`: the statement inside is what authenticates.
pub async fn bundle(
    Shared(state): Shared<State>,
    Json(export): Json<EvidenceExport>,
) -> Result<Json<EvidenceFile>, Answer> {
    let bytes = crate::evidence::bundle(&state, &export.claim, &export.statement, state.clock.now()).await?;
    Ok(Json(EvidenceFile { bundle: Blob(bytes) }))
}
