//! `openssl cmp` (3.0) against our server engine: each kind of request, with a secret and with a certificate, waiting,
//! confirming, revoking; and each way in which it is told no.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lanyard_enroll::cmp::server::{ImplicitConfirm, Policy, Refusal};
use lanyard_enroll::cmp::{CertificateId, RequestRefused, Settlement};
use lanyard_enroll::{Authentication, Protocol};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::revocation::Reason;
use tempfile::TempDir;

use crate::cmp_host::{Decision, Host, serve};
use crate::hospital::secret;

struct Peer {
    host: Arc<Host>,
    address: SocketAddr,
    dir: TempDir,
}

/// Runs openssl in `dir`: whether it succeeded, and what it said.
fn openssl(dir: &Path, args: &str) -> (bool, String) {
    let out = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(dir)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the `openssl` command must be installed (Debian package `openssl`)");
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&text).into_owned())
}

impl Peer {
    fn new(policy: Policy) -> Self {
        let host = Arc::new(Host::new(vec![secret(1), secret(2)], policy));
        let dir = tempfile::tempdir().unwrap();
        let address = serve(Arc::clone(&host));
        let peer = Self { host, address, dir };
        peer.write("root.pem", peer.host.hospital.root());
        peer.write("issuing.pem", peer.host.hospital.issuing());
        peer.write("cmp.pem", &peer.host.hospital.signer);
        fs::write(peer.dir.path().join("secret"), secret(1).reveal()).unwrap();
        peer
    }

    fn write(&self, name: &str, certificate: &Certificate) {
        fs::write(self.dir.path().join(name), certificate.to_pem()).unwrap();
    }

    fn key(&self, name: &str) {
        self.must(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}"));
    }

    fn must(&self, args: &str) -> String {
        let (ok, text) = openssl(self.dir.path(), args);
        assert!(ok, "openssl {args}\n{text}");
        text
    }

    fn cmp(&self, args: &str) -> (bool, String) {
        let server = format!("-server http://{}/.well-known/cmp", self.address);
        openssl(self.dir.path(), &format!("cmp -batch {server} {args}"))
    }

    fn cmp_must(&self, args: &str) -> String {
        let (ok, text) = self.cmp(args);
        assert!(ok, "{args}\n{text}\n{:?}", self.host.seen.lock().unwrap().refused);
        text
    }

    /// A run that must fail; what it said.
    fn cmp_fails(&self, args: &str) -> String {
        let (ok, text) = self.cmp(args);
        assert!(!ok, "{args}\n{text}");
        text
    }

    fn certificate(&self, name: &str) -> Certificate {
        chain_from_pem(&fs::read(self.dir.path().join(name)).unwrap()).unwrap().remove(0)
    }

    /// Enrolls by secret: `dev.key`, `dev.pem`.
    fn enrolled(&self) -> Certificate {
        self.key("dev.key");
        self.cmp_must(&format!("-cmd ir {SECRET} -newkey dev.key -certout dev.pem -implicit_confirm"));
        self.certificate("dev.pem")
    }

    fn settlements(&self) -> Vec<Settlement> {
        self.host.seen.lock().unwrap().settled.iter().map(|s| s.how.clone()).collect()
    }

    fn last_refusal(&self) -> Option<Refusal> {
        self.host.seen.lock().unwrap().refused.last().cloned()
    }
}

/// The options of a client that has a secret. The id of `secret(1)` is its text up to the hyphen.
const SECRET: &str = "-ref aeaqcaib -secret file:secret -subject /CN=pump";
/// The options of a client that has a certificate.
const SIGNED: &str = "-cert dev.pem -key dev.key -trusted root.pem -untrusted issuing.pem";

fn confirming() -> Policy {
    Policy { implicit_confirm: ImplicitConfirm::Refused, ..Policy::default() }
}

// R36
#[test]
fn openssl_enrolls_with_a_secret_and_confirms() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    let text = peer.cmp_must(&format!(
        "-cmd ir {SECRET} -newkey dev.key -certout dev.pem -chainout chain.pem -cacertsout ca.pem -extracertsout extra.pem -out_trusted root.pem"
    ));
    for said in ["sending IR", "received IP", "sending CERTCONF", "received PKICONF"] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert_eq!(peer.certificate("ca.pem"), *peer.host.hospital.root(), "caPubs under our secret");
    assert_eq!(peer.certificate("extra.pem"), *peer.host.hospital.issuing());
    peer.must("verify -CAfile root.pem -untrusted issuing.pem -purpose sslclient dev.pem");
    assert_eq!(peer.settlements(), [Settlement::Confirmed]);
    let seen = peer.host.seen.lock().unwrap();
    let request = &seen.enrolled[0];
    assert_eq!((request.protocol, request.profile.as_deref()), (Protocol::Cmp, None));
    assert!(
        matches!(&request.authentication, Authentication::Secret(proven) if proven.id() == secret(1).id())
    );
    assert_eq!(seen.settled[0].certificate, peer.certificate("dev.pem"));
}

// R36
#[test]
fn openssl_enrolls_by_each_mac_and_key_and_without_confirmation() {
    let peer = Peer::new(Policy::default());
    for (mac, key) in [
        ("", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("-mac hmacWithSHA256", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("-mac hmacWithSHA1", "ED25519"),
        ("-mac hmacWithSHA512", "RSA -pkeyopt rsa_keygen_bits:2048"),
    ] {
        peer.must(&format!("genpkey -algorithm {key} -out dev.key"));
        let text = peer.cmp_must(&format!(
            "-cmd ir {SECRET} {mac} -newkey dev.key -certout dev.pem -implicit_confirm -out_trusted root.pem"
        ));
        assert!(!text.contains("CERTCONF"), "{text}");
    }
    assert_eq!(peer.host.transactions.lock().unwrap().open(), 0);
}

#[test]
fn a_site_that_wants_confirmations_gets_them() {
    let peer = Peer::new(confirming());
    peer.key("dev.key");
    let text = peer.cmp_must(&format!("-cmd ir {SECRET} -newkey dev.key -certout dev.pem -implicit_confirm"));
    assert!(text.contains("sending CERTCONF"), "{text}");
    assert_eq!(peer.settlements(), [Settlement::Confirmed]);
}

#[test]
fn openssl_certifies_and_updates_with_its_certificate_and_with_pkcs10() {
    let peer = Peer::new(Policy::default());
    let first = peer.enrolled();
    for (cmd, new) in [("cr", "-newkey new.key"), ("kur", "-newkey new.key"), ("p10cr", "-csr new.csr")] {
        peer.key("new.key");
        peer.must(
            "req -new -key new.key -out new.csr -subj /CN=pump -addext subjectAltName=DNS:evil.example",
        );
        let text = peer.cmp_must(&format!(
            "-cmd {cmd} {SIGNED} {new} -certout new.pem -out_trusted root.pem -srvcert cmp.pem"
        ));
        assert!(text.contains("PKICONF"), "{text}");
        let new = peer.certificate("new.pem");
        assert_ne!(new.spki_sha256(), first.spki_sha256(), "{cmd}");
        assert!(!new.dns_names().iter().any(|n| n == "evil.example"));
        let seen = peer.host.seen.lock().unwrap();
        let Authentication::Certificate(chain) = &seen.enrolled.last().unwrap().authentication else {
            panic!("{cmd} is signed")
        };
        assert_eq!(chain[0], first.der().as_ref(), "{cmd}");
        assert_eq!(chain[1], peer.host.hospital.issuing().der().as_ref(), "{cmd}: the issuer came along");
    }
    assert_eq!(peer.settlements(), vec![Settlement::Confirmed; 3]);
    // p10cr with a secret.
    peer.key("new.key");
    peer.must("req -new -key new.key -out new.csr -subj /CN=pump");
    peer.cmp_must(&format!("-cmd p10cr {SECRET} -csr new.csr -certout new.pem -out_trusted root.pem"));
}

// R42: an approval that comes later.
#[test]
fn openssl_waits_until_it_is_decided() {
    let peer = Peer::new(Policy::default());
    peer.enrolled();
    for (cmd, credential, new) in [
        ("ir", SECRET, "-newkey new.key"),
        ("cr", SIGNED, "-newkey new.key"),
        ("kur", SIGNED, "-newkey new.key"),
        ("p10cr", SIGNED, "-csr new.csr"),
    ] {
        peer.key("new.key");
        peer.must("req -new -key new.key -out new.csr -subj /CN=pump");
        peer.host.decide([Decision::Wait, Decision::Wait, Decision::Issue]);
        let text =
            peer.cmp_must(&format!("-cmd {cmd} {credential} {new} -certout new.pem -total_timeout 30"));
        for said in ["sending POLLREQ", "received POLLREP", "received PKICONF"] {
            assert!(text.contains(said), "{cmd}: {said}\n{text}");
        }
        // And the one who waits is told no.
        peer.host.decide([Decision::Wait, Decision::Refuse]);
        let text =
            peer.cmp_fails(&format!("-cmd {cmd} {credential} {new} -certout new.pem -total_timeout 30"));
        assert!(text.contains("not_approved: the record is retired"), "{cmd}\n{text}");
    }
    assert_eq!(peer.host.transactions.lock().unwrap().open(), 0);
}

// R49
#[test]
fn openssl_revokes_its_own_certificate_once_and_no_other() {
    let peer = Peer::new(Policy::default());
    let own = peer.enrolled();
    let text = peer.cmp_must(&format!("-cmd rr {SIGNED} -oldcert dev.pem -revreason 1"));
    assert!(text.contains("received RP"), "{text}");
    {
        let seen = peer.host.seen.lock().unwrap();
        let request = &seen.revoked[0];
        assert_eq!(request.certificate, CertificateId::of(&own));
        assert_eq!((request.reason, request.is_own), (Reason::KeyCompromise, true));
    }
    let text = peer.cmp_fails(&format!("-cmd rr {SIGNED} -oldcert dev.pem -revreason 1"));
    assert!(text.contains("certRevoked"), "{text}");
    let text = peer.cmp_fails(&format!("-cmd rr {SIGNED} -oldcert cmp.pem -revreason 1"));
    assert!(text.contains("not_yours"), "{text}");
    // By number alone it is not named.
    let text = peer.cmp_fails(&format!("-cmd rr {SECRET} -oldcert dev.pem -trusted root.pem"));
    assert_eq!(peer.last_refusal(), Some(Refusal::MustBeSigned), "{text}");
    peer.must("req -new -key dev.key -out dev.csr -subj /CN=pump");
    peer.cmp_fails(&format!("-cmd rr {SIGNED} -csr dev.csr -issuer /CN=x -recipient /"));
    assert!(matches!(peer.last_refusal(), Some(Refusal::Revocation(_))), "{:?}", peer.last_refusal());
}

#[test]
fn openssl_is_told_what_it_asks() {
    let peer = Peer::new(Policy::default());
    peer.enrolled();
    for (infotype, answer) in [
        ("-infotype caCerts", "id-it-caCerts"),
        ("-infotype certReqTemplate", "id-it-certReqTemplate"),
        ("-infotype signKeyPairTypes", "id-it-signKeyPairTypes"),
        ("-infotype encKeyPairTypes", "id-it-unsupportedOIDs"),
        ("", "id-it-caCerts"),
    ] {
        for credential in [SECRET, SIGNED] {
            let text = peer.cmp_must(&format!("-cmd genm {credential} {infotype}"));
            assert!(text.contains(answer), "{infotype}\n{text}");
        }
    }
}

// Each way in which it is told no.
#[test]
fn a_wrong_or_unknown_secret_is_refused_and_the_answer_is_signed() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    fs::write(peer.dir.path().join("wrong"), secret(2).reveal()).unwrap();
    let ir = "-cmd ir -subject /CN=pump -newkey dev.key -certout dev.pem -trusted root.pem";
    for (reference, file) in
        [("aeaqcaib", "wrong"), ("zzzzzzzz", "secret"), ("nobody", "secret"), ("aibaeaqc", "secret")]
    {
        let text = peer.cmp_fails(&format!("{ir} -ref {reference} -secret file:{file}"));
        assert_eq!(peer.last_refusal(), Some(Refusal::Mac), "{reference} {file}: {text}");
        assert!(text.contains("badMessageCheck"), "{text}");
    }
    // Nobody tells them apart from outside, and nothing was asked of the use case.
    assert!(peer.host.seen.lock().unwrap().enrolled.is_empty());
}

// I1
#[test]
fn requests_without_proof_of_possession_or_protection_are_refused() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    let ir = format!("-cmd ir {SECRET} -newkey dev.key -certout dev.pem -trusted root.pem");
    for (popo, refused) in [
        ("-popo 0", RequestRefused::RaVerified),
        ("-popo -1", RequestRefused::NoProof),
        ("-popo 2", RequestRefused::OtherProof),
    ] {
        let text = peer.cmp_fails(&format!("{ir} {popo}"));
        assert_eq!(peer.last_refusal(), Some(Refusal::Request(refused)), "{text}");
        assert!(text.contains("badPOP"), "{text}");
    }
    let text = peer.cmp_fails(&format!("{ir} -unprotected_requests -unprotected_errors"));
    assert_eq!(peer.last_refusal(), Some(Refusal::Unprotected), "{text}");
    peer.must("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out dev.key");
    peer.cmp_fails(&ir);
    assert!(matches!(peer.last_refusal(), Some(Refusal::Request(RequestRefused::Possession(_)))));
    assert!(peer.host.seen.lock().unwrap().enrolled.is_empty());
}

#[test]
fn what_the_use_case_says_reaches_openssl() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    for (decision, said) in [
        (Decision::Refuse, ["notAuthorized", "not_approved: the record is retired"]),
        (Decision::Unavailable, ["systemUnavail", "the key store does not answer"]),
        (Decision::Mixup, ["systemFailure", "not for the key"]),
    ] {
        peer.host.decide([decision]);
        let text = peer.cmp_fails(&format!("-cmd ir {SECRET} -newkey dev.key -certout dev.pem"));
        for said in said {
            assert!(text.contains(said), "{said}\n{text}");
        }
        assert!(!peer.dir.path().join("dev.pem").exists());
    }
}

// RFC 9810 5.3.18: a certificate that the client does not want is told of.
#[test]
fn a_certificate_that_openssl_rejects_is_settled_as_rejected() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    peer.must("req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -subj /CN=other");
    let text =
        peer.cmp_fails(&format!("-cmd ir {SECRET} -newkey dev.key -certout dev.pem -out_trusted other.pem"));
    let settlements = peer.settlements();
    assert!(matches!(settlements.as_slice(), [Settlement::Rejected(_)]), "{settlements:?}\n{text}");
}

#[test]
fn a_path_names_the_profile_and_the_operation() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    let at = |path: &str| {
        let (ok, text) = openssl(
            peer.dir.path(),
            &format!(
                "cmp -batch -server http://{} -path {path} -cmd ir {SECRET} -newkey dev.key -certout dev.pem -implicit_confirm -trusted root.pem",
                peer.address
            ),
        );
        (ok, text)
    };
    let (ok, text) = at(".well-known/cmp/p/infusion/initialization");
    assert!(ok, "{text}");
    assert_eq!(peer.host.seen.lock().unwrap().enrolled[0].profile.as_deref(), Some("infusion"));
    let (ok, text) = at(".well-known/cmp/p/infusion/keyupdate");
    assert!(!ok && peer.last_refusal() == Some(Refusal::Operation), "{text}");
    let (ok, text) = at(".well-known/cmp/nowhere");
    assert!(!ok && text.contains("404"), "{text}");
}

#[test]
fn another_authority_is_not_answered_for() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    let ir = format!("-cmd ir {SECRET} -newkey dev.key -certout dev.pem -trusted root.pem -implicit_confirm");
    let text = peer.cmp_fails(&format!("{ir} -recipient /CN=SomebodyElse"));
    assert_eq!(peer.last_refusal(), Some(Refusal::Recipient), "{text}");
    peer.cmp_must(&format!("{ir} -srvcert cmp.pem"));
}

// A kur for another certificate than the one that signs it.
#[test]
fn a_key_update_of_somebody_elses_certificate_is_refused() {
    let peer = Peer::new(Policy::default());
    peer.enrolled();
    peer.key("new.key");
    let text =
        peer.cmp_fails(&format!("-cmd kur {SIGNED} -oldcert cmp.pem -newkey new.key -certout new.pem"));
    assert_eq!(peer.last_refusal(), Some(Refusal::OldCertificate), "{text}");
    let text = peer.cmp_fails(&format!(
        "-cmd kur {SECRET} -oldcert dev.pem -newkey new.key -certout new.pem -trusted root.pem"
    ));
    assert_eq!(peer.last_refusal(), Some(Refusal::MustBeSigned), "{text}");
    // Signed with a key that is not the certificate's.
    peer.key("other.key");
    peer.cmp_fails(
        "-cmd kur -cert dev.pem -key other.key -newkey new.key -certout new.pem -trusted root.pem",
    );
}

// Replay, and messages changed on the way: as openssl recorded them, sent by hand.
#[test]
fn recorded_messages_are_not_served_twice_and_not_changed() {
    let peer = Peer::new(Policy::default());
    peer.key("dev.key");
    peer.cmp_must(&format!(
        "-cmd ir {SECRET} -newkey dev.key -certout dev.pem -implicit_confirm -reqout ir.der"
    ));
    let ir = fs::read(peer.dir.path().join("ir.der")).unwrap();
    let post = |body: &[u8]| {
        peer.host.post("/.well-known/cmp", Some("application/pkixcmp"), body);
        peer.last_refusal()
    };
    assert_eq!(post(&ir), Some(Refusal::TransactionInUse));
    peer.cmp_must(&format!("-cmd kur {SIGNED} -newkey dev.key -certout new.pem -reqout kur.der,conf.der"));
    let kur = fs::read(peer.dir.path().join("kur.der")).unwrap();
    let conf = fs::read(peer.dir.path().join("conf.der")).unwrap();
    assert_eq!(post(&kur), Some(Refusal::TransactionInUse));
    assert_eq!(post(&conf), Some(Refusal::UnknownTransaction));
    // Changed on the way, to a server that has not seen the transaction.
    let other = Host::new(vec![secret(1)], Policy::default());
    let served = |body: &[u8]| {
        other.post("/.well-known/cmp", Some("application/pkixcmp"), body);
        other.seen.lock().unwrap().enrolled.pop().is_some()
    };
    for at in 0..ir.len() {
        let mut changed = ir.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!served(&changed), "byte {at}");
    }
    assert!(served(&ir));
}
