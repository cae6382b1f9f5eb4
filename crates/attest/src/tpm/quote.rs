//! TPM2_Quote: the attestation key vouches for PCR values, now.
//!
//! Every rule is a named check; a [`VerifiedQuote`] exists only when all hold. What the values mean is
//! [`crate::appraise`]'s question. To add a rule: a push in [`verify`], a row in the tests that it says no.

use super::keys::check_ak;
use super::signature;
use super::structures::{Attest, Body, ClockInfo, HashAlg, PcrSelection, Public, Signature};
use crate::check::{Check, CheckName, hex, same};

/// PCR values of the SHA-256 bank, ascending by index.
pub type PcrValues = [(u8, [u8; 32])];

/// What a quote must be about.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The qualifying data.
    pub nonce: &'a [u8],
    /// PCRs that must be covered; more may be.
    pub required: &'a [u8],
}

/// Proof: this attestation key quoted these PCR values with this nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedQuote {
    pcrs: Vec<(u8, [u8; 32])>,
    clock: ClockInfo,
    tpm_firmware: u64,
}

impl VerifiedQuote {
    /// The quoted PCR values.
    pub fn pcrs(&self) -> &PcrValues {
        &self.pcrs
    }
    /// The quoted value of one PCR.
    pub fn pcr(&self, index: u8) -> Option<&[u8; 32]> {
        self.pcrs.iter().find(|(i, _)| *i == index).map(|(_, v)| v)
    }
    /// Clock and counters.
    pub const fn clock(&self) -> ClockInfo {
        self.clock
    }
    /// Version of the TPM's own firmware.
    pub const fn tpm_firmware(&self) -> u64 {
        self.tpm_firmware
    }
}

/// The checks in order, and the proof if all passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteReport {
    /// Each rule with its outcome. Stops at the first rule without which the next make no sense.
    pub checks: Vec<Check>,
    /// Present exactly when no check failed.
    pub verified: Option<VerifiedQuote>,
}

/// Checks a quote (`TPMS_ATTEST` bytes), its signature (`TPMT_SIGNATURE` bytes) and the reported values.
pub fn verify(
    ak: &Public,
    quote: &[u8],
    signature: &[u8],
    pcrs: &PcrValues,
    expected: Expected<'_>,
) -> QuoteReport {
    let mut checks = Vec::new();
    let attest = structure(ak, quote, signature, &mut checks);
    let verified = attest.and_then(|attest| content(attest, pcrs, expected, &mut checks));
    QuoteReport { verified: verified.filter(|_| !checks.iter().any(Check::failed)), checks }
}

fn structure(ak: &Public, quote: &[u8], signature: &[u8], checks: &mut Vec<Check>) -> Option<Attest> {
    let fit = check_ak(ak);
    let found = fit.map_or_else(|flaw| flaw.to_string(), |()| "fit".to_owned());
    checks.push(Check::of(
        CheckName::AttestationKey,
        fit.is_ok(),
        "a restricted signing key of a TPM",
        found,
        "",
    ));
    let parsed = Signature::parse(signature);
    let signed = parsed.as_ref().is_ok_and(|s| signature::verify(ak, quote, s));
    let found = match &parsed {
        Ok(_) if signed => "good".to_owned(),
        Ok(_) => "made by another key, or the quote was changed".to_owned(),
        Err(e) => e.to_string(),
    };
    checks.push(Check::of(
        CheckName::QuoteSignature,
        signed,
        format!("signature of the attestation key {}", hex(&ak.name())),
        found,
        "",
    ));
    // Nothing below is worth reading in bytes that the attestation key did not sign.
    if checks.iter().any(Check::failed) {
        return None;
    }
    let attest = Attest::parse(quote);
    let holds = attest.as_ref().is_ok_and(|a| matches!(a.body, Body::Quote { .. }));
    let found = match &attest {
        Ok(_) if holds => "quote".to_owned(),
        Ok(_) => "another attestation type".to_owned(),
        Err(e) => e.to_string(),
    };
    checks.push(Check::of(CheckName::QuoteStructure, holds, "a quote made by a TPM", found, ""));
    attest.ok().filter(|_| holds)
}

fn content(
    attest: Attest,
    pcrs: &PcrValues,
    expected: Expected<'_>,
    checks: &mut Vec<Check>,
) -> Option<VerifiedQuote> {
    let Body::Quote { selection, pcr_digest } = attest.body else { return None };
    checks.push(Check::of(
        CheckName::Freshness,
        same(&attest.extra_data, expected.nonce),
        hex(expected.nonce),
        hex(&attest.extra_data),
        "binds purpose, checkpoint, device and channel",
    ));
    let selected = sha256_pcrs(&selection);
    let reported: Vec<u8> = pcrs.iter().map(|(i, _)| *i).collect();
    checks.push(Check::of(
        CheckName::PcrSelection,
        selected.as_ref() == Some(&reported),
        format!("sha256 {reported:?}"),
        selected.as_ref().map_or_else(|| "not one sha256 bank".to_owned(), |s| format!("sha256 {s:?}")),
        "the reported PCRs, each once, ascending",
    ));
    let missing: Vec<u8> = expected.required.iter().copied().filter(|p| !reported.contains(p)).collect();
    checks.push(Check::of(
        CheckName::PcrCoverage,
        missing.is_empty(),
        format!("at least {:?}", expected.required),
        format!("{reported:?}"),
        if missing.is_empty() { String::new() } else { format!("missing {missing:?}") },
    ));
    // The digest uses the hash of the signing scheme; our attestation keys of P-384 sign with SHA-384.
    let mut input = Vec::with_capacity(pcrs.len() * 32);
    for (_, value) in pcrs {
        input.extend_from_slice(value);
    }
    let hash = digest_by_size(pcr_digest.len());
    let computed = hash.map(|h| h.digest(&input)).unwrap_or_default();
    checks.push(Check::of(
        CheckName::PcrDigest,
        !computed.is_empty() && same(&computed, &pcr_digest),
        hex(&pcr_digest),
        hex(&computed),
        "digest over the reported PCR values",
    ));
    Some(VerifiedQuote { pcrs: pcrs.to_vec(), clock: attest.clock, tpm_firmware: attest.firmware_version })
}

/// The PCRs of the selection if it is of the SHA-256 bank alone: a second bank would make the digest cover
/// values that nobody reported.
fn sha256_pcrs(selection: &PcrSelection) -> Option<Vec<u8>> {
    match selection.banks.as_slice() {
        [bank] if bank.hash == HashAlg::Sha256 => Some(bank.pcrs()),
        _ => None,
    }
}

fn digest_by_size(size: usize) -> Option<HashAlg> {
    [HashAlg::Sha256, HashAlg::Sha384].into_iter().find(|h| h.size() == size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{SoftAk, vector};
    use crate::tpm::structures::{Curve, PcrBank};

    const NONCE: [u8; 32] = [9; 32];
    const PCRS: [(u8, [u8; 32]); 3] = [(0, [1; 32]), (4, [2; 32]), (12, [3; 32])];
    const EXPECTED: Expected<'static> = Expected { nonce: &NONCE, required: &[0, 12] };

    fn digest(pcrs: &PcrValues) -> Vec<u8> {
        HashAlg::Sha256.digest(&pcrs.iter().flat_map(|(_, v)| *v).collect::<Vec<u8>>())
    }

    fn attest(ak: &SoftAk) -> Attest {
        let selection = PcrSelection::of(HashAlg::Sha256, &[0, 4, 12]);
        ak.attest(&NONCE, Body::Quote { selection, pcr_digest: digest(&PCRS) })
    }

    fn failed(ak: &SoftAk, attest: &Attest, pcrs: &PcrValues, expected: Expected<'_>) -> Vec<CheckName> {
        let quote = attest.encode();
        let report = verify(&ak.public, &quote, &ak.sign(&quote), pcrs, expected);
        let failed: Vec<_> = report.checks.iter().filter(|c| c.failed()).map(|c| c.name).collect();
        assert_eq!(report.verified.is_some(), failed.is_empty());
        failed
    }

    #[test]
    fn a_good_quote_is_verified_on_both_curves() {
        for curve in [Curve::P256, Curve::P384] {
            let ak = SoftAk::with(curve);
            let quote = attest(&ak).encode();
            let report = verify(&ak.public, &quote, &ak.sign(&quote), &PCRS, EXPECTED);
            let verified = report.verified.unwrap();
            assert_eq!(verified.pcrs(), PCRS);
            assert_eq!(verified.pcr(4), Some(&[2; 32]));
            assert_eq!(verified.clock().reset_count, 5);
        }
    }

    // I5, I12
    #[test]
    fn every_flipped_bit_of_quote_signature_or_values_is_noticed() {
        let ak = SoftAk::new();
        let quote = attest(&ak).encode();
        let signature = ak.sign(&quote);
        for bit in 0..quote.len() * 8 {
            let mut bad = quote.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&ak.public, &bad, &signature, &PCRS, EXPECTED).verified.is_none(), "quote {bit}");
        }
        for bit in 0..signature.len() * 8 {
            let mut bad = signature.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&ak.public, &quote, &bad, &PCRS, EXPECTED).verified.is_none(), "signature {bit}");
        }
        for bit in 0..256 {
            let mut bad = PCRS;
            bad[1].1[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&ak.public, &quote, &signature, &bad, EXPECTED).verified.is_none(), "value {bit}");
        }
        for n in 0..quote.len() {
            assert!(verify(&ak.public, &quote[..n], &signature, &PCRS, EXPECTED).verified.is_none());
        }
    }

    // R38
    #[test]
    fn the_attestation_key_of_another_tpm_is_noticed() {
        let (ak, other) = (SoftAk::new(), SoftAk::new());
        let quote = attest(&ak).encode();
        let report = verify(&other.public, &quote, &ak.sign(&quote), &PCRS, EXPECTED);
        assert_eq!(report.verified, None);
        assert!(report.checks.iter().any(|c| c.failed() && c.name == CheckName::QuoteSignature));
    }

    #[test]
    fn each_rule_of_a_quote_says_no() {
        let ak = SoftAk::new();
        let good = attest(&ak);
        assert_eq!(failed(&ak, &good, &PCRS, EXPECTED), []);

        let replayed = Expected { nonce: &[8; 32], ..EXPECTED };
        assert_eq!(failed(&ak, &good, &PCRS, replayed), [CheckName::Freshness]);
        let short = Expected { nonce: &[9; 31], ..EXPECTED };
        assert_eq!(failed(&ak, &good, &PCRS, short), [CheckName::Freshness]);

        let more = Expected { required: &[0, 7, 12], ..EXPECTED };
        assert_eq!(failed(&ak, &good, &PCRS, more), [CheckName::PcrCoverage]);

        let extra = [PCRS[0], PCRS[1], (7, [5; 32]), PCRS[2]];
        assert_eq!(failed(&ak, &good, &extra, EXPECTED), [CheckName::PcrSelection, CheckName::PcrDigest]);
        let missing = [PCRS[0], PCRS[2]];
        assert_eq!(failed(&ak, &good, &missing, EXPECTED), [CheckName::PcrSelection, CheckName::PcrDigest]);
        let reordered = [PCRS[1], PCRS[0], PCRS[2]];
        assert_eq!(failed(&ak, &good, &reordered, EXPECTED), [CheckName::PcrSelection, CheckName::PcrDigest]);

        let with =
            |selection: PcrSelection, pcr_digest| ak.attest(&NONCE, Body::Quote { selection, pcr_digest });
        let sha1 = with(PcrSelection::of(HashAlg::Sha1, &[0, 4, 12]), digest(&PCRS));
        assert_eq!(failed(&ak, &sha1, &PCRS, EXPECTED), [CheckName::PcrSelection]);
        let mut two = PcrSelection::of(HashAlg::Sha256, &[0, 4, 12]);
        two.banks.insert(0, PcrBank { hash: HashAlg::Sha1, select: vec![1, 0, 0] });
        assert_eq!(failed(&ak, &with(two, digest(&PCRS)), &PCRS, EXPECTED), [CheckName::PcrSelection]);
        let none = with(PcrSelection::of(HashAlg::Sha256, &[0, 4, 12]), vec![]);
        assert_eq!(failed(&ak, &none, &PCRS, EXPECTED), [CheckName::PcrDigest]);

        let certify = ak.attest(&NONCE, Body::Certify { name: vec![1; 34], qualified_name: vec![] });
        assert_eq!(failed(&ak, &certify, &PCRS, EXPECTED), [CheckName::QuoteStructure]);

        let mut unfit = SoftAk::new();
        unfit.public.attributes = crate::tpm::keys::TLS_ATTRIBUTES;
        assert_eq!(failed(&unfit, &attest(&unfit), &PCRS, EXPECTED), [CheckName::AttestationKey]);
    }

    #[test]
    fn an_outsider_cannot_pass_a_look_alike_without_the_magic() {
        let ak = SoftAk::new();
        let mut forged = attest(&ak).encode();
        forged[0] = 0;
        let report = verify(&ak.public, &forged, &ak.sign(&forged), &PCRS, EXPECTED);
        assert!(report.checks.iter().any(|c| c.failed() && c.name == CheckName::QuoteStructure));
        assert_eq!(report.verified, None);
    }

    #[test]
    fn a_recorded_quote_of_a_real_tpm_has_a_good_signature() {
        let dir = "keylime/test-data/files";
        let (Some(ak), Some(quote), Some(sig)) = (
            vector(&format!("{dir}/ak.pub")),
            vector(&format!("{dir}/quote.out")),
            vector(&format!("{dir}/quotesig.out")),
        ) else {
            return;
        };
        let ak = Public::parse_sized(&ak).unwrap();
        let sig = Signature::parse(&sig).unwrap();
        assert!(signature::verify(&ak, &quote, &sig));
        let attest = Attest::parse(&quote).unwrap();
        assert_eq!(attest.encode(), quote);
        assert!(matches!(attest.body, Body::Quote { .. }));
        for bit in 0..quote.len() * 8 {
            let mut bad = quote.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!signature::verify(&ak, &bad, &sig), "bit {bit}");
        }
    }

    #[test]
    fn a_quote_recorded_from_swtpm_is_verified() {
        let ak = Public::parse_sized(include_bytes!("../../tests/data/swtpm/ak.pub")).unwrap();
        let quote = include_bytes!("../../tests/data/swtpm/quote.msg");
        let signature = include_bytes!("../../tests/data/swtpm/quote.sig");
        let extended = |text: &[u8]| crate::tcg::build::pcr_after(&[(0, crate::freshness::sha256(text))], 0);
        let zero = [0; 32];
        let pcrs =
            [(0, extended(b"boot")), (2, zero), (4, zero), (7, zero), (9, zero), (12, extended(b"model"))];
        let nonce = crate::freshness::sha256(b"swtpm nonce");
        let expected = Expected { nonce: &nonce, required: &crate::tcg::QUOTED_PCRS };
        let report = verify(&ak, quote, signature, &pcrs, expected);
        assert!(report.verified.is_some(), "{:?}", report.checks);
    }
}
