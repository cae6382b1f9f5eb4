//! instant-acme, driven from the command line:
//!
//! - `device DIRECTORY ROOT SERIAL OUT PROGRAM...` orders for a device: for the challenge it runs PROGRAM with the key
//!   authorization on standard input, sends the attestation object that it left in OUT, and finalizes with OUT.csr.
//! - `application DIRECTORY ROOT NAME KID SECRET PORT` orders for a name by http-01, which it answers on 127.0.0.1:PORT, with an
//!   account that the secret binds.
//!
//! Prints the certificate chain, or ends with 1 and the server's words.

use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use instant_acme::{
    Account, ChallengeType, DeviceAttestation, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["device", directory, root, serial, out, program @ ..] => {
            device(directory, root, serial, out, program).await
        }
        ["application", directory, root, name, kid, secret, port] => {
            application((directory, root), name, (kid, secret), port).await
        }
        _ => {
            eprintln!("usage: device DIRECTORY ROOT SERIAL OUT PROGRAM... | application DIRECTORY ROOT NAME KID SECRET PORT");
            std::process::exit(2);
        }
    };
    match outcome {
        Ok(chain) => print!("{chain}"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

async fn account(directory: &str, root: &str, binding: Option<&ExternalAccountKey>) -> Outcome<Account> {
    let wish = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_root(root)?;
    let (account, _) = builder.create(&wish, directory.to_owned(), binding).await?;
    Ok(account)
}

async fn ready(order: &mut Order) -> Outcome<()> {
    match order.poll_ready(&RetryPolicy::default()).await? {
        OrderStatus::Ready => Ok(()),
        other => Err(format!("the order is {other:?}: {:?}", order.state().error).into()),
    }
}

async fn device(directory: &str, root: &str, serial: &str, out: &str, program: &[&str]) -> Outcome<String> {
    let account = account(directory, root, None).await?;
    let names = [Identifier::PermanentIdentifier(serial.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let mut challenge =
            authorization.challenge(ChallengeType::DeviceAttest01).ok_or("device-attest-01 is not offered")?;
        run(program, challenge.key_authorization().as_str())?;
        let object = std::fs::read(out)?;
        challenge.send_device_attestation(&DeviceAttestation { att_obj: object.as_slice().into() }).await?;
    }
    ready(&mut order).await?;
    order.finalize_csr(&std::fs::read(format!("{out}.csr"))?).await?;
    Ok(order.poll_certificate(&RetryPolicy::default()).await?)
}

fn run(program: &[&str], input: &str) -> Outcome<()> {
    let (name, arguments) = program.split_first().ok_or("no program")?;
    let mut child = Command::new(name).args(arguments).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes())?;
    if child.wait()?.success() { Ok(()) } else { Err("the program failed".into()) }
}

async fn application(
    (directory, root): (&str, &str),
    name: &str,
    (kid, secret): (&str, &str),
    port: &str,
) -> Outcome<String> {
    let binding = ExternalAccountKey::new(kid.to_owned(), secret.as_bytes());
    let account = account(directory, root, Some(&binding)).await?;
    let names = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or("http-01 is not offered")?;
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
        tokio::spawn(serve(listener, Arc::new(challenge.key_authorization().as_str().to_owned())));
        challenge.set_ready().await?;
    }
    ready(&mut order).await?;
    order.finalize().await?;
    Ok(order.poll_certificate(&RetryPolicy::default()).await?)
}

/// The key authorization for whoever comes.
async fn serve(listener: TcpListener, content: Arc<String>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 1024];
        let _read = stream.read(&mut request).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
        let _written = stream.write_all(format!("{head}{content}").as_bytes()).await;
    }
}
