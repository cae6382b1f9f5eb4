//! ACME against lego, certbot, acme-tiny and dehydrated, and our client against Pebble, each over real HTTPS on 127.0.0.1.
//!
//! What is proven: that clients nobody here wrote make accounts (with and without external binding), prove names by
//! http-01, dns-01 and tls-alpn-01, get certificates, renew, revoke and end their account, and are refused.

mod certbot;
mod hospital;
mod host;
mod lego;
mod pebble;
mod small;

use std::process::{Command, Output};

/// Runs a client; its output is shown when it fails.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; see `cargo xtask peers`"));
    println!("{command:?}\n{}", said(&output));
    output
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    said(&output)
}

fn fails(command: &mut Command) -> String {
    let output = run(command);
    assert!(!output.status.success(), "{command:?}\n{}", said(&output));
    said(&output)
}
