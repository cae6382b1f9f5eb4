//! `cargo xtask invariants`: which crate may know which crate and which library, from `cargo tree`.
//!
//! The architecture as bans: what ARCHITECTURE.md says about arrows is checked here, so it stays true.
//! To add a crate: one line in [`ARROWS`]. To keep a library in one place: one line in [`ONLY_IN`].

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::metadata::{self, Metadata};

/// Left may know right, never back (design, "The house"). Dev-dependencies are free: tests may use anything.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("ledger", &[]),
    ("pki", &["domain"]),
    ("api", &["domain"]),
    ("attest", &["pki", "domain"]),
    // hsm: loads a C library at run time, which no pure crate may; it implements pki's key backend and knows no more.
    ("hsm", &["pki", "domain"]),
    ("store", &["domain", "ledger"]),
    ("enroll", &["attest", "pki", "domain"]),
    // enroll: every protocol's request ends in one `EnrollmentRequest`, and the use case takes it.
    ("control", &["enroll", "attest", "pki", "ledger", "domain"]),
    ("agent", &["enroll", "attest", "api", "pki", "domain"]),
    // store: the gateway keeps its own log of access decisions, in the same event log as the control plane's.
    ("gateway", &["store", "api", "pki", "ledger", "domain"]),
    ("server", &["control", "enroll", "hsm", "store", "api", "attest", "pki", "ledger", "domain"]),
    ("sim", &["agent", "enroll", "attest", "api", "pki", "domain"]),
    // control: `lanyard verify` and the server make and judge evidence with the same code. store: `lanyard ledger check`
    // reads a log without a server. attest: `lanyard release measure` reads a golden device's event log.
    (
        "cli",
        &[
            "server", "gateway", "agent", "sim", "control", "enroll", "hsm", "store", "attest", "api", "pki",
            "ledger", "domain",
        ],
    ),
    // Development only; nothing may depend on these.
    (
        "bench",
        &[
            "server", "gateway", "agent", "sim", "control", "enroll", "hsm", "store", "attest", "api", "pki",
            "ledger", "domain",
        ],
    ),
    ("fuzz", &["gateway", "control", "enroll", "attest", "api", "pki", "ledger", "domain"]),
];

/// Crates without IO: rules and formats. None of these libraries may be in their trees.
const PURE: &[&str] = &["domain", "pki", "attest", "ledger", "enroll", "control"];
const IMPURE: &[&str] =
    &["tokio", "axum", "hyper", "rusqlite", "sqlx", "mio", "socket2", "reqwest", "tokio-rustls"];

/// A library that only one crate names itself. Development crates (bench) are left out on purpose: the bench
/// measures raw SQLite beside the store.
const ONLY_IN: &[(&str, &str)] = &[
    ("rusqlite", "store"),
    ("tss-esapi", "agent"),
    ("cryptoki", "hsm"),
    ("axum", "server"),
    ("clap", "cli"),
];

/// Libraries that no build of ours may contain, on any platform, with any feature, tests included.
const NOWHERE: &[&str] = &["openssl", "openssl-sys", "native-tls", "ring"];

const DEVELOPMENT: &[&str] = &["bench", "fuzz"];

pub fn run(_: &[String]) -> Result<()> {
    let metadata = metadata::load()?;
    let mut found = arrows(&metadata);
    found.extend(only_in(&metadata));
    found.extend(pure()?);
    found.extend(default_build()?);
    found.extend(nowhere(&metadata)?);
    for finding in &found {
        println!("{finding}");
    }
    if !found.is_empty() {
        bail!("{} breaches of the architecture", found.len());
    }
    println!("invariants: {} crates, arrows and libraries as they should be", metadata.members().len());
    Ok(())
}

/// Our crates' names without the prefix; xtask knows no crate of ours.
fn short(name: &str) -> Option<&str> {
    name.strip_prefix("lanyard-")
}

fn arrows(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for (name, package) in metadata.members() {
        let knows: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
            .filter_map(|dependency| short(&dependency.name))
            .collect();
        let may_know = match short(name) {
            None => &[][..],
            Some(short) => match ARROWS.iter().find(|(from, _)| *from == short) {
                Some((_, to)) => to,
                None => {
                    found.push(format!("{name} has no line in ARROWS: say what it may know"));
                    continue;
                }
            },
        };
        for other in knows.iter().filter(|other| !may_know.contains(other)) {
            found.push(format!("{name} -> {other}: this arrow is not on the list"));
        }
    }
    found
}

fn only_in(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for (library, home) in ONLY_IN {
        for (name, package) in metadata.members() {
            let is_exempt = short(name).is_some_and(|short| short == *home || DEVELOPMENT.contains(&short));
            if !is_exempt && package.dependencies.iter().any(|dependency| dependency.name == *library) {
                found.push(format!("{name} names {library}: only {home} knows it"));
            }
        }
    }
    found
}

fn pure() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in PURE {
        let tree = tree(&["-p", &format!("lanyard-{name}"), "-e", "normal", "--all-features"])?;
        for library in IMPURE.iter().filter(|library| tree.contains(**library)) {
            found.push(format!("{name} pulls {library}: it must stay without IO"));
        }
    }
    Ok(found)
}

/// The default build needs no C library of the system, and holds one TLS stack in one version.
fn default_build() -> Result<Vec<String>> {
    let mut found = Vec::new();
    let members = tree(&["--workspace", "-e", "normal,build"])?;
    for library in ["tss-esapi", "tss-esapi-sys"].iter().filter(|library| members.contains(**library)) {
        found.push(format!("the default build pulls {library}: only the agent's feature `tpm` may"));
    }
    let built = metadata::tree(&["--workspace", "-e", "normal"])?;
    for library in ["rustls", "aws-lc-rs", "rustls-webpki"] {
        let versions: Vec<&String> =
            built.iter().filter(|(name, _)| name == library).map(|(_, version)| version).collect();
        if versions.len() != 1 {
            found.push(format!("{} versions of {library} are built: {versions:?}", versions.len()));
        }
    }
    Ok(found)
}

fn nowhere(metadata: &Metadata) -> Result<Vec<String>> {
    let everything = tree(&["--workspace", "--all-features", "--target", "all", "-e", "normal,build,dev"])?;
    // The root of the tree is in it, or the list that we search is not what we think it is.
    if let Some(missing) = metadata.members().keys().find(|member| !everything.contains(**member)) {
        bail!("`cargo tree` did not list our own crate {missing}");
    }
    let named = NOWHERE.iter().filter(|library| everything.contains(**library));
    Ok(named
        .map(|library| format!("{library} is in the build: `cargo tree -i {library}` shows why"))
        .collect())
}

/// The names in such a tree.
fn tree(arguments: &[&str]) -> Result<BTreeSet<String>> {
    Ok(metadata::tree(arguments)?.into_iter().map(|(name, _)| name).collect())
}
