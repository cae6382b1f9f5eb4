//! `cargo xtask unused`: dependencies that a crate declares and never names.
//!
//! A dependency counts as used when its name as a path (`serde_json`) stands as a word in the crate's source.
//! That is coarse (a comment counts) and never wrong in the other direction, but for crates that are declared
//! only to switch a feature on: those go into [`FOR_THEIR_FEATURES`] with the reason.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::metadata;

/// Packages whose library has another name: (package, library).
const LIBRARY_NAMES: &[(&str, &str)] = &[("rustls-webpki", "webpki")];

/// (crate, dependency, reason).
const FOR_THEIR_FEATURES: &[(&str, &str, &str)] = &[];

pub fn run(_: &[String]) -> Result<()> {
    let metadata = metadata::load()?;
    let mut found = Vec::new();
    for (name, package) in metadata.members() {
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        let mut words = BTreeSet::new();
        for part in ["src", "tests", "benches", "examples", "build.rs"] {
            collect(&folder.join(part), &mut words)?;
        }
        for dependency in &package.dependencies {
            let declared = dependency.rename.as_deref().unwrap_or(&dependency.name);
            let is_listed =
                FOR_THEIR_FEATURES.iter().any(|(who, what, _)| *who == name && *what == dependency.name);
            let renamed =
                LIBRARY_NAMES.iter().find(|(package, _)| *package == declared).map(|(_, library)| *library);
            if !words.contains(&renamed.unwrap_or(declared).replace('-', "_")) && !is_listed {
                found.push(format!("{name} declares {declared} and never names it"));
            }
        }
    }
    for finding in &found {
        println!("{finding}");
    }
    if !found.is_empty() {
        bail!("{} unused dependencies", found.len());
    }
    println!("unused: every declared dependency is named");
    Ok(())
}

/// Adds every identifier in the Rust files under `path`.
fn collect(path: &Path, words: &mut BTreeSet<String>) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), words)?;
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        words.extend(text.split(|c| !is_part(c)).filter(|word| !word.is_empty()).map(str::to_owned));
    }
    Ok(())
}
