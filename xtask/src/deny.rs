//! `cargo xtask deny`: what may come into the build, by `deny.toml`.
//!
//! The file is cargo-deny's, so that whoever has that tool can use it; compiling it takes longer than our whole
//! gate, so the checks that need no network are done here from the same lists: licences, banned crates,
//! duplicate versions, sources. Advisories need a database from outside and are left to `cargo deny check`.
//! A key that this module does not know is refused: no rule may stand in the file without being checked.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metadata::{self, Package};
use crate::{shell, spdx};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    graph: Graph,
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Graph {
    targets: Vec<String>,
    /// Read by cargo-deny; here every feature is always on.
    #[serde(rename = "all-features")]
    _all_features: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<LicenceException>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenceException {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    /// Only `deny` is accepted.
    multiple_versions: String,
    deny: Vec<Named>,
    skip: Vec<Named>,
}

/// A crate, as `name` or `name@version`, and why it is listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

pub fn run(_: &[String]) -> Result<()> {
    let path = shell::root().join("deny.toml");
    let text = std::fs::read_to_string(&path).context("cannot read deny.toml")?;
    let rules: Rules = toml::from_str(&text).context("cannot read deny.toml")?;
    let metadata = metadata::load()?;
    let packages = metadata.built_for(&rules.graph.targets)?;
    if !packages.iter().any(|package| package.name == env!("CARGO_PKG_NAME")) {
        bail!("the list of packages lacks our own: deny.toml must name a target");
    }
    let findings = findings(&rules, &packages);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings against deny.toml", findings.len());
    }
    println!("deny: {} packages, nothing against deny.toml", packages.len());
    Ok(())
}

fn findings(rules: &Rules, packages: &[&Package]) -> Vec<String> {
    let strict = [&rules.bans.multiple_versions, &rules.sources.unknown_registry, &rules.sources.unknown_git];
    let mut found = Vec::new();
    if strict.iter().any(|level| *level != "deny") {
        found.push(
            "deny.toml: levels other than `deny` are not used here: a warning is never read".to_owned(),
        );
    }
    found.extend(licences(&rules.licenses, packages));
    found.extend(bans(&rules.bans, packages));
    found.extend(duplicates(&rules.bans.skip, packages));
    found.extend(sources(packages));
    found
}

fn licences(rules: &Licences, packages: &[&Package]) -> Vec<String> {
    let refused = |package: &&&Package| {
        let exceptions = rules.exceptions.iter().filter(|exception| exception.name == package.name);
        let extra: Vec<&String> = exceptions.flat_map(|exception| &exception.allow).collect();
        let is_allowed = |licence: &str| {
            rules.allow.iter().any(|allowed| allowed == licence) || extra.iter().any(|more| *more == licence)
        };
        !package.license.as_deref().is_some_and(|expression| spdx::is_met(expression, &is_allowed))
    };
    let sentence = |package: &&Package| {
        let licence = package.license.as_deref().unwrap_or("none");
        format!("licence of {} {} is not on the list: `{licence}`", package.name, package.version)
    };
    packages.iter().filter(refused).map(sentence).collect()
}

fn bans(rules: &Bans, packages: &[&Package]) -> Vec<String> {
    let mut found = Vec::new();
    for ban in &rules.deny {
        for package in packages.iter().filter(|package| matches(&ban.spec, package)) {
            found.push(format!(
                "banned crate {} {}: {} (`cargo tree -i {0}` shows who brings it in)",
                package.name, package.version, ban.reason
            ));
        }
    }
    found
}

/// Two versions of one crate need a reason, and a reason needs two versions.
fn duplicates(skips: &[Named], packages: &[&Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let is_skipped = |package: &&&Package| skips.iter().any(|skip| matches(&skip.spec, package));
    let mut counted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !is_skipped(package)) {
        counted.entry(&package.name).or_default().push(&package.version);
    }
    let mut found: Vec<String> = counted
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            format!(
                "two versions of {name} ({}): remove one or give a reason in bans.skip",
                versions.join(", ")
            )
        })
        .collect();
    for skip in skips {
        let name = skip.spec.split('@').next().unwrap_or_default();
        let is_needed = versions.get(name).is_some_and(|versions| versions.len() > 1)
            && packages.iter().any(|package| matches(&skip.spec, package));
        if !is_needed {
            found.push(format!("bans.skip names {}, which has no second version now: remove it", skip.spec));
        }
        if skip.reason.is_empty() {
            found.push(format!("bans.skip names {} without a reason", skip.spec));
        }
    }
    found
}

/// Everything that is not ours comes from one and the same registry, nothing from git.
fn sources(packages: &[&Package]) -> Vec<String> {
    let used: BTreeSet<&str> = packages.iter().filter_map(|package| package.source.as_deref()).collect();
    let mut found: Vec<String> = used
        .iter()
        .filter(|source| !source.starts_with("registry+"))
        .map(|source| format!("a package comes from `{source}`: only the public registry is a source"))
        .collect();
    if used.len() > 1 {
        found.push(format!("packages come from {} sources, only one registry is allowed", used.len()));
    }
    found
}

/// Whether `spec` (`name`, `name@version` or `name@leading.part`) means this package.
fn matches(spec: &str, package: &Package) -> bool {
    match spec.split_once('@') {
        None => spec == package.name,
        Some((name, version)) => {
            name == package.name
                && package
                    .version
                    .strip_prefix(version)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, licence: &str, source: &str) -> Package {
        serde_json::from_value(serde_json::json!({
            "id": format!("{name} {version}"), "name": name, "version": version, "license": licence,
            "source": source, "manifest_path": "", "dependencies": [], "features": {},
        }))
        .unwrap()
    }

    fn rules() -> Rules {
        toml::from_str(
            r#"
            [graph]
            targets = []
            all-features = true
            [licenses]
            allow = ["MIT"]
            exceptions = [{ crate = "odd", allow = ["Zlib"] }]
            [bans]
            multiple-versions = "deny"
            deny = [{ crate = "openssl", reason = "one TLS stack" }]
            skip = [{ crate = "syn@2", reason = "macros lag behind" }]
            [sources]
            unknown-registry = "deny"
            unknown-git = "deny"
            "#,
        )
        .unwrap()
    }

    #[test]
    fn each_rule_has_a_case_in_which_it_says_no() {
        let base = || {
            vec![
                package("syn", "2.0.1", "MIT", "registry+a"),
                package("syn", "3.0.0", "MIT", "registry+a"),
                package("odd", "1.0.0", "Zlib", "registry+a"),
            ]
        };
        for (extra, expected) in [
            (None, None),
            (Some(package("x", "1.0.0", "GPL-3.0-only", "registry+a")), Some("licence of x 1.0.0")),
            (Some(package("y", "1.0.0", "Zlib", "registry+a")), Some("licence of y 1.0.0")),
            (Some(package("openssl", "0.10.0", "MIT", "registry+a")), Some("banned crate openssl")),
            (Some(package("odd", "2.0.0", "MIT", "registry+a")), Some("two versions of odd")),
            (Some(package("z", "1.0.0", "MIT", "git+a")), Some("a package comes from `git+a`")),
            (Some(package("z", "1.0.0", "MIT", "registry+b")), Some("packages come from 2 sources")),
        ] {
            let mut packages = base();
            packages.extend(extra);
            let found = findings(&rules(), &packages.iter().collect::<Vec<_>>());
            match expected {
                None => assert_eq!(found, Vec::<String>::new()),
                Some(text) => assert!(found.iter().any(|line| line.starts_with(text)), "{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn an_exception_that_is_no_longer_needed_is_reported() {
        let only = [package("syn", "2.0.1", "MIT", "registry+a")];
        let found = findings(&rules(), &only.iter().collect::<Vec<_>>());
        assert_eq!(found, ["bans.skip names syn@2, which has no second version now: remove it"]);
    }

    #[test]
    fn a_level_that_only_warns_is_refused() {
        let mut rules = rules();
        rules.bans.multiple_versions = "warn".to_owned();
        rules.bans.skip.clear();
        assert_eq!(findings(&rules, &[]).len(), 1);
    }
}
