//! A certificate of each example template, made through the public API, as OpenSSL 3 reads and judges it.

use std::fs;
use std::path::Path;

use lanyard_domain::id::ApplicationId;
use lanyard_domain::tier::Tier;
use lanyard_pki::certificate::{Certificate, PeerIdentity};
use lanyard_pki::csr::{self, VerifiedCsr};
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::profile::template::Template;
use lanyard_pki::profile::{Addresses, HardwareNames, Profile, RevocationUris, SubjectFacts};

use crate::installation::{Installation, NOW, random_serial};
use crate::openssl::{openssl, verify, write, written};

fn profile(file: &str, tier: Option<Tier>) -> Profile {
    let path = format!("{}/../../docs/profiles/{file}.toml", env!("CARGO_MANIFEST_DIR"));
    let template = Template::parse(&fs::read_to_string(path).unwrap()).unwrap();
    let [crl, ocsp, ca] = ["crl", "ocsp", "ca"].map(|path| format!("http://pki.hospital.example/{path}"));
    let uris = RevocationUris::new(&crl, &ocsp, &ca, 64).unwrap();
    template.profile(tier, Installation::naming(), Some(&uris)).unwrap()
}

fn application_id() -> ApplicationId {
    ApplicationId::from_random([0xa9; 16])
}

/// A request made by OpenSSL itself.
fn request(dir: &Path, newkey: &str) -> VerifiedCsr {
    let arguments =
        format!("req -new -nodes -keyout key.pem -outform DER -out csr.der -subj /CN=x -newkey {newkey}");
    let (ok, text) = openssl(dir, &arguments);
    assert!(ok, "{text}");
    csr::verify(&fs::read(dir.join("csr.der")).unwrap()).unwrap()
}

const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// One example: its file, tier and key, and what must be true of its certificate.
struct Example {
    file: &'static str,
    tier: Option<Tier>,
    newkey: &'static str,
    client: bool,
    server: bool,
    /// Lines of `openssl x509 -text`.
    says: Vec<String>,
    /// Words that must not be in it.
    silent: &'static [&'static str],
}

fn examples() -> Vec<Example> {
    let id = Installation::device_id();
    let app = application_id();
    let names = format!("DNS:{id}.device.hospital.example, URI:urn:uuid:{id}");
    let short = "X509v3 No Revocation Available".to_owned();
    let signs = "X509v3 Key Usage: critical\n                Digital Signature\n".to_owned();
    let ocsp = "OCSP - URI:http://pki.hospital.example/ocsp".to_owned();
    let listed: &'static [&'static str] = &["No Revocation Available", "CA:TRUE"];
    let unlisted: &'static [&'static str] = &["CRL Distribution Points", "OCSP", "SN-42", "CA:TRUE"];
    vec![
        Example {
            file: "patient-monitor",
            tier: Some(Tier::High),
            newkey: P256,
            client: true,
            server: false,
            says: vec![
                format!("Subject: O = General Hospital, serialNumber = {id}\n"),
                names.clone(),
                short.clone(),
                signs.clone(),
                "Not After : Nov 23 11:45:00 2026 GMT".into(),
            ],
            silent: unlisted,
        },
        Example {
            file: "infusion-pump",
            tier: Some(Tier::Critical),
            newkey: P256,
            client: true,
            server: false,
            says: vec![
                format!("{names}, othername: 1.3.6.1.5.5.7.8.4::"),
                "TLS Web Client Authentication, 1.3.6.1.5.5.7.3.14".into(),
                short.clone(),
                signs.clone(),
                "Not After : Nov 22 23:45:00 2026 GMT".into(),
            ],
            silent: unlisted,
        },
        Example {
            file: "imaging-modality",
            tier: Some(Tier::High),
            newkey: "ec -pkeyopt ec_paramgen_curve:P-384",
            client: true,
            server: true,
            says: vec![
                format!("Subject: O = General Hospital, serialNumber = {id}, CN = {id}\n"),
                format!("{names}, othername: Permanent Identifier::"),
                "TLS Web Client Authentication, TLS Web Server Authentication".into(),
                signs.clone(),
                ocsp.clone(),
                "Not After : Dec 22 11:45:00 2026 GMT".into(),
            ],
            silent: listed,
        },
        Example {
            file: "legacy-8021x",
            tier: None,
            newkey: "rsa:2048",
            client: true,
            server: false,
            says: vec![
                format!("Subject: O = General Hospital, CN = {id}\n"),
                names.clone(),
                "TLS Web Client Authentication, 1.3.6.1.5.5.7.3.14".into(),
                "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment\n".into(),
                ocsp.clone(),
            ],
            silent: listed,
        },
        Example {
            file: "sdc-participant",
            tier: Some(Tier::Standard),
            newkey: "ed25519",
            client: true,
            server: true,
            says: vec![
                names,
                "TLS Web Client Authentication, TLS Web Server Authentication, 1.2.840.10004.20701.1.1, 1.2.840.10004.20701.1.2".into(),
                short,
                signs.clone(),
            ],
            silent: unlisted,
        },
        Example {
            file: "application-server",
            tier: None,
            newkey: P256,
            client: true,
            server: true,
            says: vec![
                "Subject: O = General Hospital, CN = pacs.hospital.example\n".into(),
                format!("DNS:{app}.application.hospital.example, DNS:pacs.hospital.example, URI:urn:uuid:{app}, IP Address:192.0.2.7"),
                "TLS Web Server Authentication, TLS Web Client Authentication".into(),
                signs,
                ocsp,
            ],
            silent: listed,
        },
    ]
}

fn subject(file: &str) -> (SubjectFacts, PeerIdentity) {
    if file == "application-server" {
        let dns = vec!["pacs.hospital.example".parse().unwrap()];
        let addresses = Addresses::new(dns, vec!["192.0.2.7".parse().unwrap()]).unwrap();
        let id = application_id();
        return (SubjectFacts::Application { id: Some(id), addresses }, PeerIdentity::Application(id));
    }
    let id = Installation::device_id();
    let names = HardwareNames::new(Some("SN-42"), Some(b"module 7")).unwrap();
    (SubjectFacts::DeviceHardware { id, names }, PeerIdentity::Device(id))
}

fn issue(a: &Installation, profile: &Profile, csr: &VerifiedCsr, facts: &SubjectFacts) -> Certificate {
    issue::prepare(profile, csr, facts, &a.authority.issuing, Lifetime::Default, random_serial(), NOW)
        .unwrap()
        .sign(&a.keys)
        .unwrap()
}

// R47, R54: what a template says is what a peer reads.
#[test]
fn openssl_reads_and_judges_each_example_as_its_template_means_it() {
    let (a, dir) = written();
    let d = dir.path();
    for example in examples() {
        let file = example.file;
        let (facts, identity) = subject(file);
        let csr = request(d, example.newkey);
        let certificate = issue(&a, &profile(file, example.tier), &csr, &facts);
        write(d, "leaf.pem", &certificate);
        let (ok, text) = openssl(d, "x509 -in leaf.pem -noout -text");
        assert!(ok, "{file}: {text}");
        for line in &example.says {
            assert!(text.contains(line), "{file}: `{line}` is not in\n{text}");
        }
        for word in example.silent {
            assert!(!text.contains(word), "{file}: `{word}` is in\n{text}");
        }
        for (purpose, accepted) in [("sslclient", example.client), ("sslserver", example.server)] {
            let (ok, text) = verify(d, purpose, NOW.as_seconds(), "leaf.pem");
            assert_eq!(ok, accepted, "{file} as {purpose}: {text}");
        }
        let read = Certificate::parse(certificate.der()).unwrap();
        assert_eq!((read.identity(), &read), (Ok(identity), &certificate), "{file}");
    }
}

// R49
#[test]
fn openssl_finds_one_list_and_one_responder_in_a_listed_certificate() {
    let (a, dir) = written();
    let d = dir.path();
    let (facts, _) = subject("imaging-modality");
    let certificate = issue(&a, &profile("imaging-modality", None), &request(d, P256), &facts);
    write(d, "leaf.pem", &certificate);
    let (_, text) = openssl(d, "x509 -in leaf.pem -noout -ocsp_uri");
    assert_eq!(text.trim(), "http://pki.hospital.example/ocsp");
    let (_, text) = openssl(d, "x509 -in leaf.pem -noout -ext crlDistributionPoints,authorityInfoAccess");
    let uris = |word: &str| text.lines().filter(|l| l.contains(word)).count();
    assert_eq!((uris("/crl/"), uris("CA Issuers - URI:http://pki.hospital.example/ca/")), (1, 1), "{text}");
    // Who checks lists asks for this one.
    let (ok, text) = openssl(
        d,
        &format!(
            "verify -crl_check -attime {} -CAfile root.pem -untrusted issuing.pem leaf.pem",
            NOW.as_seconds()
        ),
    );
    assert!(!ok && text.contains("unable to get certificate CRL"), "{text}");
}

// R54
#[test]
fn a_request_with_a_key_that_the_template_does_not_list_is_refused() {
    let (a, dir) = written();
    let (facts, _) = subject("legacy-8021x");
    let csr = request(dir.path(), P256);
    let profile = profile("legacy-8021x", None);
    let refused =
        issue::prepare(&profile, &csr, &facts, &a.authority.issuing, Lifetime::Default, random_serial(), NOW);
    assert!(refused.unwrap_err().to_string().contains("rsa2048+"));
}
