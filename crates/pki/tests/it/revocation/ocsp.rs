//! OCSP by other hands: clients that ask our responder over HTTP.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lanyard_pki::certificate::Certificate;
use lanyard_pki::ocsp::http::get_path;
use lanyard_pki::ocsp::{NeverIssued, Policy, Standing};
use lanyard_pki::revocation::{Reason, Revocation};

use super::server::{Records, Server};
use super::{folder, have, run};
use crate::installation::{Installation, NOW};
use crate::peers;

struct Hospital {
    a: Arc<Installation>,
    dir: tempfile::TempDir,
    server: Server,
    good: Certificate,
}

const COMPROMISED: Standing =
    Standing::Revoked(Revocation { at: NOW.plus_seconds(-60), reason: Reason::KeyCompromise });

impl Hospital {
    /// In the folder: good.pem, revoked.pem, unrecorded.pem and foreign.pem, of another CA.
    fn new(policy: Policy) -> Self {
        let a = Arc::new(Installation::new());
        let dir = folder(&a);
        let (good, bad, unrecorded) = (a.device(), a.device(), a.device());
        let other = Installation::new();
        for (name, certificate) in [
            ("good.pem", &good),
            ("revoked.pem", &bad),
            ("unrecorded.pem", &unrecorded),
            ("foreign.pem", &other.device()),
            ("foreign-issuing.pem", other.authority.issuing.certificate()),
        ] {
            fs::write(dir.path().join(name), certificate.to_pem()).unwrap();
        }
        let chain = [&good, a.authority.issuing.certificate(), a.authority.root.certificate()];
        let chain: String = chain.iter().map(|c| c.to_pem()).collect();
        fs::write(dir.path().join("chain.pem"), chain).unwrap();
        let records = Records::from([(good.serial(), Standing::Good), (bad.serial(), COMPROMISED)]);
        let server = Server::start(a.clone(), records, policy);
        Self { a, dir, server, good }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `openssl ocsp` about these certificates.
    fn openssl(&self, certificates: &str) -> (bool, String) {
        let arguments = format!(
            "ocsp -CAfile root.pem -verify_other issuing.pem -issuer issuing.pem -url {} -resp_text {certificates}",
            self.server.url()
        );
        run(self.path(), "openssl", &arguments)
    }
}

// R49
#[test]
fn openssl_gets_good_revoked_and_never_issued_from_our_responder() {
    if !have("openssl", "openssl") {
        return;
    }
    let h = Hospital::new(Policy::DEFAULT);
    for options in ["", "-no_nonce", "-sha256", "-sha256 -no_nonce"] {
        let (ok, text) = h.openssl(&format!("{options} -cert good.pem"));
        assert!(ok && text.contains("Response verify OK"), "{text}");
        assert!(text.contains("good.pem: good\n"), "{text}");
        let nonce = text.contains("OCSP Nonce:");
        assert_eq!(nonce, !options.contains("-no_nonce"), "{text}");
        assert!(!text.contains("WARNING"), "{text}");
        let (ok, text) = h.openssl(&format!("{options} -cert revoked.pem"));
        assert!(ok && text.contains("Response verify OK"), "{text}");
        assert!(text.contains("revoked.pem: revoked\n") && text.contains("Reason: keyCompromise"), "{text}");
        assert!(text.contains("Revocation Time: Nov 22 11:59:00 2026 GMT"), "{text}");
        let (ok, text) = h.openssl(&format!("{options} -cert unrecorded.pem"));
        assert!(ok && text.contains("unrecorded.pem: revoked\n"), "{text}");
        assert!(
            text.contains("Reason: certificateHold") && text.contains("Jan  1 00:00:00 1970 GMT"),
            "{text}"
        );
    }
    // Several in one request.
    let (ok, text) = h.openssl("-cert good.pem -cert revoked.pem -cert unrecorded.pem");
    assert!(ok && text.contains("Response verify OK"), "{text}");
    for line in ["good.pem: good\n", "revoked.pem: revoked\n", "unrecorded.pem: revoked\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("Cert Status: good") && text.contains("OCSP No Check"), "{text}");
}

#[test]
fn openssl_gets_unknown_where_the_policy_says_so() {
    if !have("openssl", "openssl") {
        return;
    }
    let h = Hospital::new(Policy { never_issued: NeverIssued::Unknown, ..Policy::DEFAULT });
    let (ok, text) = h.openssl("-cert unrecorded.pem");
    assert!(
        ok && text.contains("Response verify OK") && text.contains("unrecorded.pem: unknown\n"),
        "{text}"
    );
}

#[test]
fn openssl_is_told_when_another_cas_certificate_is_asked_about() {
    if !have("openssl", "openssl") {
        return;
    }
    let h = Hospital::new(Policy::DEFAULT);
    let arguments = format!("ocsp -issuer foreign-issuing.pem -cert foreign.pem -url {}", h.server.url());
    let (_, text) = run(h.path(), "openssl", &arguments);
    assert!(text.contains("Responder Error: unauthorized (6)"), "{text}");
    // Together with one of ours it is unknown (RFC 6960 2.2). OpenSSL verifies answers about one issuer only.
    let (_, text) = h.openssl("-cert good.pem -issuer foreign-issuing.pem -cert foreign.pem");
    assert!(text.contains("good.pem: good\n") && text.contains("foreign.pem: unknown\n"), "{text}");
    assert_eq!(h.server.signed(), 1);
}

// R49, I6
#[test]
fn a_revocation_is_in_the_next_answer_although_the_last_is_kept() {
    if !have("openssl", "openssl") {
        return;
    }
    let h = Hospital::new(Policy::DEFAULT);
    for _ in 0..3 {
        let (_, text) = h.openssl("-no_nonce -cert good.pem");
        assert!(text.contains("good.pem: good\n"), "{text}");
    }
    assert_eq!(h.server.signed(), 1, "the second and third came from the cache");
    h.server.revoke(&h.good.serial(), COMPROMISED);
    let (_, text) = h.openssl("-no_nonce -cert good.pem");
    assert!(text.contains("good.pem: revoked\n"), "{text}");
    assert_eq!(h.server.signed(), 2);
}

#[test]
fn curl_gets_an_answer_that_openssl_verifies_and_proxies_may_keep() {
    if !have("openssl", "openssl") || !have("curl", "curl") {
        return;
    }
    let h = Hospital::new(Policy::DEFAULT);
    let d = h.path();
    let (ok, text) =
        run(d, "openssl", "ocsp -no_nonce -issuer issuing.pem -cert good.pem -reqout request.der");
    assert!(ok, "{text}");
    let path = get_path(&fs::read(d.join("request.der")).unwrap()).unwrap();
    let url = format!("{}{path}", h.server.url());
    let (ok, text) = run(d, "curl", &format!("-s -S --noproxy * -D head.txt -o response.der {url}"));
    assert!(ok, "{text}");
    let verify = "ocsp -respin response.der -CAfile root.pem -verify_other issuing.pem -issuer issuing.pem -cert good.pem -no_nonce";
    let (ok, text) = run(d, "openssl", verify);
    assert!(ok && text.contains("Response verify OK") && text.contains("good.pem: good\n"), "{text}");
    let head = fs::read_to_string(d.join("head.txt")).unwrap();
    for line in [
        "HTTP/1.1 200",
        "content-type: application/ocsp-response\r\n",
        "last-modified: Sun, 22 Nov 2026 11:55:00 GMT\r\n",
        "expires: Sun, 22 Nov 2026 13:00:00 GMT\r\n",
        "cache-control: max-age=60, public, no-transform, must-revalidate\r\n",
    ] {
        assert!(head.contains(line), "`{line}` is not in\n{head}");
    }
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim().to_owned();
    let has = format!("If-None-Match:{etag}");
    let (ok, text) =
        run(d, "curl", &format!("-s -S --noproxy * -o again.der -w %{{http_code}} -H {has} {url}"));
    assert!(ok && text.ends_with("304"), "{text}");
    // What is no request, in both methods.
    for (arguments, status) in [
        (format!("{}/%00", h.server.url()), "200"),
        (format!("--data-binary hello -H content-type:application/ocsp-request {}", h.server.url()), "200"),
        (format!("--data-binary hello -H content-type:text/plain {}", h.server.url()), "415"),
    ] {
        let (ok, text) =
            run(d, "curl", &format!("-s -S --noproxy * -o error.der -w %{{http_code}} {arguments}"));
        assert!(ok && text.ends_with(status), "{text}");
        if status == "200" {
            let (_, text) = run(d, "openssl", "ocsp -respin error.der");
            assert!(text.contains("malformedrequest (1)"), "{text}");
        }
    }
}

// R49
#[test]
fn gnutls_asks_our_responder_with_and_without_a_nonce() {
    if !have("ocsptool", "gnutls-bin") {
        return;
    }
    let h = Hospital::new(Policy::DEFAULT);
    // It verifies the responder's certificate against the trusted ones directly, without a CA in between.
    let ask = |name: &str, options: &str| {
        let arguments = format!(
            "--ask={} --load-cert {name} --load-issuer issuing.pem --load-trust issuing.pem {options}",
            h.server.url()
        );
        run(h.path(), "ocsptool", &arguments)
    };
    for options in ["--nonce", "--no-nonce"] {
        let (_, text) = ask("good.pem", options);
        assert!(text.contains("Certificate Status: good") && text.contains("Success."), "{text}");
        let (_, text) = ask("revoked.pem", options);
        assert!(text.contains("Certificate Status: revoked"), "{text}");
        assert!(text.contains("Revocation time: Sun Nov 22 11:59:00 UTC 2026"), "{text}");
        let (_, text) = ask("unrecorded.pem", options);
        assert!(text.contains("Certificate Status: revoked"), "{text}");
    }
    // An answer of another hospital's responder does not verify.
    let other = Hospital::new(Policy::DEFAULT);
    fs::write(h.path().join("other.pem"), other.a.authority.issuing.certificate().to_pem()).unwrap();
    let arguments = format!(
        "--ask={} --load-cert good.pem --load-issuer issuing.pem --load-trust other.pem",
        h.server.url()
    );
    let (ok, text) = run(h.path(), "ocsptool", &arguments);
    assert!(!ok && text.contains("Failure"), "{text}");
}

const PYCA: &str = "\
import sys, urllib.request
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
read = lambda name: x509.load_pem_x509_certificate(open(name, 'rb').read())
issuer = read('issuing.pem')
for hash in (hashes.SHA1(), hashes.SHA256()):
    for octets in (0, 1, 16, 32, 128, 129):
        for name in ('good.pem', 'revoked.pem', 'unrecorded.pem'):
            builder = ocsp.OCSPRequestBuilder().add_certificate(read(name), issuer, hash)
            if octets:
                builder = builder.add_extension(x509.OCSPNonce(b'n' * octets), critical=False)
            body = builder.build().public_bytes(serialization.Encoding.DER)
            request = urllib.request.Request(sys.argv[1], body, {'Content-Type': 'application/ocsp-request'})
            answer = ocsp.load_der_ocsp_response(urllib.request.urlopen(request).read())
            what = answer.response_status.name
            if answer.response_status == ocsp.OCSPResponseStatus.SUCCESSFUL:
                responder, = answer.certificates
                issuer.public_key().verify(responder.signature, responder.tbs_certificate_bytes, ec.ECDSA(responder.signature_hash_algorithm))
                responder.public_key().verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(answer.signature_hash_algorithm))
                assert answer.serial_number == read(name).serial_number
                assert answer.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(responder.public_key()).digest
                nonces = [e.value.nonce for e in answer.extensions if isinstance(e.value, x509.OCSPNonce)]
                assert nonces == ([b'n' * octets] if octets else []), nonces
                what = answer.certificate_status.name
                if answer.revocation_reason:
                    what += ' ' + answer.revocation_reason.value
            print(hash.name, octets, name, what)
";

#[test]
fn pyca_gets_nonces_of_every_allowed_length_back() {
    let Some(python) = peers::python() else { return };
    if !have("faketime", "faketime") {
        return;
    }
    let h = Hospital::new(Policy::DEFAULT);
    fs::write(h.path().join("ask.py"), PYCA).unwrap();
    let (ok, text) = run(h.path(), python, &format!("ask.py {}", h.server.url()));
    assert!(ok, "{text}");
    for hash in ["sha1", "sha256"] {
        for octets in [0, 1, 16, 32, 128] {
            for (name, what) in [
                ("good.pem", "GOOD"),
                ("revoked.pem", "REVOKED keyCompromise"),
                ("unrecorded.pem", "REVOKED certificateHold"),
            ] {
                let line = format!("{hash} {octets} {name} {what}");
                assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
            }
        }
        // RFC 9654 2.1: one more is malformed.
        assert!(text.contains(&format!("{hash} 129 good.pem MALFORMED_REQUEST")), "{text}");
    }
}
