//! Authorities whose keys are in a hardware module (SoftHSM2), in the running server: gone in the middle of a batch, away at a
//! start, and back.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_api::pki::AuthorityLine;
use lanyard_control::generation::FirstKeys;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::event::Event;
use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::statement::Action;
use lanyard_server::KeyPlaces;
use lanyard_server::hardware::Pkcs11;

use crate::hospital::{Firmware, Hospital, client, record, start_with};
use crate::restart::until;

const PLACE: &str = "LANYARD_SERVER_HSM_PLACE";
const PIN: &str = "739153";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

pub struct Place(PathBuf);

impl Place {
    pub fn pull_out(&self) {
        std::fs::rename(self.0.join("tokens"), self.0.join("elsewhere")).unwrap();
    }
    pub fn put_in(&self) {
        std::fs::rename(self.0.join("elsewhere"), self.0.join("tokens")).unwrap();
    }
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }
    pub fn keys(&self, first: KeyStore) -> KeyPlaces {
        KeyPlaces {
            first: FirstKeys { root: first, issuing: first },
            pkcs11: Some(Pkcs11 {
                config: lanyard_hsm::Config::new(MODULE.into(), "lanyard"),
                pin_file: Some(self.0.join("pin")),
            }),
        }
    }
}

/// Runs `test` in a process of its own with a fresh token: the module reads its configuration from the environment, once.
fn alone(name: &str, test: impl AsyncFnOnce(Place)) {
    alone_as(&format!("hardware::{name}"), test);
}

/// The same for a test elsewhere.
pub fn alone_as(name: &str, test: impl AsyncFnOnce(Place)) {
    use std::os::unix::fs::PermissionsExt;
    if let Some(place) = std::env::var_os(PLACE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(test(Place(place.into())));
    }
    if std::env::var_os("LANYARD_WITHOUT_PEERS").is_some() {
        eprintln!("left out: needs SoftHSM2");
        return;
    }
    assert!(Path::new(MODULE).exists(), "SoftHSM2 must be installed (Debian package `softhsm2`)");
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("softhsm2.conf");
    std::fs::create_dir(dir.path().join("tokens")).unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let tokens = dir.path().join("tokens");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&conf, text).unwrap();
    let pin = dir.path().join("pin");
    std::fs::write(&pin, PIN).unwrap();
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "lanyard", "--so-pin", "12345678", "--pin", PIN])
        .env("SOFTHSM2_CONF", &conf)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    // Into a file: this binary's own results are counted by their lines, and these are not results of their own.
    let said = dir.path().join("said");
    let log = std::fs::File::create(&said).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .env(PLACE, dir.path())
        .env("SOFTHSM2_CONF", &conf)
        .status()
        .unwrap();
    let said: String = std::fs::read_to_string(&said).unwrap().lines().map(|l| format!("| {l}\n")).collect();
    assert!(status.success(), "{status}\n{said}");
    assert!(said.contains("1 passed"), "{name} ran nothing\n{said}");
}

struct Devices {
    maker: MakerCa,
    firmware: Firmware,
}

impl Devices {
    async fn of(hospital: &Hospital) -> Self {
        let (maker, firmware) = hospital.supplied().await;
        Self { maker, firmware }
    }

    /// Registered and approved, at a site; with its chip.
    async fn admitted(&self, hospital: &Hospital, serial: &str, site: &str) -> (DeviceId, Arc<SoftTpm>) {
        let mut record = record(serial);
        record.site = site.into();
        let device = hospital.register(record).await.unwrap();
        hospital.approve(device).await;
        let chip = Arc::new(SoftTpm::in_memory(&self.maker, "Chip 2", serial).unwrap());
        self.firmware.boot(&chip);
        (device, chip)
    }
}

pub async fn line(hospital: &Hospital, name: &str) -> AuthorityLine {
    let lines: Vec<AuthorityLine> = hospital.look(&hospital.security, "/v1/authorities").await.unwrap();
    lines.into_iter().find(|a| a.name == name).unwrap()
}

async fn order(hospital: &Hospital, name: &str, site: &str, keys: KeyStore) {
    let site = Some(site.to_owned());
    let action =
        Action::CreateAuthority { name: name.to_owned(), purpose: AuthorityPurpose::Devices, site, keys };
    hospital.decide(&hospital.security, action).await.unwrap();
}

async fn activate(hospital: &Hospital, name: &str) {
    hospital.decide(&hospital.admin, Action::ActivateAuthority { name: name.to_owned() }).await.unwrap();
}

/// No intent is open anywhere, and every certificate that a stream has was intended in it.
pub async fn nothing_is_open(hospital: &Hospital) {
    let control = &hospital.running.state.control;
    let devices: Vec<DeviceId> = {
        let world = control.world();
        assert!(world.open_intents.is_empty(), "{:?}", world.open_intents);
        assert!(world.devices.values().all(|d| d.pending.is_empty()));
        world.devices.keys().copied().collect()
    };
    for stream in devices.into_iter().map(StreamId::from).chain([StreamId::SYSTEM]) {
        let mut intended = Vec::new();
        for stored in control.journal.store().stream(*stream.as_bytes(), 0, 4_096).await.unwrap() {
            match Event::from_payload(stored.header.kind, &stored.payload.unwrap()).unwrap() {
                Event::IssuanceIntended { serial, .. } => intended.push(serial),
                Event::CertificateIssued { serial, .. } | Event::ServerCertified { serial, .. } => {
                    assert!(intended.contains(&serial));
                }
                _ => {}
            }
        }
    }
}

// R50, I3, I7, I10: the drill "HSM gone mid-batch".
#[test]
fn a_module_that_goes_in_a_batch_costs_no_device_its_certificate_and_others_notice_nothing() {
    alone(
        "a_module_that_goes_in_a_batch_costs_no_device_its_certificate_and_others_notice_nothing",
        async |place| {
            let clock = lanyard_api::clock::Clock::shifted();
            let running = start_with(&place.data(), &clock, place.keys(KeyStore::Pkcs11)).await;
            let hospital = Hospital::of(running, clock).await;
            // Neither root nor issuing authority is a file.
            let files: Vec<String> = std::fs::read_dir(place.data().join("keys"))
                .unwrap()
                .map(|f| f.unwrap().file_name().into_string().unwrap())
                .collect();
            assert!(files.iter().all(|f| f != "root-1.key" && f != "issuing-1.key"), "{files:?}");
            assert_eq!(line(&hospital, "issuing-1").await.keys, KeyStore::Pkcs11);
            order(&hospital, "issuing-south", "south", KeyStore::Sealed).await;
            activate(&hospital, "issuing-south").await;

            let devices = Devices::of(&hospital).await;
            let mut batch = Vec::new();
            for n in 0..24 {
                batch.push(devices.admitted(&hospital, &format!("N-{n}"), "north").await);
            }
            let (_, southern) = devices.admitted(&hospital, "S-1", "south").await;
            let (done, turned_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let enroll = async |n: usize, chip: &Arc<SoftTpm>| {
                let agent = hospital.agent(&format!("N-{n}"), chip, &devices.firmware);
                // Some are under way when it goes, and some come after that, however fast this machine is.
                if n >= 8 {
                    until(async || done.load(Ordering::SeqCst) >= 4).await;
                }
                for _ in 0..600 {
                    match agent.enroll().await {
                        Ok(_) => {
                            if done.fetch_add(1, Ordering::SeqCst) + 1 == 4 {
                                place.pull_out();
                            }
                            return;
                        }
                        // "Try later", and nothing else.
                        Err(error) => {
                            assert!(error.to_string().contains("cannot sign now"), "{error}");
                            turned_away.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                panic!("device {n} has no certificate");
            };
            let all =
                futures_util::future::join_all(batch.iter().enumerate().map(|(n, (_, c))| enroll(n, c)));
            let disturbed = async {
                until(async || turned_away.load(Ordering::SeqCst) >= 20).await;
                let told = line(&hospital, "issuing-1").await.trouble.unwrap();
                assert!(told.contains("goes on by itself"), "{told}");
                // The other authority goes on.
                hospital.agent("S-1", &southern, &devices.firmware).enroll().await.unwrap();
                // Nothing is begun while it is away: no device's chain grows.
                nothing_is_open(&hospital).await;
                let size = hospital.running.state.control.world().next_pos;
                let seen = turned_away.load(Ordering::SeqCst);
                until(async || turned_away.load(Ordering::SeqCst) >= seen + 20).await;
                let control = &hospital.running.state.control;
                let grown =
                    control.journal.store().stream(*StreamId::from(batch[23].0).as_bytes(), 0, 64).await;
                assert!(grown.unwrap().iter().filter(|e| e.header.kind == 6).count() <= 2);
                assert!(control.world().next_pos < size + 30, "the log fills while the module is away");
                place.put_in();
            };
            let (_, ()) = tokio::join!(all, disturbed);
            assert_eq!(done.load(Ordering::SeqCst), 24);
            nothing_is_open(&hospital).await;
            until(async || line(&hospital, "issuing-1").await.trouble.is_none()).await;
            let world_has = |id: &DeviceId| {
                let world = hospital.running.state.control.world();
                world.devices[id].certificates.len()
            };
            assert!(batch.iter().all(|(id, _)| world_has(id) == 1), "each device has one certificate");
            hospital.running.shutdown().await;
            lanyard_store::check(&place.data().join("log"), &lanyard_store::Trust::default()).unwrap();
        },
    );
}

// R51
#[test]
fn a_start_without_the_module_goes_on_with_the_others_and_makes_what_was_ordered_when_it_is_back() {
    alone(
        "a_start_without_the_module_goes_on_with_the_others_and_makes_what_was_ordered_when_it_is_back",
        async |place| {
            let clock = lanyard_api::clock::Clock::shifted();
            let places = || place.keys(KeyStore::Sealed);
            let running = start_with(&place.data(), &clock, places()).await;
            let mut hospital = Hospital::of(running, clock.clone()).await;
            order(&hospital, "issuing-north", "north", KeyStore::Pkcs11).await;
            activate(&hospital, "issuing-north").await;
            let devices = Devices::of(&hospital).await;
            let (_, northern) = devices.admitted(&hospital, "N-1", "north").await;
            let (_, southern) = devices.admitted(&hospital, "S-1", "south").await;
            hospital.running.shutdown().await;

            place.pull_out();
            hospital.running = start_with(&place.data(), &clock, places()).await;
            hospital.client = client(&hospital.running, &clock);
            assert!(line(&hospital, "issuing-north").await.trouble.is_some());
            assert_eq!(line(&hospital, "issuing-1").await.trouble, None);
            let refused = hospital.agent("N-1", &northern, &devices.firmware).enroll().await.unwrap_err();
            assert!(refused.to_string().contains("cannot sign now"), "{refused}");
            hospital.agent("S-1", &southern, &devices.firmware).enroll().await.unwrap();
            // Ordered while it is away.
            order(&hospital, "issuing-east", "east", KeyStore::Pkcs11).await;
            assert_eq!(line(&hospital, "issuing-east").await.state, AuthorityState::Planned);
            nothing_is_open(&hospital).await;

            place.put_in();
            until(async || line(&hospital, "issuing-east").await.state == AuthorityState::Created).await;
            until(async || line(&hospital, "issuing-north").await.trouble.is_none()).await;
            hospital.agent("N-1", &northern, &devices.firmware).enroll().await.unwrap();
            hospital.running.shutdown().await;

            // Without its setting the module's authorities are away, and the refusal says what is missing.
            hospital.running = start_with(&place.data(), &clock, KeyPlaces::default()).await;
            hospital.client = client(&hospital.running, &clock);
            let told = line(&hospital, "issuing-north").await.trouble.unwrap();
            assert!(told.contains("[keys.pkcs11]"), "{told}");
            let create = Action::CreateAuthority {
                name: "issuing-west".into(),
                purpose: AuthorityPurpose::Devices,
                site: None,
                keys: KeyStore::Pkcs11,
            };
            let refused = hospital.decide(&hospital.security, create).await.unwrap_err();
            assert_eq!(refused.code(), "key_store_not_configured");
            nothing_is_open(&hospital).await;
            hospital.running.shutdown().await;
        },
    );
}

// A PIN that is refused is not tried again: three starts must not lock the token.
#[test]
fn a_wrong_pin_stops_the_modules_authorities_only_and_is_named() {
    alone("a_wrong_pin_stops_the_modules_authorities_only_and_is_named", async |place| {
        let clock = lanyard_api::clock::Clock::shifted();
        let running = start_with(&place.data(), &clock, place.keys(KeyStore::Sealed)).await;
        let mut hospital = Hospital::of(running, clock.clone()).await;
        order(&hospital, "issuing-north", "north", KeyStore::Pkcs11).await;
        hospital.running.shutdown().await;
        for (pin, word) in [("000000", "PIN"), ("1", "at least")] {
            std::fs::write(place.0.join("pin"), pin).unwrap();
            hospital.running = start_with(&place.data(), &clock, place.keys(KeyStore::Sealed)).await;
            hospital.client = client(&hospital.running, &clock);
            let told = line(&hospital, "issuing-north").await.trouble.unwrap();
            assert!(told.contains(word) && !told.contains("000000"), "{told}");
            hospital.running.shutdown().await;
        }
    });
}
