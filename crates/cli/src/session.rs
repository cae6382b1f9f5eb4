//! One operator at one control plane: signed reads, and decisions that carry the person's signature.
//!
//! In scope: signing and sending over the pinned connection. Out of scope: what to decide, how to print it.

use anyhow::Context;
use http::{Method, Uri};
use lanyard_api::client::{Channel, Client, Server, json};
use lanyard_api::clock::Clock;
use lanyard_api::operator::{About, Recorded, StatementRequest};
use lanyard_api::signing::{OperatorKey, sign_request, sign_statement};
use lanyard_control::digest::random;
use lanyard_domain::id::OperatorId;
use lanyard_domain::statement::{Action, SignedStatement, Statement};
use lanyard_domain::text::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::Failure;
use crate::profile::{Pinned, Profile};
use crate::tls;

/// An operator at a control plane.
pub struct Session {
    /// The control plane as pinned.
    pub pinned: Pinned,
    operator: OperatorId,
    key: OperatorKey,
    client: Client,
    channel: Option<Channel>,
    clock: Clock,
}

/// A client of a pinned control plane.
pub fn client(pinned: &Pinned) -> anyhow::Result<Client> {
    let server: Server = pinned.address.parse()?;
    Ok(Client::new(vec![server], tls::pinned(&pinned.anchors_pem)?))
}

/// What a control plane says of itself before anyone trusts it, and the fingerprint of the anchors that it shows.
pub async fn shown(servers: Vec<Server>) -> anyhow::Result<(About, String)> {
    let about = about(Client::new(servers, tls::unpinned()?)).await?;
    let fingerprint = tls::fingerprint(&about.anchors_pem)?;
    Ok((about, fingerprint))
}

/// What the control plane with this fingerprint says of itself: asked again over a connection that is verified against
/// the anchors with that fingerprint.
pub async fn recognise(servers: Vec<Server>, expected: &str) -> anyhow::Result<About> {
    let (first, found) = shown(servers.clone()).await?;
    if !tls::same_fingerprint(expected, &found) {
        return Err(Failure::contradicted(format!(
            "the control plane shows the fingerprint {found}, not the expected one: it is another one, or somebody sits \
             in between; nothing was pinned"
        )));
    }
    let verified = about(Client::new(servers, tls::pinned(&first.anchors_pem)?)).await?;
    Ok(About { anchors_pem: first.anchors_pem, ..verified })
}

async fn about(client: Client) -> anyhow::Result<About> {
    Ok(client.connect().await?.call(Method::GET, "/v1/about", None::<&()>).await?)
}

impl Session {
    /// The operator of a profile.
    pub fn open(path: &std::path::Path) -> anyhow::Result<Self> {
        let profile = Profile::read(path)?;
        let pinned = profile.pinned()?.clone();
        let key = OperatorKey::read(&profile.key_path(path)?)?;
        let operator = profile.operator.ok_or_else(|| {
            Failure::usage(format!("profile `{}` has a key file but no operator id", path.display()))
        })?;
        let client = client(&pinned)?;
        Ok(Self { pinned, operator, key, client, channel: None, clock: Clock::system() })
    }

    /// A read, signed.
    pub async fn read<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        self.signed_call(Method::GET, path, None::<&()>).await
    }

    /// A call whose request is signed.
    pub async fn signed_call<Req: Serialize, Rep: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> anyhow::Result<Rep> {
        let target: Uri = path.parse().with_context(|| format!("`{path}` is not a path"))?;
        let (now, body) = (self.clock.now(), json(body)?);
        let headers = sign_request(self.operator, &self.key, &method, &target, now, random()?, &body);
        let channel = self.channel().await?;
        Ok(channel.call_json(method, path, &headers, body).await?)
    }

    /// A call that carries its own signature inside.
    pub async fn call<Req: Serialize, Rep: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Req,
    ) -> anyhow::Result<Rep> {
        let channel = self.channel().await?;
        Ok(channel.call(Method::POST, path, Some(body)).await?)
    }

    /// A decision, signed and carried out.
    pub async fn decide(&mut self, action: Action, reason: &str) -> anyhow::Result<Recorded> {
        let statement = self.sign(action, reason)?;
        self.call("/v1/statements", &StatementRequest { statement }).await
    }

    /// A decision, signed for this log.
    pub fn sign(&self, action: Action, reason: &str) -> anyhow::Result<SignedStatement> {
        let statement = Statement {
            log: self.pinned.origin.clone(),
            operator: self.operator,
            at: self.clock.now(),
            nonce: Digest(random()?),
            reason: reason.to_owned(),
            action,
        };
        Ok(sign_statement(&statement, &self.key)?)
    }

    async fn channel(&mut self) -> anyhow::Result<&mut Channel> {
        let open = self.channel.take().filter(|c| !c.is_closed());
        let channel = match open {
            Some(channel) => channel,
            None => self.client.connect().await?,
        };
        Ok(self.channel.insert(channel))
    }
}

/// A query string: `?name=value&...` of those that are given.
pub fn query(parts: &[(&str, Option<String>)]) -> String {
    let mut text = String::new();
    for (name, value) in parts {
        let Some(value) = value else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                // RFC 3986 2.3: unreserved.
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte))
                }
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(query(&[("a", None), ("b", None)]), "");
        let text = query(&[("text", Some("a b/ü&c".into())), ("x", None), ("limit", Some("5".into()))]);
        assert_eq!(text, "?text=a%20b%2F%C3%BC%26c&limit=5");
        assert!(format!("/v1/devices{text}").parse::<Uri>().is_ok());
    }
}
