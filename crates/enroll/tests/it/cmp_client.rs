//! Our client against the mock server of `openssl cmp`: a server that nobody here wrote.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use lanyard_enroll::cmp::client::{
    Client, Credential, Enrolling, Issued, Mac, Progress, ReplyError, Trust, Verdict, Wish,
};
use lanyard_enroll::cmp::{CertificateId, EnrollKind, FailInfo, Fresh};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::csr;
use lanyard_pki::key::{KeyKind, KeyLabel};
use lanyard_pki::revocation::Reason;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::hospital::{Hospital, now, random};

/// `openssl cmp -port`, ended with the test.
struct Mock {
    process: Child,
    port: u16,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Mock {
    fn start(dir: &TempDir, args: &str) -> Self {
        let mut process = Command::new("openssl")
            .args("cmp -batch -port 0".split(' ').chain(args.split_whitespace()))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the `openssl` command must be installed (Debian package `openssl`)");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("the mock server ended").unwrap();
            // `ACCEPT [::]:39655 PID=21220`
            if let Some(rest) = line.strip_prefix("ACCEPT ") {
                let address = rest.split(' ').next().unwrap();
                break address.rsplit(':').next().unwrap().parse().unwrap();
            }
        };
        // What it goes on to say must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port }
    }

    fn post(&self, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "POST / HTTP/1.0\r\ncontent-type: application/pkixcmp\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let end = reply.windows(4).position(|w| w == b"\r\n\r\n").expect("an HTTP head");
        assert!(reply.starts_with(b"HTTP/1.") && reply[9..].starts_with(b"200"), "{reply:?}");
        reply.split_off(end + 4)
    }
}

/// A device that enrolls at the mock: its new key, and the certificate that the mock will give out for it.
struct Device {
    hospital: Hospital,
    dir: TempDir,
    new_label: KeyLabel,
    new_spki: Vec<u8>,
    request: Vec<u8>,
    /// Which it has already.
    label: KeyLabel,
    certificate: Certificate,
}

const SECRET: &str = "-srv_ref pump-7 -srv_secret pass:tops3cret";

impl Device {
    fn new() -> Self {
        let hospital = Hospital::new();
        let dir = tempfile::tempdir().unwrap();
        let (new_label, new_spki) = hospital.new_key("new", KeyKind::P256);
        let request = csr::build(&new_spki, "pump", |m| hospital.sign(&new_label, m)).unwrap();
        let issued = hospital.issue(&csr::verify(&request).unwrap());
        let (label, certificate) = hospital.device("old");
        let device = Self { hospital, dir, new_label, new_spki, request, label, certificate };
        for (name, certificate) in [
            ("rsp.pem", &issued),
            ("old.pem", &device.certificate),
            ("issuing.pem", device.hospital.issuing()),
            ("root.pem", device.hospital.root()),
        ] {
            fs::write(device.dir.path().join(name), certificate.to_pem()).unwrap();
        }
        let made = Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout srv.key -out srv.pem -subj /CN=mock -addext keyUsage=digitalSignature".split(' '))
            .current_dir(device.dir.path())
            .output()
            .unwrap();
        assert!(made.status.success());
        device
    }

    fn by_secret(&self, mac: Mac, secret: &str) -> Client {
        let credential =
            Credential::Secret { reference: "pump-7".into(), secret: Zeroizing::new(secret.into()), mac };
        Client::new(credential, Trust::SecretOnly)
    }

    fn by_certificate(&self) -> Client {
        let chain = vec![self.certificate.clone(), self.hospital.issuing().clone()];
        let mock = chain_from_pem(&fs::read(self.dir.path().join("srv.pem")).unwrap()).unwrap();
        Client::new(Credential::Certificate(chain), Trust::Pinned(mock))
    }

    fn start(&self, client: &Client, kind: EnrollKind, implicit_confirm: bool) -> (Enrolling, Vec<u8>) {
        let key_or_request = if kind == EnrollKind::Pkcs10 { &self.request } else { &self.new_spki };
        let wish = Wish { kind, key_or_request, common_name: "pump", profile: None, implicit_confirm };
        client
            .enroll(
                &wish,
                &|m| self.hospital.sign(&self.new_label, m),
                &|m| self.hospital.sign(&self.label, m),
                random(),
                (Fresh::from_random(random()), now()),
            )
            .unwrap()
    }

    /// Asks, and asks again as often as the mock wants; how often it was.
    fn enroll(&self, mock: &Mock, client: &Client, kind: EnrollKind, implicit: bool) -> (Issued, usize) {
        let (mut enrolling, mut message) = self.start(client, kind, implicit);
        let mut waited = 0;
        loop {
            match enrolling.read(client, &mock.post(&message), now()).unwrap() {
                Progress::Issued(issued) => return (*issued, waited),
                Progress::Wait { .. } => {
                    waited += 1;
                    let sign = |m: &[u8]| self.hospital.sign(&self.label, m);
                    let fresh = Fresh::from_random(random());
                    message = enrolling.poll(client, &sign, (fresh, now())).unwrap();
                }
                Progress::Declined(declined) => panic!("{declined:?}"),
            }
        }
    }
}

// R36
#[test]
fn our_client_enrolls_at_openssl_by_secret_and_by_certificate_waits_and_confirms() {
    let device = Device::new();
    let signed = "-srv_cert srv.pem -srv_key srv.key -srv_trusted root.pem";
    let poll =
        "-rsp_cert rsp.pem -rsp_extracerts issuing.pem -rsp_capubs root.pem -poll_count 2 -check_after 0";
    for (args, client) in
        [(SECRET, device.by_secret(Mac::Pbm, "tops3cret")), (signed, device.by_certificate())]
    {
        let mock = Mock::start(&device.dir, &format!("{args} {poll}"));
        for kind in [EnrollKind::Initialization, EnrollKind::Certification, EnrollKind::Pkcs10] {
            let (mut issued, waited) = device.enroll(&mock, &client, kind, false);
            assert_eq!(waited, 2, "{kind:?}: told to wait, and once not yet");
            assert_eq!(issued.certificate.spki_sha256(), csr::verify(&device.request).unwrap().spki_sha256());
            let rooted = args == SECRET && kind == EnrollKind::Initialization;
            assert_eq!(issued.roots.len(), usize::from(rooted), "{kind:?}");
            let unconfirmed = issued.unconfirmed.as_mut().expect("the mock did not grant it");
            let sign = |m: &[u8]| device.hospital.sign(&device.label, m);
            let fresh = Fresh::from_random(random());
            let message = unconfirmed.confirm(&client, Verdict::Accept, &sign, (fresh, now())).unwrap();
            assert_eq!(unconfirmed.read(&client, &mock.post(&message), now()), Ok(Ok(())), "{kind:?}");
        }
    }
}

// R42, R49
#[test]
fn our_client_renews_and_revokes_at_openssl() {
    let device = Device::new();
    let client = device.by_certificate();
    let args = "-srv_cert srv.pem -srv_key srv.key -srv_trusted root.pem -grant_implicitconf";
    // The mock updates only the certificate that it gives out: so the same key, and the same certificate again.
    let mock = Mock::start(&device.dir, &format!("{args} -rsp_cert old.pem"));
    let key = device.certificate.public_key().unwrap();
    let (new_label, new_spki) = (device.label.clone(), key.der().to_vec());
    let device = Device { new_label, new_spki, ..device };
    let (issued, _) = device.enroll(&mock, &client, EnrollKind::KeyUpdate, true);
    assert_eq!(issued.certificate, device.certificate);
    assert!(issued.unconfirmed.is_none(), "granted");
    // The mock revokes the certificate that it gave out.
    let id = CertificateId::of(&issued.certificate);
    let sign = |m: &[u8]| device.hospital.sign(&device.label, m);
    let fresh = || (Fresh::from_random(random()), now());
    let what = (&id, Reason::Superseded);
    let (mut revoking, message) = client.revoke(what, &sign, random(), fresh()).unwrap();
    assert_eq!(revoking.read(&client, &mock.post(&message), now()), Ok(Ok(())));
}

#[test]
fn the_nos_of_openssl_are_read() {
    let device = Device::new();
    let client = device.by_secret(Mac::Pbm, "tops3cret");
    let args = format!("{SECRET} -rsp_cert rsp.pem -pkistatus 2 -failure 9 -statusstring no");
    let mock = Mock::start(&device.dir, &args);
    let (mut enrolling, message) = device.start(&client, EnrollKind::Initialization, true);
    match enrolling.read(&client, &mock.post(&message), now()).unwrap() {
        Progress::Declined(declined) => {
            assert!(declined.is(FailInfo::BadPop) && declined.why() == "no", "{declined:?}");
        }
        other => panic!("{other:?}"),
    }
    // With another secret nothing is believed, and the mock believes nothing.
    let stranger = device.by_secret(Mac::Pbm, "another");
    let (mut enrolling, message) = device.start(&stranger, EnrollKind::Initialization, true);
    let read = enrolling.read(&stranger, &mock.post(&message), now());
    assert!(matches!(read, Err(ReplyError::Untrusted { .. })), "{read:?}");
    // OpenSSL 3.0 has no PBMAC1; its no comes under its own MAC.
    let newer = device.by_secret(Mac::Pbmac1, "tops3cret");
    let (mut enrolling, message) = device.start(&newer, EnrollKind::Initialization, true);
    let read = enrolling.read(&newer, &mock.post(&message), now());
    assert!(matches!(read, Ok(Progress::Declined(_))), "{read:?}");
}
