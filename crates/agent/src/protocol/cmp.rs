//! CMP (RFC 9810, profile RFC 9483): ir under a one-time secret (PBMAC1) first, kur signed with the current key after that;
//! waiting is polled for, and the certificate confirmed once it is on disk.

use lanyard_enroll::cmp::client::{Client, Credential, Enrolling, Mac, Progress, Trust, Verdict, Wish};
use lanyard_enroll::cmp::{CONTENT_TYPE, EnrollKind, Fresh};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::csr;
use zeroize::Zeroizing;

use super::carry::Line;
use super::pending::{Pending, Purpose};
use super::{OneTimeSecret, Patience, Protocol};
use crate::agent::{Agent, Parts};
use crate::error::AgentError;
use crate::tpm::{KeySlot, TpmError};

const CMP: Protocol = Protocol::Cmp;
/// The server that says "at once" is asked a little later all the same.
const LEAST_PAUSE_SECONDS: u32 = 2;

/// One transaction.
struct Transaction<'a> {
    agent: &'a Agent,
    line: Line,
    client: Client,
    /// Signs messages; none where a secret protects them.
    signer: Option<KeySlot>,
}

impl Agent {
    pub(super) async fn by_cmp(
        &self,
        pending: &Pending,
        secret: Option<&OneTimeSecret>,
        patience: Patience,
    ) -> Result<(), AgentError> {
        let (credential, signer, kind) = self.credential(pending.purpose, secret)?;
        let recipient = match &credential {
            Credential::Certificate(chain) => chain.first().map(|leaf| leaf.issuer_der().to_vec()),
            Credential::Secret { .. } => None,
        };
        let mut client = Client::new(credential, Trust::ControlPlane(self.config().anchors()?));
        if let Some(recipient) = recipient {
            client = client.to(&recipient);
        }
        let line = Line::new(&self.fronts()?.anonymous);
        let mut transaction = Transaction { agent: self, line, client, signer };
        let (mut enrolling, message) = transaction.begin(pending, kind).await?;
        let mut reply = transaction.post(message).await?;
        let issued = loop {
            let progress =
                enrolling.read(&transaction.client, &reply, self.parts.clock.now()).map_err(odd)?;
            match progress {
                Progress::Issued(issued) => break *issued,
                Progress::Declined(declined) if declined.is_temporary() => {
                    let why = declined.why().to_owned();
                    return Err(AgentError::Busy { protocol: CMP, retry_after_seconds: 60, why });
                }
                Progress::Declined(declined) => {
                    return Err(AgentError::TurnedAway { protocol: CMP, why: declined.why().to_owned() });
                }
                Progress::Wait { seconds, why } => {
                    let seconds = seconds.max(LEAST_PAUSE_SECONDS);
                    if !patience.wait(seconds).await {
                        return Err(AgentError::Pending { protocol: CMP, retry_after_seconds: seconds, why });
                    }
                    let message;
                    (enrolling, message) = transaction.poll(enrolling).await?;
                    reply = transaction.post(message).await?;
                }
            }
        };
        self.install(pending, &issued.certificate, &issued.issuers).await?;
        let Some(mut unconfirmed) = issued.unconfirmed else { return Ok(()) };
        let (client, signer, now) = (transaction.client.clone(), transaction.signer, self.parts.clock.now());
        let (mut unconfirmed, message) = self
            .blocking(move |parts| {
                let sign = |bytes: &[u8]| sign(parts, signer, bytes);
                let message = unconfirmed
                    .confirm(&client, Verdict::Accept, &sign, (fresh()?, now))
                    .map_err(|e| AgentError::Csr(e.to_string()))?;
                Ok((unconfirmed, message))
            })
            .await?;
        let reply = match transaction.post(message).await {
            Ok(reply) => reply,
            // The certificate is here and on disk. Its first use, which follows, says as much as this message.
            Err(error) if !error.is_refusal() => {
                tracing::warn!(%error, "the confirmation of a certificate could not be delivered; its use confirms it");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match unconfirmed.read(&transaction.client, &reply, self.parts.clock.now()).map_err(odd)? {
            Ok(()) => Ok(()),
            // It counts as not given: back to the one before, if there is one.
            Err(declined) => {
                let now = self.parts.clock.now();
                self.blocking(move |parts| parts.identities.fall_back(now)).await?;
                Err(AgentError::TurnedAway { protocol: CMP, why: declined.why().to_owned() })
            }
        }
    }

    fn credential(
        &self,
        purpose: Purpose,
        secret: Option<&OneTimeSecret>,
    ) -> Result<(Credential, Option<KeySlot>, EnrollKind), AgentError> {
        if purpose == Purpose::First {
            let secret = secret.ok_or(AgentError::Secret("a first certificate by CMP needs one"))?;
            let credential = Credential::Secret {
                reference: secret.id(),
                secret: Zeroizing::new(secret.reveal().to_owned()),
                mac: Mac::Pbmac1,
            };
            return Ok((credential, None, EnrollKind::Initialization));
        }
        let identity = self.parts.identities.current().ok_or(AgentError::NotEnrolled)?;
        let chain: Vec<Certificate> = chain_from_pem(identity.chain_pem.as_bytes())
            .map_err(|e| AgentError::Answer(format!("the current certificate: {e}")))?;
        Ok((Credential::Certificate(chain), Some(identity.slot.into()), EnrollKind::KeyUpdate))
    }
}

impl Transaction<'_> {
    async fn begin(&self, pending: &Pending, kind: EnrollKind) -> Result<(Enrolling, Vec<u8>), AgentError> {
        let (client, signer, now) = (self.client.clone(), self.signer, self.agent.parts.clock.now());
        let (request, slot) = (pending.request.0.clone(), KeySlot::from(pending.slot));
        let (name, profile) =
            (self.agent.config().serial.clone(), self.agent.config().enrollment.profile.clone());
        self.agent
            .blocking(move |parts| {
                let key = csr::verify(&request).map_err(|e| AgentError::Csr(e.to_string()))?;
                let wish = Wish {
                    kind,
                    key_or_request: key.spki_der(),
                    common_name: &name,
                    profile: profile.as_deref(),
                    implicit_confirm: false,
                };
                client
                    .enroll(
                        &wish,
                        &|bytes: &[u8]| parts.root.sign_tls(slot, bytes),
                        &|bytes: &[u8]| sign(parts, signer, bytes),
                        random()?,
                        (fresh()?, now),
                    )
                    .map_err(|e| AgentError::Csr(e.to_string()))
            })
            .await
    }

    async fn poll(&self, mut enrolling: Enrolling) -> Result<(Enrolling, Vec<u8>), AgentError> {
        let (client, signer, now) = (self.client.clone(), self.signer, self.agent.parts.clock.now());
        self.agent
            .blocking(move |parts| {
                let sign = |bytes: &[u8]| sign(parts, signer, bytes);
                let message = enrolling
                    .poll(&client, &sign, (fresh()?, now))
                    .map_err(|e| AgentError::Csr(e.to_string()))?;
                Ok((enrolling, message))
            })
            .await
    }

    async fn post(&mut self, message: Vec<u8>) -> Result<Vec<u8>, AgentError> {
        let headers = [("content-type", CONTENT_TYPE.to_owned())];
        let response = self.line.send("POST", "/.well-known/cmp", &headers, message).await?;
        let status = response.status().as_u16();
        match status {
            200 => Ok(response.into_body().to_vec()),
            429 | 500..=599 => {
                let why = format!("HTTP status {status}");
                Err(AgentError::Busy { protocol: CMP, retry_after_seconds: 60, why })
            }
            _ => {
                let why = format!("HTTP status {status}: is this the address of a CMP server?");
                Err(AgentError::Odd { protocol: CMP, why })
            }
        }
    }
}

fn sign(parts: &Parts, signer: Option<KeySlot>, bytes: &[u8]) -> Result<Vec<u8>, TpmError> {
    let slot = signer.ok_or(TpmError::Crypto("a secret protects the message, nothing signs it"))?;
    parts.root.sign_tls(slot, bytes)
}

fn random<const N: usize>() -> Result<[u8; N], AgentError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| TpmError::Crypto("random numbers"))?;
    Ok(bytes)
}

fn fresh() -> Result<Fresh, AgentError> {
    Ok(Fresh::from_random(random()?))
}

fn odd(error: lanyard_enroll::cmp::client::ReplyError) -> AgentError {
    AgentError::Odd { protocol: CMP, why: error.to_string() }
}
