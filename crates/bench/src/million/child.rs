//! The server as a process of its own: this program again, told to serve. It says when it serves, and does what it is told line by
//! line: `keep` writes the snapshot, `issue N` issues more, `audit` waits for the audit's end, `stop` ends cleanly.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lanyard_api::clock::Clock;

use super::{Home, generate};
use crate::cpu;

/// Makes this program the server of the folder that follows.
pub const ARGUMENT: &str = "--serve-million";

/// The server's side.
pub fn run(folder: &Path) -> Result<()> {
    let home = Home::new(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clock = Clock::system();
    let running = runtime.block_on(home.start(&clock))?;
    let http = running.http_address.context("revocation is not served")?;
    println!("serving {} {http} {}", running.address, running.resumed_at);
    for line in std::io::stdin().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("keep", "") => println!("kept {}", runtime.block_on(running.keep_snapshot())?),
            ("issue", count) => {
                let (plane, count) = (Arc::clone(&running.state.control), count.parse()?);
                runtime.block_on(generate::some_more(&plane, count, clock.now()))?;
                println!("issued {}", plane.world().next_pos);
            }
            ("anchors", "") => println!("anchors {}", running.anchors_pem.replace('\n', "|")),
            ("audit", "") => {
                while running.state.control.journal.store().audit_due() {
                    ensure!(!running.broken().is_cancelled(), "the audit found damage");
                    std::thread::sleep(Duration::from_millis(100));
                }
                println!("audited 0");
            }
            ("stop", "") => break,
            _ => bail!("`{line}` is nothing that this server is told"),
        }
    }
    runtime.block_on(running.shutdown());
    println!("stopped 0");
    Ok(())
}

/// The bench's side.
pub struct Server {
    process: Child,
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
    /// Where operators call.
    pub address: String,
    /// Where relying parties ask.
    pub http: String,
    /// How many events came from the snapshot.
    pub resumed_at: u64,
    /// From the start of the process until it served.
    pub took: Duration,
    /// Processor time that this took, of all its threads.
    pub worked: Duration,
}

impl Server {
    pub fn start(home: &Home) -> Result<Self> {
        let began = Instant::now();
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .arg(&home.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let tell = process.stdin.take().context("no stdin")?;
        let hear = BufReader::new(process.stdout.take().context("no stdout")?);
        let none = Duration::ZERO;
        let (address, http) = (String::new(), String::new());
        let mut server = Self { process, tell, hear, address, http, resumed_at: 0, took: none, worked: none };
        let said = server.hear("serving")?;
        server.took = began.elapsed();
        server.worked = cpu::used_by_process(server.process.id())?;
        let [address, http, resumed_at] =
            said.split(' ').collect::<Vec<_>>().try_into().ok().context("`serving` says three things")?;
        (server.address, server.http) = (address.to_owned(), http.to_owned());
        server.resumed_at = resumed_at.parse()?;
        Ok(server)
    }

    /// Tells it something and waits until it is done.
    pub fn tell(&mut self, what: &str, answer: &str) -> Result<String> {
        writeln!(self.tell, "{what}")?;
        self.tell.flush()?;
        self.hear(answer)
    }

    fn hear(&mut self, wanted: &str) -> Result<String> {
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        let (said, rest) = line.trim_end().split_once(' ').context("the server ended")?;
        ensure!(said == wanted, "the server says `{said}` instead of `{wanted}`");
        Ok(rest.to_owned())
    }

    /// Resident set, and the most that it was, in bytes.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
            let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
            Ok(kibibytes * 1024)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Ends it cleanly.
    pub fn stop(mut self) -> Result<()> {
        self.tell("stop", "stopped")?;
        ensure!(self.process.wait()?.success(), "the server did not end well");
        Ok(())
    }

    /// kill -9.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
