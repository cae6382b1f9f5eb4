//! A responder behind a socket: as little HTTP as the clients in these tests speak, over the functions that a real
//! server calls. It lives at [`NOW`] and ends with the value.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use lanyard_pki::ocsp::http::{self, Has, Reply};
use lanyard_pki::ocsp::{ErrorStatus, Plan, Policy, Request, Responder, ResponseCache, Standing};
use lanyard_pki::serial::Serial;

use crate::installation::{Installation, NOW};

/// What the records say.
pub type Records = HashMap<Serial, Standing>;

/// All that an answer needs.
struct Service {
    a: Arc<Installation>,
    responder: Responder,
    records: Mutex<Records>,
    cache: Mutex<ResponseCache>,
    signed: AtomicUsize,
}

impl Service {
    fn answer(&self, request: &[u8], dress: impl Fn(&lanyard_pki::ocsp::Response) -> Reply) -> Reply {
        let Ok(request) = Request::parse(request) else {
            return http::error(ErrorStatus::MalformedRequest);
        };
        let key = match self.responder.plan(&request) {
            Plan::Error(status) => return http::error(status),
            Plan::Fresh => None,
            Plan::Cacheable(key) => Some(key),
        };
        if let Some(kept) = key.and_then(|key| self.cache.lock().unwrap().get(&key, NOW).cloned()) {
            return dress(&kept);
        }
        let ticket = self.cache.lock().unwrap().ticket();
        let standing = |serial: &Serial| {
            let records = self.records.lock().unwrap();
            Ok::<_, Infallible>(records.get(serial).copied().unwrap_or(Standing::NeverIssued))
        };
        let Ok(response) = self.responder.respond(&request, standing, &self.a.keys, NOW) else {
            return http::error(ErrorStatus::TryLater);
        };
        self.signed.fetch_add(1, Ordering::Relaxed);
        let response = Arc::new(response);
        if let Some(key) = key {
            let _kept = self.cache.lock().unwrap().put(ticket, key, response.clone());
        }
        dress(&response)
    }

    fn serve(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let header = |name: &str| headers.get(name).map(String::as_str);
        let mut words = line.split_whitespace();
        let reply = match (words.next(), words.next()) {
            (Some("GET"), Some(path)) => match http::from_get(path.strip_prefix("/ocsp").unwrap_or(path)) {
                Ok(request) => {
                    let has = Has(header("if-none-match"));
                    let policy = self.responder.policy();
                    self.answer(&request, |response| http::get(response, policy, has, NOW))
                }
                Err(none) => none.reply(),
            },
            (Some("POST"), Some(_)) => {
                let length = header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                reader.read_exact(&mut body)?;
                match http::from_post(header("content-type"), &body) {
                    Ok(request) => self.answer(request, http::post),
                    Err(none) => none.reply(),
                }
            }
            _ => return Ok(()),
        };
        write!(
            stream,
            "HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n",
            reply.status,
            reply.body.len()
        )?;
        for (name, value) in &reply.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        stream.write_all(b"\r\n")?;
        stream.write_all(&reply.body)
    }
}

/// A running responder.
pub struct Server {
    service: Arc<Service>,
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(a: Arc<Installation>, records: Records, policy: Policy) -> Self {
        let (label, certificate) = a.ocsp_responder();
        let issuer = a.authority.issuing.certificate();
        let responder = Responder::new(certificate, issuer, label, &a.keys, policy).unwrap();
        let service = Arc::new(Service {
            a,
            responder,
            records: Mutex::new(records),
            cache: Mutex::new(ResponseCache::new(1 << 20)),
            signed: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (service, ended) = (service.clone(), ended.clone());
            move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    // A client that went away is no failure of the test; the client's own output is judged.
                    let _ended_early = stream.and_then(|mut stream| service.serve(&mut stream));
                }
            }
        });
        Self { service, address, ended, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/ocsp", self.address)
    }

    /// How many answers were signed.
    pub fn signed(&self) -> usize {
        self.service.signed.load(Ordering::Relaxed)
    }

    /// The record changes, then the cache hears of it.
    pub fn revoke(&self, serial: &Serial, standing: Standing) {
        self.service.records.lock().unwrap().insert(*serial, standing);
        self.service.cache.lock().unwrap().revoked(self.service.responder.issuer(), serial);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the loop once.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}
