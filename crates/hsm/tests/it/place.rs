//! A token of one test: its directory, its process, and the programs that touch it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lanyard_hsm::{Config, Hsm};
use lanyard_pki::key::passphrase::Pin;

pub const PIN: &str = "739153";
pub const TOKEN: &str = "lanyard";
const PLACE: &str = "LANYARD_HSM_TEST_PLACE";
/// The slowest makes a dozen RSA keys on a loaded machine.
const LONGEST: Duration = Duration::from_secs(300);

pub struct Place {
    root: PathBuf,
}

/// Runs `test` in a process of its own with a fresh token. `name` is the test's function, `module` its `module_path!()`.
pub fn alone(module: &str, name: &str, test: impl FnOnce(&Place)) {
    if let Some(root) = std::env::var_os(PLACE) {
        return test(&Place { root: root.into() });
    }
    if std::env::var_os("LANYARD_WITHOUT_PEERS").is_some() {
        eprintln!("left out: needs SoftHSM2");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = Place { root: directory.path().to_owned() };
    fs::create_dir(place.tokens()).unwrap();
    let conf = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        place.tokens().display()
    );
    fs::write(place.conf(), conf).unwrap();
    place.run(
        "softhsm2-util",
        &["--init-token", "--free", "--label", TOKEN, "--so-pin", "12345678", "--pin", PIN],
    );
    let path = module.split_once("::").map_or(name.to_owned(), |(_, inner)| format!("{inner}::{name}"));
    // Into a file: this binary's own results are counted by their lines, and these are not results of their own.
    let said = place.file("said");
    let log = fs::File::create(&said).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&path, "--exact", "--nocapture"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .env(PLACE, &place.root)
        .env("SOFTHSM2_CONF", place.conf())
        .env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", place.socket().display()))
        .spawn()
        .unwrap();
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let said: String =
                fs::read_to_string(&said).unwrap().lines().map(|line| format!("| {line}\n")).collect();
            assert!(status.success(), "{status}\n{said}");
            // A name that is not a test's would pass by running nothing.
            assert!(said.contains("1 passed"), "{path} ran nothing\n{said}");
            return;
        }
        if start.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("{path} hangs");
        }
        sleep(Duration::from_millis(20));
    }
}

impl Place {
    pub fn tokens(&self) -> PathBuf {
        self.root.join("tokens")
    }
    /// Where the tokens go when they are "pulled out".
    pub fn elsewhere(&self) -> PathBuf {
        self.root.join("elsewhere")
    }
    fn conf(&self) -> PathBuf {
        self.root.join("softhsm2.conf")
    }
    fn socket(&self) -> PathBuf {
        self.root.join("p11.sock")
    }

    pub fn config(&self) -> Config {
        Config::new(softhsm(), TOKEN)
    }

    pub fn open(&self) -> Hsm {
        Hsm::open(self.config(), pin(PIN)).unwrap()
    }

    pub fn pull_out(&self) {
        fs::rename(self.tokens(), self.elsewhere()).unwrap();
    }
    pub fn put_in(&self) {
        fs::rename(self.elsewhere(), self.tokens()).unwrap();
    }

    /// Runs a program on this token; its output, whatever it exits with.
    pub fn try_run(&self, program: &str, args: &[&str]) -> (bool, String) {
        let out = Command::new(program)
            .args(args)
            .env("SOFTHSM2_CONF", self.conf())
            .current_dir(&self.root)
            .output()
            .unwrap_or_else(|e| {
                panic!("`{program}` must be installed (Debian: softhsm2, opensc, p11-kit): {e}")
            });
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let (ok, text) = self.try_run(program, args);
        assert!(ok, "{program} {args:?}: {text}");
        text
    }

    /// OpenSC's tool, logged in.
    pub fn tool(&self, args: &[&str]) -> String {
        let module = softhsm().to_string_lossy().into_owned();
        let login = ["--module", &module, "--token-label", TOKEN, "--login", "--pin", PIN];
        self.run("pkcs11-tool", &[&login, args].concat())
    }

    /// The same without the PIN.
    pub fn tool_without_pin(&self, args: &[&str]) -> String {
        let module = softhsm().to_string_lossy().into_owned();
        self.run("pkcs11-tool", &[&["--module", &module, "--token-label", TOKEN], args].concat())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// SoftHSM2 in another process, behind a socket: what a network module looks like from here.
    pub fn serve(&self) -> Server {
        let _ = fs::remove_file(self.socket());
        let child = Command::new("/usr/libexec/p11-kit/p11-kit-server")
            .args([OsStr::new("-f"), "-n".as_ref(), self.socket().as_os_str(), "--provider".as_ref()])
            .arg(softhsm())
            .arg(format!("pkcs11:token={TOKEN}"))
            .env("SOFTHSM2_CONF", self.conf())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("p11-kit's server must be installed (Debian: p11-kit): {e}"));
        let start = Instant::now();
        // It is there before it listens.
        while UnixStream::connect(self.socket()).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "p11-kit's server does not start");
            sleep(Duration::from_millis(10));
        }
        Server { child, is_dead: false }
    }
}

/// p11-kit's server and the process that it starts for each client.
pub struct Server {
    child: Child,
    is_dead: bool,
}

impl Server {
    fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        let mut all = vec![own];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            // pid (name) state parent ...
            let parent =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            if parent == Some(own) {
                all.extend(entry.file_name().to_str().and_then(|pid| pid.parse::<u32>().ok()));
            }
        }
        all
    }

    fn signal(&self, signal: &str) {
        // The clients' processes first: the server would see them go.
        for pid in self.processes().iter().rev() {
            let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
        }
    }

    pub fn stop(&self) {
        self.signal("-STOP");
    }
    pub fn go_on(&self) {
        self.signal("-CONT");
    }
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !self.is_dead {
            self.signal("-KILL");
            self.child.wait().unwrap();
            self.is_dead = true;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn pin(digits: &str) -> Pin {
    Pin::from_bytes(digits.into(), "test").unwrap()
}

pub fn softhsm() -> PathBuf {
    let found = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.expect("SoftHSM2 must be installed (Debian package `softhsm2`)")
}

pub fn p11_kit_client() -> PathBuf {
    let found = fs::read_dir("/usr/lib")
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("pkcs11/p11-kit-client.so"))
        .find(|path| Path::exists(path));
    found.expect("p11-kit's client must be installed (Debian package `p11-kit-modules`)")
}

/// Asks until it works; how often it did not. Fails after a minute.
pub fn until<T, E: std::fmt::Display>(mut ask: impl FnMut() -> Result<T, E>) -> (T, usize) {
    let start = Instant::now();
    let mut refused = 0;
    loop {
        match ask() {
            Ok(value) => return (value, refused),
            Err(e) => assert!(start.elapsed() < Duration::from_secs(60), "it does not come back: {e}"),
        }
        refused += 1;
        sleep(Duration::from_millis(50));
    }
}
