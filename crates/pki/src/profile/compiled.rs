//! A profile as issuance uses it: what is constant is decided, the rest is asked of facts and key.
//!
//! It is made from a built-in `Spec` ([`Profile::new`]) or from a template
//! ([`super::template::Template::profile`]); from there on nobody can tell which.

use std::sync::Arc;

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use crate::name::Naming;
use crate::oid;
use crate::spki::PublicKey;
use crate::tbs;
use crate::write::{self, Critical};

use super::key_type::KeyType;
use super::names::Names;
use super::revocation::Revocation;
use super::template::Template;
use super::{ProfileName, Role, Spec, SubjectError, SubjectFacts, SubjectFn};

/// A lifetime out of the profile's range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a lifetime of {asked} s is out of range for profile `{profile}`: {least} to {longest} s")]
pub struct BadLifetime {
    asked: i64,
    profile: String,
    least: i64,
    longest: i64,
}

/// A key of a type that the profile does not certify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile `{profile}` certifies no {found} key: make the request with {}", .allowed.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(" or "))]
pub struct KeyNotAllowed {
    profile: String,
    found: KeyType,
    allowed: Vec<KeyType>,
}

/// How much of its lifetime a certificate has behind it when it is to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RenewalShare {
    /// Of [`Self::WHOLE`].
    parts: i64,
}

impl RenewalShare {
    /// Three times ten thousand: two thirds and four decimals are both exact.
    const WHOLE: i64 = 30_000;
    /// Two thirds leave the last third for retries.
    pub const TWO_THIRDS: RenewalShare = RenewalShare { parts: 20_000 };

    /// From ten-thousandths, 5,000 to 9,000. Earlier renewal doubles the work of a fleet for nothing; later leaves less
    /// than a tenth of the lifetime for retries.
    pub fn from_ten_thousandths(n: i64) -> Option<Self> {
        (5_000..=9_000).contains(&n).then(|| Self { parts: n * 3 })
    }

    /// The moment at which a certificate with this validity is to be renewed.
    pub fn renew_at(self, not_before: Timestamp, not_after: Timestamp) -> Timestamp {
        let lifetime = not_after.seconds_since(not_before);
        // Divided first: a validity to the year 9999 times 30,000 still fits, and this does not rely on it.
        let whole = lifetime / Self::WHOLE * self.parts;
        not_before.plus_seconds(whole + lifetime % Self::WHOLE * self.parts / Self::WHOLE)
    }
}

/// What a request for a certificate of a profile may look like, for CSR attributes and templates (RFC 9908). Names are
/// not in it: those of a request are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsrExpectation {
    /// Key types, the one to recommend first.
    pub key_types: Vec<KeyType>,
    /// The extendedKeyUsage that the certificate will have.
    pub purposes: Vec<ObjectIdentifier>,
    /// Whether keyEncipherment stands beside digitalSignature when the key is RSA.
    pub key_encipherment: bool,
    /// Whether the server may make the key (EST serverkeygen, RFC 7030 4.4).
    pub server_generated: bool,
}

/// What all certificates of a profile have in common.
#[derive(Debug)]
pub(crate) struct Terms {
    pub role: Role,
    pub purposes: Vec<ObjectIdentifier>,
    pub key_types: Vec<KeyType>,
    pub key_encipherment: bool,
    pub server_generated: bool,
    pub revocation: Revocation,
    pub longest_lifetime_seconds: i64,
    pub backdate_seconds: i64,
    pub renewal: RenewalShare,
    pub subject: SubjectForm,
}

#[derive(Debug)]
pub(crate) enum SubjectForm {
    BuiltIn(SubjectFn),
    Template(Arc<Template>),
}

impl Terms {
    fn of_spec(spec: &Spec) -> Self {
        let is_ra = spec.extended_key_usages.contains(&oid::CMC_RA);
        let (revocation, key_types) = match spec.role {
            Role::EndEntity if spec.extended_key_usages.contains(&oid::OCSP_SIGNING) => {
                (Revocation::NoCheck, KeyType::CLASSICAL.to_vec())
            }
            // RFC 8894 2.1.1: clients encrypt to it, so it is RSA.
            Role::EndEntity if is_ra => (Revocation::ShortLived, vec![KeyType::Rsa2048]),
            Role::EndEntity => (Revocation::ShortLived, KeyType::CLASSICAL.to_vec()),
            Role::Authority { .. } => (Revocation::Unstated, KeyType::ALL.to_vec()),
        };
        Self {
            role: spec.role,
            purposes: spec.extended_key_usages.to_vec(),
            key_types,
            key_encipherment: is_ra,
            server_generated: false,
            revocation,
            longest_lifetime_seconds: spec.longest_lifetime_seconds,
            backdate_seconds: spec.backdate_seconds,
            renewal: RenewalShare::TWO_THIRDS,
            subject: SubjectForm::BuiltIn(spec.subject),
        }
    }

    /// Whether Lanyard itself lives by it.
    pub(crate) fn is_built_in(&self) -> bool {
        matches!(self.subject, SubjectForm::BuiltIn(_))
    }

    /// Whether a certificate with a key of this type says keyEncipherment.
    pub(crate) fn enciphers(&self, key: KeyType) -> bool {
        self.key_encipherment && key.can_encipher()
    }

    /// keyUsage, critical by RFC 5280 4.2.1.3.
    fn key_usage(&self, key: KeyType) -> Vec<u8> {
        let bits: &[u8] = match self.role {
            // digitalSignature is bit 0, keyEncipherment bit 2; the first octet counts the unused bits of the second.
            Role::EndEntity if self.enciphers(key) => &[5, 0xa0],
            Role::EndEntity => &[7, 0x80],
            // keyCertSign (5) and cRLSign (6).
            Role::Authority { .. } => &[1, 0x06],
        };
        let mut out = Vec::with_capacity(20);
        write::extension(&mut out, &oid::KEY_USAGE, Critical::Yes, |o| {
            write::bytes(o, write::BIT_STRING, bits);
        });
        out
    }

    /// What is the same whatever the key.
    fn constant_extensions(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.role {
            Role::EndEntity => {
                write::extension(&mut out, &oid::EXTENDED_KEY_USAGE, Critical::No, |o| {
                    write::tlv(o, write::SEQUENCE, |o| self.purposes.iter().for_each(|p| write::oid(o, p)));
                });
                match self.revocation {
                    // RFC 9608: there is no revocation list; the certificate ends before one would matter.
                    Revocation::ShortLived => out.extend(tbs::no_rev_avail()),
                    Revocation::NoCheck => out.extend(tbs::ocsp_no_check()),
                    Revocation::Lists(_)
                    | Revocation::RootsList(_)
                    | Revocation::RootOnly(_)
                    | Revocation::Unstated => {}
                }
            }
            Role::Authority { path_len } => {
                write::extension(&mut out, &oid::BASIC_CONSTRAINTS, Critical::Yes, |o| {
                    write::tlv(o, write::SEQUENCE, |o| {
                        write::bytes(o, write::BOOLEAN, &[0xff]);
                        if let Some(n) = path_len {
                            write::bytes(o, write::INTEGER, &[n]);
                        }
                    });
                });
            }
        }
        out
    }
}

/// A profile, compiled for one installation: constant extensions are encoded, names and lifetime are checked.
#[derive(Debug, Clone)]
pub struct Profile {
    name: Arc<str>,
    naming: Naming,
    lifetime_seconds: i64,
    terms: Arc<Terms>,
    constant_extensions: Vec<u8>,
}

impl Profile {
    /// A built-in profile with its default lifetime.
    pub fn new(name: ProfileName, naming: Naming) -> Self {
        let spec = name.spec();
        Self::compile(spec.name, naming, spec.default_lifetime_seconds, Terms::of_spec(spec))
    }

    /// An issuing authority's.
    pub(crate) fn issuing(naming: Naming, revocation: Revocation) -> Self {
        let spec = ProfileName::IssuingCa.spec();
        let terms = Terms { revocation, ..Terms::of_spec(spec) };
        Self::compile(spec.name, naming, spec.default_lifetime_seconds, terms)
    }

    pub(super) fn compile(name: &str, naming: Naming, lifetime_seconds: i64, terms: Terms) -> Self {
        let constant_extensions = terms.constant_extensions();
        Self { name: Arc::from(name), naming, lifetime_seconds, terms: Arc::new(terms), constant_extensions }
    }

    /// The same with another default lifetime, as a tier may ask for.
    pub fn with_lifetime(mut self, seconds: i64) -> Result<Self, BadLifetime> {
        self.lifetime_seconds = self.checked_lifetime(seconds)?;
        Ok(self)
    }

    /// Its name as it stands in events and messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From notBefore to notAfter.
    pub fn lifetime_seconds(&self) -> i64 {
        self.lifetime_seconds
    }

    /// When its certificates are to be renewed.
    pub fn renewal(&self) -> RenewalShare {
        self.terms.renewal
    }

    /// What a request for one of its certificates may look like.
    pub fn csr_expectation(&self) -> CsrExpectation {
        CsrExpectation {
            key_types: self.terms.key_types.clone(),
            purposes: self.terms.purposes.clone(),
            key_encipherment: self.terms.key_encipherment,
            server_generated: self.terms.server_generated,
        }
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn checked_lifetime(&self, seconds: i64) -> Result<i64, BadLifetime> {
        // Twice the back-dating, or it would be half over when it is made.
        let least = 2 * self.terms.backdate_seconds;
        let longest = self.terms.longest_lifetime_seconds;
        if (least..=longest).contains(&seconds) {
            Ok(seconds)
        } else {
            Err(BadLifetime { asked: seconds, profile: self.name.to_string(), least, longest })
        }
    }

    pub(crate) fn checked_key(&self, key: &PublicKey) -> Result<KeyType, KeyNotAllowed> {
        let (found, allowed) = (KeyType::of(key.kind()), &self.terms.key_types);
        if allowed.contains(&found) {
            Ok(found)
        } else {
            Err(KeyNotAllowed { profile: self.name.to_string(), found, allowed: allowed.clone() })
        }
    }

    /// keyUsage and all else that neither the facts nor the issuer change.
    pub(crate) fn extensions(&self, key: KeyType) -> [Vec<u8>; 2] {
        [self.terms.key_usage(key), self.constant_extensions.clone()]
    }

    pub(crate) fn names(&self, facts: &SubjectFacts, key: &PublicKey) -> Result<Names, SubjectError> {
        match &self.terms.subject {
            SubjectForm::BuiltIn(write) => write(&self.naming, facts, key)
                .unwrap_or_else(|| Err(SubjectError::WrongKind(self.name.to_string()))),
            SubjectForm::Template(template) => template.names(&self.naming, facts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{ALL, SHORT_LIVED};

    fn naming() -> Naming {
        Naming::new("General Hospital", "hospital.example").unwrap()
    }

    #[test]
    fn every_built_in_profile_is_in_the_list_once_and_stays_short_lived() {
        let mut names: Vec<_> = ALL.iter().map(|p| p.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for name in ALL {
            let spec = name.spec();
            let profile = Profile::new(name, naming());
            assert_eq!(profile.name(), name.as_str());
            assert_eq!(
                profile.checked_lifetime(spec.default_lifetime_seconds),
                Ok(spec.default_lifetime_seconds)
            );
            if spec.role == Role::EndEntity {
                assert!(spec.longest_lifetime_seconds <= SHORT_LIVED, "{name}");
            }
        }
    }

    #[test]
    fn lifetimes_out_of_range_are_refused() {
        let device = Profile::new(ProfileName::DeviceLdevid, naming());
        for seconds in [-1, 0, 599, SHORT_LIVED + 1, i64::MAX] {
            assert!(device.clone().with_lifetime(seconds).is_err(), "{seconds}");
        }
        assert_eq!(device.with_lifetime(SHORT_LIVED).unwrap().lifetime_seconds(), SHORT_LIVED);
    }

    // R43
    #[test]
    fn renewal_is_between_half_and_nine_tenths_of_the_life() {
        let at = |share: RenewalShare, seconds| {
            let start = Timestamp::from_seconds(1_000);
            share.renew_at(start, start.plus_seconds(seconds)).seconds_since(start)
        };
        assert_eq!(at(RenewalShare::TWO_THIRDS, 86_400), 57_600);
        let half = RenewalShare::from_ten_thousandths(5_000).unwrap();
        let most = RenewalShare::from_ten_thousandths(9_000).unwrap();
        assert_eq!((at(half, 3_601), at(most, 10)), (1_800, 9));
        for n in [i64::MIN, 0, 4_999, 9_001, i64::MAX] {
            assert_eq!(RenewalShare::from_ten_thousandths(n), None);
        }
    }
}
