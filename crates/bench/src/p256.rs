//! What ECDSA P-256 with SHA-256 costs here: the floor under certificates, quotes and TLS handshakes.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
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

/// Measures both.
pub fn raw(time: Duration) -> Result<Raw> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("cannot make a key")?;
    let random = SystemRandom::new();
    let signature = pair.sign(&random, &MESSAGE).context("cannot sign")?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
    let sign = rate(time, || pair.sign(&random, &MESSAGE).map(drop).context("cannot sign"))?;
    let verify = rate(time, || public.verify(&MESSAGE, signature.as_ref()).context("cannot verify"))?;
    Ok(Raw { sign, verify })
}

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let raw = raw(settings.time)?;
    Ok(vec![Row::limit("P-256 sign, one core", raw.sign), Row::limit("P-256 verify, one core", raw.verify)])
}
