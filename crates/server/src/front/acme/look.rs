//! The looks at names that prove them: http-01 (RFC 8555 8.3), dns-01 (8.4), tls-alpn-01 (RFC 8737).
//!
//! Only names that a person registered are looked at (`Records::refusal`), so nobody sends us to a place of their choice. No
//! redirect is followed. To add a challenge: its arm in [`take`], its name in `config.rs`.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use lanyard_api::listen::{BodyError, read_body};
use lanyard_enroll::acme::{Failure, FailureKind, Identifier, Target, Validation, dns01, http01, tls_alpn01};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::alpn;
use super::resolve::Resolver;
use crate::front::share::Shares;

/// Resolve, connect and answer: a web server of the same hospital needs none of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Dead addresses of a name before the one that answers.
const CONNECT: Duration = Duration::from_secs(3);
/// A name has one or two addresses of each family.
const MOST_ADDRESSES: usize = 4;
/// A connection each; beyond, clients try again by themselves.
static AT_ONCE: Semaphore = Semaphore::const_new(256);
/// Of one account: all names of a large application. Dead names of one do not keep the others waiting.
const OF_ONE: usize = 32;
static SHARES: LazyLock<Shares<String>> = LazyLock::new(|| Shares::new(OF_ONE));

/// Where looks go.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) http01_port: u16,
    pub(crate) tls_alpn01_port: u16,
    pub(crate) resolver: Resolver,
}

pub(super) async fn take(look: &Validation, places: &Places) -> Result<(), Failure> {
    let (Ok(_place), Some(_own)) = (AT_ONCE.try_acquire(), SHARES.take(account(look).to_owned())) else {
        return Err(failure(FailureKind::Connection, "too many names are being looked at; try again"));
    };
    let found = timeout(PATIENCE, look_at(look, places)).await;
    found.unwrap_or_else(|_| {
        Err(failure(FailureKind::Connection, format!("no answer within {} s", PATIENCE.as_secs())))
    })
}

/// Whether another name of the same account is being looked at.
pub(super) fn is_busy_for(look: &Validation) -> bool {
    SHARES.has(account(look))
}

/// RFC 8555 8.1: a key authorization ends with the thumbprint of the account's key.
fn account(look: &Validation) -> &str {
    look.key_authorization.rsplit('.').next().unwrap_or_default()
}

async fn look_at(look: &Validation, places: &Places) -> Result<(), Failure> {
    match look.target() {
        Some(Target::Http { url }) => {
            let body = fetch(&look.identifier, &url, places.http01_port).await?;
            http01::check(&body, &look.key_authorization)
        }
        Some(Target::Dns { name }) => {
            let records = places.resolver.texts(&name).await?;
            dns01::check(&records, &look.key_authorization)
        }
        Some(Target::Tls { server_name }) => {
            let stream = connect(&addresses(&look.identifier, places.tls_alpn01_port).await?).await?;
            let certificate = alpn::shown(stream, &server_name).await?;
            tls_alpn01::check(&certificate, &look.identifier, &look.key_authorization)
        }
        None => Err(failure(FailureKind::Connection, "this challenge is not looked at")),
    }
}

pub(super) fn failure(kind: FailureKind, detail: impl Into<String>) -> Failure {
    Failure { kind, detail: detail.into() }
}

async fn fetch(identifier: &Identifier, url: &str, port: u16) -> Result<Vec<u8>, Failure> {
    let connection = |what: String| failure(FailureKind::Connection, what);
    let uri: Uri =
        url.parse().map_err(|_| connection("the address of the file cannot be written".to_owned()))?;
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let host = uri.host().unwrap_or_default();
    let host = if port == 80 { host.to_owned() } else { format!("{host}:{port}") };
    let stream = connect(&addresses(identifier, port).await?).await?;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| connection(format!("no HTTP: {e}")))?;
    let driver = tokio::spawn(driver);
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "lanyard-acme")
        .header(header::CONNECTION, "close")
        .body(Body::empty())
        .map_err(|_| connection("the request cannot be written".to_owned()))?;
    let answer = sender.send_request(request).await.map_err(|e| connection(format!("no answer: {e}")));
    let body = match answer {
        Ok(answer) if answer.status() == StatusCode::OK => {
            // One byte more than the limit tells `check` that it is too long.
            match read_body(answer.into_body(), http01::MAX_RESPONSE_BYTES, PATIENCE).await {
                Ok(body) => Ok(body.to_vec()),
                Err(BodyError::TooLarge(_)) => {
                    Err(failure(FailureKind::Incorrect, "the file is longer than a key authorization"))
                }
                Err(other) => Err(connection(other.to_string())),
            }
        }
        Ok(answer) => Err(failure(
            FailureKind::Incorrect,
            format!("the web server answered {}; no redirect is followed", answer.status().as_u16()),
        )),
        Err(error) => Err(error),
    };
    driver.abort();
    body
}

async fn addresses(identifier: &Identifier, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    if let Identifier::Ip(address) = identifier {
        return Ok(vec![SocketAddr::new(*address, port)]);
    }
    let name = identifier.to_string();
    let found = tokio::net::lookup_host((name.as_str(), port))
        .await
        .map_err(|e| failure(FailureKind::Dns, format!("`{name}` has no address: {e}")))?;
    Ok(found.take(MOST_ADDRESSES).collect())
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = format!("no connection to {address}: {error}"),
            Err(_) => why = format!("no connection to {address} within {} s", CONNECT.as_secs()),
        }
    }
    Err(failure(FailureKind::Connection, why))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A web server that gives this answer to one request.
    async fn answered(answer: String) -> Result<Vec<u8>, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 2048];
            let n = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked[..n].to_vec()).unwrap()
        });
        let identifier = Identifier::parse("ip", "127.0.0.1").unwrap();
        let found = fetch(&identifier, &http01::url(&identifier, "token"), port).await;
        let asked = server.await.unwrap();
        assert!(asked.starts_with("GET /.well-known/acme-challenge/token HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_ascii_lowercase().contains(&format!("host: 127.0.0.1:{port}\r\n")), "{asked}");
        found
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn the_file_is_read_as_it_is() {
        assert_eq!(answered(ok("token.print")).await.unwrap(), b"token.print");
    }

    // I12
    #[tokio::test]
    async fn anything_else_than_a_short_file_is_refused() {
        let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n";
        let refused = answered(redirect.to_owned()).await.unwrap_err();
        assert!(refused.detail.contains("302"), "{}", refused.detail);
        assert!(answered("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()).await.is_err());
        let long = answered(ok(&"a".repeat(http01::MAX_RESPONSE_BYTES + 1))).await.unwrap_err();
        assert_eq!(long.kind, FailureKind::Incorrect);
        assert!(answered("SSH-2.0-x\r\n\r\n".to_owned()).await.is_err());
    }

    #[tokio::test]
    async fn a_place_where_nobody_listens_is_told_so() {
        let identifier = Identifier::parse("ip", "127.0.0.1").unwrap();
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let refused = fetch(&identifier, &http01::url(&identifier, "t"), port).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Connection);
    }
}
