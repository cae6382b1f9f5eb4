//! The walk of the README: people, devices, releases, an agent on a software TPM, tampering, evidence, retirement; and
//! what must hold across `kill -9`.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use lanyard_sim::ehr::StandInEhr;
use serde_json::Value;

use crate::house::{BINARY, House, lanyard};

const CSV: &str = "\
vendor,model,serial,site,owner,department,purpose,class,tier,ai,scopes,ae_title,zone,ek_sha256
Acme,P1,S-1,main,biomed@hospital.example,ICU,Infusion,infusion-pump,critical,,system/Observation.c,,icu,
Acme,P1,S-2,main,biomed@hospital.example,ICU,Infusion,infusion-pump,urgent,,system/Observation.c,,icu,
Acme,P1,S-3,main,biomed@hospital.example,ICU,Infusion,infusion-pump,low,,system/Observation.c,,icu,
";

fn import(house: &House) {
    std::fs::write(house.path().join("devices.csv"), CSV).unwrap();
    let said = house.by("anna", &["device", "import", "devices.csv"]).code(1);
    let done = said.json();
    assert_eq!(done["registered"].as_array().unwrap().len(), 2);
    let why = done["refused"][0]["why"].as_str().unwrap();
    assert!(why.contains("row 3") && why.contains("`tier`"), "{why}");
}

// I1: Ben's key is lost; by the new one he is the Ben who approved already.
#[test]
fn a_lost_key_is_replaced_by_commands_and_its_owner_stays_one_person() {
    let house = House::new();
    house.people();
    import(&house);
    house.by("ben", &["device", "approve", "S-1", "--role", "security"]).code(0);
    let people = house.by("anna", &["operator", "list"]).code(0).json();
    let ben = people.as_array().unwrap().iter().find(|o| o["name"] == "ben").unwrap();
    let id = ben["operator"].as_str().unwrap();

    house.login("ben-2");
    let said =
        lanyard(house.path(), &["--profile", "ben-2.toml", "operator", "key", "ben", "--operator", id]);
    let said = said.code(0);
    assert!(said.out.contains("operator replace-key 'LINE' --reason TEXT"), "{}", said.out);
    let line = said.out.lines().last().unwrap().to_owned();
    let own = house.by("ben", &["operator", "replace-key", &line, "--reason", "lost"]).code(1);
    assert!(own.err.contains("admin"), "{}", own.err);
    house.by("anna", &["operator", "replace-key", &line, "--reason", "key lost, Ben came in person"]).code(0);

    house.by("ben", &["device", "list"]).code(1);
    let said = house.by("ben-2", &["device", "approve", "S-1", "--role", "biomedical"]).code(1);
    assert!(said.err.contains("error:") && !said.err.contains("signature"), "{}", said.err);
    house.by("ben-2", &["device", "approve", "S-3", "--role", "biomedical"]).code(0);
}

// R99: two of those who may approve pass every two-person rule, so each is a line for whoever reads the log.
#[test]
fn who_may_approve_is_a_warning_when_added() {
    let mut house = House::new();
    house.people();
    house.login("dora");
    let dora = house.key_of("dora");
    house.by("anna", &["operator", "add", &dora, "--roles", "auditor"]).code(0);
    let people = house.by("anna", &["operator", "list"]).code(0).json();
    assert_eq!(house.stop(), 0);
    let log = house.log();
    for (name, told) in [("anna", false), ("ben", true), ("carla", true), ("dora", false)] {
        let id = people.as_array().unwrap().iter().find(|o| o["name"] == name).unwrap()["operator"].clone();
        let line = log.lines().find(|line| line.contains(&format!("operator.id={}", id.as_str().unwrap())));
        assert_eq!(line.is_some_and(|line| line.contains("may approve was added")), told, "{name}: {log}");
    }
}

fn stage(house: &House, device: &str) -> String {
    house.by("anna", &["device", "get", device]).code(0).json()["stage"].as_str().unwrap().to_owned()
}

fn listed(house: &House, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["device", "list"];
    all.extend(arguments);
    house.by("anna", &all).code(0).json().as_array().unwrap().clone()
}

// I1, R31, R32, R33: a bad row is refused with its place, approval takes two people in two roles.
#[test]
fn one_person_cannot_approve_in_both_roles_and_a_kill_loses_nothing_acknowledged() {
    let mut house = House::new();
    house.people();
    import(&house);

    house.by("ben", &["device", "approve", "S-1", "--role", "security"]).code(0);
    let said = house.by("ben", &["device", "approve", "S-1", "--role", "biomedical"]).code(1);
    assert!(said.err.contains("error:") && !said.err.contains("panicked"), "{}", said.err);
    let said = house.by("anna", &["device", "approve", "S-1", "--role", "biomedical"]).code(1);
    assert!(said.err.contains("biomedical"), "{}", said.err);
    assert_eq!(stage(&house, "S-1"), "registered");

    // I3: acknowledged is on disk, whatever happens next.
    house.by("carla", &["device", "approve", "Acme/P1/S-1", "--role", "biomedical"]).code(0);
    house.kill();
    house.start();
    assert_eq!(house.started["bootstrap_secret"], Value::Null, "the secret is for the first operator only");
    for person in ["anna", "ben", "carla"] {
        house.login(person);
    }
    assert_eq!(stage(&house, "S-1"), "approved");
    assert_eq!(listed(&house, &["--stage", "approved"]).len(), 1);
    assert_eq!(listed(&house, &["--text", "S-3"]).len(), 1);
    assert_eq!(listed(&house, &["--site", "elsewhere"]).len(), 0);

    // The check reads beside the running server, and again when it has stopped.
    let vkey = house.text("log_vkey");
    let check = ["-o", "json", "ledger", "check", "--data", "data", "--log-key", &vkey];
    let running = lanyard(house.path(), &check).code(0).json();
    assert_eq!((running["devices"].as_u64(), running["operators"].as_u64()), (Some(2), Some(3)));
    assert_eq!(running["open_issuances"], 0);
    assert_eq!(house.stop(), 0, "SIGTERM ends it cleanly");
    let stopped = lanyard(house.path(), &check).code(0).json();
    assert!(stopped["events"].as_u64() >= running["events"].as_u64());
    let other = vkey.replace("hospital.example/lanyard+", "hospital.example/other+");
    let wrong = ["ledger", "check", "--data", "data", "--log-key", &other];
    assert!(lanyard(house.path(), &wrong).code != 0);
}

// I3: a lost anchor stops the start, until a person says that this log is the newest copy.
#[test]
fn a_lost_anchor_is_written_back_only_when_a_person_says_so() {
    let mut house = House::new();
    house.people();
    let vkey = house.text("log_vkey");
    assert_eq!(house.stop(), 0);
    for lost in ["data/anchor", "data/gateway/log-anchor"] {
        std::fs::remove_dir_all(house.path().join(lost)).unwrap();
    }
    let secret = house.passphrase_file();
    let up = ["up", "--data", "data", "--config", "lanyard.toml", "--passphrase-file", &secret];
    let said = lanyard(house.path(), &up);
    assert!(said.code != 0 && said.err.contains("anchor"), "{}", said.err);
    let restore = |data: &str, said: &[&str]| {
        let command = ["ledger", "restore-anchor", "--data", data, "--passphrase-file", &secret];
        lanyard(house.path(), &[&command, said].concat())
    };
    restore("data", &[]).code(2);
    restore("elsewhere", &["--newest-copy"]).code(2);
    for data in ["data", "data/gateway"] {
        restore(data, &["--newest-copy"]).code(0);
    }
    house.start();
    let check = ["-o", "json", "ledger", "check", "--data", "data", "--log-key", &vkey];
    assert!(lanyard(house.path(), &check).code(0).json()["anchored"].as_u64().is_some());
    assert_eq!(house.stop(), 0);
}

// I4, I5, I11, R114: the whole main job by the command line.
#[test]
fn a_device_earns_its_identity_is_tampered_with_cut_restored_and_retired() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ehr = runtime.block_on(StandInEhr::start()).unwrap();
    let house = House::before(&ehr.base_url());
    house.people();
    import(&house);
    let device = |more: &[&str]| {
        let mut all = vec!["agent", "simulate", "pump", "--maker", "maker"];
        all.extend(["--vendor", "Acme", "--model", "P1", "--serial", "S-1"]);
        all.extend(more);
        lanyard(house.path(), &all).code(0);
    };
    device(&[]);
    house.by("ben", &["endorsement", "add", "maker/endorsement.der"]).code(0);
    let measure = ["release", "measure", "--vendor", "Acme", "--model", "P1", "--release-version", "1.0.0"];
    let golden = [&measure[..], &["--log", "pump/event.log", "-f", "fw.json"]].concat();
    lanyard(house.path(), &golden).code(0);
    lanyard(house.path(), &golden).code(2);
    let proposed = house.by("carla", &["release", "add", "fw.json"]).code(0).json();
    let release = proposed["release"].as_str().unwrap();
    let same = house.by("carla", &["release", "approve", release, "--reason", "mine"]).code(1);
    assert!(same.err.contains("second person"), "{}", same.err);
    house
        .by("ben", &["release", "approve", release.split('-').next().unwrap(), "--reason", "measured"])
        .code(0);

    let (server, gateway) = (house.address("control_plane"), house.address("gateway"));
    let init = [
        "agent",
        "init",
        "--server",
        &server,
        "--anchors",
        "data/anchors.pem",
        "--gateway",
        &gateway,
        "--vendor",
        "Acme",
        "--model",
        "P1",
        "--serial",
        "S-1",
        "--state",
        "pump/state",
        "--event-log",
        "pump/event.log",
        "-f",
        "pump/agent.toml",
    ];
    lanyard(house.path(), &init).code(0);
    let agent = |step: &str| {
        lanyard(
            house.path(),
            &["-o", "json", "agent", step, "--config", "pump/agent.toml", "--tpm-dir", "pump/tpm"],
        )
    };
    let early = agent("enroll").code(1);
    assert!(early.err.contains("approv"), "{}", early.err);
    house.by("ben", &["device", "approve", "S-1", "--role", "security"]).code(0);
    house.by("carla", &["device", "approve", "S-1", "--role", "biomedical"]).code(0);
    let standing = agent("enroll").code(0).json();
    assert_eq!(
        (standing["verdict"].as_str(), standing["stage"].as_str()),
        (Some("trusted"), Some("in-service"))
    );
    let status = lanyard(house.path(), &["-o", "json", "agent", "status", "--config", "pump/agent.toml"])
        .code(0)
        .json();
    assert_eq!(status["standing"]["verdict"], "trusted");

    std::fs::write(
        house.path().join("reading.json"),
        r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},
            "valueQuantity":{"value":72,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}"#,
    )
    .unwrap();
    let send = [
        "-o",
        "json",
        "agent",
        "send",
        "--config",
        "pump/agent.toml",
        "--tpm-dir",
        "pump/tpm",
        "reading.json",
    ];
    let sent = lanyard(house.path(), &send).code(0).json();
    let location = sent["location"].as_str().unwrap().to_owned();
    lanyard(house.path(), &[&send[..], &["--token"]].concat()).code(0);
    assert_eq!(ehr.count("Observation"), 2);

    house.by("anna", &["evidence", "at", "S-1", "now", "-f", "trusted.evidence"]).code(0);
    let vkey = house.text("log_vkey");
    let report = lanyard(house.path(), &["-o", "json", "verify", "trusted.evidence", "--log-key", &vkey])
        .code(0)
        .json();
    assert_eq!(report["outcome"], "proved but unwitnessed");
    assert_eq!(report["claim"]["state"]["verdict"], "trusted");

    device(&["--tamper", "kernel"]);
    let cut = agent("attest").code(1);
    assert_eq!(cut.json()["verdict"], "untrusted");
    assert!(cut.out.contains("kernel"), "the changed component is named: {}", cut.out);
    assert_eq!(stage(&house, "S-1"), "quarantined");
    let refused = lanyard(house.path(), &send).code(1);
    assert!(!refused.err.contains("the gateway answered 2"), "{}", refused.err);
    let why = house.by("anna", &["device", "describe", "S-1"]).code(0).json();
    assert!(!why["restore"].as_array().unwrap().is_empty());

    // What happened to the device since changes nothing about the reading that was accepted before.
    house.by("anna", &["evidence", "for", &location, "-f", "reading.evidence"]).code(0);
    let report = lanyard(house.path(), &["-o", "json", "verify", "reading.evidence", "--log-key", &vkey])
        .code(0)
        .json();
    assert_eq!(report["claim"]["state"]["verdict"], "trusted");
    assert_eq!(report["outcome"], "proved but unwitnessed");

    device(&[]);
    house.by("anna", &["device", "release", "S-1", "--reason", "not mine to decide"]).code(1);
    house.by("ben", &["device", "release", "S-1", "--reason", "approved firmware installed"]).code(0);
    assert_eq!(agent("attest").code(0).json()["verdict"], "trusted");

    house.by("carla", &["device", "retire", "S-1", "--reason", "end of life"]).code(0);
    let mut stages = std::iter::repeat_with(|| stage(&house, "S-1"));
    assert!(stages.by_ref().take(100).any(|s| s == "retired"), "retirement is proven by probes and ends");
    agent("attest").code(1);
    let events = house.by("anna", &["device", "events", "S-1"]).code(0).json();
    let probed = events.as_array().unwrap().iter().find(|e| e["event"]["event"] == "refusal_probed").unwrap();
    let probes = probed["event"]["probes"].as_array().unwrap();
    assert!(!probes.is_empty() && probes.iter().all(|p| p["refused"] == true), "{probed}");
    let check = lanyard(house.path(), &["-o", "json", "ledger", "check", "--data", "data"]).code(0).json();
    assert!(check["statements"].as_u64().unwrap() > 10);
}

// R93: a gateway on a machine of its own is known by its fingerprint, admitted by an admin, and then serves.
#[test]
fn a_gateway_of_its_own_needs_an_admins_word() {
    let house = House::new();
    house.people();
    let (server, fingerprint) = (house.address("control_plane"), house.text("fingerprint"));
    std::fs::write(house.path().join("secret"), "another good passphrase\n").unwrap();
    let init = |fingerprint: &str| {
        let arguments =
            ["gateway", "init", "--data", "gw", "--server", &server, "--fingerprint", fingerprint];
        lanyard(house.path(), &[&arguments[..], &["--passphrase-file", "secret", "-o", "json"]].concat())
    };
    std::fs::write(house.path().join("run.toml"), "[gateway]\nlisten = '127.0.0.1:0'\n").unwrap();
    // World-readable: refused (I10).
    assert!(init(&fingerprint).code(2).err.contains("chmod 600"));
    assert!(!house.path().join("gw").exists(), "a refused start leaves nothing behind");
    std::fs::set_permissions(house.path().join("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    init(&"0".repeat(64)).code(4);
    let first = init(&fingerprint).code(0).json();
    assert_eq!(init(&fingerprint).code(0).json(), first, "a second call makes no second gateway");
    house.by("ben", &["gateway", "add", "gw/request.json"]).code(1);
    house.by("anna", &["gateway", "add", "gw/request.json"]).code(0);
    let again = house.by("anna", &["gateway", "add", "gw/request.json"]).code(1);
    assert!(again.err.contains("exists"), "{}", again.err);
    let mut gateway = Command::new(BINARY)
        .args(["gateway", "run", "--data", "gw", "--config", "run.toml", "--passphrase-file", "secret"])
        .current_dir(house.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(gateway.stderr.take().unwrap());
    let ready = log.lines().map_while(Result::ok).any(|line| line.contains("ready: certified"));
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(ready, "it got its certificate and its site's devices");
}
