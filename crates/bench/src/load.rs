//! Load over mutual TLS: a number of connections, each sending the next request when the last is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// One connection's client.
#[derive(Clone)]
pub struct Caller {
    /// With whose certificate.
    pub tls: Arc<ClientConfig>,
    /// Body of its POSTs.
    pub body: Bytes,
}

/// What is sent.
pub struct Load {
    /// Whom.
    pub address: SocketAddr,
    /// Path and query.
    pub path: &'static str,
    /// How long.
    pub time: Duration,
}

/// What came back.
pub struct Outcome {
    /// Answers per second.
    pub rate: f64,
    /// Time of each request.
    pub times: Vec<Duration>,
}

/// Opens a connection for each caller, then runs them all at once; an answer other than 2xx ends the run.
pub async fn run(load: &Load, callers: &[Caller]) -> Result<Outcome> {
    let mut senders = Vec::new();
    for caller in callers {
        senders.push((connect(load.address, &caller.tls).await?, caller.body.clone()));
    }
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (mut sender, body) in senders {
        let (path, time) = (load.path, load.time);
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < time {
                let request = Request::post(path)
                    .header(header::HOST, "127.0.0.1")
                    .header(header::CONTENT_TYPE, "application/fhir+json")
                    .body(Full::new(body.clone()))?;
                let sent = Instant::now();
                let response = sender.send_request(request).await?;
                let status = response.status();
                let answer = response.into_body().collect().await?.to_bytes();
                ensure!(
                    status.is_success(),
                    "the relay answered {status}: {}",
                    String::from_utf8_lossy(&answer)
                );
                times.push(sent.elapsed());
            }
            Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(Outcome { rate: times.len() as f64 / start.elapsed().as_secs_f64(), times })
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> Result<Sender> {
    let socket = TcpStream::connect(address).await.context("cannot reach the relay")?;
    socket.set_nodelay(true)?;
    let name = ServerName::from(address.ip());
    let tls = TlsConnector::from(Arc::clone(client)).connect(name, socket).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(async move {
        // Its end is seen by the sender.
        let _ = connection.await;
    });
    Ok(sender)
}
