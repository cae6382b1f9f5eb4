//! Files of devices without network: challenges, and requests that a person hands in. The control plane signs what goes to the
//! device with the certificate that it shows in TLS.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::extract::State as Shared;
use lanyard_api::offline::{ChallengeFile, ChallengeRequest, FileAnswer, FileHandIn, FileLook, FileSeen};
use lanyard_control::offline::{ChallengeFor, HandedIn, Repeat};
use lanyard_control::plane::ControlError;
use lanyard_domain::text::Blob;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::offline::Unsigned;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::{KeyBackend, KeyLabel};

use super::peer::OperatorPeer;
use super::problem::Answer;
use crate::state::State;

/// Who signs files: the control plane's own certificate, from the moment it has one.
#[derive(Default)]
pub struct FileSigner(RwLock<Option<Signer>>);

#[derive(Clone)]
struct Signer {
    /// Leaf first.
    chain: Vec<Certificate>,
    keys: Arc<dyn KeyBackend>,
    label: KeyLabel,
}

impl FileSigner {
    /// Files are signed with this certificate from now on.
    pub(crate) fn install(&self, chain: Vec<Certificate>, keys: Arc<dyn KeyBackend>, label: KeyLabel) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Signer { chain, keys, label });
    }

    fn current(&self) -> Result<Signer, ControlError> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.ok_or_else(|| {
            ControlError::Unavailable("there is no certificate yet to sign files with".to_owned())
        })
    }
}

impl Signer {
    fn chain(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|c| c.der().to_vec()).collect()
    }

    fn ends(&self) -> Option<Timestamp> {
        self.chain.first().map(Certificate::not_after)
    }

    fn sign(&self, file: Unsigned) -> Result<Vec<u8>, ControlError> {
        file.sign(|bytes| self.keys.sign(&self.label, bytes))
            .map_err(|e| ControlError::Unavailable(format!("the key that signs files: {e}")))
    }
}

/// `POST /v1/files/challenge`.
pub async fn challenge(
    Shared(state): Shared<State>,
    OperatorPeer(by): OperatorPeer,
    Json(request): Json<ChallengeRequest>,
) -> Result<Json<ChallengeFile>, Answer> {
    let signer = state.files.current()?;
    let whom = match request {
        ChallengeRequest::Keys { file } => ChallengeFor::Keys(file.0),
        ChallengeRequest::Device { device } => ChallengeFor::Device(device),
    };
    let made = state.control.challenge_file(&by, whom, state.clock.now()).await?;
    let (device, expires) = (made.ticket.device, made.ticket.expires);
    let file = Blob(signer.sign(made.unsigned(&signer.chain()))?);
    Ok(Json(ChallengeFile { device, expires, file }))
}

/// `POST /v1/files/look`.
pub async fn look(
    Shared(state): Shared<State>,
    OperatorPeer(by): OperatorPeer,
    Json(look): Json<FileLook>,
) -> Result<Json<FileSeen>, Answer> {
    let about = state.control.look_at_file(&by, &look.file.0, state.clock.now())?;
    let world = state.control.world();
    let record = world.devices.get(&about.device).map(|d| &d.record);
    let label = record.map(|r| format!("{} {} {}", r.vendor, r.model, r.serial)).unwrap_or_default();
    Ok(Json(FileSeen {
        device: about.device,
        label,
        proof: about.proof,
        request_sha256: about.request_sha256,
        expires: about.expires,
        used: about.used,
    }))
}

/// `POST /v1/files/request`: the statement inside is what authenticates.
pub async fn request(
    Shared(state): Shared<State>,
    Json(hand_in): Json<FileHandIn>,
) -> Result<Json<FileAnswer>, Answer> {
    // Before anything is recorded: a certificate that nobody can be given would be used up.
    let signer = state.files.current()?;
    let now = state.clock.now();
    let repeat = if hand_in.again { Repeat::SameAnswer } else { Repeat::No };
    let outcome = state.control.hand_in(&hand_in.statement, &hand_in.file.0, repeat, now).await?;
    let mut response = match outcome {
        HandedIn::Waiting { why } => return Ok(Json(FileAnswer::Waiting { why })),
        HandedIn::Answered(response) => response,
    };
    // Beyond its signer's end nobody could verify it.
    response.expires = signer.ends().map_or(response.expires, |end| response.expires.min(end));
    let not_after = response.chain.first().and_then(|der| Certificate::parse(der).ok());
    let standing = state.control.standing(response.device, None, now)?;
    tracing::info!(device.id = %response.device, protocol = "file", "a request file was answered");
    Ok(Json(FileAnswer::Issued {
        file: Blob(signer.sign(response.unsigned(&signer.chain()))?),
        device: response.device,
        expires: response.expires,
        not_after: not_after.map(|c| c.not_after()).unwrap_or_default(),
        verdict: standing.trust.verdict,
    }))
}
