//! What ECDSA costs here: P-256 is the floor under certificates, quotes and TLS handshakes, P-384 signs our root.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};

use crate::Settings;
use crate::table::{Row, rate};

/// About the size of a certificate's body.
const MESSAGE: [u8; 500] = [7; 500];

/// Rates on one core.
pub struct Raw {
    /// Signatures per second.
    pub sign: f64,
    /// Verifications per second.
    pub verify: f64,
}

/// Measures P-256.
pub fn raw(time: Duration) -> Result<Raw> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("cannot make a key")?;
    let random = SystemRandom::new();
    let signature = pair.sign(&random, &MESSAGE).context("cannot sign")?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
    let sign = rate(time, || pair.sign(&random, &MESSAGE).map(drop).context("cannot sign"))?;
    let verify = rate(time, || public.verify(&MESSAGE, signature.as_ref()).context("cannot verify"))?;
    Ok(Raw { sign, verify })
}

/// P-384 verifications per second on one core.
pub fn p384_verify(time: Duration) -> Result<f64> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).context("cannot make a key")?;
    let signature = pair.sign(&SystemRandom::new(), &MESSAGE).context("cannot sign")?;
    let public = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, pair.public_key().as_ref());
    rate(time, || public.verify(&MESSAGE, signature.as_ref()).context("cannot verify"))
}

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let raw = raw(settings.time)?;
    Ok(vec![
        Row::limit("P-256 sign, one core", raw.sign),
        Row::limit("P-256 verify, one core", raw.verify),
        Row::limit("P-384 verify, one core", p384_verify(settings.time)?),
    ])
}
