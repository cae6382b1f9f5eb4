//! What is left of an EST server without everything that makes it one: the same listener, TLS and HTTP, the request read and its
//! signature checked, one signature made, and an answer of the same size that was made before. No rules, no names, no log.
//!
//! It says how far a server on these cores, with the same client beside it, could come: the cryptography alone is no bound that
//! anything which speaks HTTP over TLS can reach.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use bytes::Bytes;
use data_encoding::BASE64;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use lanyard_api::listen::{Limits, read_body, serve};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::{csr, pkcs7};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// As the real one reads.
const MAX_BODY: usize = 128 << 10;

/// Serves on a free port until the token is cancelled: the answer for each key is its certificate.
pub async fn start(folder: &Path, certificates: &[Certificate]) -> Result<(SocketAddr, CancellationToken)> {
    let answers = certificates.iter().map(|certificate| {
        let body = BASE64.encode(&pkcs7::certs_only(&[certificate.der().as_ref()]));
        (certificate.spki_sha256(), Bytes::from(body))
    });
    let answers: Arc<HashMap<[u8; 32], Bytes>> = Arc::new(answers.collect());
    let signer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("cannot make a key")?;
    let signer = Arc::new(signer);
    let tls = config(folder)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, end) = (listener.local_addr()?, CancellationToken::new());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (answers, signer) = (Arc::clone(&answers), Arc::clone(&signer));
        async move {
            let answer = answer(request, &answers, &signer).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|_| {
                let mut refused = Response::new(Full::default());
                *refused.status_mut() = http::StatusCode::BAD_REQUEST;
                refused
            }))
        }
    });
    let ends = end.clone();
    tokio::spawn(serve(listener, move || Arc::clone(&tls), Limits::default(), ends, service));
    Ok((address, end))
}

async fn answer(
    request: Request<Incoming>,
    answers: &HashMap<[u8; 32], Bytes>,
    signer: &EcdsaKeyPair,
) -> Result<Response<Full<Bytes>>> {
    let body = read_body(request.into_body(), MAX_BODY, Duration::from_secs(10)).await?;
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let verified = csr::verify(&BASE64.decode(&text)?)?;
    let signature = signer.sign(&SystemRandom::new(), verified.spki_der()).context("cannot sign")?;
    let mut response =
        Response::new(Full::new(answers.get(&verified.spki_sha256()).context("a key of nobody")?.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, "application/pkcs7-mime; smime-type=certs-only".parse()?);
    headers.insert("content-transfer-encoding", "base64".parse()?);
    // So that it is not left out.
    headers.insert(header::ETAG, BASE64.encode(signature.as_ref()).parse()?);
    Ok(response)
}

fn config(folder: &Path) -> Result<Arc<ServerConfig>> {
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem"))?];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key)?))
}
