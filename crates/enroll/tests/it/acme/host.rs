//! A host for the engine: HTTPS with blocking sockets, books in memory, looks at 127.0.0.1.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lanyard_enroll::acme::*;
use lanyard_enroll::secret::{Secret, SecretId};
use lanyard_enroll::{Authentication, Outcome, Reply};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::hospital::{Hospital, now, random, record, secret};

#[derive(Default)]
struct Books {
    accounts: BTreeMap<AccountId, Account>,
    used: Vec<SecretId>,
    revoked: Vec<CertId>,
    issued: usize,
    /// What control answers before it issues.
    outcomes: Vec<Outcome>,
}

impl Records for Books {
    fn account(&self, id: AccountId) -> Option<Account> {
        self.accounts.get(&id).cloned()
    }
    fn account_of_key(&self, thumbprint: &[u8; 32]) -> Option<Account> {
        self.accounts.values().find(|a| a.key.thumbprint() == *thumbprint).cloned()
    }
    fn secret(&self, id: SecretId) -> Option<Secret> {
        (0..3).map(secret).find(|s| s.id() == id && !self.used.contains(&id))
    }
    fn predecessor(&self, _: &Account, _: &CertId, _: &[Identifier]) -> Predecessor {
        Predecessor::Current
    }
}

/// Where the looks go; a test's client listens there.
pub struct Places {
    pub http: SocketAddr,
    pub tls: SocketAddr,
    /// Files that a client put there instead of listening.
    pub folder: PathBuf,
}

pub struct Host {
    pub hospital: Hospital,
    pub directory: String,
    pub folder: tempfile::TempDir,
    pub places: Places,
    engine: Server,
    state: Mutex<State>,
    books: Mutex<Books>,
}

/// A port that nobody has at the moment.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Host {
    pub fn start(binding: BindingPolicy) -> Arc<Self> {
        let hospital = Hospital::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://localhost:{}/acme", listener.local_addr().unwrap().port());
        let policy = Policy { challenges: ChallengeKind::ALL.into(), binding, ..Policy::default() };
        let trust = lanyard_attest::webauthn::Trust::new(
            vec![],
            lanyard_attest::webauthn::Revocation::new(lanyard_attest::webauthn::OnUnknown::Accept),
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), hospital.root_pem()).unwrap();
        let config = Arc::new(hospital.tls());
        let host = Arc::new(Self {
            directory: format!("{base}/directory"),
            engine: Server::new(base.parse().unwrap(), policy, trust),
            state: Mutex::new(State {
                nonces: Nonces::new(&random(), 3600, 1000),
                orders: Orders::new(Limits::default()),
            }),
            books: Mutex::default(),
            places: Places { http: free(), tls: free(), folder: folder.path().join("well-known") },
            folder,
            hospital,
        });
        std::fs::create_dir_all(&host.places.folder).unwrap();
        let serving = host.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (host, config) = (serving.clone(), config.clone());
                // A client that goes away in the middle is its own affair.
                std::thread::spawn(move || drop(serve(&host, config, stream)));
            }
        });
        host
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Control answers this first.
    pub fn answers(&self, outcome: Outcome) {
        self.books.lock().unwrap().outcomes.push(outcome);
    }

    pub fn accounts(&self) -> Vec<Account> {
        self.books.lock().unwrap().accounts.values().cloned().collect()
    }

    pub fn issued(&self) -> usize {
        self.books.lock().unwrap().issued
    }

    pub fn revoked(&self) -> usize {
        self.books.lock().unwrap().revoked.len()
    }

    fn answer(self: &Arc<Self>, request: &Request<'_>) -> Reply {
        let seed = Seed::new(random());
        let (mut state, mut books) = (self.state.lock().unwrap(), self.books.lock().unwrap());
        let opened = self.engine.open(&*books, request);
        match self.engine.receive(&mut state, &*books, opened, &seed, now()) {
            Step::Reply(reply) => reply,
            Step::Register(wish) => {
                let binding = wish.secret.as_ref().map(|_| Binding { record: record() });
                books.used.extend(wish.secret.map(|proof| proof.id()));
                let account = Account {
                    id: wish.id,
                    key: wish.key,
                    contacts: wish.contacts,
                    status: AccountStatus::Valid,
                    binding,
                };
                books.accounts.insert(account.id, account.clone());
                self.engine.registered(&state, &account, &seed, now())
            }
            Step::Change { account, change } => {
                let mut account = *account;
                match change {
                    AccountChange::Contacts(contacts) => account.contacts = contacts,
                    AccountChange::Deactivate => account.status = AccountStatus::Deactivated,
                    AccountChange::Key(key) => account.key = *key,
                }
                books.accounts.insert(account.id, account.clone());
                self.engine.changed(&mut state, &account, &seed, now())
            }
            Step::Validate(look) => {
                let reply = self.engine.looking(&state, &look, &seed, now());
                let host = self.clone();
                std::thread::spawn(move || {
                    let outcome = host.look(&look);
                    host.engine.validated(&mut host.state.lock().unwrap(), &look, outcome, now());
                });
                reply
            }
            Step::Enroll { order, request } => {
                let Authentication::Order(proven) = &request.authentication else { panic!("not ours") };
                // At renewal lego asks for all names of the certificate before, our machine name too.
                let names: Vec<String> = proven
                    .identifiers()
                    .iter()
                    .map(|i| i.identifier().to_string())
                    .filter(|name| !name.ends_with(".gateway.hospital.example"))
                    .collect();
                let outcome = books
                    .outcomes
                    .pop()
                    .unwrap_or_else(|| Outcome::Issued { chain: self.hospital.issue(&request.csr, &names) });
                books.issued += usize::from(matches!(outcome, Outcome::Issued { .. }));
                self.engine.enrolled(&mut state, order, &outcome, &[], &seed, now())
            }
            Step::Revoke(request) => {
                let id = CertId::of(request.certificate.der()).unwrap();
                let outcome = match books.revoked.contains(&id) {
                    true => RevocationOutcome::AlreadyRevoked,
                    false => RevocationOutcome::Revoked,
                };
                books.revoked.push(id);
                self.engine.revoked(&state, outcome, &seed, now())
            }
            Step::Renewal(_) => self.engine.renewal(None),
        }
    }

    fn look(&self, look: &Validation) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Failure { kind: FailureKind::Connection, detail: e.to_string() };
        match look.target().unwrap() {
            Target::Http { url } => {
                let name = url.rsplit('/').next().unwrap();
                let body = match std::fs::read(self.places.folder.join(name)) {
                    Ok(body) => body,
                    Err(_) => fetch(self.places.http, &url).map_err(failed)?,
                };
                http01::check(&body, &look.key_authorization)
            }
            Target::Dns { name } => {
                let records = std::fs::read_to_string(self.places.folder.join(name)).map_err(failed)?;
                dns01::check(&records.lines().collect::<Vec<_>>(), &look.key_authorization)
            }
            Target::Tls { server_name } => {
                let shown = super::lego::shown(self.places.tls, &server_name).map_err(failed)?;
                tls_alpn01::check(&shown, &look.identifier, &look.key_authorization)
            }
        }
    }
}

/// The body at the other end, whoever the URL names.
fn fetch(place: SocketAddr, url: &str) -> std::io::Result<Vec<u8>> {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap();
    let mut stream = TcpStream::connect(place)?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
    Ok(answer.split_off(at + 4))
}

fn serve(host: &Arc<Host>, config: Arc<ServerConfig>, stream: TcpStream) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (mut length, mut content_type) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "content-type" => content_type = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length.min(MAX_BODY_BYTES + 1)];
        reader.read_exact(&mut body)?;
        let request = Request {
            method: match method.as_str() {
                "GET" => Method::Get,
                "HEAD" => Method::Head,
                "POST" => Method::Post,
                _ => Method::Other,
            },
            path: target.strip_prefix("/acme").unwrap_or(&target),
            content_type: content_type.as_deref(),
            body: &body,
        };
        let reply = host.answer(&request);
        println!("{method} {target} -> {}", reply.status);
        write(reader.get_mut(), &reply, request.method)?;
    }
}

fn write(out: &mut impl Write, reply: &Reply, method: Method) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {} status\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 {
        text.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    text.push_str("\r\n");
    out.write_all(text.as_bytes())?;
    if method != Method::Head {
        out.write_all(&reply.body)?;
    }
    out.flush()
}

/// The enrollment secret as clients take it: id, and base64url of the whole text.
pub fn binding(n: u8) -> (String, String) {
    let secret = secret(n);
    (secret.id().to_string(), data_encoding::BASE64URL_NOPAD.encode(secret.reveal().as_bytes()))
}

/// The certificate in a PEM file, by OpenSSL's words.
pub fn openssl(host: &Host, file: &Path) -> String {
    let root = host.root();
    let chain = file.to_str().unwrap();
    super::succeeds(std::process::Command::new("openssl").args([
        "verify",
        "-CAfile",
        root.to_str().unwrap(),
        "-untrusted",
        chain,
        chain,
    ]));
    super::succeeds(std::process::Command::new("openssl").args([
        "x509",
        "-in",
        chain,
        "-noout",
        "-ext",
        "subjectAltName",
    ]))
}
