//! ACME (RFC 8555) with device-attest-01: for each key the TPM's attestation key certifies it over the challenge, and the
//! maker's certificate says whose attestation key that is. Renewal is steered by the server's word (RFC 9773).

use lanyard_attest::tpm::structures::Public;
use lanyard_domain::text::Blob;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::client::{
    AccountBinding, AccountKey, Answer, Client, Issued, Next, Ordering, Outgoing, Proof, RenewalQuery,
    RenewalWindow, ToProve, Told, Wish,
};
use lanyard_enroll::acme::{CertId, ChallengeKind, Identifier};
use lanyard_pki::certificate::chain_from_pem;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::carry::{Line, text};
use super::pending::{Pending, Purpose};
use super::statement::attestation_object;
use super::{OneTimeSecret, Patience, Protocol};
use crate::agent::{Agent, Parts};
use crate::error::AgentError;
use crate::state;
use crate::tpm::KeySlot;

const ACME: Protocol = Protocol::Acme;
const FILE: &str = "acme.json";

/// The content of `acme.json`: the account.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    /// The server's directory.
    directory: String,
    /// The account's key, PKCS#8. It opens no door of the device: every key is attested anew.
    key: Blob,
    /// Its address, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// Client and connection.
struct Session<'a> {
    agent: &'a Agent,
    line: Line,
    client: Client,
    account: Account,
}

impl Agent {
    pub(super) async fn by_acme(
        &self,
        pending: &Pending,
        secret: Option<&OneTimeSecret>,
        patience: Patience,
    ) -> Result<(), AgentError> {
        let mut session = Session::open(self, secret).await?;
        let mut pending = pending.clone();
        let mut replaces = self.replaces(pending.purpose)?;
        loop {
            let resumed = pending.order.is_some();
            let error = match session.order(&mut pending, replaces.clone(), patience).await {
                Ok(issued) => {
                    return self.install(&pending, &issued.certificate, &issued.issuers).await.map(drop);
                }
                Err(AgentError::Acme(error)) if !error.is_temporary() => error,
                Err(other) => return Err(other),
            };
            session.keep(&mut pending, None).await?;
            // Orders live in the server's memory and a restart ends them; and an attempt of ours that was broken off may be
            // what replaced the certificate. Both are over with a new order.
            let replaced = error.problem().is_some_and(|p| p.code == "alreadyReplaced");
            let again = resumed || (replaced && replaces.take().is_some());
            if !again {
                return Err(error.into());
            }
        }
    }

    /// The certificate that a renewal takes the place of.
    fn replaces(&self, purpose: Purpose) -> Result<Option<CertId>, AgentError> {
        Ok(match purpose {
            Purpose::First => None,
            Purpose::Renewal => self.identities().leaf().and_then(|leaf| CertId::of(&leaf)),
        })
    }

    /// When the server would have the current certificate renewed.
    pub async fn renewal_window(&self) -> Result<RenewalWindow, AgentError> {
        let leaf = self.identities().leaf().ok_or(AgentError::NotEnrolled)?;
        let id = CertId::of(&leaf).ok_or_else(|| {
            AgentError::Answer("the current certificate does not name its issuer's key".to_owned())
        })?;
        let mut session = Session::open(self, None).await?;
        let mut query = RenewalQuery::new(id);
        loop {
            let outgoing = query.next(&mut session.client)?;
            let Session { line, client, .. } = &mut session;
            let told_now = exchange(line, outgoing, |answer| query.hear(client, answer)).await?;
            if let Told::Answer(window) = told_now? {
                return Ok(window);
            }
        }
    }

    /// The attestation key, SubjectPublicKeyInfo DER: what a maker's or the hospital's attestation authority certifies.
    pub async fn attestation_key(&self) -> Result<Vec<u8>, AgentError> {
        self.blocking(|parts| {
            let public = Public::parse(&parts.root.ensure_ak()?.public);
            let public = public.map_err(|e| AgentError::Csr(e.to_string()))?;
            Ok(lanyard_attest::tpm::structures::spki_der(&public))
        })
        .await
    }
}

impl<'a> Session<'a> {
    async fn open(agent: &'a Agent, secret: Option<&OneTimeSecret>) -> Result<Self, AgentError> {
        let mut line = Line::new(&agent.fronts()?.anonymous);
        let directory = format!("https://{}/acme/directory", line.server().await?);
        let account = agent.blocking(move |parts| account(parts, directory)).await?;
        let key = AccountKey::from_pkcs8(&account.key.0)?;
        let mut client = Client::new(&account.directory, key)?;
        if let Some(url) = &account.url {
            client = client.with_account(url)?;
        }
        if let Some(secret) = secret {
            client = client.bound_by(AccountBinding::new(secret.id(), secret.reveal().as_bytes()));
        }
        Ok(Self { agent, line, client, account })
    }

    /// One order to its end, taken up again where it was left.
    async fn order(
        &mut self,
        pending: &mut Pending,
        replaces: Option<CertId>,
        patience: Patience,
    ) -> Result<Issued, AgentError> {
        let now = || self.agent.parts.clock.now();
        let left = i64::try_from(patience.left().as_secs()).unwrap_or(i64::MAX / 2_000_000);
        let until = now().plus_seconds(left.saturating_add(1));
        let wish = self.wish(replaces)?;
        let request = pending.request.0.clone();
        let mut order = match &pending.order {
            Some(url) => Ordering::resume(&self.client, wish, url, Some(&request), until),
            None => Ordering::new(wish, until),
        }?;
        loop {
            match order.next(&mut self.client, self.agent.parts.clock.now())? {
                Next::Send(outgoing) => {
                    let now = self.agent.parts.clock.now();
                    let Self { line, client, .. } = self;
                    exchange(line, outgoing, |answer| order.hear(client, answer, now)).await??;
                    self.keep(pending, order.url()).await?;
                }
                Next::Wait { until, why } => {
                    let seconds = seconds_until(until, self.agent.parts.clock.now());
                    if !patience.wait(seconds).await {
                        return Err(AgentError::Pending {
                            protocol: ACME,
                            retry_after_seconds: seconds,
                            why,
                        });
                    }
                }
                Next::Prove(challenge) => {
                    let slot = KeySlot::from(pending.slot);
                    let object = self.agent.blocking(move |parts| attest(parts, slot, &challenge)).await?;
                    order.prove(&Proof::Attestation(object))?;
                }
                Next::Finalize => order.finalize(&request)?,
                Next::Done(issued) => return Ok(*issued),
            }
        }
    }

    fn wish(&self, replaces: Option<CertId>) -> Result<Wish, AgentError> {
        let config = self.agent.config();
        let identifier = Identifier::parse("permanent-identifier", &config.serial)
            .map_err(|e| AgentError::Answer(format!("serial: {e}")))?;
        Ok(Wish {
            identifiers: vec![identifier],
            profile: config.enrollment.profile.clone(),
            replaces,
            challenges: vec![ChallengeKind::DeviceAttest01],
        })
    }

    /// Whatever is new of account and order, on disk before the next message.
    async fn keep(&mut self, pending: &mut Pending, order: Option<&str>) -> Result<(), AgentError> {
        if self.account.url.as_deref() != self.client.account() {
            self.account.url = self.client.account().map(str::to_owned);
            let account = self.account.clone();
            self.agent.blocking(move |parts| keep_account(parts, &account)).await?;
        }
        if pending.order.as_deref() != order {
            pending.order = order.map(str::to_owned);
            let kept = pending.clone();
            self.agent.blocking(move |parts| parts.pending.keep(kept)).await?;
        }
        Ok(())
    }
}

/// The account of this directory, or a new key for one. Blocks.
fn account(parts: &Parts, directory: String) -> Result<Account, AgentError> {
    let kept = match &parts.config.state_dir {
        Some(dir) => state::read::<Account>(&dir.join(FILE))?,
        None => parts.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone().map(|a| a.0),
    };
    if let Some(account) = kept.filter(|account| account.directory == directory) {
        return Ok(account);
    }
    let key: Zeroizing<Vec<u8>> = AccountKey::generate()?.to_pkcs8()?;
    let account = Account { directory, key: Blob(key.to_vec()), url: None };
    keep_account(parts, &account)?;
    Ok(account)
}

fn keep_account(parts: &Parts, account: &Account) -> Result<(), AgentError> {
    match &parts.config.state_dir {
        Some(dir) => state::write(&dir.join(FILE), account),
        None => {
            let mut held = parts.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *held = Some(HeldAccount(account.clone()));
            Ok(())
        }
    }
}

/// The account of an agent that keeps nothing on disk.
#[derive(Clone)]
pub(crate) struct HeldAccount(Account);

/// The attestation object: the key in `slot`, certified by the attestation key over the challenge. Blocks.
fn attest(parts: &Parts, slot: KeySlot, challenge: &ToProve) -> Result<Vec<u8>, AgentError> {
    let path = parts.config.enrollment.attestation_certificates.as_ref().ok_or(AgentError::Attestation(
        "`enrollment.attestation_certificates` names no file with the maker's certificate of the attestation key"
            .to_owned(),
    ))?;
    let pem = state::read_bytes(path)?
        .ok_or_else(|| AgentError::Attestation(format!("`{}` does not exist", path.display())))?;
    let chain =
        chain_from_pem(&pem).map_err(|e| AgentError::Attestation(format!("`{}`: {e}", path.display())))?;
    let ak = Public::parse(&parts.root.ensure_ak()?.public).map_err(|e| AgentError::Csr(e.to_string()))?;
    let own = lanyard_attest::tpm::structures::spki_der(&ak);
    if chain.first().and_then(|c| c.public_key().ok()).is_none_or(|key| key.der() != own) {
        let why = "its first certificate is not of this TPM's attestation key (`lanyard agent attestation-key` shows it)";
        return Err(AgentError::Attestation(format!("`{}`: {why}", path.display())));
    }
    let chain: Vec<Vec<u8>> = chain.iter().map(|c| c.der().to_vec()).collect();
    attestation_object(parts.root.as_ref(), slot, chain, &challenge.digest())
}

/// One request; what is made of its answer is the engine's.
async fn exchange<T>(
    line: &mut Line,
    outgoing: Outgoing,
    read: impl FnOnce(&Answer<'_>) -> T,
) -> Result<T, AgentError> {
    let path =
        outgoing.url.strip_prefix("https://").and_then(|rest| rest.find('/').map(|at| rest.split_at(at).1));
    let headers: Vec<(&'static str, String)> =
        outgoing.headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let response = line.send(outgoing.method, path.unwrap_or("/"), &headers, outgoing.body).await?;
    let (head, body) = response.into_parts();
    Ok(read(&Answer {
        status: head.status.as_u16(),
        content_type: text(&head.headers, "content-type"),
        location: text(&head.headers, "location"),
        replay_nonce: text(&head.headers, "replay-nonce"),
        retry_after: text(&head.headers, "retry-after"),
        body: &body,
    }))
}

fn seconds_until(until: Timestamp, now: Timestamp) -> u32 {
    u32::try_from(until.seconds_since(now).saturating_add(1).max(1)).unwrap_or(u32::MAX)
}
