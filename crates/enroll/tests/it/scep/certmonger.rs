//! certmonger 0.79.17 with its helper `scep-submit`, as a daemon on a message bus of its own: GET, AES-256, a
//! certificate of version 1 around its key; sends its request again instead of polling.

use std::path::Path;
use std::process::Command;

use lanyard_enroll::scep::Algorithms;

use super::client::{has, pem, run};
use super::hospital::Hospital;

const CERTMONGER: &str = "/usr/sbin/certmonger";
const HELPER: &str = "/usr/lib/certmonger/scep-submit";

/// Runs a script on a session bus, which starts the daemon and ends it, with the CA `lanyard` known to it.
fn session(hospital: &Hospital, dir: &Path, script: &str) -> (bool, String) {
    hospital.write_certificates(dir);
    let script = format!(
        "# Waits for the state in $1, at most two minutes.\n\
         state() {{ for i in $(seq 240); do getcert list -s -i one | grep -q \"status: $1\" && return 0; \
         sleep 0.5; done; getcert list -s; return 1; }}\n\
         known() {{ for i in $(seq 240); do getcert list-cas -s -c lanyard | grep -q thumbprint && return 0; \
         sleep 0.5; done; return 1; }}\n\
         set -e\n\
         getcert add-scep-ca -s -c lanyard -u {}\n\
         known\n{script}",
        hospital.url()
    );
    run(Command::new("dbus-run-session")
        .args(["--", "bash", "-c", &script])
        .current_dir(dir)
        .env("HOME", dir)
        .env_remove("XDG_CONFIG_HOME"))
}

// R36, R42
#[test]
fn certmonger_enrolls_waits_for_approval_and_renews() {
    if !has(CERTMONGER) || !has(HELPER) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    hospital.leave_pending(1);
    let script = format!(
        "getcert request -s -c lanyard -k $HOME/key.pem -f $HOME/cert.pem -N CN=device -L {} -I one\n\
         state CA_WORKING\n\
         getcert resubmit -s -i one\n\
         state MONITORING\n\
         cp $HOME/cert.pem $HOME/first.pem\n\
         getcert resubmit -s -i one\n\
         for i in $(seq 240); do cmp -s $HOME/first.pem $HOME/cert.pem || exit 0; sleep 0.5; done\n\
         getcert list -s; exit 1\n",
        hospital.secret()
    );
    let (done, text) = session(&hospital, dir.path(), &script);
    assert!(done, "{text} {:?}", hospital.diary());
    let expected = ["by secret: pending", "by secret: issued", "by certificate: issued"];
    assert_eq!(hospital.diary(), expected, "{text}");
    let (first, last) = (pem(&dir.path().join("first.pem")), pem(&dir.path().join("cert.pem")));
    assert!(last == hospital.last_issued() && first != last, "{text}");
}

#[test]
fn certmonger_with_a_wrong_challenge_is_rejected() {
    if !has(CERTMONGER) || !has(HELPER) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    let script = "getcert request -s -c lanyard -k $HOME/key.pem -f $HOME/cert.pem -N CN=device -L guessed -I one\n\
                  state CA_REJECTED\n\
                  getcert list -s -i one\n";
    let (done, text) = session(&hospital, dir.path(), script);
    assert!(done && text.contains("not permitted"), "{text}");
    assert!(hospital.diary()[0].contains("challengePassword"), "{:?}", hospital.diary());
}
