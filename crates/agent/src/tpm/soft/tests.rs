use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use lanyard_attest::tpm::credential::Credential;
use lanyard_attest::tpm::quote::{self, Expected};
use lanyard_attest::tpm::structures::spki_der;
use lanyard_domain::time::Timestamp;

use super::*;
use crate::tpm::contract;

fn maker() -> MakerCa {
    MakerCa::new("Simulated TPM Maker", Timestamp::from_seconds(1_760_000_000)).unwrap()
}

fn soft() -> SoftTpm {
    SoftTpm::in_memory(&maker(), "LNY-1", "PUMP-0001").unwrap()
}

/// A chip in files, with an AK and a TLS key.
fn in_files() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tpm");
    let tpm = SoftTpm::manufacture(&path, &maker(), "LNY-1", "PUMP-0001").unwrap();
    tpm.ensure_ak().unwrap();
    tpm.create_tls_key(KeySlot::A).unwrap();
    tpm.pcr_extend(0, &[1; 32]).unwrap();
    (dir, path)
}

// R33, R34
#[test]
fn soft_tpm_in_memory_keeps_the_contract() {
    for kind in [EkKind::P256, EkKind::Rsa2048] {
        let make = || SoftTpm::in_memory_with(&maker(), "LNY-1", "PUMP-0001", kind).unwrap();
        contract::of_one_tpm(&make());
        contract::of_two_tpms(&make(), &make());
    }
    contract::of_two_tpms(
        &soft(),
        &SoftTpm::in_memory_with(&maker(), "LNY-1", "2", EkKind::Rsa2048).unwrap(),
    );
}

#[test]
fn soft_tpm_in_files_keeps_the_contract_and_survives_restarts() {
    for kind in [EkKind::P256, EkKind::Rsa2048] {
        let dir = tempfile::tempdir().unwrap();
        let tpm = SoftTpm::manufacture_with(dir.path(), &maker(), "LNY-1", "PUMP-0001", kind).unwrap();
        contract::of_one_tpm(&tpm);
        drop(tpm);
        contract::of_a_restart(|| Box::new(SoftTpm::open(dir.path()).unwrap()));
        for file in ["chip.lyrt", "measurements.lyrt", "keys.lyrt"] {
            let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}

// I2
#[test]
fn copied_key_file_is_refused_by_another_tpm() {
    let (_one, original) = in_files();
    let (_two, clone) = in_files();
    std::fs::copy(original.join("keys.lyrt"), clone.join("keys.lyrt")).unwrap();
    let tpm = SoftTpm::open(&clone).unwrap();
    let refused = [
        tpm.ensure_ak().map(drop),
        tpm.quote(b"n", &[0]).map(drop),
        tpm.load_tls_key(KeySlot::A).map(drop),
        tpm.sign_tls(KeySlot::A, b"m").map(drop),
        tpm.certify_tls_key(KeySlot::A, b"n").map(drop),
    ];
    for result in refused {
        assert!(matches!(result, Err(TpmError::KeyNotOfThisTpm(_))), "{result:?}");
    }
    drop(tpm);
    // The same in memory, as the simulator clones a device.
    let (victim, thief) = (soft(), soft());
    victim.create_tls_key(KeySlot::A).unwrap();
    thief.replace_key_file(&victim.key_file()).unwrap();
    assert!(matches!(thief.sign_tls(KeySlot::A, b"m"), Err(TpmError::KeyNotOfThisTpm(_))));
    // A TPM that gets its own file back goes on.
    victim.replace_key_file(&victim.key_file()).unwrap();
    victim.sign_tls(KeySlot::A, b"m").unwrap();
}

#[test]
fn swapped_blobs_and_edited_public_areas_are_refused() {
    let tpm = soft();
    tpm.ensure_ak().unwrap();
    tpm.create_tls_key(KeySlot::A).unwrap();
    let fields =
        crate::tpm::container::decode("keys", crate::tpm::container::Kind::Keys, &tpm.key_file()).unwrap();
    let put = |fields: &[&[u8]]| {
        tpm.replace_key_file(&crate::tpm::container::encode(crate::tpm::container::Kind::Keys, fields))
            .unwrap();
    };
    // The restricted attestation key in the place of the TLS key.
    put(&[b"tls-a", &fields[1], &fields[2]]);
    assert!(matches!(tpm.sign_tls(KeySlot::A, b"m"), Err(TpmError::Malformed { .. })));
    // Its restriction removed from the public area.
    let mut open = Public::parse(&fields[1]).unwrap();
    open.attributes = Public::parse(&fields[4]).unwrap().attributes;
    put(&[b"tls-a", &open.encode(), &fields[2]]);
    assert!(matches!(tpm.sign_tls(KeySlot::A, b"m"), Err(TpmError::KeyNotOfThisTpm(_))));
}

#[test]
fn cut_or_damaged_state_is_a_typed_error() {
    for (file, step) in [("chip.lyrt", 7), ("measurements.lyrt", 13), ("keys.lyrt", 11)] {
        let (_dir, path) = in_files();
        let good = std::fs::read(path.join(file)).unwrap();
        for end in (0..good.len()).step_by(step) {
            std::fs::write(path.join(file), &good[..end]).unwrap();
            let opened = SoftTpm::open(&path).map(drop);
            assert!(matches!(opened, Err(TpmError::Malformed { .. })), "{file} cut at {end}: {opened:?}");
        }
        for at in (0..good.len()).step_by(step) {
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            std::fs::write(path.join(file), &flipped).unwrap();
            let opened = SoftTpm::open(&path).map(drop);
            assert!(matches!(opened, Err(TpmError::Malformed { .. })), "{file} flipped at {at}: {opened:?}");
        }
        std::fs::write(path.join(file), &good).unwrap();
        SoftTpm::open(&path).unwrap().quote(b"n", &[0]).unwrap();
    }
}

#[test]
fn measurements_of_another_chip_are_refused() {
    let (_one, original) = in_files();
    let (_two, other) = in_files();
    std::fs::copy(original.join("measurements.lyrt"), other.join("measurements.lyrt")).unwrap();
    assert!(SoftTpm::open(&other).map(drop).unwrap_err().to_string().contains("another TPM"));
}

#[test]
fn one_process_at_a_time_and_one_chip_per_directory() {
    let (_dir, path) = in_files();
    let held = SoftTpm::open(&path).unwrap();
    assert!(matches!(SoftTpm::open(&path), Err(TpmError::Locked(_))));
    drop(held);
    SoftTpm::open(&path).unwrap();
    let again = SoftTpm::manufacture(&path, &maker(), "LNY-1", "PUMP-0001");
    assert!(matches!(again, Err(TpmError::Refused { .. })));
    assert!(matches!(SoftTpm::open(&path.join("elsewhere")), Err(TpmError::NotFound(_))));
}

// R34
#[test]
fn restricted_key_does_not_sign_what_looks_like_a_quote() {
    let tpm = soft();
    tpm.ensure_ak().unwrap();
    let forged = tpm.quote(b"nonce", &[0]).unwrap().attest;
    assert!(matches!(tpm.sign_with_ak(&forged), Err(TpmError::Refused { .. })));
    assert!(matches!(tpm.sign_with_ak(&[0xff, 0x54, 0x43, 0x47]), Err(TpmError::Refused { .. })));
    tpm.sign_with_ak(b"anything else").unwrap();
    // An unrestricted key signs it, which is why a quote signed by a TLS key proves nothing and is refused.
    tpm.create_tls_key(KeySlot::A).unwrap();
    tpm.sign_tls(KeySlot::A, &forged).unwrap();
}

#[test]
fn power_cycles_zero_the_pcrs_and_are_told_by_the_counters() {
    let (_dir, path) = in_files();
    let clock = |tpm: &SoftTpm| Attest::parse(&tpm.quote(b"n", &[0]).unwrap().attest).unwrap().clock;
    let tpm = SoftTpm::open(&path).unwrap();
    let before = clock(&tpm);
    assert!(before.safe);
    assert_ne!(tpm.pcr_read(&[0]).unwrap()[0].1, [0; 32]);

    tpm.reset(Shutdown::Orderly).unwrap();
    let orderly = clock(&tpm);
    assert_eq!(tpm.pcr_read(&[0, 17]).unwrap(), [(0, [0; 32]), (17, [0xff; 32])]);
    assert_eq!((orderly.reset_count, orderly.restart_count), (before.reset_count + 1, 0));
    assert!(orderly.safe && orderly.clock >= before.clock);

    tpm.reset(Shutdown::PowerCut).unwrap();
    let cut = clock(&tpm);
    assert_eq!(cut.reset_count, orderly.reset_count + 1);
    assert!(!cut.safe, "the clock may have gone back and must say so");
    drop(tpm);

    let reopened = clock(&SoftTpm::open(&path).unwrap());
    assert_eq!(reopened.reset_count, cut.reset_count, "a restart of the agent is no power cycle");
    assert!(reopened.clock >= cut.clock);
}

#[test]
fn a_thousand_devices_fit_in_one_process() {
    let maker = maker();
    let fleet: Vec<SoftTpm> = (0..1000)
        .map(|n| {
            let tpm = SoftTpm::in_memory(&maker, "LNY-1", &format!("PUMP-{n:04}")).unwrap();
            tpm.ensure_ak().unwrap();
            tpm.create_tls_key(KeySlot::A).unwrap();
            tpm
        })
        .collect();
    let names: std::collections::HashSet<_> = fleet.iter().map(|tpm| tpm.ensure_ak().unwrap().name).collect();
    assert_eq!(names.len(), 1000);
}

#[test]
fn maker_goes_on_after_export_and_import() {
    let maker = maker();
    let again = MakerCa::import(&maker.export().unwrap()).unwrap();
    assert_eq!((again.root_der(), again.name()), (maker.root_der(), "Simulated TPM Maker"));
    let dir = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::in_memory(&again, "LNY-1", "PUMP-0002").unwrap();
    assert!(openssl_verifies(dir.path(), maker.root_der(), &tpm.ek_certificate_chain().unwrap()[0]));
    assert!(matches!(MakerCa::import(b"no maker"), Err(TpmError::Malformed { .. })));
    for bad in ["", "line\nbreak", &"x".repeat(65)] {
        assert!(matches!(MakerCa::new(bad, Timestamp::default()), Err(TpmError::Malformed { .. })));
        assert!(matches!(SoftTpm::in_memory(&maker, bad, "s"), Err(TpmError::Malformed { .. })));
        assert!(matches!(SoftTpm::in_memory(&maker, "m", bad), Err(TpmError::Malformed { .. })));
    }
}

// ---- foreign peers: OpenSSL and tpm2-tools judge what the software TPM makes

fn run(command: &mut Command) -> std::process::Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|e| panic!("`{name}` is missing ({e}): run `cargo xtask peers`"))
}

fn openssl_verifies(dir: &Path, root: &[u8], leaf: &[u8]) -> bool {
    for (name, der) in [("root.pem", root), ("leaf.pem", leaf)] {
        std::fs::write(dir.join(name), pem("CERTIFICATE", der)).unwrap();
    }
    // OpenSSL does not know the extended key usage of endorsement certificates, so no purpose is asked for.
    let out = run(Command::new("openssl")
        .current_dir(dir)
        .args(["verify", "-x509_strict", "-CAfile"])
        .args(["root.pem", "leaf.pem"]));
    out.status.success()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn openssl_and_our_verifier_accept_the_makers_certificates_and_refuse_another_makers() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (maker(), maker());
    let stranger = MakerCa::new("Stranger", Timestamp::default()).unwrap();
    for kind in [EkKind::P256, EkKind::Rsa2048] {
        let tpm = SoftTpm::in_memory_with(&one, "LNY-1", "PUMP-0001", kind).unwrap();
        let leaf = &tpm.ek_certificate_chain().unwrap()[0];
        assert!(openssl_verifies(dir.path(), one.root_der(), leaf));
        assert!(!openssl_verifies(dir.path(), two.root_der(), leaf));
        contract::of_an_endorsed_tpm(&tpm, one.root_der(), (stranger.root_der(), "ek_unknown_ca"));
        // Another key under the same name.
        contract::of_an_endorsed_tpm(&tpm, one.root_der(), (two.root_der(), "ek_certificate_signature"));
        let text = run(Command::new("openssl")
            .current_dir(dir.path())
            .args(["x509", "-in", "leaf.pem", "-noout", "-text"]));
        let text = String::from_utf8(text.stdout).unwrap();
        for expected in
            ["2.23.133.8.1", "id:4C4E5944", "LNY-1", "PUMP-0001", "Dec 31 23:59:59 9999 GMT", "CA:FALSE"]
        {
            assert!(text.contains(expected), "`{expected}` is not in {text}");
        }
    }
}

// R34
#[test]
fn tpm2_checkquote_accepts_the_quote_and_refuses_another_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let tpm = soft();
    let ak = Public::parse(&tpm.ensure_ak().unwrap().public).unwrap();
    tpm.pcr_extend(8, &[8; 32]).unwrap();
    let made = tpm.quote(b"nonce-from-server", &[0, 8, 17]).unwrap();
    let expected = Expected { nonce: b"nonce-from-server", required: &[0, 8] };
    assert!(quote::verify(&ak, &made.attest, &made.signature, &made.pcrs, expected).verified.is_some());
    std::fs::write(dir.path().join("ak.pem"), pem("PUBLIC KEY", &spki_der(&ak))).unwrap();
    std::fs::write(dir.path().join("q.msg"), &made.attest).unwrap();
    std::fs::write(dir.path().join("q.sig"), &made.signature).unwrap();
    let check = |nonce: &[u8]| {
        run(Command::new("tpm2_checkquote")
            .current_dir(dir.path())
            .args(["-u", "ak.pem", "-m", "q.msg", "-s", "q.sig", "-g", "sha256", "-q"])
            .arg(data_encoding::HEXLOWER.encode(nonce)))
    };
    let accepted = check(b"nonce-from-server");
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    assert!(!check(b"nonce-from-nobody").status.success());
}

#[test]
fn credential_of_tpm2_makecredential_is_activated() {
    for (kind, algorithm) in [(EkKind::P256, "ecc"), (EkKind::Rsa2048, "rsa")] {
        let dir = tempfile::tempdir().unwrap();
        let tpm = SoftTpm::in_memory_with(&maker(), "LNY-1", "PUMP-0001", kind).unwrap();
        let ek = Public::parse(&tpm.ek_public().unwrap()).unwrap();
        std::fs::write(dir.path().join("ek.pem"), pem("PUBLIC KEY", &spki_der(&ek))).unwrap();
        std::fs::write(dir.path().join("secret"), b"made by a foreign tool").unwrap();
        let made = run(Command::new("tpm2_makecredential")
            .current_dir(dir.path())
            .args(["-T", "none", "-u", "ek.pem", "-G", algorithm, "-s", "secret", "-o", "blob", "-n"])
            .arg(data_encoding::HEXLOWER.encode(&tpm.ensure_ak().unwrap().name)));
        assert!(made.status.success(), "{algorithm}: {}", String::from_utf8_lossy(&made.stderr));
        let file = std::fs::read(dir.path().join("blob")).unwrap();
        // tpm2-tools put a magic and a version in front.
        let credential = Credential::parse(&file[8..]).unwrap();
        let opened = tpm.activate_credential(&credential.blob, &credential.encrypted_secret).unwrap();
        assert_eq!(opened, b"made by a foreign tool");
    }
}
