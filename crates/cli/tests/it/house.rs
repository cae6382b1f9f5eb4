//! A control plane with its gateway as processes, and people with profiles.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub const BINARY: &str = env!("CARGO_BIN_EXE_lanyard");
/// Where the process logs, over all its starts.
const LOG: &str = "log";
const PASSPHRASE: &str = "correct horse battery staple";

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }

    /// Passes on what was said if the exit code is the expected one.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "out: {} err: {}", self.out, self.err);
        self
    }
}

/// Runs the binary in a directory.
pub fn lanyard(dir: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(dir).stdin(Stdio::null());
    for variable in ["LANYARD_PROFILE", "LANYARD_PASSPHRASE", "CREDENTIALS_DIRECTORY", "RUST_LOG"] {
        command.env_remove(variable);
    }
    Said::of(command.env("XDG_CONFIG_HOME", dir.join("config")).output().unwrap())
}

/// `lanyard up` in a directory.
pub struct House {
    pub dir: tempfile::TempDir,
    process: Option<Child>,
    /// What it said when it started.
    pub started: Value,
}

impl House {
    /// A first start, in front of an EHR that is not there.
    pub fn new() -> Self {
        Self::before("http://127.0.0.1:1/fhir")
    }

    /// A first start, in front of this EHR.
    pub fn before(upstream: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "listen = '127.0.0.1:0'\nlog = 'warn'\n[gateway]\nlisten = '127.0.0.1:0'\nupstream = '{upstream}'\n"
        );
        std::fs::write(dir.path().join("lanyard.toml"), config).unwrap();
        let mut house = Self { dir, process: None, started: Value::Null };
        house.start();
        house
    }

    pub fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.path().join(LOG)).unwrap();
        let mut child = Command::new(BINARY)
            .args(["up", "--data", "data", "--config", "lanyard.toml", "-o", "json"])
            .current_dir(self.dir.path())
            .env("LANYARD_PASSPHRASE", PASSPHRASE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut text = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // The greeting is one JSON object over several lines; the process goes on after it.
        while !text.ends_with("}\n") {
            assert!(lines.read_line(&mut text).unwrap() > 0, "it ended before it was ready: {text}");
        }
        self.started = serde_json::from_str(&text).unwrap();
        self.process = Some(child);
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        let mut child = self.process.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    pub fn stop(&mut self) -> i32 {
        let mut child = self.process.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = child.wait().unwrap();
        let mut rest = String::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_string(&mut rest).unwrap();
        }
        status.code().unwrap_or(-1)
    }

    /// The passphrase in a file that only its owner reads, for commands that work without the server.
    pub fn passphrase_file(&self) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join("passphrase");
        std::fs::write(&path, PASSPHRASE).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// What it has logged in all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join(LOG)).unwrap()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn text(&self, name: &str) -> String {
        self.started[name].as_str().unwrap().to_owned()
    }

    /// `localhost:port` of one of the two.
    pub fn address(&self, name: &str) -> String {
        self.text(name).replace("127.0.0.1", "localhost")
    }

    /// Runs the binary as somebody, with JSON output.
    pub fn by(&self, person: &str, arguments: &[&str]) -> Said {
        let profile = format!("{person}.toml");
        let mut all = vec!["-o", "json", "--profile", &profile];
        all.extend(arguments);
        lanyard(self.path(), &all)
    }

    pub fn login(&self, person: &str) {
        let (server, fingerprint) = (self.address("control_plane"), self.text("fingerprint"));
        self.by(person, &["login", "--server", &server, "--fingerprint", &fingerprint]).code(0);
    }

    /// The request line of a person's new key.
    pub fn key_of(&self, person: &str) -> String {
        let profile = format!("{person}.toml");
        let said = lanyard(self.path(), &["--profile", &profile, "operator", "key", person]).code(0);
        said.out.lines().last().unwrap().to_owned()
    }

    /// Anna (admin, registrar), Ben (security and biomedical), Carla (biomedical).
    pub fn people(&self) {
        for person in ["anna", "ben", "carla"] {
            self.login(person);
        }
        let secret = self.text("bootstrap_secret");
        self.by("anna", &["operator", "init", "anna", "--secret", &secret, "--roles", "admin,registrar"])
            .code(0);
        let (ben, carla) = (self.key_of("ben"), self.key_of("carla"));
        self.by("anna", &["operator", "add", &ben, "--roles", "security,biomedical"]).code(0);
        self.by("anna", &["operator", "add", &carla, "--roles", "biomedical"]).code(0);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.path().join(LOG)).unwrap_or_default());
        }
    }
}
