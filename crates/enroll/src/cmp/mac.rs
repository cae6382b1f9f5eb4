//! MACs over a shared secret: password-based MAC (PBM, RFC 4211 4.4; what OpenSSL 3.0 and most devices have) and PBMAC1
//! (RFC 9810 5.1.3.1, RFC 8018 7.1).
//!
//! Bounds: our secrets have 160 random bits, so iterations add nothing to their strength; what matters is that a
//! stranger cannot buy work with one small message. Hashes stand in [`super::hash`].

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use der::asn1::ObjectIdentifier;
use lanyard_pki::write;
use zeroize::Zeroizing;

use super::hash::{Hash, Hmac};
use super::oid;
use super::tlv::{Malformed, Tlv, write_integer, write_plain_algorithm};

/// RFC 4211 4.4: at least 100. OpenSSL sends 500.
const MIN_PBM_ITERATIONS: i64 = 100;
/// RFC 8018 4.2: at least 1000.
const MIN_PBKDF2_ITERATIONS: i64 = 1_000;
/// 10,000 hashes of one block are 2 to 4 ms of one core. OpenSSL sends 500, BouncyCastle 1,000, and our secrets are random: more
/// iterations make them no harder to guess. The secret is looked up before, so who knows no secret's id buys none of it.
const MAX_ITERATIONS: i64 = 10_000;
/// What we send: OpenSSL's default for PBM, and the least of RFC 8018 for PBMAC1. See above why not more.
const OUR_PBM_ITERATIONS: u32 = 500;
const OUR_PBKDF2_ITERATIONS: u32 = 10_000;
/// RFC 4211 4.4: 8 octets at least; 64 is a block of SHA-256.
const SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
/// RFC 9579 4 asks for 20 at least; a SHA-512 has 64.
const KEY_BYTES: std::ops::RangeInclusive<i64> = 20..=64;

/// Why an algorithm that stands in a header is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmRefused {
    /// Its parameters do not parse.
    #[error("protection algorithm: {0}")]
    Malformed(#[from] Malformed),
    /// Not one of ours.
    #[error(
        "protection algorithm `{0}` is not served: use a signature, PBM or PBMAC1 with SHA-256 (PBM also with SHA-1)"
    )]
    Unknown(ObjectIdentifier),
    /// Too few are weak, too many are an attack.
    #[error("protection algorithm: {found} iterations, accepted are {least} to {MAX_ITERATIONS}")]
    Iterations {
        /// What the header says.
        found: i64,
        /// The fewest.
        least: i64,
    },
    /// Too short to be a salt, or endless.
    #[error("protection algorithm: salt of {0} octets, accepted are 8 to 64")]
    Salt(usize),
    /// A key length that fits no MAC.
    #[error("protection algorithm: key of {0} octets, accepted are 20 to 64")]
    KeyLength(i64),
}

/// A MAC with all its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MacAlgorithm {
    Pbm { salt: Vec<u8>, hash: Hash, iterations: u32, mac: Hmac },
    Pbmac1 { salt: Vec<u8>, iterations: NonZeroU32, key_bytes: usize, prf: Hmac, mac: Hmac },
}

impl MacAlgorithm {
    /// PBM as every peer can: SHA-256 and HMAC-SHA256.
    pub fn pbm(salt: &[u8]) -> Self {
        let mac = Hmac::SHA256;
        Self::Pbm { salt: salt.to_vec(), hash: Hash::Sha256, iterations: OUR_PBM_ITERATIONS, mac }
    }

    /// PBMAC1 with PBKDF2 and HMAC-SHA256.
    pub fn pbmac1(salt: &[u8]) -> Self {
        let mac = Hmac::SHA256;
        let iterations = NonZeroU32::MIN.saturating_add(OUR_PBKDF2_ITERATIONS.saturating_sub(1));
        Self::Pbmac1 { salt: salt.to_vec(), iterations, key_bytes: 32, prf: mac, mac }
    }

    /// Reads the parameters of PBM or PBMAC1; None if `id` is neither.
    pub fn read(
        id: &ObjectIdentifier,
        parameters: Option<Tlv<'_>>,
    ) -> Result<Option<Self>, AlgorithmRefused> {
        let parameters = parameters.filter(|p| p.tag == write::SEQUENCE);
        match *id {
            oid::PASSWORD_BASED_MAC => Self::read_pbm(parameters.ok_or(Malformed("PBMParameter"))?).map(Some),
            oid::PBMAC1 => Self::read_pbmac1(parameters.ok_or(Malformed("PBMAC1-params"))?).map(Some),
            _ => Ok(None),
        }
    }

    fn read_pbm(parameters: Tlv<'_>) -> Result<Self, AlgorithmRefused> {
        let mut fields = parameters.fields();
        let salt = salt(fields.take(write::OCTET_STRING, "PBMParameter.salt")?)?;
        let hash = fields.take(write::SEQUENCE, "PBMParameter.owf")?.plain_algorithm()?;
        let hash = Hash::of(&hash).ok_or(AlgorithmRefused::Unknown(hash))?;
        let count = fields.take(write::INTEGER, "PBMParameter.iterationCount")?.integer()?;
        let mac = hmac_of(fields.take(write::SEQUENCE, "PBMParameter.mac")?)?;
        fields.finish()?;
        Ok(Self::Pbm { salt, hash, iterations: iterations(count, MIN_PBM_ITERATIONS)?, mac })
    }

    fn read_pbmac1(parameters: Tlv<'_>) -> Result<Self, AlgorithmRefused> {
        let mut fields = parameters.fields();
        let (kdf, kdf_parameters) = fields.take(write::SEQUENCE, "PBMAC1.keyDerivationFunc")?.algorithm()?;
        let mac = hmac_of(fields.take(write::SEQUENCE, "PBMAC1.messageAuthScheme")?)?;
        fields.finish()?;
        if kdf != oid::PBKDF2 {
            return Err(AlgorithmRefused::Unknown(kdf));
        }
        let parameters =
            kdf_parameters.filter(|p| p.tag == write::SEQUENCE).ok_or(Malformed("PBKDF2-params"))?;
        let mut fields = parameters.fields();
        let salt = salt(fields.take(write::OCTET_STRING, "PBKDF2.salt")?)?;
        let count = fields.take(write::INTEGER, "PBKDF2.iterationCount")?.integer()?;
        // RFC 9579 4, for PBMAC1: the length must be there. Without, it is the MAC's own.
        let length = match fields.optional(write::INTEGER, "PBKDF2.keyLength")? {
            Some(length) => length.integer()?,
            None => i64::try_from(mac.output_bytes()).unwrap_or_default(),
        };
        // RFC 8018 A.2: without a prf it is HMAC-SHA1.
        let prf = match fields.optional(write::SEQUENCE, "PBKDF2.prf")? {
            Some(prf) => hmac_of(prf)?,
            None => Hmac::WITH_SHA1,
        };
        fields.finish()?;
        for hmac in [prf, mac] {
            hmac.pbkdf2().ok_or(AlgorithmRefused::Unknown(hmac.id()))?;
        }
        let key_bytes = usize::try_from(length)
            .ok()
            .filter(|_| KEY_BYTES.contains(&length))
            .ok_or(AlgorithmRefused::KeyLength(length))?;
        let iterations = NonZeroU32::new(iterations(count, MIN_PBKDF2_ITERATIONS)?)
            .ok_or(AlgorithmRefused::Iterations { found: count, least: MIN_PBKDF2_ITERATIONS })?;
        Ok(Self::Pbmac1 { salt, iterations, key_bytes, prf, mac })
    }

    /// The same with another salt: an answer is made as the request was, so that the peer can check it.
    pub fn with_salt(&self, fresh: &[u8]) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Pbm { salt, .. } | Self::Pbmac1 { salt, .. } => *salt = fresh.to_vec(),
        }
        other
    }

    /// DER of the AlgorithmIdentifier.
    pub fn to_der(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        write::tlv(&mut out, write::SEQUENCE, |o| match self {
            Self::Pbm { salt, hash, iterations, mac } => {
                write::oid(o, &oid::PASSWORD_BASED_MAC);
                write::tlv(o, write::SEQUENCE, |o| {
                    write::bytes(o, write::OCTET_STRING, salt);
                    write_plain_algorithm(o, &hash.id());
                    write_integer(o, i64::from(*iterations));
                    write_plain_algorithm(o, &mac.id());
                });
            }
            Self::Pbmac1 { salt, iterations, key_bytes, prf, mac } => {
                write::oid(o, &oid::PBMAC1);
                write::tlv(o, write::SEQUENCE, |o| {
                    write::tlv(o, write::SEQUENCE, |o| {
                        write::oid(o, &oid::PBKDF2);
                        write::tlv(o, write::SEQUENCE, |o| {
                            write::bytes(o, write::OCTET_STRING, salt);
                            write_integer(o, i64::from(iterations.get()));
                            write_integer(o, i64::try_from(*key_bytes).unwrap_or_default());
                            write_hmac(o, *prf);
                        });
                    });
                    write_hmac(o, *mac);
                });
            }
        });
        out
    }

    /// The MAC over `message`.
    pub fn tag(&self, secret: &[u8], message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key(secret), message).as_ref().to_vec()
    }

    /// Whether `tag` is the MAC over `message`, compared in constant time.
    pub fn verify(&self, secret: &[u8], message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key(secret), message, tag).is_ok()
    }

    fn key(&self, secret: &[u8]) -> hmac::Key {
        match self {
            // RFC 4211 4.4: the hash of secret and salt, hashed again and again; all of it is the key.
            Self::Pbm { salt, hash, iterations, mac } => {
                let mut key = Zeroizing::new([secret, salt].concat());
                for _ in 0..*iterations {
                    key = Zeroizing::new(hash.digest(&key).as_ref().to_vec());
                }
                mac.key(&key)
            }
            Self::Pbmac1 { salt, iterations, key_bytes, prf, mac } => {
                let mut key = Zeroizing::new(vec![0; *key_bytes]);
                // None was refused where the algorithm was read.
                let algorithm = prf.pbkdf2().unwrap_or(pbkdf2::PBKDF2_HMAC_SHA256);
                pbkdf2::derive(algorithm, *iterations, salt, secret, &mut key);
                mac.key(&key)
            }
        }
    }
}

fn salt(tlv: Tlv<'_>) -> Result<Vec<u8>, AlgorithmRefused> {
    if !SALT_BYTES.contains(&tlv.content.len()) {
        return Err(AlgorithmRefused::Salt(tlv.content.len()));
    }
    Ok(tlv.content.to_vec())
}

fn iterations(found: i64, least: i64) -> Result<u32, AlgorithmRefused> {
    u32::try_from(found)
        .ok()
        .filter(|_| (least..=MAX_ITERATIONS).contains(&found))
        .ok_or(AlgorithmRefused::Iterations { found, least })
}

fn hmac_of(tlv: Tlv<'_>) -> Result<Hmac, AlgorithmRefused> {
    let id = tlv.plain_algorithm()?;
    Hmac::of(id).ok_or(AlgorithmRefused::Unknown(id))
}

/// RFC 8018 B.1: the HMAC identifiers of PBKDF2 carry NULL.
fn write_hmac(out: &mut Vec<u8>, hmac: Hmac) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::oid(o, &hmac.id());
        o.extend([5, 0]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmp::tlv::only;

    fn read(der: &[u8]) -> Result<Option<MacAlgorithm>, AlgorithmRefused> {
        let (id, parameters) = only(der, write::SEQUENCE, "alg")?.algorithm()?;
        MacAlgorithm::read(&id, parameters)
    }

    fn pbm(salt: &[u8], hash: Hash, iterations: u32, mac: ObjectIdentifier) -> MacAlgorithm {
        MacAlgorithm::Pbm { salt: salt.to_vec(), hash, iterations, mac: Hmac::of(mac).unwrap() }
    }

    #[test]
    fn algorithms_read_back_as_written_and_their_macs_verify() {
        for algorithm in [
            MacAlgorithm::pbm(&[1; 16]),
            MacAlgorithm::pbmac1(&[1; 16]),
            pbm(&[2; 8], Hash::Sha1, 100, oid::HMAC_SHA1),
            pbm(&[2; 8], Hash::Sha512, 100, oid::HMAC_WITH_SHA1),
            pbm(&[2; 8], Hash::Sha384, 100, oid::HMAC_SHA512),
        ] {
            assert_eq!(read(&algorithm.to_der()), Ok(Some(algorithm.clone())));
            let tag = algorithm.tag(b"secret", b"message");
            assert!(algorithm.verify(b"secret", b"message", &tag));
            assert!(!algorithm.verify(b"secres", b"message", &tag));
            assert!(!algorithm.verify(b"secret", b"massage", &tag));
            assert!(!algorithm.verify(b"secret", b"message", &tag[1..]));
            assert!(!algorithm.verify(b"secret", b"message", b""));
            assert!(!algorithm.with_salt(&[3; 16]).verify(b"secret", b"message", &tag));
        }
    }

    // Computed by OpenSSL (`openssl kdf` and `openssl mac`) and by Python's hashlib and hmac.
    #[test]
    fn macs_are_those_that_others_compute() {
        for (algorithm, tag) in [
            (
                MacAlgorithm::pbmac1(&[1; 16]),
                "c327875c3ef046d0a4eed043ccabb7417501dc07124a151435e1e2f9aa7c045c",
            ),
            (MacAlgorithm::pbm(&[1; 16]), "607444e1a10a63d18bd91d83d5e1699efe2255f01c0271c49c707fee1a5559e8"),
        ] {
            assert_eq!(data_encoding::HEXLOWER.encode(&algorithm.tag(b"secret", b"message")), tag);
        }
    }

    // A stranger's small message must not buy much work.
    #[test]
    fn iterations_salts_and_keys_beyond_the_bounds_are_refused() {
        for (count, fits) in [(99, false), (100, true), (10_000, true), (10_001, false), (u32::MAX, false)] {
            let der = pbm(&[2; 8], Hash::Sha256, count, oid::HMAC_SHA256).to_der();
            assert_eq!(read(&der).is_ok(), fits, "{count}");
        }
        for (length, fits) in [(7, false), (8, true), (64, true), (65, false)] {
            let der = pbm(&vec![2; length], Hash::Sha256, 500, oid::HMAC_SHA256).to_der();
            assert_eq!(read(&der).is_ok(), fits, "{length}");
        }
        let pbmac1 = |count: u32, key_bytes, prf| MacAlgorithm::Pbmac1 {
            salt: vec![1; 16],
            iterations: NonZeroU32::new(count).unwrap(),
            key_bytes,
            prf: Hmac::of(prf).unwrap(),
            mac: Hmac::of(oid::HMAC_SHA256).unwrap(),
        };
        for (count, key_bytes, fits) in [
            (999, 32, false),
            (1_000, 32, true),
            (100_001, 32, false),
            (1_000, 19, false),
            (1_000, 20, true),
            (1_000, 65, false),
        ] {
            let der = pbmac1(count, key_bytes, oid::HMAC_SHA256).to_der();
            assert_eq!(read(&der).is_ok(), fits, "{count} {key_bytes}");
        }
        assert_eq!(
            read(&pbmac1(1_000, 32, oid::HMAC_WITH_SHA1).to_der()),
            Err(AlgorithmRefused::Unknown(oid::HMAC_WITH_SHA1))
        );
        let negative = [0x30, 0, 0x02, 1, 0xff];
        assert!(iterations(-1, 100).is_err() && read(&negative).is_err());
    }

    #[test]
    fn other_algorithms_are_none_of_ours() {
        let mut out = Vec::new();
        write_plain_algorithm(&mut out, &oid::ECDSA_WITH_SHA256);
        assert_eq!(read(&out), Ok(None));
        let mut out = Vec::new();
        write_plain_algorithm(&mut out, &oid::PASSWORD_BASED_MAC);
        assert_eq!(read(&out), Err(AlgorithmRefused::Malformed(Malformed("PBMParameter"))));
    }

    // I12
    #[test]
    fn parameters_cut_anywhere_are_refused() {
        for algorithm in [MacAlgorithm::pbm(&[1; 16]), MacAlgorithm::pbmac1(&[1; 16])] {
            let der = algorithm.to_der();
            for at in 0..der.len() {
                assert!(!matches!(read(&der[..at]), Ok(Some(_))), "cut at {at}");
            }
        }
    }
}
