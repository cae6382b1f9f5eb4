//! The key file of a software TPM: wrapped signing keys, as they would lie on the disk of a device with a
//! real TPM.
//!
//! Copying the file copies nothing of use: only the chip that made a blob opens it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use lanyard_attest::tpm::structures::{Attributes, HashAlg, Public, Signature, TPM_GENERATED};
use zeroize::Zeroizing;

use super::chip::{Chip, with_point};
use crate::tpm::container::{self, Kind};
use crate::tpm::{KeySlot, TpmError, der, templates};

const WHAT: &str = "keys";

/// The keys a software TPM can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyName {
    Ak,
    Tls(KeySlot),
}

impl KeyName {
    const ALL: [KeyName; 3] = [KeyName::Ak, KeyName::Tls(KeySlot::A), KeyName::Tls(KeySlot::B)];

    pub(super) fn text(self) -> &'static str {
        match self {
            KeyName::Ak => "ak",
            KeyName::Tls(KeySlot::A) => "tls-a",
            KeyName::Tls(KeySlot::B) => "tls-b",
        }
    }

    fn template(self) -> Public {
        match self {
            KeyName::Ak => templates::attestation_key(),
            KeyName::Tls(_) => templates::tls_key(),
        }
    }
}

#[derive(Clone)]
pub(super) struct Blob {
    name: KeyName,
    public: Vec<u8>,
    wrapped: Vec<u8>,
}

/// A key that the chip has opened.
pub(super) struct Loaded {
    pub(super) name: KeyName,
    pub(super) public: Public,
    pair: EcdsaKeyPair,
}

#[derive(Default)]
pub(super) struct KeyFile {
    blobs: Vec<Blob>,
}

impl KeyFile {
    pub(super) fn find(&self, name: KeyName) -> Option<&Blob> {
        self.blobs.iter().find(|blob| blob.name == name)
    }

    /// The file with `blob` in the place of any of the same name.
    pub(super) fn with(&self, blob: Blob) -> Self {
        let mut out = self.without(blob.name);
        out.blobs.push(blob);
        out
    }

    pub(super) fn without(&self, name: KeyName) -> Self {
        Self { blobs: self.blobs.iter().filter(|blob| blob.name != name).cloned().collect() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let fields: Vec<&[u8]> = self
            .blobs
            .iter()
            .flat_map(|blob| [blob.name.text().as_bytes(), blob.public.as_slice(), blob.wrapped.as_slice()])
            .collect();
        container::encode(Kind::Keys, &fields)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, TpmError> {
        let malformed = |why: &str| TpmError::malformed(WHAT, why);
        let fields = container::decode(WHAT, Kind::Keys, bytes)?;
        let mut out = Self::default();
        let (triples, rest) = fields.as_chunks::<3>();
        if !rest.is_empty() {
            return Err(malformed("each key has three fields"));
        }
        for [name, public, wrapped] in triples {
            let name = KeyName::ALL
                .into_iter()
                .find(|known| known.text().as_bytes() == name)
                .ok_or_else(|| malformed("unknown key name"))?;
            if out.find(name).is_some() {
                return Err(malformed("a key is there twice"));
            }
            out.blobs.push(Blob { name, public: public.clone(), wrapped: wrapped.clone() });
        }
        Ok(out)
    }
}

impl Loaded {
    /// TPM2_Create: a fresh key and its blob.
    pub(super) fn create(chip: &Chip, name: KeyName) -> Result<(Self, Blob), TpmError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| TpmError::Crypto("key generation"))?;
        let public = with_point(name.template(), pair.public_key().as_ref())?;
        let encoded = public.encode();
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| TpmError::Crypto("key encoding"))?;
        let wrapped = chip.wrap(&encoded, pkcs8.as_ref())?;
        Ok((Self { name, public, pair }, Blob { name, public: encoded, wrapped }))
    }

    /// TPM2_Load: refuses what this chip did not make.
    pub(super) fn load(chip: &Chip, blob: &Blob) -> Result<Self, TpmError> {
        let name = blob.name;
        let foreign = || TpmError::KeyNotOfThisTpm(name.text().to_owned());
        let opened: Zeroizing<Vec<u8>> = chip.unwrap(&blob.public, &blob.wrapped)?.ok_or_else(foreign)?;
        let public =
            Public::parse(&blob.public).map_err(|e| TpmError::malformed(name.text(), e.to_string()))?;
        // Blobs carry no name of their own: an attestation key in the place of a TLS key is found by its
        // attributes.
        if public.attributes != name.template().attributes {
            return Err(TpmError::malformed(name.text(), "the file holds a key of another role"));
        }
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &opened).map_err(|_| foreign())?;
        Ok(Self { name, public, pair })
    }

    /// A structure that the TPM itself composed: any key may sign it.
    pub(super) fn sign_own(&self, attest: &[u8]) -> Result<Signature, TpmError> {
        let fixed =
            self.pair.sign(&SystemRandom::new(), attest).map_err(|_| TpmError::Crypto("signature"))?;
        Signature::ecdsa_from_fixed(HashAlg::Sha256, fixed.as_ref()).ok_or(TpmError::Crypto("signature"))
    }

    /// TPM2_Hash then TPM2_Sign, for bytes from outside; ASN.1 DER.
    pub(super) fn sign_external(&self, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        // Part 1, 25.4: no ticket for what looks like the TPM's own, and without a ticket a restricted key
        // signs nothing.
        if self.public.attributes.contains(Attributes::RESTRICTED)
            && message.starts_with(&TPM_GENERATED.to_be_bytes())
        {
            let why = "a restricted key does not sign what only looks like made by the TPM".to_owned();
            return Err(TpmError::Refused { command: "sign", why });
        }
        match self.sign_own(message)? {
            Signature::Ecdsa { r, s, .. } => Ok(der::ecdsa_signature(&r, &s)),
            Signature::Rsassa { .. } => Err(TpmError::Crypto("signature")),
        }
    }
}
