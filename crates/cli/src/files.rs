//! Files as commands read and write them: bounded, private where they must be, replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::exit::Failure;

/// The largest file that a command takes: an evidence bundle of 64 MiB.
pub const MAX_FILE: u64 = 64 << 20;

/// All bytes of a file that the caller named.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = |e: std::io::Error| Failure::usage(format!("cannot read `{}`: {e}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::usage(format!("`{}` has more than {MAX_FILE} bytes", path.display())));
    }
    Ok(bytes)
}

/// All text of a file that the caller named.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| Failure::usage(format!("`{}` is not UTF-8 text", path.display())))
}

/// The text of a file, when there is one.
pub fn read_text_if_exists(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(_) => read_text(path).map(Some),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::usage(format!("cannot read `{}`: {e}", path.display()))),
    }
}

/// Replaces a file whole, readable by its owner only; its directory is made when absent.
pub fn replace_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, 0o600)
}

/// Replaces a file whole, readable by all.
pub fn replace_public(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace(path, bytes, 0o644)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let failed = |e: std::io::Error| Failure::internal(format!("cannot write `{}`: {e}", path.display()));
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(failed)
}

/// Writes a new file; an existing one is not overwritten.
pub fn create_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!(
            "`{}` exists already and is not overwritten; name another file",
            path.display()
        )),
        _ => Failure::usage(format!("cannot write `{}`: {e}", path.display())),
    })
}
