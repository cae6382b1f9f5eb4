//! What `cargo metadata` knows: packages, their licences and sources, and who depends on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shell;

#[derive(Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: BTreeSet<String>,
}

#[derive(Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub source: Option<String>,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
    features: BTreeMap<String, Vec<String>>,
}

/// One line of a `[dependencies]` table.
#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    pub rename: Option<String>,
    /// Absent: a normal one; else `dev` or `build`.
    pub kind: Option<String>,
}

/// Everything in the lock file, for all platforms and features.
pub fn load() -> Result<Metadata> {
    let text = shell::capture("cargo", &["metadata", "--format-version", "1", "--locked", "--all-features"])?;
    serde_json::from_str(&text).context("cannot read what `cargo metadata` printed")
}

/// The packages in the tree that `cargo tree` prints for these arguments, as (name, version).
///
/// Not from `cargo metadata`: that also lists optional dependencies which only a weak feature (`a?/b`) names,
/// such as ring behind rustls-webpki, and which are never built.
pub fn tree(arguments: &[&str]) -> Result<BTreeSet<(String, String)>> {
    let mut all = vec!["tree", "--locked", "--prefix", "none", "--format", "{p}"];
    all.extend(arguments);
    let text = shell::capture("cargo", &all).context("cannot list the dependency tree")?;
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let version = words.next().and_then(|word| word.strip_prefix('v'));
        let version =
            version.with_context(|| format!("`cargo tree` printed a line without version: `{line}`"))?;
        found.insert((name.to_owned(), version.to_owned()));
    }
    Ok(found)
}

impl Metadata {
    /// The workspace's own packages, by name.
    pub fn members(&self) -> BTreeMap<&str, &Package> {
        let ours = self.packages.iter().filter(|package| self.workspace_members.contains(&package.id));
        ours.map(|package| (package.name.as_str(), package)).collect()
    }

    /// Packages that a build for one of these targets needs, every feature on, tests included.
    pub fn built_for(&self, targets: &[String]) -> Result<Vec<&Package>> {
        let mut needed = BTreeSet::new();
        for target in targets {
            needed.extend(tree(&[
                "--workspace",
                "--all-features",
                "--target",
                target,
                "-e",
                "normal,build,dev",
            ])?);
        }
        let is_needed =
            |package: &&Package| needed.contains(&(package.name.clone(), package.version.clone()));
        Ok(self.packages.iter().filter(is_needed).collect())
    }

    /// The cargo features of one of our packages.
    pub fn features_of(&self, name: &str) -> Vec<String> {
        self.members().get(name).map(|package| package.features.keys().cloned().collect()).unwrap_or_default()
    }
}
