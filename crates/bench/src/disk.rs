//! Where benches keep what must be durable.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A folder on a disk, gone with the value: /tmp may be memory, where fsync costs nothing.
pub fn folder() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(beside_the_program()?)?)
}

fn beside_the_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().context("a program lies in a folder")?.to_owned())
}
