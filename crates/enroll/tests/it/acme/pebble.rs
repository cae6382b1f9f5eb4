//! Our ACME client against Pebble 2.4 (Go), a server that nobody here wrote: binding, http-01, dns-01, tls-alpn-01,
//! refused nonces, download, revocation, and its noes. Names lead to 127.0.0.1 by Pebble's own challenge server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::client::{
    AccountBinding, AccountKey, Answer, Client, ClientError, Issued, Next, Ordering, Outgoing, Proof,
    Revoking, ToProve, Told, Wish,
};
use lanyard_enroll::acme::{ChallengeKind, Identifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::hospital::now;
use super::host::free;
use super::succeeds;

const NAME: &str = "pacs.hospital.example";
const KID: &str = "kid-1";
/// Base64url of the key below, as Pebble wants it.
const KEY: [u8; 48] = [0x5c; 48];
/// Of a hundred nonces. Four refusals one after the other, which end an order, come once in 160,000 tries.
const REFUSED_NONCES: &str = "5";

struct Pebble {
    _folder: tempfile::TempDir,
    children: Vec<Child>,
    address: SocketAddr,
    management: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn openssl(folder: &Path, arguments: &str) {
    succeeds(Command::new("openssl").current_dir(folder).args(arguments.split(' ')));
}

fn waits_for(address: SocketAddr) {
    for _ in 0..600 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody listens at {address}");
}

impl Pebble {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        openssl(
            at,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -keyout ca.key -out ca.pem -days 2",
        );
        openssl(
            at,
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout tls.key -out tls.csr",
        );
        std::fs::write(at.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl(
            at,
            "x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out tls.pem -days 2",
        );
        let [address, unused, http, alpn, dns, management] = [(); 6].map(|()| free());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": unused.to_string(),
            "certificate": at.join("tls.pem"), "privateKey": at.join("tls.key"),
            "httpPort": http.port(), "tlsPort": alpn.port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": true,
            "externalAccountMACKeys": { KID: data_encoding::BASE64URL_NOPAD.encode(&KEY) },
        }});
        std::fs::write(at.join("config.json"), config.to_string()).unwrap();
        let spawn = |command: &mut Command| {
            let log = std::fs::File::create(at.join("log")).unwrap();
            let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
            child.unwrap_or_else(|e| panic!("{command:?}: {e}; see `cargo xtask peers`"))
        };
        let challenges = spawn(Command::new("pebble-challtestsrv").args([
            "-defaultIPv6",
            "",
            "-dns01",
            &dns.to_string(),
            "-http01",
            &http.to_string(),
            "-https01",
            "",
            "-tlsalpn01",
            &alpn.to_string(),
            "-management",
            &management.to_string(),
        ]));
        let pebble = spawn(
            Command::new("pebble")
                .args(["-config", at.join("config.json").to_str().unwrap(), "-dnsserver", &dns.to_string()])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", REFUSED_NONCES)
                .env("PEBBLE_AUTHZREUSE", "0"),
        );
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(at.join("ca.pem")).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let pebble = Self {
            _folder: folder,
            children: vec![challenges, pebble],
            address,
            management,
            tls: Arc::new(tls),
        };
        waits_for(address);
        waits_for(management);
        pebble
    }

    fn client(&self, binding: Option<AccountBinding>) -> Client {
        let url = format!("https://localhost:{}/dir", self.address.port());
        let client = Client::new(&url, AccountKey::generate().unwrap()).unwrap();
        match binding {
            Some(binding) => client.bound_by(binding),
            None => client,
        }
    }

    /// One exchange over HTTPS.
    fn exchange<R>(&self, outgoing: &Outgoing, read: impl FnOnce(&Answer<'_>) -> R) -> R {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(self.tls.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(self.address).unwrap());
        let path = outgoing.url.splitn(4, '/').nth(3).unwrap();
        let host = format!("localhost:{}", self.address.port());
        let mut head =
            format!("{} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", outgoing.method);
        head += "User-Agent: lanyard\r\n";
        for (name, value) in &outgoing.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", outgoing.body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&outgoing.body).unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let get = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let mut body = Vec::new();
        if get("transfer-encoding") == Some("chunked") {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).unwrap();
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else if outgoing.method != "HEAD" {
            body = vec![0; get("content-length").and_then(|v| v.parse().ok()).unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
        }
        println!("{outgoing:?} -> {}", status.trim());
        read(&Answer {
            status: status.split(' ').nth(1).unwrap().parse().unwrap(),
            content_type: get("content-type"),
            location: get("location"),
            replay_nonce: get("replay-nonce"),
            retry_after: get("retry-after"),
            body: &body,
        })
    }

    /// Has Pebble's challenge server show what a challenge wants.
    fn show(&self, challenge: &ToProve) {
        let (path, body) = match challenge.kind {
            ChallengeKind::Http01 => (
                "add-http01",
                serde_json::json!({ "token": challenge.token, "content": challenge.key_authorization }),
            ),
            ChallengeKind::Dns01 => {
                let (name, value) = challenge.dns_record();
                ("set-txt", serde_json::json!({ "host": format!("{name}."), "value": value }))
            }
            _ => {
                ("add-tlsalpn01", serde_json::json!({ "host": NAME, "content": challenge.key_authorization }))
            }
        };
        let mut stream = TcpStream::connect(self.management).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST /{path} HTTP/1.1\r\nHost: c\r\nConnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn order(&self, client: &mut Client, kind: ChallengeKind, shown: bool) -> Result<Issued, ClientError> {
        let wish = Wish {
            identifiers: vec![Identifier::parse("dns", NAME).unwrap()],
            profile: None,
            replaces: None,
            challenges: vec![kind],
        };
        let mut order = Ordering::new(wish, now().plus_seconds(120))?;
        loop {
            match order.next(client, now())? {
                Next::Send(outgoing) => {
                    self.exchange(&outgoing, |answer| order.hear(client, answer, now()))?;
                }
                Next::Wait { until, why } => {
                    println!("waits: {why}");
                    wait(until);
                }
                Next::Prove(challenge) => {
                    if shown {
                        self.show(&challenge);
                    }
                    order.prove(&Proof::InPlace)?;
                }
                Next::Finalize => order.finalize(&self.request())?,
                Next::Done(issued) => return Ok(*issued),
            }
        }
    }

    fn request(&self) -> Vec<u8> {
        let at = self._folder.path();
        let request = format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={NAME} -addext subjectAltName=DNS:{NAME} -keyout leaf.key -outform DER -out leaf.csr"
        );
        openssl(at, &request);
        std::fs::read(at.join("leaf.csr")).unwrap()
    }
}

fn wait(until: Timestamp) {
    let micros = u64::try_from(until.micros_since(now())).unwrap_or(0);
    std::thread::sleep(Duration::from_micros(micros));
}

#[test]
fn pebble_issues_to_our_client_by_every_challenge_and_revokes() {
    let pebble = Pebble::start();
    let mut client = pebble.client(Some(AccountBinding::new(KID, KEY)));
    for kind in [ChallengeKind::Http01, ChallengeKind::Dns01, ChallengeKind::TlsAlpn01] {
        let issued = pebble.order(&mut client, kind, true).unwrap();
        assert_eq!(issued.certificate.dns_names(), [NAME]);
        assert!(!issued.issuers.is_empty());
        let mut revoking = Revoking::new(issued.certificate.der(), 4);
        let mut revoke = |reason_again: bool| {
            for _ in 0..8 {
                let outgoing = revoking.next(&mut client)?;
                let told = pebble.exchange(&outgoing, |answer| revoking.hear(&mut client, answer))?;
                if told == Told::Answer(()) {
                    return Ok::<_, ClientError>(());
                }
            }
            panic!("revocation does not end, again: {reason_again}");
        };
        revoke(false).unwrap();
        let again = revoke(true).unwrap_err();
        assert_eq!(again.problem().unwrap().code, "alreadyRevoked", "{again}");
    }
    assert!(client.account().unwrap().starts_with("https://localhost:"));
}

#[test]
fn what_pebble_refuses_is_told_in_its_words() {
    let pebble = Pebble::start();
    let mut stranger = pebble.client(None);
    let error = pebble.order(&mut stranger, ChallengeKind::Http01, true).unwrap_err();
    assert_eq!(error.problem().unwrap().code, "externalAccountRequired", "{error}");
    let mut forger = pebble.client(Some(AccountBinding::new(KID, [0x5d; 48])));
    let error = pebble.order(&mut forger, ChallengeKind::Http01, true).unwrap_err();
    assert!(error.is_refusal(), "{error}");

    let mut client = pebble.client(Some(AccountBinding::new(KID, KEY)));
    let error = pebble.order(&mut client, ChallengeKind::Http01, false).unwrap_err();
    assert!(matches!(error, ClientError::NotProven { .. }), "{error}");
    let error = pebble.order(&mut client, ChallengeKind::DeviceAttest01, false).unwrap_err();
    assert!(matches!(error, ClientError::Wish { .. }), "{error}");
}
