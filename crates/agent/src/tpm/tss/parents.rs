//! The keys that a TPM derives from its seeds, and that are parents of ours: the endorsement key and the storage
//! root key. Each is there for the time of a closure and leaves its slot free again.
//!
//! To add an endorsement key template: a variant of [`Endorsement`] with its template, certificate index and tag.

use lanyard_attest::tpm::keys::{EK_POLICY_A, ek_template_p256, ek_template_rsa2048};
use lanyard_attest::tpm::structures::{self, HashAlg};
use tss_esapi::Context;
use tss_esapi::constants::{CapabilityType, SessionType};
use tss_esapi::handles::{AuthHandle, KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{CapabilityData, Public, SymmetricDefinition};
use tss_esapi::traits::{Marshall, UnMarshall};

use super::TpmError;
use super::errors::failed;
use crate::tpm::templates;

/// Which endorsement key serves. Once an attestation key exists its parent is fixed, so this is kept with its
/// blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endorsement {
    P256,
    Rsa2048,
}

impl Endorsement {
    pub(super) const ALL: [Endorsement; 2] = [Endorsement::P256, Endorsement::Rsa2048];

    fn template(self) -> structures::Public {
        match self {
            Endorsement::P256 => ek_template_p256(),
            Endorsement::Rsa2048 => ek_template_rsa2048(),
        }
    }

    /// NV index of the certificate: TCG EK credential profile, low range.
    pub(super) const fn certificate_index(self) -> u32 {
        match self {
            Endorsement::P256 => 0x01c0_000a,
            Endorsement::Rsa2048 => 0x01c0_0002,
        }
    }

    pub(super) const fn tag(self) -> u8 {
        match self {
            Endorsement::P256 => 1,
            Endorsement::Rsa2048 => 2,
        }
    }

    pub(super) fn from_tag(field: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|e| field == [e.tag()])
    }
}

/// Handles of the same kind as `first` that exist in the TPM, from `first` on.
pub(super) fn handles(context: &mut Context, first: u32) -> Result<Vec<u32>, TpmError> {
    // 254 is what fits one answer (MAX_CAP_HANDLES); no TPM has as many of any kind.
    match context.get_capability(CapabilityType::Handles, first, 254).map_err(failed("get_capability"))?.0 {
        CapabilityData::Handles(list) => Ok(list.iter().map(|h| u32::from(*h)).collect()),
        _ => Err(TpmError::malformed("get_capability", "asked for handles, got something else")),
    }
}

/// The primary key of `template`, for the time of `f`. Primary keys are derived from the seed of their
/// hierarchy: the same template gives the same key each time.
fn with_primary<T>(
    context: &mut Context,
    hierarchy: Hierarchy,
    template: &structures::Public,
    f: impl FnOnce(&mut Context, KeyHandle) -> tss_esapi::Result<T>,
) -> tss_esapi::Result<T> {
    let template = Public::unmarshall(&template.encode())?;
    let primary = context
        .execute_with_session(Some(AuthSession::Password), |c| {
            c.create_primary(hierarchy, template, None, None, None, None)
        })?
        .key_handle;
    context.execute_with_temporary_object(primary.into(), |context, _| f(context, primary))
}

pub(super) fn with_srk<T>(
    context: &mut Context,
    f: impl FnOnce(&mut Context, KeyHandle) -> tss_esapi::Result<T>,
) -> tss_esapi::Result<T> {
    with_primary(context, Hierarchy::Owner, &templates::storage_root_key(), f)
}

/// The endorsement key with a session that satisfies its policy, for the time of `f`.
pub(super) fn with_ek<T>(
    context: &mut Context,
    endorsement: Endorsement,
    f: impl FnOnce(&mut Context, KeyHandle, AuthSession) -> tss_esapi::Result<T>,
) -> tss_esapi::Result<T> {
    with_endorsement_key(context, endorsement, |context, ek| {
        let session = context
            .start_auth_session(
                None,
                None,
                None,
                SessionType::Policy,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )?
            .ok_or(tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::WrongValueFromTpm))?;
        context.execute_with_temporary_object(SessionHandle::from(session).into(), |context, _| {
            let policy = PolicySession::try_from(session)?;
            // TCG EK credential profile, PolicyA: TPM2_PolicySecret(TPM_RH_ENDORSEMENT).
            context.execute_with_session(Some(AuthSession::Password), |c| {
                let none = Default::default;
                c.policy_secret(policy, AuthHandle::Endorsement, none(), Default::default(), none(), None)
            })?;
            f(context, ek, session)
        })
    })
}

/// The public area of the endorsement key, as the TPM gives it.
pub(super) fn endorsement_public(
    context: &mut Context,
    endorsement: Endorsement,
) -> tss_esapi::Result<Vec<u8>> {
    with_endorsement_key(context, endorsement, |context, ek| context.read_public(ek)?.0.marshall())
}

fn with_endorsement_key<T>(
    context: &mut Context,
    endorsement: Endorsement,
    f: impl FnOnce(&mut Context, KeyHandle) -> tss_esapi::Result<T>,
) -> tss_esapi::Result<T> {
    match persistent_ek(context, endorsement)? {
        Some(ek) => {
            let result = f(context, ek);
            context.tr_close(&mut ObjectHandle::from(ek))?;
            result
        }
        None => with_primary(context, Hierarchy::Endorsement, &endorsement.template(), f),
    }
}

/// Where makers and provisioning tools keep the endorsement key, which saves the seconds of making an RSA
/// key. It is used only if it was made from the template, since then it is the very key that the template
/// gives.
const PERSISTENT_EKS: [u32; 2] = [0x8101_0001, 0x8101_000a];

fn persistent_ek(context: &mut Context, endorsement: Endorsement) -> tss_esapi::Result<Option<KeyHandle>> {
    let (data, _) = context.get_capability(CapabilityType::Handles, 0x8101_0000, 254)?;
    let CapabilityData::Handles(list) = data else { return Ok(None) };
    for handle in list.iter().filter(|h| PERSISTENT_EKS.contains(&u32::from(**h))) {
        let mut object = context.tr_from_tpm_public(*handle)?;
        let (public, _, _) = context.read_public(KeyHandle::from(object))?;
        if is_from_template(&public.marshall()?, &endorsement.template()) {
            return Ok(Some(KeyHandle::from(object)));
        }
        context.tr_close(&mut object)?;
    }
    Ok(None)
}

fn is_from_template(public: &[u8], template: &structures::Public) -> bool {
    structures::Public::parse(public).is_ok_and(|public| {
        public.alg() == template.alg()
            && public.name_alg == HashAlg::Sha256
            && public.attributes == template.attributes
            && public.auth_policy == EK_POLICY_A
            && public.symmetric() == template.symmetric()
            && public.encode().len() == template.encode().len()
    })
}
