//! Templates: certificate profiles that a hospital writes for its device classes and applications, one TOML file each.
//!
//! A text is parsed once ([`Template::parse`]) into a value that cannot be wrong inside, and compiled for an
//! installation and a tier ([`Template::profile`]) into the same [`Profile`] as the built-in ones. [`lint`] tells every
//! problem of a text with line, column and clause. `docs/pki-profiles.md` explains each key.
//!
//! In scope: reading, rules, names by template, several templates side by side ([`Catalogue`]). Out of scope: where the
//! files lie, who approved them, which record has which template (control).
//!
//! To add a key see `document.rs`, a rule see [`rules`].

mod catalogue;
mod compile;
mod document;
mod draft;
mod names;
mod problem;
pub mod rules;
mod vocabulary;

use std::sync::Arc;

use der::asn1::ObjectIdentifier;
use lanyard_domain::tier::Tier;

use crate::name::Naming;

use super::compiled::{Profile, RenewalShare, SubjectForm, Terms};
use super::convention::Convention;
use super::key_type::KeyType;
use super::purpose::KeyPurpose;
use super::revocation::{Revocation, RevocationUris};
use super::{MINUTE, Role};

pub use catalogue::{Catalogue, CatalogueError};
pub use problem::Problem;
use problem::Report;
pub use vocabulary::{
    AltNameForm, BadLifetimeText, BadWord, Base64Style, Lifetime, RevocationMode, SubjectKind, SubjectStyle,
};

/// A certificate profile in a hospital's own words. Made only by [`Template::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    name: String,
    description: String,
    subject: SubjectKind,
    classes: Vec<String>,
    key_types: Vec<KeyType>,
    key_encipherment: bool,
    server_generated: bool,
    style: SubjectStyle,
    forms: Vec<AltNameForm>,
    assigner: Option<ObjectIdentifier>,
    hardware_type: Option<ObjectIdentifier>,
    purposes: Vec<KeyPurpose>,
    general: Validity,
    tiers: [Validity; 4],
    renewal: RenewalShare,
    mode: RevocationMode,
    label: String,
    est_base64: Base64Style,
    convention: Convention,
}

/// How long certificates live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// When nothing else is asked for.
    pub default_seconds: i64,
    /// At most.
    pub longest_seconds: i64,
}

/// A template whose certificates are listed, in an installation without lists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "profile `{0}` has revocation.mode `crl-ocsp`, and this installation has no revocation URIs: configure them, or use `short-lived`"
)]
pub struct NoRevocationUris(String);

/// Every problem of a text, in the order of its lines; none when it is a template. Fuzz entry point.
pub fn lint(text: &str) -> Vec<Problem> {
    Template::parse(text).err().unwrap_or_default()
}

impl Template {
    /// Reads and judges a text.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut report = Report::new(text);
        let template = document::read(text, &mut report).and_then(|draft| {
            rules::run(&draft, &mut report);
            compile::compile(&draft)
        });
        match template {
            Some(template) if report.is_empty() => Ok(template),
            Some(_) => Err(report.into_problems()),
            None => {
                if report.is_empty() {
                    // No rule found what compiling did: the value is refused all the same.
                    let help = "bug: a value was judged good and could not be compiled";
                    report.breach_at(&rules::value_type::RULE, "", 0, help);
                }
                Err(report.into_problems())
            }
        }
    }

    /// The profile for a tier of an installation, with the tier's lifetimes; `None` for what has no tier. `uris` says
    /// where revocation is served, and is needed by `crl-ocsp` templates only.
    pub fn profile(
        &self,
        tier: Option<Tier>,
        naming: Naming,
        uris: Option<&RevocationUris>,
    ) -> Result<Profile, NoRevocationUris> {
        let revocation = match (self.mode, uris) {
            (RevocationMode::ShortLived, _) => Revocation::ShortLived,
            (RevocationMode::CrlOcsp, Some(uris)) => Revocation::Lists(uris.clone()),
            (RevocationMode::CrlOcsp, None) => return Err(NoRevocationUris(self.name.clone())),
        };
        let validity = self.validity(tier);
        let terms = Terms {
            role: Role::EndEntity,
            purposes: self.purposes.iter().map(|p| p.oid()).collect(),
            key_types: self.key_types.clone(),
            key_encipherment: self.key_encipherment,
            server_generated: self.server_generated,
            revocation,
            longest_lifetime_seconds: validity.longest_seconds,
            // As device_ldevid: the peers' clocks are the late ones.
            backdate_seconds: 15 * MINUTE,
            renewal: self.renewal,
            subject: SubjectForm::Template(Arc::new(self.clone())),
        };
        Ok(Profile::compile(&self.name, naming, validity.default_seconds, terms))
    }

    /// The lifetimes of a tier.
    pub fn validity(&self, tier: Option<Tier>) -> Validity {
        let own = tier.and_then(|tier| Tier::ALL.iter().zip(&self.tiers).find(|(t, _)| **t == tier));
        own.map_or(self.general, |(_, validity)| *validity)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// What it is for, in a sentence.
    pub fn description(&self) -> &str {
        &self.description
    }
    /// Whether its certificates name who they are for, so that Lanyard recognises a peer by them.
    pub fn names_its_subject(&self) -> bool {
        self.forms.contains(&AltNameForm::UriId)
    }
    /// What it certifies.
    pub fn subject(&self) -> SubjectKind {
        self.subject
    }
    /// The device classes that it is for; empty for any.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }
    /// How a request names it: EST label, ACME profile, CMP certProfile, SCEP path.
    pub fn label(&self) -> &str {
        &self.label
    }
    /// How EST answers are broken into lines.
    pub fn est_base64(&self) -> Base64Style {
        self.est_base64
    }
    /// How revocation is known.
    pub fn revocation(&self) -> RevocationMode {
        self.mode
    }
    /// Whether the server may make keys.
    pub fn server_generated(&self) -> bool {
        self.server_generated
    }
    /// The forms of alternative names that it writes.
    pub fn forms(&self) -> &[AltNameForm] {
        &self.forms
    }
    /// The naming convention, to be checked when records are created (R10).
    pub fn convention(&self) -> &Convention {
        &self.convention
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod names_tests;
