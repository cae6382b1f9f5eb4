//! The same question to verifiers that nobody here wrote: GnuTLS, NSS, pyca/cryptography and rustls without our rules.
//!
//! Each certificate that a profile issues must be accepted by all of them for its purposes and refused for the others,
//! and refused by all of them when it is expired or another hospital's. OpenSSL is asked in `openssl.rs`. To add a
//! verifier: a function of the shape [`Verifier`] and its line in [`ALL`]; its package in `xtask/src/peers.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::path::Purpose;
use lanyard_pki::profile::ProfileName;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{ServerName, UnixTime};

use crate::installation::{Installation, NOW};
use crate::peers;

/// What is to be judged. In the folder: `root.pem`, `issuing.pem`, `leaf.pem`, and `chain.pem` with the last two.
struct Question<'a> {
    folder: &'a Path,
    root: &'a Certificate,
    issuing: &'a Certificate,
    leaf: &'a Certificate,
    purpose: Purpose,
    at: Timestamp,
}

/// Whether it accepts, and what it said; `None` when it is not installed and need not be.
type Verifier = fn(&Question<'_>) -> Option<(bool, String)>;

const ALL: [(&str, Verifier); 4] = [("GnuTLS", gnutls), ("NSS", nss), ("pyca", pyca), ("rustls", webpki)];

fn ask(
    verifier: Verifier,
    a: &Installation,
    leaf: &Certificate,
    purpose: Purpose,
    at: Timestamp,
) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().unwrap();
    let (root, issuing) = (a.authority.root.certificate(), a.authority.issuing.certificate());
    let write = |name: &str, certificates: &[&Certificate]| {
        let pem: String = certificates.iter().map(|c| c.to_pem()).collect();
        fs::write(folder.path().join(name), pem).unwrap();
    };
    write("root.pem", &[root]);
    write("issuing.pem", &[issuing]);
    write("leaf.pem", &[leaf]);
    write("chain.pem", &[leaf, issuing]);
    verifier(&Question { folder: folder.path(), root, issuing, leaf, purpose, at })
}

/// Runs it in the folder.
fn run(folder: &Path, program: impl Into<PathBuf>, arguments: &[&str]) -> (bool, String) {
    let program = program.into();
    let out = Command::new(&program).args(arguments).current_dir(folder).output();
    let out = out.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// certtool has no option for the time: faketime gives it one.
fn gnutls(question: &Question<'_>) -> Option<(bool, String)> {
    if !(peers::program("certtool", "gnutls-bin") && peers::program("faketime", "faketime")) {
        return None;
    }
    let purpose = match question.purpose {
        Purpose::Client => "--verify-purpose=1.3.6.1.5.5.7.3.2",
        Purpose::Server => "--verify-purpose=1.3.6.1.5.5.7.3.1",
    };
    let at = format!("@{}", question.at.as_seconds());
    let verify = ["certtool", "--verify", purpose, "--load-ca-certificate=root.pem", "--infile=chain.pem"];
    let arguments: Vec<&str> = [at.as_str()].into_iter().chain(verify).collect();
    Some(run(question.folder, "faketime", &arguments))
}

fn nss(question: &Question<'_>) -> Option<(bool, String)> {
    if !(peers::program("certutil", "libnss3-tools") && peers::program("vfychain", "libnss3-tools")) {
        return None;
    }
    let made = run(question.folder, "certutil", &["-N", "-d", "sql:.", "--empty-password"]);
    assert!(made.0, "{}", made.1);
    // Trusted for servers (C) and for clients (T).
    let added = run(
        question.folder,
        "certutil",
        &["-A", "-d", "sql:.", "-n", "root", "-t", "CT,,", "-a", "-i", "root.pem"],
    );
    assert!(added.0, "{}", added.1);
    let (year, month, day, hour, minute, _) = question.at.civil();
    let at = format!("{:02}{month:02}{day:02}{hour:02}{minute:02}Z", year % 100);
    let usage = match question.purpose {
        Purpose::Client => "0",
        Purpose::Server => "1",
    };
    let arguments = ["-d", "sql:.", "-b", &at, "-u", usage, "-a", "leaf.pem", "-a", "issuing.pem"];
    Some(run(question.folder, "vfychain", &arguments))
}

const PYCA: &str = "\
import sys, datetime, ipaddress
from cryptography import x509
from cryptography.x509 import verification as v
read = lambda name: x509.load_pem_x509_certificate(open(name, 'rb').read())
builder = v.PolicyBuilder().store(v.Store([read('root.pem')])).time(datetime.datetime.fromtimestamp(int(sys.argv[2]), datetime.timezone.utc))
if sys.argv[1] == 'client':
    verifier = builder.build_client_verifier()
else:
    verifier = builder.build_server_verifier(v.IPAddress(ipaddress.ip_address('127.0.0.1')))
try:
    verifier.verify(read('leaf.pem'), [read('issuing.pem')])
except v.VerificationError as e:
    print(e)
    sys.exit(1)
";

fn pyca(question: &Question<'_>) -> Option<(bool, String)> {
    let python = peers::python()?;
    let purpose = match question.purpose {
        Purpose::Client => "client",
        Purpose::Server => "server",
    };
    let at = question.at.as_seconds().to_string();
    let found = run(question.folder, python, &["-c", PYCA, purpose, &at]);
    assert!(found.0 || !found.1.contains("Traceback"), "{}", found.1);
    Some(found)
}

/// rustls with the verifiers that come with it.
fn webpki(question: &Question<'_>) -> Option<(bool, String)> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(question.root.der().clone()).unwrap();
    let roots = Arc::new(roots);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let seconds = u64::try_from(question.at.as_seconds()).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let issuers = [question.issuing.der().clone()];
    let outcome = match question.purpose {
        Purpose::Client => WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .unwrap()
            .verify_client_cert(question.leaf.der(), &issuers, now)
            .map(drop),
        Purpose::Server => WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .unwrap()
            .verify_server_cert(
                question.leaf.der(),
                &issuers,
                &ServerName::try_from("127.0.0.1").unwrap(),
                &[],
                now,
            )
            .map(drop),
    };
    Some((outcome.is_ok(), outcome.err().map(|e| e.to_string()).unwrap_or_default()))
}

/// For what a certificate of this profile is to be accepted: as client, as server.
fn purposes(profile: ProfileName) -> (bool, bool) {
    match profile {
        ProfileName::DeviceLdevid => (true, false),
        ProfileName::GatewayServer => (true, true),
        ProfileName::ControlServer => (false, true),
        other => panic!("{other}: say here for what it is to be accepted"),
    }
}

// R42, R53
#[test]
fn every_verifier_accepts_each_profile_for_its_purposes_and_refuses_it_for_others() {
    let a = Installation::new();
    let mut asked = 0;
    for (profile, subject) in Installation::subjects() {
        let leaf = a.issue(profile, &subject, &a.csr());
        let (client, server) = purposes(profile);
        for (purpose, accepted) in [(Purpose::Client, client), (Purpose::Server, server)] {
            for (name, verifier) in ALL {
                let Some((found, text)) = ask(verifier, &a, &leaf, purpose, NOW) else { continue };
                assert_eq!(found, accepted, "{name} on {profile} as {purpose:?}: {text}");
                asked += 1;
            }
        }
    }
    println!("{asked} answers of {} verifiers", ALL.len());
}

// R53
#[test]
fn every_verifier_refuses_expired_early_and_foreign_certificates() {
    let (a, b) = (Installation::new(), Installation::new());
    let (leaf, foreign) = (a.device(), b.device());
    // Minutes, not seconds: NSS reads no more of a time.
    let after = leaf.not_after().plus_seconds(120);
    for (name, verifier) in ALL {
        // NSS forgives a clock that is up to a day behind.
        let before = leaf.not_before().plus_seconds(if name == "NSS" { -2 * 86_400 } else { -120 });
        for (leaf, at, why) in
            [(&leaf, before, "early"), (&leaf, after, "expired"), (&foreign, NOW, "foreign")]
        {
            if let Some((found, text)) = ask(verifier, &a, leaf, Purpose::Client, at) {
                assert!(!found, "{name} accepts what is {why}: {text}");
            }
        }
    }
}
