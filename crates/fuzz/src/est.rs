//! What clients send to the EST server, and what other EST servers answer to our client.

use std::sync::LazyLock;

use lanyard_enroll::est::client::{
    Answer, Answered, read_ca_certificates, read_csr_attributes, read_issued, read_server_key,
};
use lanyard_enroll::est::keygen::{self, MadeKey};
use lanyard_enroll::est::{CsrTemplate, Incoming, Wish, parse, render};
use lanyard_enroll::{Outcome, Reply};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::KeyKind;
use lanyard_pki::oid;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};

use crate::Target;
use crate::pki;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "est_request", run: request, seeds: requests },
    Target { name: "est_answer", run: answer, seeds: answers },
    Target { name: "est_csrattrs", run: csrattrs, seeds: templates },
];

const BINDING: [u8; 32] = [0xcb; 32];

/// Path, authorization and body, one a line; the body has the rest.
fn request(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(path), authorization) = (text(), text()) else { return };
    let body = lines.next().unwrap_or_default();
    let shown = [vec![0x30, 0]];
    for (method, certificates) in [("POST", shown.as_slice()), ("POST", &[]), ("GET", &[])] {
        let incoming = Incoming {
            method,
            path,
            content_type: Some("application/pkcs10"),
            authorization: authorization.filter(|text| !text.is_empty()),
            body,
            certificates,
            channel_binding: Some(&BINDING),
        };
        match parse(&incoming) {
            Err(error) => {
                assert!((400..=501).contains(&error.reply().status), "a refusal is one in HTTP too")
            }
            Ok(request) => {
                if let Wish::Enroll(enroll) = request.wish {
                    let key = PublicKey::parse(enroll.csr.spki_der());
                    assert!(key.is_ok(), "an accepted request holds an accepted key");
                }
            }
        }
    }
}

fn requests() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for csr in pki::requests() {
        for path in [
            "/.well-known/est/simpleenroll",
            "/.well-known/est/pumps/simplereenroll",
            "/pumps/.well-known/est/serverkeygen",
        ] {
            let body = data_encoding::BASE64.encode(&csr);
            out.push(format!("{path}\nBasic cHVtcDphYmNkZWZnaC14\n{body}").into_bytes());
        }
    }
    out.push(b"/.well-known/est/cacerts\n\n".to_vec());
    out
}

/// A hospital's CA; one of its keys is the one that the client asks a certificate for.
static CERTIFICATES: LazyLock<Vec<Certificate>> =
    LazyLock::new(|| pki::authorities().iter().filter_map(|der| Certificate::parse(der).ok()).collect());

/// The body of an answer, of every type.
fn answer(data: &[u8]) {
    assert_eq!(CERTIFICATES.len(), 2, "the seeds of this module are a hospital's");
    let Some(key) = CERTIFICATES.first().and_then(|c| c.public_key().ok()) else { return };
    for content_type in [
        "application/pkcs7-mime; smime-type=certs-only",
        "application/csrattrs",
        "multipart/mixed; boundary=lanyard-est-serverkeygen",
    ] {
        for status in [200, 202, 403] {
            let answer = Answer {
                status,
                content_type: Some(content_type),
                retry_after: Some("60"),
                reason: None,
                body: data,
            };
            let _certificates = read_ca_certificates(&answer);
            let _attributes = read_csr_attributes(&answer);
            let _key = read_server_key(&answer);
            if let Ok(Answered::Granted(issued)) = read_issued(&answer, key) {
                let found = issued.certificate.public_key();
                assert!(found.is_ok_and(|found| found.der() == key.der()), "a certificate for our key");
            }
        }
    }
}

fn answers() -> Vec<Vec<u8>> {
    let certificates: Vec<Vec<u8>> = CERTIFICATES.iter().map(|c| c.der().to_vec()).collect();
    let slices: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    let mut replies = vec![
        render::ca_certificates(&slices, Default::default()),
        render::csr_attributes(Some(&template(PublicKeyKind::P256)), Default::default()),
        Reply::new(403, "text/plain", "the device is retired (retired)\n"),
    ];
    if let Ok(key) = MadeKey::generate(KeyKind::P256) {
        let outcome = Outcome::Issued { chain: certificates };
        replies.push(keygen::reply(&outcome, &key, Default::default()));
    }
    replies.into_iter().map(|reply| reply.body).collect()
}

fn csrattrs(data: &[u8]) {
    if let Ok(template) = CsrTemplate::from_der(data) {
        let again = CsrTemplate::from_der(&template.to_der());
        assert_eq!(again.as_ref(), Ok(&template), "what is understood reads back");
    }
}

fn template(key: PublicKeyKind) -> CsrTemplate {
    CsrTemplate { key: Some(key), extended_key_usages: vec![oid::CLIENT_AUTH] }
}

fn templates() -> Vec<Vec<u8>> {
    [PublicKeyKind::P256, PublicKeyKind::Ed25519, PublicKeyKind::Rsa(2048)]
        .map(|key| template(key).to_der())
        .to_vec()
}
