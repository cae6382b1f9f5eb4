use super::build::{LogBuilder, pcr_after};
use super::*;
use crate::testkit::vector;
use crate::tpm::structures::HashAlg;
use crate::wire::Malformed;

fn sample() -> LogBuilder {
    LogBuilder::new()
        .s_crtm_version("4.2.0")
        .firmware_blob(0, 0xFF00_0000, b"firmware volume")
        .secure_boot_variable(b"SecureBoot=1")
        .boot_application("\\EFI\\pump.efi", b"image")
        .separators()
        .ipl("vmlinuz", b"kernel")
        .model("triage", [7; 32])
}

#[test]
fn a_written_log_replays_to_the_values_of_its_extends() {
    let (bytes, extends) = sample().finish();
    let log = EventLog::parse(&bytes).unwrap();
    assert_eq!(log.events.len(), 14);
    let replayed = replay(&log, HashAlg::Sha256).unwrap();
    for pcr in 0..24 {
        assert_eq!(replayed.value(pcr).unwrap(), pcr_after(&extends, pcr), "PCR {pcr}");
    }
    assert_eq!(replayed.count(0), 3);
    assert_eq!(replayed.count(MODEL_PCR), 1);
    assert_eq!(replayed.value(24), None);
}

#[test]
fn an_appended_model_event_is_the_same_as_a_built_one() {
    let (mut bytes, _) = LogBuilder::new().separators().finish();
    build::append_model(&mut bytes, "triage", [7; 32]);
    let (built, _) = LogBuilder::new().separators().model("triage", [7; 32]).finish();
    assert_eq!(bytes, built);
}

// I12
#[test]
fn a_log_cut_inside_an_event_is_refused() {
    let (bytes, _) = sample().finish();
    let whole = EventLog::parse(&bytes).unwrap();
    // A cut at an event's border is a shorter log; the replay then does not give the quoted values.
    let mut accepted = 0;
    for n in 0..bytes.len() {
        if let Ok(log) = EventLog::parse(&bytes[..n]) {
            assert_eq!(log.events, whole.events[..log.events.len()]);
            accepted += 1;
        }
    }
    assert_eq!(accepted, whole.events.len());
}

#[test]
fn a_flipped_bit_never_yields_the_same_extended_digests() {
    let (bytes, extends) = sample().finish();
    let expected = replay(&EventLog::parse(&bytes).unwrap(), HashAlg::Sha256).unwrap();
    let mut same = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(r) = EventLog::parse(&flipped).and_then(|l| replay(&l, HashAlg::Sha256)) {
            same += usize::from(r == expected);
        }
    }
    // Types and data are not covered: these flips are exactly what appraisal must not rely on.
    assert!(
        same > 0 && same < bytes.len() * 8,
        "{same} of {} with {} extends",
        bytes.len() * 8,
        extends.len()
    );
}

#[test]
fn padding_ends_a_log_and_anything_else_does_not() {
    let (bytes, _) = sample().finish();
    let whole = EventLog::parse(&bytes).unwrap();
    for fill in [0u8, 0xFF] {
        let padded = [bytes.as_slice(), &[fill; 300]].concat();
        assert_eq!(EventLog::parse(&padded).unwrap(), whole);
        let dirty = [padded.as_slice(), &[1]].concat();
        assert!(EventLog::parse(&dirty).map(|l| l != whole).unwrap_or(true));
    }
}

#[test]
fn startup_locality_sets_where_pcr_0_starts() {
    let locality = |l: u8| [&b"StartupLocality\0"[..], &[l]].concat();
    let build = |l| {
        let b = LogBuilder::new().event(0, EV_NO_ACTION, [0; 32], &locality(l));
        b.s_crtm_version("1").finish()
    };
    for l in [0u8, 3, 4] {
        let (bytes, extends) = build(l);
        let value = replay(&EventLog::parse(&bytes).unwrap(), HashAlg::Sha256).unwrap();
        let mut start = [0u8; 32];
        start[31] = l;
        let expected = HashAlg::Sha256.digest(&[start, extends[0].1].concat());
        assert_eq!(value.value(0).unwrap(), expected, "locality {l}");
    }
    let refuse = |bytes: &[u8]| replay(&EventLog::parse(bytes).unwrap(), HashAlg::Sha256).unwrap_err();
    assert!(matches!(refuse(&build(9).0), Malformed::Invalid { field: "startup locality", .. }));
    let late = LogBuilder::new().s_crtm_version("1").event(0, EV_NO_ACTION, [0; 32], &locality(3));
    assert!(matches!(refuse(&late.finish().0), Malformed::Invalid { field: "startup locality", .. }));
}

#[test]
fn events_outside_the_rules_are_refused() {
    let header_len = LogBuilder::new().finish().0.len();
    let (mut bytes, _) = LogBuilder::new().measured(1, EV_IPL, b"x").finish();
    // Digest algorithm not in the header.
    bytes[header_len + 12] = 0x0C;
    assert!(matches!(EventLog::parse(&bytes), Err(Malformed::Unsupported { field: "digest algorithm", .. })));
    // More digests than banks.
    let (mut bytes, _) = LogBuilder::new().measured(1, EV_IPL, b"x").finish();
    bytes[header_len + 8] = 2;
    assert!(matches!(EventLog::parse(&bytes), Err(Malformed::TooLong { field: "digest count", .. })));
    // PCR 24.
    let (bytes, _) = LogBuilder::new().measured(24, EV_IPL, b"x").finish();
    let log = EventLog::parse(&bytes).unwrap();
    assert!(matches!(replay(&log, HashAlg::Sha256), Err(Malformed::Unsupported { field: "event PCR", .. })));
    // A bank that the log does not have.
    let (bytes, _) = sample().finish();
    assert!(replay(&EventLog::parse(&bytes).unwrap(), HashAlg::Sha384).is_err());
    // Too long.
    assert!(matches!(EventLog::parse(&vec![0; MAX_LOG + 1]), Err(Malformed::TooLong { .. })));
}

// The fingerprint is over all PCR values of all banks, which agree with `tpm2_eventlog` 5.4 where that tool
// works: it crashes on the option ROM log, and PCR 0 of the first keylime log lacks the startup locality.
#[test]
fn recorded_logs_parse_and_replay() {
    let logs = [
        (
            "go-attestation/attest/testdata/coreos_36_shielded_vm_no_secure_boot_eventlog",
            75,
            "9fa1d2b6c24e2c8c",
        ),
        ("go-attestation/attest/testdata/crypto_agile_eventlog", 26, "d83e144f54ec5e30"),
        ("go-attestation/attest/testdata/ebs_event_missing_eventlog", 38, "2ce439bf6e71b589"),
        ("go-attestation/attest/testdata/option_rom_eventlog", 61, "eb3f2c7789766253"),
        ("go-attestation/attest/testdata/sb_cert_eventlog", 14, "98ed34a6341529fe"),
        ("go-attestation/attest/testdata/short_no_action_eventlog", 1, "e3b0c44298fc1c14"),
        (
            "go-attestation/attest/testdata/ubuntu_2104_shielded_vm_no_secure_boot_eventlog",
            105,
            "85b468d5783059df",
        ),
        ("keylime/test/data/create-mb-policy/binary_bios_measurements", 120, "24c0c73453fd3c13"),
        ("keylime/test/data/create-mb-policy/binary_bios_measurements-secureboot", 98, "d7211a16b8b9788f"),
        ("rust-keylime/keylime-push-model-agent/test-data/uefi_log.bin", 123, "873069e4682e6b41"),
    ];
    for (path, events, fingerprint) in logs {
        let Some(bytes) = vector(path) else { continue };
        let log = EventLog::parse(&bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut all = Vec::new();
        for bank in [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384] {
            if log.has_bank(bank) {
                let r = replay(&log, bank).unwrap_or_else(|e| panic!("{path}: {e}"));
                all.extend((0..24).filter(|p| r.count(*p) > 0).flat_map(|p| r.value(p).unwrap().to_vec()));
            }
        }
        let found = crate::check::hex(&HashAlg::Sha256.digest(&all));
        assert_eq!((log.events.len(), found.split_at(16).0), (events, fingerprint), "{path}");
    }
    for path in ["binary_bios_measurements-bogus", "binary_bios_measurements-empty"] {
        if let Some(bytes) = vector(&format!("keylime/test/data/create-mb-policy/{path}")) {
            assert!(EventLog::parse(&bytes).is_err(), "{path}");
        }
    }
}
