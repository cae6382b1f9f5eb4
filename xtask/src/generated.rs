//! `cargo xtask generated`: files that are made from the code and committed, so that readers need no build.
//!
//! To add one: a function that returns its text, one line in [`FILES`].

use anyhow::{Context, Result, bail};

use crate::{requirements, shell};

struct Generated {
    path: &'static str,
    render: fn() -> Result<String>,
}

const FILES: &[Generated] = &[Generated { path: "docs/requirements.md", render: requirements::render }];

pub fn run(_: &[String]) -> Result<()> {
    let mut arguments = vec!["status", "--porcelain", "--untracked-files=all", "--"];
    for Generated { path, render } in FILES {
        write(path, *render)?;
        arguments.push(path);
    }
    let dirty = shell::capture("git", &arguments)?;
    if !dirty.is_empty() {
        bail!("generated files differ from the committed ones; commit them:\n{dirty}");
    }
    println!("generated: {} files are as committed", FILES.len());
    Ok(())
}

/// Writes one generated file, if it changed.
pub fn write(path: &str, render: fn() -> Result<String>) -> Result<()> {
    let text = render().with_context(|| format!("cannot generate {path}"))?;
    let full = shell::root().join(path);
    if std::fs::read_to_string(&full).ok().as_deref() != Some(&text) {
        std::fs::write(&full, text).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}
