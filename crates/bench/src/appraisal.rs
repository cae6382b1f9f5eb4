//! Appraisal of a device's evidence: parsing, quote signature, event-log replay, comparison with the release.

use anyhow::{Context, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use lanyard_attest::appraise::{
    Appraisal, ExpectModel, FirmwareReference, ReferenceStatus, Verdict, appraise,
};
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::tcg::build::{LogBuilder, pcr_after};
use lanyard_attest::tcg::{BASELINE_PCRS, QUOTED_PCRS};
use lanyard_attest::tpm::keys::AK_ATTRIBUTES;
use lanyard_attest::tpm::structures::{
    Attest, Body, ClockInfo, Curve, HashAlg, Key, PcrSelection, Public, Scheme, Signature, Symmetric,
};
use lanyard_domain::id::ReleaseId;
use lanyard_domain::time::Timestamp;

use crate::Settings;
use crate::p256;
use crate::table::{Row, rate};

const NONCE: [u8; 32] = [9; 32];
const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let (ak, wire, firmware) = device()?;
    let firmware = [firmware];
    let ours = rate(settings.time, || {
        let evidence = TpmEvidence::parse(&wire)?;
        let result = appraise(&Appraisal {
            evidence: &evidence,
            ak: &ak,
            expected_nonce: &NONCE,
            firmware: &firmware,
            models: &[],
            expect_model: ExpectModel::None,
            previous: None,
            now: NOW,
        });
        ensure!(
            result.verdict == Verdict::Affirming,
            "good evidence is `{:?}`: {:?}",
            result.verdict,
            result.why
        );
        Ok(())
    })?;
    let raw = p256::raw(settings.time)?;
    Ok(vec![Row {
        ours: Some(ours),
        limit: Some(raw.verify),
        target: ">= 8k",
        note: "limit: one verify".to_owned(),
        ..Row::rate("appraisal, one core")
    }])
}

/// A device's attestation key, its evidence on the wire, and the release that it runs.
fn device() -> Result<(Public, Vec<u8>, FirmwareReference)> {
    // 40 events: between the 26 and the 158 of real logs.
    let mut log = LogBuilder::new().s_crtm_version("4.2.0");
    for volume in 0..12u64 {
        log = log.firmware_blob(0, volume << 20, &volume.to_le_bytes());
    }
    for variable in 0..14u8 {
        log = log.secure_boot_variable(&[variable; 900]);
    }
    let log = log.boot_application("\\EFI\\pump.efi", b"image").ipl("vmlinuz", b"kernel").separators();
    let (event_log, extends) = log.finish();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("cannot make a key")?;
    let point = pair.public_key().as_ref();
    let (x, y) = point.split_first().and_then(|(_, xy)| xy.split_at_checked(32)).context("not a point")?;
    let ak = Public {
        name_alg: HashAlg::Sha256,
        attributes: AK_ATTRIBUTES,
        auth_policy: Vec::new(),
        key: Key::Ecc {
            symmetric: Symmetric::Null,
            scheme: Scheme::Ecdsa(HashAlg::Sha256),
            curve: Curve::P256,
            x: x.to_vec(),
            y: y.to_vec(),
        },
    };
    let pcrs: Vec<(u8, [u8; 32])> = QUOTED_PCRS.iter().map(|pcr| (*pcr, pcr_after(&extends, *pcr))).collect();
    let values: Vec<u8> = pcrs.iter().flat_map(|(_, value)| *value).collect();
    let quote = Attest {
        qualified_signer: ak.name(),
        extra_data: NONCE.to_vec(),
        clock: ClockInfo { clock: 1_000, reset_count: 1, restart_count: 0, safe: true },
        firmware_version: 1,
        body: Body::Quote {
            selection: PcrSelection::of(HashAlg::Sha256, &QUOTED_PCRS),
            pcr_digest: HashAlg::Sha256.digest(&values),
        },
    }
    .encode();
    let signature = pair.sign(&SystemRandom::new(), &quote).context("cannot sign")?;
    let signature =
        Signature::ecdsa_from_fixed(HashAlg::Sha256, signature.as_ref()).context("not r and s")?;
    let evidence = TpmEvidence { quote, signature: signature.encode(), pcrs, event_log };
    let firmware = FirmwareReference {
        release: ReleaseId::from_random([1; 16]),
        version: "4.2.0".to_owned(),
        security_version: 1,
        minimum_security_version: 1,
        pcrs: BASELINE_PCRS.iter().map(|pcr| (*pcr, pcr_after(&extends, *pcr))).collect(),
        events: Vec::new(),
        status: ReferenceStatus::Approved,
        not_after: None,
    };
    Ok((ak, evidence.encode(), firmware))
}
