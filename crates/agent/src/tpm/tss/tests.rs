//! The hardware backend on swtpm, a foreign TPM 2.0. Each test has its own, on free ports of the loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::*;
use crate::tpm::contract;
use crate::tpm::der;
use lanyard_attest::tpm::structures::{Attest, Key, Public};

const MISSING: &str = "run `cargo xtask peers`";

/// libtss2 opens its sockets without close-on-exec. Were two tests to run at once, the swtpm that one of them starts
/// would inherit the connection of the other and keep it open.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One simulated device: an EK certified by its own local CA, state in a directory of its own.
struct Swtpm {
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Swtpm {
    fn manufacture() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path().display();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        std::fs::create_dir(dir.path().join("ca")).unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "localca.conf",
            format!(
                "statedir = {d}/ca\nsigningkey = {d}/ca/signkey.pem\nissuercert = {d}/ca/issuercert.pem\n\
                 certserial = {d}/ca/certserial\n"
            ),
        );
        write(
            "localca.options",
            "--platform-manufacturer AcmeMed\n--platform-version 1.0\n--platform-model Infusion-X\n"
                .to_owned(),
        );
        write(
            "setup.conf",
            format!(
                "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {d}/localca.conf\n\
                 create_certs_tool_options = {d}/localca.options\n"
            ),
        );
        let made = Command::new("swtpm_setup")
            .args([
                "--tpm2",
                "--create-ek-cert",
                "--lock-nvram",
                "--pcr-banks",
                "sha256",
                "--vmid",
                "pump-0001",
            ])
            .arg("--tpmstate")
            .arg(dir.path().join("state"))
            .arg("--config")
            .arg(dir.path().join("setup.conf"))
            .output()
            .unwrap_or_else(|e| panic!("`swtpm_setup` is missing ({e}): {MISSING}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let mut swtpm = Self { dir, port: 0, process: None };
        swtpm.power_on();
        swtpm
    }

    /// swtpm takes a port for commands and the next one for control.
    fn power_on(&mut self) {
        // After a power cut it is where it was, as a chip is.
        for _ in 0..20 {
            let port = if self.port == 0 { free_pair() } else { self.port };
            let log = self.dir.path().join("swtpm.log");
            let state = format!("dir={}", self.dir.path().join("state").display());
            let mut process = Command::new("swtpm")
                .args(["socket", "--tpm2", "--tpmstate", &state, "--flags", "not-need-init,startup-clear"])
                .args(["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")])
                .args(["--ctrl", &format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1)])
                .stderr(std::fs::File::create(&log).unwrap())
                .spawn()
                .unwrap_or_else(|e| panic!("`swtpm` is missing ({e}): {MISSING}"));
            // It has either taken both ports and listens on the second, or ended because one was taken
            // meanwhile.
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(10) {
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                let listens = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port + 1)).is_ok();
                if listens && process.try_wait().unwrap().is_none() {
                    (self.port, self.process) = (port, Some(process));
                    return;
                }
                std::thread::yield_now();
            }
            let _ = process.kill();
            process.wait().unwrap();
            eprintln!("swtpm did not start on {port}: {}", std::fs::read_to_string(&log).unwrap());
        }
        panic!("swtpm did not start on any of 20 pairs of ports");
    }

    /// The plug is pulled.
    fn power_off(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn options(&self) -> HardwareOptions {
        let tcti = format!("swtpm:host=127.0.0.1,port={}", self.port);
        HardwareOptions {
            deadline: Duration::from_secs(20),
            ..HardwareOptions::new(tcti, self.dir.path().join("keys"))
        }
    }

    fn open(&self) -> HardwareTpm {
        HardwareTpm::open(self.options()).unwrap()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

fn free_pair() -> u16 {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return port;
        }
    }
}

fn tpm2(tcti: &str, program: &str, args: &[&str]) {
    let out = Command::new(program)
        .args(args)
        .env("TPM2TOOLS_TCTI", tcti)
        .output()
        .unwrap_or_else(|e| panic!("`{program}` is missing ({e}): {MISSING}"));
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
}

// R33, R34
#[test]
fn swtpm_keeps_the_contract_and_survives_restarts_of_the_agent() {
    let _alone = alone();
    let swtpm = Swtpm::manufacture();
    contract::of_one_tpm(&swtpm.open());
    contract::of_a_restart(|| Box::new(swtpm.open()));
}

// R34, I2
#[test]
fn two_swtpms_do_not_open_each_others_credentials_or_key_files() {
    let _alone = alone();
    let (one, other) = (Swtpm::manufacture(), Swtpm::manufacture());
    {
        let (tpm, other_tpm) = (one.open(), other.open());
        contract::of_two_tpms(&tpm, &other_tpm);
        tpm.create_tls_key(KeySlot::A).unwrap();
    }
    let (from, to) = (one.options().state_dir, other.options().state_dir);
    for file in ["ak.lyrt", "tls-a.lyrt"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let clone = other.open();
    for result in [
        clone.ensure_ak().map(drop),
        clone.sign_tls(KeySlot::A, b"m").map(drop),
        clone.quote(b"n", &[0]).map(drop),
    ] {
        assert!(matches!(result, Err(TpmError::KeyNotOfThisTpm(_))), "{result:?}");
    }
    // A software TPM's credential refuses as well, in both directions.
    let maker = crate::tpm::soft::MakerCa::new("Maker", Default::default()).unwrap();
    let soft = crate::tpm::soft::SoftTpm::in_memory(&maker, "LNY-1", "1").unwrap();
    contract::of_two_tpms(&soft, &one.open());
}

// R34
#[test]
fn ek_certificate_of_swtpm_setup_is_read_and_is_of_the_endorsement_key() {
    let _alone = alone();
    let swtpm = Swtpm::manufacture();
    let tpm = swtpm.open();
    let ek = Public::parse(&tpm.ek_public().unwrap()).unwrap();
    assert!(matches!(ek.key, Key::Rsa { bits: 2048, .. }), "swtpm_setup certifies an RSA-2048 key");
    let chain = tpm.ek_certificate_chain().unwrap();
    let [leaf] = chain.as_slice() else { panic!("{} certificates", chain.len()) };
    assert_eq!(der::certificates(leaf), chain);
    let text = std::fs::read_to_string(swtpm.dir.path().join("ca/issuercert.pem")).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let issuer = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    let other = crate::tpm::soft::MakerCa::new("Maker", Default::default()).unwrap();
    contract::of_an_endorsed_tpm(&tpm, &issuer, (other.root_der(), "ek_unknown_ca"));
}

// tpm2-tools make the P-256 endorsement key of template L-2 and store its certificate, as a maker would.
#[test]
fn p256_endorsement_key_with_certificate_is_preferred_and_keeps_the_contract() {
    let _alone = alone();
    let swtpm = Swtpm::manufacture();
    let tcti = swtpm.options().tcti;
    let maker = crate::tpm::soft::MakerCa::new("Maker", Default::default()).unwrap();
    // Any certificate will do for where it is stored; whose key it holds is the verifier's to check.
    let certificate = crate::tpm::soft::SoftTpm::in_memory(&maker, "LNY-1", "1")
        .unwrap()
        .ek_certificate_chain()
        .unwrap()
        .remove(0);
    let file = swtpm.dir.path().join("ek.der");
    std::fs::write(&file, &certificate).unwrap();
    // The index is larger than the certificate, as makers' are.
    let size = (certificate.len() + 100).to_string();
    let attributes = "ppwrite|ppread|ownerread|authread|no_da|platformcreate";
    tpm2(&tcti, "tpm2_nvdefine", &["0x01c0000a", "-C", "p", "-s", &size, "-a", attributes]);
    tpm2(&tcti, "tpm2_nvwrite", &["0x01c0000a", "-C", "p", "-i", file.to_str().unwrap()]);
    let ek_file = swtpm.dir.path().join("ek.pub");
    let context = swtpm.dir.path().join("ek.ctx");
    tpm2(
        &tcti,
        "tpm2_createek",
        &["-G", "ecc", "-c", context.to_str().unwrap(), "-u", ek_file.to_str().unwrap()],
    );
    // tpm2-tools leave their object in a slot; connecting clears it.
    let tpm = swtpm.open();
    let expected = Public::parse_sized(&std::fs::read(ek_file).unwrap()).unwrap();
    assert_eq!(tpm.ek_public().unwrap(), expected.encode());
    assert_eq!(tpm.ek_certificate_chain().unwrap(), [certificate]);
    contract::of_one_tpm(&tpm);
}

// I7: a chosen endorsement key stays, also when a certificate for another one appears later.
#[test]
fn attestation_key_keeps_its_endorsement_key() {
    let _alone = alone();
    let swtpm = Swtpm::manufacture();
    let tcti = swtpm.options().tcti;
    let (ek, ak) = {
        let tpm = swtpm.open();
        (tpm.ek_public().unwrap(), tpm.ensure_ak().unwrap())
    };
    let file = swtpm.dir.path().join("ek.der");
    std::fs::write(&file, der::sequence(&[&[0; 200]])).unwrap();
    let attributes = "ppwrite|ppread|ownerread|authread|no_da|platformcreate";
    tpm2(&tcti, "tpm2_nvdefine", &["0x01c0000a", "-C", "p", "-s", "400", "-a", attributes]);
    tpm2(&tcti, "tpm2_nvwrite", &["0x01c0000a", "-C", "p", "-i", file.to_str().unwrap()]);
    let tpm = swtpm.open();
    assert_eq!((tpm.ek_public().unwrap(), tpm.ensure_ak().unwrap()), (ek, ak));
}

#[test]
fn power_cut_is_told_by_counters_and_the_same_keys_serve_again() {
    let _alone = alone();
    let mut swtpm = Swtpm::manufacture();
    let clock = |tpm: &HardwareTpm| Attest::parse(&tpm.quote(b"n", &[0]).unwrap().attest).unwrap().clock;
    let (ak, tls, before) = {
        let tpm = swtpm.open();
        tpm.pcr_extend(0, &[1; 32]).unwrap();
        let ak = tpm.ensure_ak().unwrap();
        (ak, tpm.create_tls_key(KeySlot::B).unwrap(), clock(&tpm))
    };
    swtpm.power_off();
    swtpm.power_on();
    let tpm = swtpm.open();
    assert_eq!(tpm.ensure_ak().unwrap(), ak);
    assert_eq!(tpm.load_tls_key(KeySlot::B).unwrap(), tls);
    let after = clock(&tpm);
    assert_eq!(after.reset_count, before.reset_count + 1);
    assert!(!after.safe);
    assert_eq!(tpm.pcr_read(&[0]).unwrap(), [(0, [0; 32])]);
}

#[test]
fn vanished_tpm_is_unavailable_and_serves_again_when_it_is_back() {
    let _alone = alone();
    let mut swtpm = Swtpm::manufacture();
    let tpm = swtpm.open();
    let ak = tpm.ensure_ak().unwrap();
    swtpm.power_off();
    assert!(matches!(tpm.quote(b"n", &[0]), Err(TpmError::Unavailable(_))));
    assert!(matches!(HardwareTpm::open(swtpm.options()), Err(TpmError::Unavailable(_))));
    swtpm.power_on();
    assert_eq!(tpm.ensure_ak().unwrap(), ak);
    tpm.quote(b"n", &[0]).unwrap();
}

#[test]
fn silent_tpm_is_unavailable_after_the_deadline() {
    let _alone = alone();
    // Takes connections and never answers, as swtpm does while it serves another client.
    let port = free_pair();
    let _silent = [port, port + 1].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let tcti = format!("swtpm:host=127.0.0.1,port={port}");
    let options =
        HardwareOptions { deadline: Duration::from_millis(300), ..HardwareOptions::new(tcti, dir.path()) };
    let error = HardwareTpm::open(options).map(drop).unwrap_err();
    assert!(error.to_string().contains("no answer within 300ms"), "{error}");
}

#[test]
fn wrong_tcti_and_damaged_blobs_are_typed_errors() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let wrong = HardwareTpm::open(HardwareOptions::new("usb:0", dir.path()));
    assert!(matches!(wrong, Err(TpmError::Malformed { .. })));
    let absent = HardwareTpm::open(HardwareOptions::new("device:/nonexistent/tpm", dir.path()));
    assert!(matches!(absent, Err(TpmError::Unavailable(_))));

    let swtpm = Swtpm::manufacture();
    swtpm.open().ensure_ak().unwrap();
    let path = swtpm.options().state_dir.join("ak.lyrt");
    let good = std::fs::read(&path).unwrap();
    for end in [0, 10, good.len() / 2, good.len() - 1] {
        std::fs::write(&path, &good[..end]).unwrap();
        let opened = HardwareTpm::open(swtpm.options()).map(drop);
        assert!(matches!(opened, Err(TpmError::Malformed { .. })), "cut at {end}: {opened:?}");
    }
    std::fs::write(&path, &good).unwrap();
    swtpm.open().quote(b"n", &[0]).unwrap();
}
