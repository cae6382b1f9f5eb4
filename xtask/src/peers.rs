//! `cargo xtask peers`: the foreign programs that tests and benches talk to.
//!
//! Debian packages by apt-get (as root), a Python environment under the build folder with the pinned packages of
//! `xtask/peers.txt`, and test data that is not ours to keep ([`ensure_pkits`]). Only what is missing is installed;
//! with everything there it takes a second.
//! To add a peer: its package in [`PACKAGES`] and how it tells its version in [`VERSIONS`], or a pinned line in
//! `peers.txt`; then a folder in `tests/interop`, or a test of the crate whose work it judges.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Debian 12 packages.
const PACKAGES: &[&str] = &[
    "acme-tiny",
    "certbot",
    "certmonger",
    "curl",
    "dbus-daemon",
    "dehydrated",
    "faketime",
    "fiu-utils",
    "gnutls-bin",
    "knot",
    "lego",
    "libbcpkix-java",
    "libfiu-dev",
    "libnss3-tools",
    "libstrongswan-extra-plugins",
    "libstrongswan-standard-plugins",
    "libtss2-dev",
    "libtss2-tcti-swtpm0",
    "nginx-light",
    "openjdk-17-jdk-headless",
    "opensc",
    "openssl",
    "p11-kit",
    "p11-kit-modules",
    "pebble",
    "pkg-config",
    "python3-venv",
    "scep",
    "softhsm2",
    "strongswan-pki",
    "swtpm",
    "swtpm-tools",
    "tpm2-tools",
    "wrk",
];

/// A peer, the package whose version counts, and what it is for.
const VERSIONS: &[(&str, &str, &str)] = &[
    ("swtpm", "swtpm", "software TPM 2.0 with its own CA"),
    ("tpm2-tools", "tpm2-tools", "quotes and credential activation by other hands"),
    ("tpm2-tss", "libtss2-dev", "the C library behind the feature tpm"),
    ("openssl", "openssl", "certificates and TLS by other hands"),
    ("GnuTLS", "gnutls-bin", "certificates by other hands"),
    ("NSS", "libnss3-tools", "certificates by other hands"),
    ("faketime", "faketime", "another day for programs that take no time"),
    ("softhsm2", "softhsm2", "hardware module in software, PKCS#11"),
    ("p11-kit", "p11-kit", "PKCS#11 over a socket: a module that dies and comes back"),
    ("pkcs11-tool", "opensc", "keys in a token by other hands"),
    ("nginx", "nginx-light", "mTLS reverse proxy, the bench's limit"),
    ("wrk", "wrk", "HTTP load"),
    ("libfiu", "libfiu-dev", "failing fsync and writes"),
    ("curl", "curl", "HTTP client"),
    ("lego", "lego", "ACME client (Go)"),
    ("pebble", "pebble", "ACME server (Go), for our client"),
    ("certbot", "certbot", "ACME client (Python)"),
    ("Knot DNS", "knot", "DNS server, for dns-01"),
    ("acme-tiny", "acme-tiny", "ACME client (Python, RSA accounts)"),
    ("dehydrated", "dehydrated", "ACME client (shell)"),
    ("strongSwan pki", "strongswan-pki", "SCEP and EST client"),
    ("Bouncy Castle", "libbcpkix-java", "EST client (Java)"),
    ("OpenJDK", "openjdk-17-jdk-headless", "compiles and runs it"),
    ("micromdm scep", "scep", "SCEP client"),
    ("certmonger", "certmonger", "SCEP client with a renewal daemon"),
];

/// What must be in the Python environment; the whole file is installed, so the versions are always these.
const REQUIREMENTS: &str = include_str!("../peers.txt");

/// The source archive with NIST PKITS in it, pinned by its digest.
const PKITS: &str = include_str!("../pkits.txt");
/// Where in the archive it lies.
const PKITS_FOLDER: &str = "tests/fixtures/nist_pkits";

pub fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("`peers` takes no arguments");
    }
    ensure()?;
    for (name, package, purpose) in VERSIONS {
        let version = installed(package).unwrap_or_default();
        println!("{name:<14} {version:<26} {purpose}");
    }
    println!("{:<14} {:<26} ACME client (Rust), {}", "instant-acme", "0.8.5", instant_acme().display());
    for name in ["sekmet-fhir", "cryptography", "requests", "pkilint", "pyhanko-certvalidator"] {
        let pinned = REQUIREMENTS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("=="));
        println!("{name:<14} {:<26} Python, {}", pinned.unwrap_or("not pinned"), python().display());
    }
    Ok(())
}

/// Installs what is missing.
pub fn ensure() -> Result<()> {
    let missing: Vec<&str> = PACKAGES.iter().copied().filter(|name| installed(name).is_none()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    ensure_python()?;
    ensure_instant_acme()?;
    ensure_pkits()
}

/// instant-acme's command line, which is not of our workspace.
pub fn instant_acme() -> PathBuf {
    shell::target_dir().join("peers/instant-acme/debug/instant-acme-client")
}

/// Builds it, by its own lock file. Nothing happens where it is built.
fn ensure_instant_acme() -> Result<()> {
    let folder = shell::target_dir().join("peers/instant-acme");
    let manifest = "tests/interop/instant-acme/Cargo.toml";
    let folder = folder.to_string_lossy();
    to_stderr(
        "cargo",
        &["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", &folder],
    )
}

/// The Python that has the peers' packages: `LANYARD_PEERS_PYTHON`, else the environment that [`ensure`] makes.
pub fn python() -> PathBuf {
    match std::env::var_os("LANYARD_PEERS_PYTHON") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => environment().join("bin/python3"),
    }
}

fn environment() -> PathBuf {
    shell::target_dir().join("peers/venv")
}

/// The version of an installed Debian package.
fn installed(package: &str) -> Option<String> {
    let answer = shell::capture("dpkg-query", &["-W", "-f=${db:Status-Status} ${Version}", package]).ok()?;
    answer.strip_prefix("installed ").map(str::to_owned)
}

fn install(missing: &[&str]) -> Result<()> {
    let list = missing.join(" ");
    if !shell::succeeds("sh", &["-c", "command -v apt-get && test \"$(id -u)\" = 0"]) {
        bail!(
            "these programs are needed by tests and missing: {list}. On Debian 12, as root: \
             `apt-get install {list}`. To test without them: `cargo xtask test --without-peers`"
        );
    }
    eprintln!("peers: installing {list}");
    // Another apt may be running (unattended upgrades on a fresh machine): wait up to five minutes for its lock.
    let lock = "DPkg::Lock::Timeout=300";
    apt(&["-o", lock, "-o", "Acquire::Retries=3", "update", "-q"])?;
    let mut arguments = vec!["-o", lock, "-o", "Acquire::Retries=3", "install", "-y", "-q"];
    arguments.push("--no-install-recommends");
    arguments.extend(missing);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = shell::command("apt-get", arguments);
    // Standard output carries our result lines, and no package may ask a question.
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
    shell::run_command(&mut command)
}

fn ensure_python() -> Result<()> {
    if std::env::var_os("LANYARD_PEERS_PYTHON").is_some_and(|path| !path.is_empty()) {
        return Ok(());
    }
    let folder = environment();
    let stamp = folder.join("peers.txt");
    let is_current = std::fs::read_to_string(&stamp).is_ok_and(|text| text == REQUIREMENTS);
    if is_current && folder.join("bin/python3").exists() {
        return Ok(());
    }
    eprintln!("peers: making the Python environment {}", folder.display());
    make_environment(&folder)?;
    // Written last: an interrupted installation is not taken for a complete one.
    std::fs::write(&stamp, REQUIREMENTS).with_context(|| format!("cannot write {}", stamp.display()))
}

fn make_environment(folder: &Path) -> Result<()> {
    let parent = folder.parent().context("the environment lies in a folder")?;
    std::fs::create_dir_all(parent)?;
    let list = parent.join("requirements.txt");
    std::fs::write(&list, REQUIREMENTS)?;
    let (folder, list) = (folder.to_string_lossy(), list.to_string_lossy());
    to_stderr("python3", &["-m", "venv", "--clear", &folder])?;
    let python = format!("{folder}/bin/python3");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "5"];
    let mut arguments = pip.to_vec();
    arguments.extend(["--no-deps", "-r", &list]);
    to_stderr(&python, &arguments)?;
    to_stderr(&python, &["-m", "pip", "check", "--quiet", "--disable-pip-version-check"])
}

/// NIST PKITS under the build folder's `peers/pkits`, for the tests of `crates/pki`.
fn ensure_pkits() -> Result<()> {
    let folder = shell::target_dir().join("peers/pkits");
    let stamp = folder.join("pkits.txt");
    let is_current = std::fs::read_to_string(&stamp).is_ok_and(|text| text == PKITS);
    if is_current && folder.join("pkits.json").exists() {
        return Ok(());
    }
    eprintln!("peers: fetching NIST PKITS to {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove the old {}", folder.display()))?;
    }
    let archive = folder.join("archive");
    std::fs::create_dir_all(&archive)?;
    let list = archive.join("pkits.txt");
    std::fs::write(&list, PKITS)?;
    let python = python().to_string_lossy().into_owned();
    let (list, into) = (list.to_string_lossy(), archive.to_string_lossy());
    let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "5"];
    let mut arguments = pip.to_vec();
    // The source archive alone has the data, and nothing of it is installed.
    arguments.extend(["--no-deps", "--no-binary", "pyhanko-certvalidator", "--require-hashes"]);
    arguments.extend(["-r", &list, "-d", &into]);
    to_stderr(&python, &arguments)?;
    unpack_pkits(&archive, &folder)?;
    std::fs::remove_dir_all(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    // Written last, as above.
    std::fs::write(&stamp, PKITS).with_context(|| format!("cannot write {}", stamp.display()))
}

fn unpack_pkits(archive: &Path, folder: &Path) -> Result<()> {
    let mut names = std::fs::read_dir(archive)?.filter_map(|entry| Some(entry.ok()?.path()));
    let file = names
        .find(|path| path.to_string_lossy().ends_with(".tar.gz"))
        .with_context(|| format!("no source archive was downloaded to {}", archive.display()))?;
    // The archive's own folder, and those above the data.
    let strip = format!("--strip-components={}", 1 + PKITS_FOLDER.split('/').count());
    let wanted = format!("*/{PKITS_FOLDER}");
    let (file, into) = (file.to_string_lossy(), folder.to_string_lossy());
    to_stderr("tar", &["-xzf", &file, "-C", &into, &strip, "--wildcards", "--no-same-owner", &wanted])?;
    if !folder.join("pkits.json").exists() {
        bail!("the archive has no `{PKITS_FOLDER}`");
    }
    Ok(())
}

fn to_stderr(program: &str, arguments: &[&str]) -> Result<()> {
    shell::run_command(shell::command(program, arguments).stdout(std::io::stderr()))
}
