//! The first two steps: from bytes to a message whose sender has proven itself.
//!
//! Cheap checks come first: nothing is hashed or verified before the header is one that could be served.

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::{Certificate, MAX_CHAIN};
use lanyard_pki::csr;
use lanyard_pki::write;

use crate::Authentication;
use crate::cmp::crmf::{self, CertRequest, CertificateId, RequestRefused};
use crate::cmp::header::{CMP2000, CMP2021, Header, NONCE_BYTES};
use crate::cmp::information::{self, Question};
use crate::cmp::mac::{AlgorithmRefused, MacAlgorithm};
use crate::cmp::message::{EnrollKind, Kind, MAX_MESSAGE_BYTES, Parts};
use crate::cmp::name::same;
use crate::cmp::revocation;
use crate::cmp::status::StatusInfo;
use crate::cmp::tlv::{Malformed, only};
use crate::cmp::transactions::{Sender, TransactionId};
use crate::cmp::{CONTENT_TYPE, confirm, oid, poll};
use crate::secret::{Secret, SecretId};
use lanyard_pki::revocation::Reason;

use super::answer::{Exchange, Protect};
use super::refusal::{NotReceived, Refusal, Refused, Rejected};
use super::{Endpoint, Server};

/// A message taken apart. Its sender has proven nothing yet.
#[derive(Debug)]
pub struct Received {
    message: Vec<u8>,
    header: Header,
    kind: Kind,
    algorithm: Algorithm,
    exchange: Exchange,
    pub(super) profile: Option<String>,
}

#[derive(Debug, Clone)]
enum Algorithm {
    Mac(MacAlgorithm),
    Signature(ObjectIdentifier),
}

/// What is needed to check a message's protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// This secret.
    Secret(SecretId),
    /// A secret whose name is none of ours: there is nothing to look up, and [`Received::verify`] will refuse.
    UnknownSecret,
    /// Nothing: the signer's certificate came with it.
    Certificate,
}

/// A message whose protection and proof of possession are right. Made only by [`Received::verify`].
#[derive(Debug)]
pub struct Verified {
    pub(super) exchange: Exchange,
    pub(super) transaction: TransactionId,
    /// recipNonce.
    pub(super) shown_nonce: Option<Vec<u8>>,
    pub(super) version: i64,
    pub(super) implicit_confirm: bool,
    pub(super) profile: Option<String>,
    pub(super) authentication: Authentication,
    pub(super) sender: Sender,
    /// The leaf, if it is signed.
    pub(super) signer: Option<Certificate>,
    pub(super) content: Content,
}

/// A body that was read as a whole.
#[derive(Debug)]
pub(super) enum Content {
    Enroll(EnrollKind, Box<CertRequest>),
    Poll(i64),
    Confirm(Vec<confirm::Confirmation>),
    Abort(StatusInfo),
    Revoke(CertificateId, Reason),
    Inform(Vec<Question>),
}

impl Server {
    /// Takes one HTTP POST apart. Fuzz entry point.
    pub fn receive(
        &self,
        body: &[u8],
        content_type: Option<&str>,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<Received, NotReceived> {
        let media_type = content_type.and_then(|t| t.split(';').next()).unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(Rejected::ContentType.into());
        }
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(Rejected::TooLarge(body.len()).into());
        }
        let parts = Parts::of(body).map_err(Rejected::Malformed)?;
        let header = parts.header().map_err(Rejected::Malformed)?;
        let exchange = Exchange::with(&header);
        match self.check(&parts, &header, endpoint, now) {
            Ok((kind, algorithm)) => {
                let profile = endpoint.profile.clone().or_else(|| header.profile.clone());
                Ok(Received { message: body.to_vec(), header, kind, algorithm, exchange, profile })
            }
            Err(refusal) => Err(Refused::new(refusal, exchange).into()),
        }
    }

    /// Everything about a header that costs nothing.
    fn check(
        &self,
        parts: &Parts<'_>,
        header: &Header,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<(Kind, Algorithm), Refusal> {
        if !(CMP2000..=CMP2021).contains(&header.version) {
            return Err(Refusal::Version(header.version));
        }
        let kind = parts.kind().filter(|kind| is_request(*kind)).ok_or(Refusal::Kind)?;
        if !endpoint.serves(kind) {
            return Err(Refusal::Operation);
        }
        if let (Some(path), Some(asked)) = (&endpoint.profile, &header.profile)
            && path != asked
        {
            return Err(Refusal::TwoProfiles);
        }
        let long = |id: &Option<Vec<u8>>| id.as_ref().is_some_and(|id| id.len() >= NONCE_BYTES);
        if !long(&header.transaction) {
            return Err(Refusal::TransactionId);
        }
        if !long(&header.sender_nonce) {
            return Err(Refusal::SenderNonce);
        }
        if is_first(kind) && header.recipient_nonce.is_some() {
            return Err(Refusal::UnexpectedNonce);
        }
        if header.sender.is_none() {
            return Err(Refusal::SenderForm);
        }
        if !header.recipient.as_deref().is_some_and(|name| self.goes_by(name)) {
            return Err(Refusal::Recipient);
        }
        self.check_clock(header, now)?;
        let algorithm = match &header.protection {
            Some(der) if parts.protection.is_some() => read_algorithm(der)?,
            _ => return Err(Refusal::Unprotected),
        };
        if matches!((kind, &algorithm), (Kind::Kur | Kind::Rr, Algorithm::Mac(_))) {
            return Err(Refusal::MustBeSigned);
        }
        Ok((kind, algorithm))
    }

    /// A device without a clock sends no time, and there is none to check (RFC 9810 5.1.1: it is optional).
    fn check_clock(&self, header: &Header, now: Timestamp) -> Result<(), Refusal> {
        let Some(theirs) = header.time else { return Ok(()) };
        let apart_seconds = now.seconds_since(theirs).saturating_abs();
        let tolerated_seconds = self.policy.clock_tolerance_seconds;
        if apart_seconds > i64::from(tolerated_seconds) {
            return Err(Refusal::Clock { theirs, ours: now, apart_seconds, tolerated_seconds });
        }
        Ok(())
    }
}

fn is_request(kind: Kind) -> bool {
    is_first(kind) || matches!(kind, Kind::CertConf | Kind::PollReq | Kind::Error)
}

fn is_first(kind: Kind) -> bool {
    matches!(kind, Kind::Ir | Kind::Cr | Kind::P10cr | Kind::Kur | Kind::Rr | Kind::Genm)
}

fn read_algorithm(der: &[u8]) -> Result<Algorithm, Refusal> {
    let (id, parameters) = only(der, write::SEQUENCE, "header.protectionAlg")?.algorithm()?;
    if let Some(mac) = MacAlgorithm::read(&id, parameters)? {
        return Ok(Algorithm::Mac(mac));
    }
    // Those of pki::spki; whether one fits the key is seen there.
    match id {
        oid::ECDSA_WITH_SHA256
        | oid::ECDSA_WITH_SHA384
        | oid::ED25519
        | oid::SHA256_WITH_RSA
        | oid::SHA384_WITH_RSA
        | oid::SHA512_WITH_RSA => Ok(Algorithm::Signature(id)),
        other => Err(AlgorithmRefused::Unknown(other).into()),
    }
}

impl Received {
    /// Which secret is needed to check it.
    pub fn reference(&self) -> Reference {
        let Algorithm::Mac(_) = self.algorithm else { return Reference::Certificate };
        let text = self.header.sender_key_id.as_deref().and_then(|id| std::str::from_utf8(id).ok());
        match text.and_then(|text| text.trim().parse().ok()) {
            Some(id) => Reference::Secret(id),
            None => Reference::UnknownSecret,
        }
    }

    /// Whether it goes on with a transaction (pollReq, certConf, error). Then the caller gives [`Self::verify`] the secret
    /// even if it is used or expired by now: the secret was good when the transaction began, and can begin no other.
    pub fn continues_a_transaction(&self) -> bool {
        !is_first(self.kind)
    }

    /// The profile that it asks for, in the path or in the header.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Checks the protection, then reads the body and checks its proof of possession. `secret` is the one that
    /// [`Self::reference`] names, None if there is no such one or it is not good any more (but see
    /// [`Self::continues_a_transaction`]): the sender is told the same as for a wrong MAC.
    pub fn verify(mut self, secret: Option<&Secret>) -> Result<Verified, Box<Refused>> {
        match self.check(secret) {
            Ok(proof) => Ok(Verified {
                transaction: TransactionId(self.header.transaction.unwrap_or_default()),
                shown_nonce: self.header.recipient_nonce,
                version: self.header.version,
                implicit_confirm: self.header.implicit_confirm,
                profile: self.profile,
                exchange: self.exchange,
                authentication: proof.authentication,
                sender: proof.sender,
                signer: proof.signer,
                content: proof.content,
            }),
            Err(refusal) => Err(Refused::new(refusal, self.exchange)),
        }
    }

    fn check(&mut self, secret: Option<&Secret>) -> Result<Proof, Refusal> {
        let parts = Parts::of(&self.message)?;
        let protection = parts.protection.ok_or(Refusal::Unprotected)?;
        let (authentication, sender, signer) = match &self.algorithm {
            Algorithm::Mac(mac) => {
                let named = self.reference();
                let secret = secret.filter(|s| named == Reference::Secret(s.id())).ok_or(Refusal::Mac)?;
                let protected = parts.protected();
                let proven =
                    secret.prove_mac(|key| mac.verify(key, &protected, protection)).ok_or(Refusal::Mac)?;
                self.exchange.protect = Protect::Mac(secret.clone(), mac.clone());
                (Authentication::Secret(proven), Sender::Secret(proven.id()), None)
            }
            Algorithm::Signature(algorithm) => {
                let chain = self.chain(&parts)?;
                let leaf = chain.first().ok_or(Refusal::NoSigner)?;
                if !leaf.may_sign_messages() {
                    return Err(Refusal::SignerUsage);
                }
                let key = leaf.public_key().map_err(|e| Refusal::SignerKey(e.clone()))?;
                key.verify(algorithm, &parts.protected(), protection).map_err(|_| Refusal::Signature)?;
                let der = chain.iter().map(|c| c.der().to_vec()).collect();
                let sender = Sender::Certificate(leaf.thumbprint());
                (Authentication::Certificate(der), sender, Some(leaf.clone()))
            }
        };
        let content = read_content(self.kind, &parts, signer.as_ref())?;
        Ok(Proof { authentication, sender, signer, content })
    }

    /// The signer's certificate and the issuers that came with it, each after the one that it signed.
    fn chain(&self, parts: &Parts<'_>) -> Result<Vec<Certificate>, Refusal> {
        let (mut extra, mut unreadable) = (Vec::new(), None);
        for der in parts.extra_certificates()? {
            match Certificate::parse(der) {
                Ok(certificate) => extra.push(certificate),
                Err(why) => unreadable = Some(why),
            }
        }
        let sender = self.header.sender.as_deref().unwrap_or_default();
        let is_signer = |c: &Certificate| {
            // RFC 9483 3.1: senderKID is the subjectKeyIdentifier; a certificate without one is named by its subject.
            let key_id = self.header.sender_key_id.as_deref();
            same(c.subject_der(), sender)
                && (key_id.is_none() || c.subject_key_id().is_none() || c.subject_key_id() == key_id)
        };
        // One that is not needed may be anything; without a signer, the one that is none may have been meant.
        let none = || unreadable.map_or(Refusal::NoSigner, Refusal::SignerCertificate);
        let leaf = extra.iter().find(|c| is_signer(c)).ok_or_else(none)?.clone();
        let mut chain = vec![leaf];
        while let Some(last) = chain.last()
            && chain.len() < MAX_CHAIN
        {
            let issuer = last.issuer_der();
            let next = extra.iter().find(|c| c.subject_der() == issuer && !chain.contains(c));
            match next {
                // A root that came along is no proof of anything and is not taken.
                Some(next) if next.subject_der() != next.issuer_der() => chain.push(next.clone()),
                _ => break,
            }
        }
        Ok(chain)
    }
}

struct Proof {
    authentication: Authentication,
    sender: Sender,
    signer: Option<Certificate>,
    content: Content,
}

fn read_content(kind: Kind, parts: &Parts<'_>, signer: Option<&Certificate>) -> Result<Content, Refusal> {
    let body = parts.body()?;
    if body.tag != write::SEQUENCE {
        return Err(Malformed("body").into());
    }
    let enroll = |kind, request| Content::Enroll(kind, Box::new(request));
    Ok(match kind {
        Kind::Ir => enroll(EnrollKind::Initialization, crmf::read(body)?),
        Kind::Cr => enroll(EnrollKind::Certification, crmf::read(body)?),
        Kind::Kur => {
            let request = crmf::read(body)?;
            // Without the control, the signer's certificate is meant (RFC 9483 4.1.3).
            if let Some(old) = &request.old
                && !signer.is_some_and(|signer| old.names(signer))
            {
                return Err(Refusal::OldCertificate);
            }
            enroll(EnrollKind::KeyUpdate, request)
        }
        Kind::P10cr => {
            let csr = csr::verify(body.whole).map_err(RequestRefused::Possession)?;
            let wish = crmf::wish_of_pkcs10(body)?;
            enroll(EnrollKind::Pkcs10, CertRequest { csr, old: None, wish })
        }
        Kind::PollReq => Content::Poll(poll::read_request(body)?),
        Kind::CertConf => Content::Confirm(confirm::read(body)?),
        Kind::Error => {
            let mut fields = body.fields();
            Content::Abort(StatusInfo::read(fields.take(write::SEQUENCE, "error.pKIStatusInfo")?)?)
        }
        Kind::Rr => {
            let (certificate, reason) = revocation::read(body)?;
            Content::Revoke(certificate, reason)
        }
        Kind::Genm => Content::Inform(information::read(body)?),
        _ => return Err(Refusal::Kind),
    })
}
