//! Certificate profiles: what a certificate of each kind says, how long it lives, whom it names.
//!
//! Two kinds end in the same [`Profile`]: those that Lanyard itself lives by are built in (one file each and the list
//! [`ALL`]); those of device classes and applications are templates that a hospital writes ([`template`]).
//! In scope: constant extensions (encoded once), subject and alternative names from facts that the caller vouches for,
//! lifetimes, key types, where revocation is known. Out of scope: keys and signing ([`crate::issue`]), rules that hold
//! for all of them ([`crate::lint`]).
//!
//! To add a built-in one: a file with a `SPEC`, its line in [`ALL`], its variant in [`ProfileName`]; if it names a new
//! kind of thing, a variant of [`SubjectFacts`] and of [`crate::certificate::PeerIdentity`].

mod ca;
mod compiled;
mod control_server;
mod convention;
mod device_ldevid;
mod gateway_server;
mod key_type;
mod names;
mod ocsp_responder;
mod purpose;
pub(crate) mod revocation;
mod scep_ra;
mod subject;
pub mod template;

use std::fmt;

use der::asn1::ObjectIdentifier;

use crate::name::Naming;
use crate::spki::PublicKey;

pub(crate) use compiled::Terms;
pub use compiled::{BadLifetime, CsrExpectation, KeyNotAllowed, Profile, RenewalShare};
pub use convention::{BadPattern, Convention, Named, Pattern};
pub use key_type::{BadKeyType, KeyType};
use names::{AltNames, Attribute, Names, subject_name};
pub use purpose::{BadPurpose, KeyPurpose};
pub use revocation::{BadRevocationUris, RevocationUris};
pub use subject::{Addresses, HardwareNames, SubjectError, SubjectFacts};

/// Every built-in profile.
pub const ALL: [ProfileName; 7] = [
    ProfileName::DeviceLdevid,
    ProfileName::GatewayServer,
    ProfileName::ControlServer,
    ProfileName::OcspResponder,
    ProfileName::ScepRa,
    ProfileName::RootCa,
    ProfileName::IssuingCa,
];

/// Names of the built-in profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileName {
    /// A medical device: client only.
    DeviceLdevid,
    /// An enforcement gateway: server towards devices, client towards the control plane.
    GatewayServer,
    /// The control plane: server only.
    ControlServer,
    /// A delegated OCSP responder: signs answers about one CA's certificates.
    OcspResponder,
    /// A registration authority for SCEP: opens requests and signs answers of one CA.
    ScepRa,
    /// Self-signed root.
    RootCa,
    /// The CA below the root that signs all others.
    IssuingCa,
}

impl ProfileName {
    fn spec(self) -> &'static Spec {
        match self {
            ProfileName::DeviceLdevid => &device_ldevid::SPEC,
            ProfileName::GatewayServer => &gateway_server::SPEC,
            ProfileName::ControlServer => &control_server::SPEC,
            ProfileName::OcspResponder => &ocsp_responder::SPEC,
            ProfileName::ScepRa => &scep_ra::SPEC,
            ProfileName::RootCa => &ca::ROOT,
            ProfileName::IssuingCa => &ca::ISSUING,
        }
    }

    /// The name as it stands in events and messages.
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const YEAR: i64 = 365 * DAY;
/// The longest life of a certificate that nobody can revoke (the CA/Browser Forum's bound for short-lived ones).
pub(crate) const SHORT_LIVED: i64 = 7 * DAY;

/// What each profile's file states.
struct Spec {
    name: &'static str,
    role: Role,
    extended_key_usages: &'static [ObjectIdentifier],
    default_lifetime_seconds: i64,
    longest_lifetime_seconds: i64,
    /// How far notBefore lies before now.
    backdate_seconds: i64,
    subject: SubjectFn,
}

/// Writes the names of a certificate; `None` when the facts are of another kind.
type SubjectFn = fn(&Naming, &SubjectFacts, &PublicKey) -> Option<Result<Names, SubjectError>>;

/// Whether the certificate may sign others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    EndEntity,
    Authority { path_len: Option<u8> },
}
