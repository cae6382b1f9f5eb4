//! Exchanges of one call: when to renew (RFC 9773 4), and giving a certificate up (RFC 8555 7.6).

use lanyard_domain::time::Timestamp;
use serde_json::json;

use super::error::ClientError;
use super::message::{Answer, Outgoing};
use super::resources::RenewalWindow;
use super::{Call, Client, Heard, Place};
use crate::acme::base64url::encode;
use crate::acme::renewal::CertId;

/// Whether there is an answer already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told<T> {
    /// Not yet: call `next` again.
    More,
    /// This.
    Answer(T),
}

/// A question when a certificate should be renewed.
#[derive(Debug)]
pub struct RenewalQuery {
    call: Call,
}

impl RenewalQuery {
    /// About this certificate.
    pub fn new(certificate: CertId) -> Self {
        Self { call: Call { what: "renewalInfo", place: Place::RenewalInfo(certificate), payload: None } }
    }

    /// The next request to send.
    pub fn next(&mut self, client: &mut Client) -> Result<Outgoing, ClientError> {
        client.request(&self.call)
    }

    /// Takes its answer.
    pub fn hear(
        &mut self,
        client: &mut Client,
        answer: &Answer<'_>,
    ) -> Result<Told<RenewalWindow>, ClientError> {
        match client.hear(&self.call, answer)? {
            Heard::More => Ok(Told::More),
            Heard::Answered => {
                let body = answer.content("renewalInfo", "application/json")?;
                // RFC 9773 4.3.2: clients take anything below a minute for a minute, anything above a day for a day.
                let again = answer.retry_after_seconds().clamp(60, 24 * 3600);
                RenewalWindow::parse(body, again).map(Told::Answer)
            }
        }
    }
}

impl RenewalWindow {
    /// RFC 9773 4.2: a moment of the window, which `share` of a million picks; at once if it lies in the past. Devices
    /// that draw their share by chance do not come together.
    pub fn pick(&self, share: u32) -> Timestamp {
        let length = self.end.seconds_since(self.start).max(0);
        let into = i128::from(length) * i128::from(share.min(1_000_000)) / 1_000_000;
        self.start.plus_seconds(i64::try_from(into).unwrap_or(length))
    }
}

/// A certificate that is given up.
#[derive(Debug)]
pub struct Revoking {
    call: Call,
}

impl Revoking {
    /// This certificate (DER), with a reason code of RFC 5280 5.3.1; signed by the account.
    pub fn new(certificate: &[u8], reason: u8) -> Self {
        let payload = json!({ "certificate": encode(certificate), "reason": reason });
        Self { call: Call { what: "revokeCert", place: Place::RevokeCert, payload: Some(payload) } }
    }

    /// The next request to send.
    pub fn next(&mut self, client: &mut Client) -> Result<Outgoing, ClientError> {
        client.request(&self.call)
    }

    /// Takes its answer.
    pub fn hear(&mut self, client: &mut Client, answer: &Answer<'_>) -> Result<Told<()>, ClientError> {
        match client.hear(&self.call, answer)? {
            Heard::More => Ok(Told::More),
            Heard::Answered => Ok(Told::Answer(())),
        }
    }
}
