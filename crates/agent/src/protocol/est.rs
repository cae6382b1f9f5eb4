//! EST (RFC 7030): a one-time secret first, simplereenroll over mutual TLS after that; 202 is waited for.

use lanyard_enroll::est::Label;
use lanyard_enroll::est::client::{self, Answer, Answered, BadAnswer, Issued, Outgoing, REASON, SecretLogin};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::spki::PublicKey;
use zeroize::Zeroizing;

use super::carry::{Line, text};
use super::pending::{Pending, Purpose};
use super::{OneTimeSecret, Patience, Protocol};
use crate::agent::Agent;
use crate::error::AgentError;

const EST: Protocol = Protocol::Est;

impl Agent {
    pub(super) async fn by_est(
        &self,
        pending: &Pending,
        secret: Option<&OneTimeSecret>,
        patience: Patience,
    ) -> Result<(), AgentError> {
        let label = self.label()?;
        let fronts = self.fronts()?;
        let mut line = Line::new(match pending.purpose {
            Purpose::First => &fronts.anonymous,
            Purpose::Renewal => &fronts.mutual,
        });
        let request = &pending.request.0;
        let login = secret.map(|secret| SecretLogin {
            user: self.config().serial.chars().filter(|c| c.is_ascii_alphanumeric()).collect(),
            secret: Zeroizing::new(secret.reveal().to_owned()),
        });
        let key = csr::verify(request).map_err(|e| AgentError::Csr(e.to_string()))?;
        let key = PublicKey::parse(key.spki_der()).map_err(|e| AgentError::Csr(e.to_string()))?;
        let issued: Issued = loop {
            let outgoing = match pending.purpose {
                Purpose::First => client::enroll(label.as_ref(), request, login.as_ref()),
                Purpose::Renewal => client::reenroll(label.as_ref(), request),
            };
            let answered = exchange(&mut line, outgoing, |answer| client::read_issued(answer, &key)).await?;
            match granted(answered)? {
                Ok(issued) => break issued,
                Err(Later { seconds, why, pending }) => {
                    if !patience.wait(seconds).await {
                        return Err(match pending {
                            true => AgentError::Pending { protocol: EST, retry_after_seconds: seconds, why },
                            false => AgentError::Busy { protocol: EST, retry_after_seconds: seconds, why },
                        });
                    }
                }
            }
        };
        // RFC 7030 4.2.3: the certificate comes alone; its issuers are among the CA certificates.
        let mut others = issued.others;
        others.extend(self.ca_certificates(&mut line, label.as_ref()).await?);
        self.install(pending, &issued.certificate, &others).await.map(drop)
    }

    /// What the server's issuers are. They are not trusted for being sent: the path must end at our own anchors.
    async fn ca_certificates(
        &self,
        line: &mut Line,
        label: Option<&Label>,
    ) -> Result<Vec<Certificate>, AgentError> {
        let outgoing = client::ca_certificates(label);
        match granted(exchange(line, outgoing, client::read_ca_certificates).await?)? {
            Ok(certificates) => Ok(certificates),
            Err(Later { seconds, why, .. }) => {
                Err(AgentError::Busy { protocol: EST, retry_after_seconds: seconds, why })
            }
        }
    }

    fn label(&self) -> Result<Option<Label>, AgentError> {
        let profile = self.config().enrollment.profile.as_deref();
        let label = profile.map(|name| name.parse::<Label>());
        label.transpose().map_err(|e| AgentError::Answer(format!("enrollment.profile: {e}")))
    }
}

struct Later {
    seconds: u32,
    why: String,
    /// A person is waited for, and not the server.
    pending: bool,
}

fn granted<T>(answered: Answered<T>) -> Result<Result<T, Later>, AgentError> {
    match answered {
        Answered::Granted(granted) => Ok(Ok(granted)),
        Answered::Pending { retry_after_seconds: seconds, why } => {
            Ok(Err(Later { seconds, why, pending: true }))
        }
        Answered::Unavailable { retry_after_seconds: seconds, why } => {
            Ok(Err(Later { seconds, why, pending: false }))
        }
        Answered::Refused { status, why } => {
            let why = if why.is_empty() { format!("HTTP status {status}") } else { why };
            Err(AgentError::TurnedAway { protocol: EST, why })
        }
    }
}

async fn exchange<T>(
    line: &mut Line,
    outgoing: Outgoing,
    read: impl FnOnce(&Answer<'_>) -> Result<Answered<T>, BadAnswer>,
) -> Result<Answered<T>, AgentError> {
    let Outgoing { method, path, headers, body } = outgoing;
    let response = line.send(method, &path, &headers, body).await?;
    let (head, body) = response.into_parts();
    let answer = Answer {
        status: head.status.as_u16(),
        content_type: text(&head.headers, "content-type"),
        retry_after: text(&head.headers, "retry-after"),
        reason: text(&head.headers, REASON),
        body: &body,
    };
    read(&answer).map_err(|e| AgentError::Odd { protocol: EST, why: e.to_string() })
}
