//! `lanyard ca ceremony`: a root that no one person can use, on a machine without network. No server, no profile, no clock but the
//! machine's own; everything comes from files and people, and goes to files.
//!
//! | file | lost | read by others | written by an attacker |
//! |---|---|---|---|
//! | the root's directory | its copy; without any, a new root | nothing without a threshold of shares | does not open |
//! | a share | with a threshold left: `reshare` | below a threshold nothing is learnt: `reshare` soon | does not fit its set, or makes no key |
//! | the root's certificate | it is public, and in the server's ledger | - | its key is not the directory's: refused |
//! | a request, a certificate | made again | - | the key's digest is compared with the minutes |
//!
//! In scope: the steps of docs/pki-ceremony.md that a machine does. Out of scope: who the people are. What people are asked and
//! told is in [`people`]. To add a step: a variant, its function, its paragraph in that page.

mod people;
mod reshare;
mod sign;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use data_encoding::HEXLOWER;
use lanyard_api::clock::Clock;
use lanyard_control::digest::random;
use lanyard_pki::authority::{Generation, Issuer, prepare_root};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::key::seal::{SealedUnder, Sealer};
use lanyard_pki::key::shares::{self, Share};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, SealedDirectory, SoftwareKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::serial::Serial;
use serde::Serialize;

use crate::exit::Failure;
use crate::files;
use crate::output::Output;

/// Steps of a ceremony.
#[derive(Debug, Subcommand)]
pub enum CeremonyCommand {
    /// Make a root under shares: its key in a directory that only they open together, and its certificate.
    Make {
        /// The root's directory; made new. Put it on a medium that only you can enter.
        dir: PathBuf,
        /// As many shares make the key.
        #[arg(long)]
        threshold: u8,
        /// As many there are.
        #[arg(long)]
        count: u8,
        /// Organisation in its certificate, as in the server's configuration.
        #[arg(long)]
        organization: String,
        /// Which root of the organisation this is, counted from 1.
        #[arg(long, default_value_t = 1)]
        generation: u32,
        /// Kind of its key.
        #[arg(long, default_value = "p384")]
        kind: KeyKind,
        /// Where to write its certificate, PEM.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// Write the shares as files into this new directory in place of showing them one by one at this terminal.
        #[arg(long, value_name = "DIR")]
        shares_to: Option<PathBuf>,
    },
    /// Look at shares and the root's directory, once a year. With fewer than the threshold no key is made.
    Verify {
        /// The root's directory.
        dir: PathBuf,
        /// Its certificate, PEM: the key is compared when it opens.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// A file with a share; several. They are asked for at this terminal without.
        #[arg(long, value_name = "FILE")]
        share: Vec<PathBuf>,
    },
    /// Certify an issuing authority: a request of `lanyard ca request` in, a certificate for `lanyard ca import` out.
    Sign(sign::SignArgs),
    /// Deal a new key to new people and write the root's directory anew under it. The old one stays as it is: destroy it.
    Reshare(reshare::ReshareArgs),
}

/// The label of the root's key in its directory: there is one.
const ROOT: &str = "root";

/// Runs one.
pub fn run(command: CeremonyCommand, output: Output) -> anyhow::Result<()> {
    match command {
        CeremonyCommand::Make {
            dir,
            threshold,
            count,
            organization,
            generation,
            kind,
            certificate,
            shares_to,
        } => {
            let facts = Root { organization, generation, kind, certificate };
            make(&dir, (threshold, count), &facts, shares_to.as_deref(), output)
        }
        CeremonyCommand::Verify { dir, certificate, share } => {
            verify(&dir, certificate.as_deref(), &share, output)
        }
        CeremonyCommand::Sign(args) => sign::run(&args, output),
        CeremonyCommand::Reshare(args) => reshare::run(&args, output),
    }
}

struct Root {
    organization: String,
    generation: u32,
    kind: KeyKind,
    certificate: PathBuf,
}

/// What goes into the minutes.
#[derive(Debug, Serialize)]
struct Minutes {
    set: String,
    threshold: u8,
    count: u8,
    subject: String,
    not_after: String,
    key_sha256: String,
    certificate_sha256: String,
}

impl Minutes {
    fn new(dealt: &[Share], root: &Certificate) -> Self {
        let first = dealt.first();
        Self {
            set: first.map(|s| s.set().to_string()).unwrap_or_default(),
            threshold: first.map(Share::threshold).unwrap_or_default(),
            count: first.map(Share::count).unwrap_or_default(),
            subject: root.subject_text(),
            not_after: root.not_after().to_string(),
            key_sha256: HEXLOWER.encode(&root.spki_sha256()),
            certificate_sha256: HEXLOWER.encode(&root.thumbprint()),
        }
    }

    fn text(&self) -> String {
        format!(
            "for the minutes:\n  set                 {}\n  shares              {} of {}\n  root                {}\n  until               {}\n  key, SHA-256        {}\n  certificate SHA-256 {}",
            self.set,
            self.threshold,
            self.count,
            self.subject,
            self.not_after,
            self.key_sha256,
            self.certificate_sha256
        )
    }
}

fn make(
    dir: &Path,
    (threshold, count): (u8, u8),
    facts: &Root,
    shares_to: Option<&Path>,
    output: Output,
) -> anyhow::Result<()> {
    // The domain stands in no CA certificate.
    let naming =
        Naming::new(&facts.organization, "ceremony.invalid").map_err(|e| Failure::usage(e.to_string()))?;
    absent(dir)?;
    absent(&facts.certificate)?;
    let (_, dealt) = shares::deal(threshold, count)?;
    let returned = people::hand_out(&dealt, shares_to)?;
    // Not the first ones in line: what the last ones wrote down opens it now, what the first ones did below.
    let keys = opened(dir, &last(&returned, threshold), Directory::New)?;
    let label: KeyLabel = ROOT.parse()?;
    keys.generate(&label, facts.kind).map_err(key_failure)?;
    let serial = Serial::from_random(random()?);
    let generation = Generation { number: facts.generation, label: label.clone(), serial };
    let certificate = prepare_root(&naming, &generation, &keys, Clock::system().now())
        .map_err(|e| Failure::refused(e.to_string()))?
        .sign(&keys)
        .map_err(key_failure)?;
    drop(keys);
    let again = opened(dir, returned.get(..usize::from(threshold)).unwrap_or_default(), Directory::Old)?;
    Issuer::new(certificate.clone(), label, &again).map_err(|e| Failure::internal(e.to_string()))?;
    files::create_new(&facts.certificate, certificate.to_pem().as_bytes())?;
    output.one(&Minutes::new(&dealt, &certificate), Minutes::text)
}

/// What a look found.
#[derive(Debug, Serialize)]
struct Looked {
    set: String,
    threshold: u8,
    shares: Vec<u8>,
    opened: bool,
    key_sha256: Option<String>,
}

fn verify(dir: &Path, certificate: Option<&Path>, given: &[PathBuf], output: Output) -> anyhow::Result<()> {
    let (set, threshold) = sealed_for(dir)?;
    let root = certificate.map(one_certificate).transpose()?;
    let shares = people::collect(given, set, people::Wanted::AnyNumber(threshold))?;
    let numbers: Vec<u8> = shares.iter().map(Share::number).collect();
    let mut looked =
        Looked { set: set.to_string(), threshold, shares: numbers, opened: false, key_sha256: None };
    if shares.len() >= usize::from(threshold) {
        let keys = opened(dir, &shares, Directory::Old)?;
        let spki = keys.public_spki(&ROOT.parse()?).map_err(key_failure)?;
        if let Some(root) = root {
            Issuer::new(root, ROOT.parse()?, &keys).map_err(|e| Failure::contradicted(e.to_string()))?;
        }
        looked.opened = true;
        looked.key_sha256 = Some(HEXLOWER.encode(&lanyard_control::digest::sha256(&spki).0));
    }
    output.one(&looked, |l| {
        let numbers: Vec<String> = l.shares.iter().map(u8::to_string).collect();
        match &l.key_sha256 {
            Some(key) => {
                format!("shares {} of set {} open the root; its key is {key}", numbers.join(", "), l.set)
            }
            None => format!(
                "shares {} of set {} are undamaged; {} are needed to open the root, no key was made",
                numbers.join(", "),
                l.set,
                l.threshold
            ),
        }
    })
}

/// Whether a directory is to be made or must be there.
#[derive(Debug, Clone, Copy)]
enum Directory {
    New,
    Old,
}

/// The keys of a directory, by these shares.
fn opened(dir: &Path, shares: &[Share], which: Directory) -> anyhow::Result<SoftwareKeys> {
    let sealer = Sealer::of_shares(shares::combine(shares)?);
    let directory = match which {
        Directory::New => SealedDirectory::open(dir, sealer),
        Directory::Old => SealedDirectory::open_existing(dir, sealer),
    };
    SoftwareKeys::open(directory.map_err(key_failure)?).map_err(key_failure)
}

/// The dealing whose shares open a root's directory, and how many of them.
fn sealed_for(dir: &Path) -> anyhow::Result<(shares::SetId, u8)> {
    match SealedDirectory::sealed_under(dir).map_err(key_failure)? {
        Some(SealedUnder::Shares { set, threshold }) => Ok((set, threshold)),
        Some(SealedUnder::Passphrase(_)) => Err(Failure::usage(format!(
            "`{}` is sealed under a passphrase, not under shares: it is no root's directory",
            dir.display()
        ))),
        None => Err(Failure::usage(format!("`{}` holds no key: is the medium mounted?", dir.display()))),
    }
}

fn last(shares: &[Share], threshold: u8) -> Vec<Share> {
    shares.iter().rev().take(usize::from(threshold)).cloned().collect()
}

fn absent(path: &Path) -> anyhow::Result<()> {
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::usage(format!(
            "`{}` exists already; a ceremony overwrites nothing, name another",
            path.display()
        ))),
        Err(e) => Err(Failure::usage(format!("cannot look at `{}`: {e}", path.display()))),
    }
}

fn one_certificate(path: &Path) -> anyhow::Result<Certificate> {
    let shown = chain_from_pem(&files::read(path)?)
        .map_err(|e| Failure::usage(format!("`{}`: {e}", path.display())))?;
    match <[Certificate; 1]>::try_from(shown) {
        Ok([one]) => Ok(one),
        Err(_) => Err(Failure::usage(format!("`{}` must hold one certificate, the root's", path.display()))),
    }
}

/// Files and media are the caller's; a key that does not fit is one of those.
fn key_failure(error: lanyard_pki::key::KeyError) -> anyhow::Error {
    Failure::usage(error.to_string())
}
