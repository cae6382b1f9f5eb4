//! OpenSSL 3 reads, accepts and refuses what we issue as we mean it; we read its requests.

use std::fs;
use std::path::Path;
use std::process::Command;

use lanyard_pki::certificate::{Certificate, PeerIdentity};
use lanyard_pki::csr::{self, CsrError};
use lanyard_pki::key::{KeyBackend, KeyKind, MemoryKeys};
use lanyard_pki::path::{Anchors, Purpose, validate};
use lanyard_pki::spki::{PublicKeyKind, SignatureRefused};

use crate::installation::{Installation, NOW};

/// Runs openssl in `dir`; stdout and stderr in one, and whether it succeeded.
pub fn openssl(dir: &Path, args: &str) -> (bool, String) {
    let out = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("the `openssl` command must be installed (Debian package `openssl`)");
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&text).into_owned())
}

pub fn write(dir: &Path, name: &str, certificate: &Certificate) {
    fs::write(dir.join(name), certificate.to_pem()).unwrap();
}

pub fn verify(dir: &Path, purpose: &str, seconds: i64, leaf: &str) -> (bool, String) {
    openssl(
        dir,
        &format!(
            "verify -x509_strict -attime {seconds} -purpose {purpose} -CAfile root.pem -untrusted issuing.pem {leaf}"
        ),
    )
}

pub fn written() -> (Installation, tempfile::TempDir) {
    let a = Installation::new();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "root.pem", a.authority.root.certificate());
    write(dir.path(), "issuing.pem", a.authority.issuing.certificate());
    (a, dir)
}

// R42, R53
#[test]
fn openssl_accepts_each_profile_for_its_purpose_and_refuses_it_for_others() {
    let (a, dir) = written();
    let now = NOW.as_seconds();
    for ((profile, subject), client, server) in Installation::subjects()
        .into_iter()
        .zip([(true, false), (true, true), (false, true)])
        .map(|(s, p)| (s, p.0, p.1))
    {
        write(dir.path(), "leaf.pem", &a.issue(profile, &subject, &a.csr()));
        for (purpose, accepted) in [("sslclient", client), ("sslserver", server)] {
            let (ok, text) = verify(dir.path(), purpose, now, "leaf.pem");
            assert_eq!(ok, accepted, "{profile} as {purpose}: {text}");
        }
    }
}

#[test]
fn openssl_refuses_expired_early_and_foreign_certificates() {
    let (a, dir) = written();
    let leaf = a.device();
    write(dir.path(), "leaf.pem", &leaf);
    let (from, to) = (leaf.not_before().as_seconds(), leaf.not_after().as_seconds());
    // RFC 5280 4.1.2.5 includes the second of notAfter, as we do; OpenSSL ends one second before it.
    for (seconds, accepted) in [(from, true), (to - 1, true), (from - 1, false), (to + 1, false)] {
        let (ok, text) = verify(dir.path(), "sslclient", seconds, "leaf.pem");
        assert_eq!(ok, accepted, "at {seconds}: {text}");
    }
    write(dir.path(), "foreign.pem", &Installation::new().device());
    let (ok, text) = verify(dir.path(), "sslclient", NOW.as_seconds(), "foreign.pem");
    assert!(!ok && text.contains("unable to get local issuer"), "{text}");
}

#[test]
fn openssl_prints_what_the_profile_says() {
    let (a, dir) = written();
    write(dir.path(), "leaf.pem", &a.device());
    let (ok, text) = openssl(dir.path(), "x509 -in leaf.pem -noout -text");
    assert!(ok, "{text}");
    let id = Installation::device_id();
    for line in [
        "Version: 3 (0x2)".to_owned(),
        "Signature Algorithm: ecdsa-with-SHA256".into(),
        format!("Subject: O = General Hospital, serialNumber = {id}"),
        "Not Before: Nov 22 11:45:00 2026 GMT".into(),
        "Not After : Nov 23 11:45:00 2026 GMT".into(),
        "X509v3 Key Usage: critical\n                Digital Signature".into(),
        "TLS Web Client Authentication".into(),
        format!("DNS:{id}.device.hospital.example, URI:urn:uuid:{id}"),
        "X509v3 No Revocation Available".into(),
        "X509v3 Authority Key Identifier".into(),
        "X509v3 Subject Key Identifier".into(),
    ] {
        assert!(text.contains(&line), "`{line}` is not in\n{text}");
    }
    assert!(!text.contains("Basic Constraints") && !text.contains("CRL Distribution"), "{text}");
    let (_, text) = openssl(dir.path(), "x509 -in issuing.pem -noout -text");
    assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Certificate Sign, CRL Sign"), "{text}");
}

// R36
#[test]
fn requests_made_by_openssl_are_verified_and_certified() {
    let (a, dir) = written();
    let d = dir.path();
    let anchors = Anchors::new(vec![a.authority.root.certificate().clone()]).unwrap();
    let (profile, subject) = Installation::subjects()[0].clone();
    for (newkey, expected) in [
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-256", PublicKeyKind::P256),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384", PublicKeyKind::P384),
        ("-newkey ed25519", PublicKeyKind::Ed25519),
        ("-newkey rsa:2048", PublicKeyKind::Rsa(2048)),
        ("-newkey rsa:3072 -sha512", PublicKeyKind::Rsa(3072)),
    ] {
        let (ok, text) = openssl(
            d,
            &format!(
                "req -new -nodes -keyout key.pem -outform DER -out csr.der -subj /CN=pump/emailAddress=a@b -addext subjectAltName=DNS:evil.example {newkey}"
            ),
        );
        assert!(ok, "{newkey}: {text}");
        let csr = csr::verify(&fs::read(d.join("csr.der")).unwrap()).unwrap();
        assert_eq!(csr.key_kind(), expected, "{newkey}");
        let certificate = a.issue(profile, &subject, &csr);
        // The name that the request asked for is not in it.
        assert!(!certificate.dns_names().iter().any(|n| n == "evil.example"));
        write(d, "leaf.pem", &certificate);
        let (ok, text) = verify(d, "sslclient", NOW.as_seconds(), "leaf.pem");
        assert!(ok, "{newkey}: {text}");
        let chain = [certificate.der().clone(), a.authority.issuing.certificate().der().clone()];
        let verified = validate(&chain, &anchors, Purpose::Client, NOW).unwrap();
        assert_eq!(verified.identity(), PeerIdentity::Device(Installation::device_id()));
    }
}

#[test]
fn weak_and_unknown_requests_made_by_openssl_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for newkey in [
        "-newkey rsa:1024",
        "-newkey rsa:2048 -pkeyopt rsa_keygen_pubexp:3",
        "-newkey ec -pkeyopt ec_paramgen_curve:P-521",
        "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1",
        "-newkey ed448",
    ] {
        let (ok, text) = openssl(
            dir.path(),
            &format!("req -new -nodes -keyout key.pem -outform DER -out csr.der -subj /CN=pump {newkey}"),
        );
        assert!(ok, "{newkey}: {text}");
        let refused = csr::verify(&fs::read(dir.path().join("csr.der")).unwrap());
        assert!(matches!(refused, Err(CsrError::Key(_))), "{newkey}: {refused:?}");
    }
    // SHA-1 under a good key.
    let (ok, _) = openssl(
        dir.path(),
        "req -new -nodes -keyout key.pem -outform DER -out csr.der -subj /CN=pump -newkey rsa:2048 -sha1",
    );
    assert!(ok);
    let refused = csr::verify(&fs::read(dir.path().join("csr.der")).unwrap());
    assert!(matches!(refused, Err(CsrError::Possession(_))), "{refused:?}");
}

// R36: old devices sign with SHA-1; only who asks for it reads that, and MD5 nobody.
#[test]
fn requests_signed_with_sha1_are_read_only_as_legacy() {
    let dir = tempfile::tempdir().unwrap();
    let request = |more: &str| {
        let (ok, text) = openssl(
            dir.path(),
            &format!("req -new -nodes -keyout key.pem -outform DER -out csr.der -subj /CN=pump {more}"),
        );
        assert!(ok, "{more}: {text}");
        fs::read(dir.path().join("csr.der")).unwrap()
    };
    let wrong_algorithm = Err(CsrError::Possession(SignatureRefused::Algorithm));
    let sha1 = request("-newkey rsa:2048 -sha1");
    assert_eq!(csr::verify(&sha1), wrong_algorithm);
    assert_eq!(csr::verify_legacy(&sha1).unwrap().key_kind(), PublicKeyKind::Rsa(2048));
    let mut changed = sha1;
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(csr::verify_legacy(&changed), Err(CsrError::Possession(SignatureRefused::Invalid)));
    for more in ["-newkey rsa:2048 -md5", "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha1"] {
        assert_eq!(csr::verify_legacy(&request(more)), wrong_algorithm, "{more}");
    }
    assert!(csr::verify_legacy(&request("-newkey rsa:2048 -sha256")).is_ok());
    assert!(matches!(csr::verify_legacy(&request("-newkey rsa:1024 -sha1")), Err(CsrError::Key(_))));
}

/// The kinds that OpenSSL 3.0 knows; ML-DSA came with 3.5.
const KNOWN: [KeyKind; 6] =
    [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::Rsa4096];

// R42
#[test]
fn openssl_accepts_what_authorities_of_each_kind_issue() {
    for kind in KNOWN {
        let a = Installation::of_kinds(kind, kind);
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path();
        write(d, "root.pem", a.authority.root.certificate());
        write(d, "issuing.pem", a.authority.issuing.certificate());
        write(d, "leaf.pem", &a.device());
        let (ok, text) = verify(d, "sslclient", NOW.as_seconds(), "leaf.pem");
        assert!(ok, "{kind}: {text}");
        let (ok, text) = openssl(d, "asn1parse -in leaf.pem");
        // RFC 4055 5: the NULL stands in both algorithm fields of an RSA signature, and in no other's.
        let nulls = text.lines().filter(|l| l.contains("NULL")).count();
        assert!(ok, "{text}");
        let rsa = matches!(kind.public(), PublicKeyKind::Rsa(_));
        assert_eq!(nulls, if rsa { 2 } else { 0 }, "{kind}: {text}");
    }
}

#[test]
fn openssl_verifies_the_requests_that_we_build() {
    let dir = tempfile::tempdir().unwrap();
    let keys = MemoryKeys::default();
    for kind in KNOWN {
        let label = kind.as_str().parse().unwrap();
        let spki = keys.generate(&label, kind).unwrap();
        let der = csr::build(&spki, "pump 7", |m| keys.sign(&label, m)).unwrap();
        fs::write(dir.path().join("csr.der"), der).unwrap();
        let (ok, text) = openssl(dir.path(), "req -inform DER -in csr.der -verify -noout -subject");
        assert!(ok && text.contains("verify OK") && text.contains("CN = pump 7"), "{text}");
    }
}

#[test]
fn openssl_reads_our_bags_of_certificates_and_we_read_its() {
    use lanyard_pki::pkcs7;
    let (a, dir) = written();
    let d = dir.path();
    let all = [a.device(), a.authority.issuing.certificate().clone(), a.authority.root.certificate().clone()];
    let der: Vec<&[u8]> = all.iter().map(|c| c.der().as_ref()).collect();
    fs::write(d.join("ours.p7b"), pkcs7::certs_only(&der)).unwrap();
    let (ok, text) = openssl(d, "pkcs7 -inform DER -in ours.p7b -print_certs");
    assert!(ok, "{text}");
    for certificate in &all {
        assert!(text.contains(&certificate.to_pem()), "{text}");
    }
    // CMS is the newer reader, and stricter about versions.
    let (ok, text) = openssl(d, "cms -cmsout -inform DER -in ours.p7b -noout -print");
    assert!(ok && text.contains("version: 1") && text.contains("signerInfos:\n      <EMPTY>"), "{text}");

    fs::write(d.join("all.pem"), all.iter().map(Certificate::to_pem).collect::<String>()).unwrap();
    let (ok, text) = openssl(d, "crl2pkcs7 -nocrl -certfile all.pem -outform DER -out theirs.p7b");
    assert!(ok, "{text}");
    let theirs = fs::read(d.join("theirs.p7b")).unwrap();
    let mut found = pkcs7::read(&theirs).unwrap();
    found.sort_unstable();
    let mut expected = der.clone();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

// I12
#[test]
fn a_message_that_openssl_signed_is_not_taken_for_a_bag_of_certificates() {
    use lanyard_pki::pkcs7::{self, Pkcs7Error};
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    fs::write(d.join("text"), "hello").unwrap();
    for step in [
        "req -x509 -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key.pem -out cert.pem -subj /CN=x",
        "cms -sign -in text -signer cert.pem -inkey key.pem -outform DER -out signed.der -nodetach",
        "cms -encrypt -in text -outform DER -out encrypted.der -aes128 cert.pem",
    ] {
        let (ok, text) = openssl(d, step);
        assert!(ok, "{step}: {text}");
    }
    assert_eq!(pkcs7::read(&fs::read(d.join("signed.der")).unwrap()), Err(Pkcs7Error::Signed));
    assert!(pkcs7::read(&fs::read(d.join("encrypted.der")).unwrap()).is_err());
}

// R34: what a SCEP client encrypts with OpenSSL, our key opens.
#[test]
fn what_openssl_encrypts_to_an_rsa_key_is_opened_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let keys = MemoryKeys::default();
    let label = "scep-ra".parse().unwrap();
    fs::write(d.join("key.der"), keys.generate_to_decrypt(&label, KeyKind::Rsa2048).unwrap()).unwrap();
    fs::write(d.join("secret"), [0x42; 24]).unwrap();
    let (ok, text) = openssl(
        d,
        "pkeyutl -encrypt -pubin -inkey key.der -keyform DER -in secret -out sealed -pkeyopt rsa_padding_mode:pkcs1",
    );
    assert!(ok, "{text}");
    let sealed = fs::read(d.join("sealed")).unwrap();
    assert_eq!(keys.decrypt(&label, &sealed).unwrap(), [0x42; 24]);
}
