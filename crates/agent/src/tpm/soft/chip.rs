//! The part of a software TPM that its maker fixes for ever: seed, endorsement key, certificate.
//!
//! The seed never leaves; everything that only this chip may read or write is bound to a key derived from it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use lanyard_attest::tpm::credential::EkPrivate;
use lanyard_attest::tpm::keys::{ek_template_p256, ek_template_rsa2048};
use lanyard_attest::tpm::structures::{Key, Public};
use zeroize::Zeroizing;

use super::MakerCa;
use crate::tpm::container::{self, Kind};
use crate::tpm::{TpmError, templates};

const WHAT: &str = "chip";
const SEED: usize = 32;
const TAG: usize = 16;

/// The algorithm of the endorsement key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EkKind {
    /// ECC NIST P-256, template L-2: made in microseconds.
    #[default]
    P256,
    /// RSA-2048, template L-1: what most chips in the field have; takes a tenth of a second to make.
    Rsa2048,
}

enum EkKey {
    P256(agreement::PrivateKey),
    Rsa2048(PrivateDecryptingKey),
}

pub(super) struct Chip {
    seed: Zeroizing<[u8; SEED]>,
    ek: EkKey,
    pub(super) ek_public: Public,
    pub(super) srk_public: Public,
    pub(super) certificates: Vec<Vec<u8>>,
}

impl Chip {
    /// Makes a chip and has its maker certify it.
    pub(super) fn manufacture(
        maker: &MakerCa,
        model: &str,
        serial: &str,
        kind: EkKind,
    ) -> Result<Self, TpmError> {
        let mut seed = Zeroizing::new([0; SEED]);
        aws_lc_rs::rand::fill(seed.as_mut()).map_err(|_| TpmError::Crypto("random numbers"))?;
        let ek = match kind {
            EkKind::P256 => EkKey::P256(
                agreement::PrivateKey::generate(&ECDH_P256)
                    .map_err(|_| TpmError::Crypto("key generation"))?,
            ),
            EkKind::Rsa2048 => EkKey::Rsa2048(
                PrivateDecryptingKey::generate(KeySize::Rsa2048)
                    .map_err(|_| TpmError::Crypto("key generation"))?,
            ),
        };
        let ek_public = ek.public()?;
        // The storage root key only names a parent here: blobs are wrapped under the seed itself, so its
        // private half would have no use and is dropped.
        let srk = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| TpmError::Crypto("key generation"))?;
        let srk_public = with_point(templates::storage_root_key(), srk.public_key().as_ref())?;
        let certificates = vec![maker.certify(&ek_public, model, serial)?];
        Ok(Self { seed, ek, ek_public, srk_public, certificates })
    }

    pub(super) fn ek_private(&self) -> EkPrivate<'_> {
        match &self.ek {
            EkKey::P256(key) => EkPrivate::Ecc(key),
            EkKey::Rsa2048(key) => EkPrivate::Rsa(key),
        }
    }

    pub(super) fn measurement_key(&self) -> Result<hmac::Key, TpmError> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, self.derive(b"MEASUREMENTS")?.as_ref()))
    }

    /// Encrypts a private key so that only this chip can open it again, and only beside the same public area.
    pub(super) fn wrap(&self, public: &[u8], private: &[u8]) -> Result<Vec<u8>, TpmError> {
        let mut sealed = private.to_vec();
        let nonce = self
            .wrapping_key()?
            .seal_in_place_append_tag(Aad::from(public), &mut sealed)
            .map_err(|_| TpmError::Crypto("key wrapping"))?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// `None` when the blob was not made by this chip for this public area.
    pub(super) fn unwrap(
        &self,
        public: &[u8],
        wrapped: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, TpmError> {
        let Some((nonce, sealed)) = wrapped.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
        let mut opened = Zeroizing::new(sealed.to_vec());
        let key = self.wrapping_key()?;
        if key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(public), &mut opened).is_err() {
            return Ok(None);
        }
        opened.truncate(sealed.len().saturating_sub(TAG));
        Ok(Some(opened))
    }

    fn wrapping_key(&self) -> Result<RandomizedNonceKey, TpmError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.derive(b"STORAGE")?.as_ref())
            .map_err(|_| TpmError::Crypto("key wrapping"))
    }

    // SP 800-108 counter mode, as all derivations of a TPM.
    fn derive(&self, label: &[u8]) -> Result<Zeroizing<[u8; 32]>, TpmError> {
        let failed = TpmError::Crypto("key derivation");
        let mut out = Zeroizing::new([0; 32]);
        let info = [label, &[0], &256u32.to_be_bytes()].concat();
        let Some(hmac_sha256) = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256) else {
            return Err(failed);
        };
        kbkdf_ctr_hmac(hmac_sha256, self.seed.as_ref(), &info, out.as_mut()).map_err(|_| failed)?;
        Ok(out)
    }

    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let (kind, private) = self.ek.encode()?;
        let srk = self.srk_public.encode();
        let mut fields: Vec<&[u8]> = vec![self.seed.as_ref(), kind, &private, &srk];
        fields.extend(self.certificates.iter().map(Vec::as_slice));
        Ok(Zeroizing::new(container::encode(Kind::Chip, &fields)))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, TpmError> {
        let malformed = |why: &str| TpmError::malformed(WHAT, why);
        let fields = container::decode(WHAT, Kind::Chip, bytes)?;
        let [seed, kind, private, srk, certificates @ ..] = fields.as_slice() else {
            return Err(malformed("a chip has at least four fields"));
        };
        let seed = <[u8; SEED]>::try_from(seed.as_slice()).map_err(|_| malformed("a seed has 32 bytes"))?;
        let ek =
            EkKey::decode(kind, private).ok_or_else(|| malformed("the endorsement key is not usable"))?;
        Ok(Self {
            seed: Zeroizing::new(seed),
            ek_public: ek.public()?,
            ek,
            srk_public: Public::parse(srk).map_err(|e| malformed(&e.to_string()))?,
            certificates: certificates.to_vec(),
        })
    }
}

impl EkKey {
    fn public(&self) -> Result<Public, TpmError> {
        let failed = |_| TpmError::Crypto("public key");
        match self {
            EkKey::P256(key) => {
                with_point(ek_template_p256(), key.compute_public_key().map_err(failed)?.as_ref())
            }
            EkKey::Rsa2048(key) => {
                let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(&key.public_key())
                    .map_err(failed)?;
                let mut public = ek_template_rsa2048();
                if let Key::Rsa { modulus, .. } = &mut public.key {
                    *modulus = rsa2048_modulus(spki.as_ref()).ok_or(TpmError::Crypto("public key"))?;
                }
                Ok(public)
            }
        }
    }

    fn encode(&self) -> Result<(&'static [u8], Zeroizing<Vec<u8>>), TpmError> {
        let failed = |_| TpmError::Crypto("key encoding");
        Ok(match self {
            EkKey::P256(key) => {
                let bytes: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(failed)?;
                (&[1], Zeroizing::new(bytes.as_ref().to_vec()))
            }
            EkKey::Rsa2048(key) => {
                let bytes: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
                (&[2], Zeroizing::new(bytes.as_ref().to_vec()))
            }
        })
    }

    fn decode(kind: &[u8], private: &[u8]) -> Option<Self> {
        match kind {
            [1] => agreement::PrivateKey::from_private_key(&ECDH_P256, private).ok().map(EkKey::P256),
            [2] => PrivateDecryptingKey::from_pkcs8(private).ok().map(EkKey::Rsa2048),
            _ => None,
        }
    }
}

/// `template` with the coordinates of an uncompressed P-256 point.
pub(super) fn with_point(mut template: Public, point: &[u8]) -> Result<Public, TpmError> {
    let failed = TpmError::Crypto("public key");
    let Some((px, py)) = point.strip_prefix(&[4]).and_then(|xy| xy.split_at_checked(32)) else {
        return Err(failed);
    };
    let Key::Ecc { x, y, .. } = &mut template.key else { return Err(failed) };
    (*x, *y) = (px.to_vec(), py.to_vec());
    Ok(template)
}

/// RFC 8017 A.1.1: for 2048 bits and exponent 65537 the key ends with INTEGER header (4), zero octet (1),
/// modulus (256), exponent (5).
fn rsa2048_modulus(spki: &[u8]) -> Option<Vec<u8>> {
    let rest = spki.strip_suffix(&[0x02, 0x03, 0x01, 0x00, 0x01])?;
    let (_, modulus) = rest.split_at_checked(rest.len().checked_sub(256)?)?;
    Some(modulus.to_vec())
}
