//! HTTP load by `wrk`: a program that is nobody's side, so that ours and a foreign server meet the same load.
//!
//! In scope: one run against one address with requests that were made beforehand. Out of scope: TLS with client
//! certificates (wrk has none; see [`crate::load`]).

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cpu;

/// Connections that are kept open.
pub const CONNECTIONS: usize = 64;

/// A request that wrk sends; several are sent in turn.
pub struct Sent {
    pub method: &'static str,
    pub path: String,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn get(path: impl Into<String>) -> Sent {
        Sent { method: "GET", path: path.into(), content_type: None, body: Vec::new() }
    }
}

/// Writes what is to be sent as a script of wrk's.
pub fn script(file: &Path, requests: &[Sent]) -> Result<()> {
    let mut text = String::from("local sent = {}\n");
    for (at, request) in requests.iter().enumerate() {
        let header =
            request.content_type.map(|t| format!("[\"Content-Type\"] = \"{t}\"")).unwrap_or_default();
        let mut body = String::new();
        request.body.iter().for_each(|byte| {
            // Writing into a string cannot fail.
            let _ = write!(body, "\\{byte:03}");
        });
        let body = if request.body.is_empty() { "nil".to_owned() } else { format!("\"{body}\"") };
        writeln!(
            text,
            "sent[{}] = {{\"{}\", \"{}\", {{{header}}}, {body}}}",
            at + 1,
            request.method,
            request.path
        )?;
    }
    // Made once for each thread: a round of the load then costs a look-up.
    text.push_str(
        "local made, at = {}, 0\n\
         function init(args)\n  \
           for i, one in ipairs(sent) do made[i] = wrk.format(one[1], one[2], one[3], one[4]) end\n\
         end\n\
         function request()\n  at = at % #made + 1\n  return made[at]\nend\n",
    );
    Ok(std::fs::write(file, text)?)
}

/// Answers per second. An answer other than 2xx, or a broken connection, ends the run.
pub fn run(address: SocketAddr, script: &Path, time: Duration) -> Result<f64> {
    let threads = cpu::cores().min(CONNECTIONS);
    let output = Command::new("wrk")
        .args(["-t", &threads.to_string(), "-c", &CONNECTIONS.to_string()])
        .args(["-d", &format!("{}s", time.as_secs().max(1))])
        .arg("-s")
        .arg(script)
        .arg(format!("http://{address}"))
        .stdin(Stdio::null())
        .output()
        .context("cannot start wrk: run `cargo xtask peers`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "wrk: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    rate(&text).with_context(|| format!("wrk said no rate: {text}"))
}

fn rate(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_and_bytes_are_written_for_lua() {
        assert_eq!(rate("  Latency 1ms\nRequests/sec:  12345.67\nTransfer/sec: 1MB\n"), Some(12_345.67));
        assert_eq!(rate("nothing"), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        let post =
            Sent { method: "POST", path: "/ocsp".into(), content_type: Some("a/b"), body: vec![0, 34, 255] };
        script(file.path(), &[Sent::get("/x"), post]).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.contains(r#"sent[1] = {"GET", "/x", {}, nil}"#), "{text}");
        assert!(
            text.contains(r#"sent[2] = {"POST", "/ocsp", {["Content-Type"] = "a/b"}, "\000\034\255"}"#),
            "{text}"
        );
    }
}
