//! A tiny EHR: reads the body, answers that both entries of a transaction were created. What it costs is the same for
//! every relay in front of it.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// FHIR R4 3.1.0.11.2: one entry for the Observation, one for its Provenance.
const ANSWER: &[u8] = br#"{"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"201 Created","location":"Observation/o1/_history/1"}},{"response":{"status":"201 Created","location":"Provenance/p1/_history/1"}}]}"#;

/// Serves on a port of its own until the runtime ends.
pub async fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.set_nodelay(true);
                let service = service_fn(answer);
                // A closed connection is the peer's choice.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let complete = request.into_body().collect().await.is_ok();
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    *response.status_mut() = if complete { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(response)
}
