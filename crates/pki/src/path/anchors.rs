//! Trust anchors: the authorities that a person said are to be trusted.
//!
//! In scope: that each is a CA that a path can end in. Out of scope: where they come from, and their validity, which
//! is asked at each validation.

use rustls_pki_types::TrustAnchor;

use super::rule::{self, Rule};
use crate::certificate::Certificate;
use crate::serial::Serial;

/// Why certificates are no trust anchors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// An empty set would refuse everybody; that is never meant.
    #[error("no trust anchor given")]
    None,
    /// Not a CA certificate, or one that says what we cannot honour.
    #[error("trust anchor `{serial}`: {rule}")]
    NotAnAuthority {
        /// Its serial.
        serial: Serial,
        /// What is missing.
        rule: Rule,
    },
    /// webpki cannot read it.
    #[error("trust anchor `{serial}`: {why}")]
    Unreadable {
        /// Its serial.
        serial: Serial,
        /// Why.
        why: String,
    },
}

/// The authorities that we trust: all generations that are in use.
#[derive(Debug, Clone)]
pub struct Anchors {
    pub(super) certificates: Vec<Certificate>,
    pub(super) trust: Vec<TrustAnchor<'static>>,
}

impl Anchors {
    /// Checks that each is a CA and keeps them.
    pub fn new(certificates: Vec<Certificate>) -> Result<Self, AnchorError> {
        if certificates.is_empty() {
            return Err(AnchorError::None);
        }
        let mut trust = Vec::with_capacity(certificates.len());
        for certificate in &certificates {
            let serial = certificate.serial();
            rule::authority(certificate.facts())
                .map_err(|rule| AnchorError::NotAnAuthority { serial, rule })?;
            let anchor = webpki::anchor_from_trusted_cert(certificate.der())
                .map_err(|e| AnchorError::Unreadable { serial, why: e.to_string() })?;
            trust.push(anchor.to_owned());
        }
        Ok(Self { certificates, trust })
    }

    /// The certificates.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}
