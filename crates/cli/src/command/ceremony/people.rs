//! What custodians are asked and told: shares in, shares out, digests compared.
//!
//! A share never stands on a command line, where every process of the machine could read it, and is not echoed. At a terminal
//! a mistake is said and the same person asked again; from files it ends the command. Shares are wiped from memory when done.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lanyard_pki::key::shares::{self, SetId, Share, SharesError};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::exit::Failure;

/// 106 characters, written with whatever spaces a person puts in.
const LONGEST: u64 = 1_024;
/// After so many mistakes in a row something else is wrong.
const TRIES: u32 = 5;

/// How many shares are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// As many as open it, or the command ends.
    Threshold(u8),
    /// As many as there are; all are looked at.
    AnyNumber(u8),
}

/// Shares of `set`, from these files, or typed at the terminal when there are none.
pub(super) fn collect(given: &[PathBuf], set: SetId, wanted: Wanted) -> anyhow::Result<Vec<Share>> {
    let mut shares = Vec::new();
    if !given.is_empty() {
        for path in given {
            let text = read_private(path)?;
            let share = fits(&text, &shares, set)
                .map_err(|e| anyhow::Error::new(e).context(format!("`{}`", path.display())))?;
            shares.push(share);
        }
    } else {
        let mut terminal = Terminal::open()?;
        let (Wanted::Threshold(threshold) | Wanted::AnyNumber(threshold)) = wanted;
        terminal.say(&format!("the root opens with {threshold} shares of set {set}"))?;
        while wanted == Wanted::AnyNumber(threshold) || shares.len() < usize::from(threshold) {
            let prompt = match wanted {
                Wanted::Threshold(_) => format!("share {} of {threshold}: ", shares.len() + 1),
                Wanted::AnyNumber(_) => "next share, or Enter when there is none: ".to_owned(),
            };
            match terminal.share(&prompt, |text| fits(text, &shares, set), wanted)? {
                Some(share) => shares.push(share),
                None => break,
            }
        }
    }
    let needed = match wanted {
        Wanted::Threshold(threshold) => threshold,
        Wanted::AnyNumber(_) => 1,
    };
    if shares.len() < usize::from(needed) {
        return Err(SharesError::TooFew { given: shares.len(), needed }.into());
    }
    Ok(shares)
}

/// Whether this is a share of the set that was not given yet.
fn fits(text: &str, before: &[Share], set: SetId) -> Result<Share, SharesError> {
    let share = Share::parse(text)?;
    if share.set() != set {
        return Err(SharesError::OtherSet { number: share.number(), found: share.set(), expected: set });
    }
    let all: Vec<Share> = before.iter().cloned().chain([share.clone()]).collect();
    match shares::combine(&all) {
        Ok(_) | Err(SharesError::TooFew { .. }) => Ok(share),
        Err(error) => Err(error),
    }
}

/// Gives each custodian their share and takes it back as they have it: by files, or one by one at the terminal.
pub(super) fn hand_out(dealt: &[Share], to: Option<&Path>) -> anyhow::Result<Vec<Share>> {
    match to {
        Some(folder) => by_files(dealt, folder),
        None => one_by_one(dealt),
    }
}

fn by_files(dealt: &[Share], folder: &Path) -> anyhow::Result<Vec<Share>> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("`{}` exists already; shares go into a new directory", folder.display()))
        }
        _ => Failure::usage(format!("cannot write shares to `{}`: {e}", folder.display())),
    };
    DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
    let mut returned = Vec::new();
    for share in dealt {
        let path = folder.join(format!("share-{}.txt", share.number()));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        file.write_all(share.to_text().as_bytes()).map_err(failed)?;
        file.write_all(b"\n").and_then(|()| file.sync_all()).map_err(failed)?;
        returned.push(Share::parse(&read_private(&path)?)?);
    }
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(returned)
}

fn one_by_one(dealt: &[Share]) -> anyhow::Result<Vec<Share>> {
    let mut terminal = Terminal::open()?;
    let mut returned = Vec::new();
    for share in dealt {
        let whose = format!("custodian {} of {}", share.number(), share.count());
        terminal.wait(&format!("{whose} alone at the screen, then Enter: "))?;
        terminal.say(&format!("\n{}\n", share.to_text().as_str()))?;
        terminal.wait("write it down, read it over, then Enter: ")?;
        terminal.clear()?;
        let same = |text: &str| {
            let typed = Share::parse(text)?;
            match typed.to_text() == share.to_text() {
                true => Ok(typed),
                false => Err(SharesError::Malformed("it is another share than the one that was shown")),
            }
        };
        let typed = terminal.share(&format!("{whose}, type it back: "), same, Wanted::Threshold(0))?;
        returned.extend(typed);
        terminal.clear()?;
    }
    Ok(returned)
}

/// Compares a key's digest with the minutes: given by option, or typed.
pub(super) fn same_digest(given: Option<&str>, subject: &str, key_sha256: &str) -> anyhow::Result<()> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None => {
            let mut terminal = Terminal::open()?;
            terminal.say(&format!("the request is of {subject}"))?;
            terminal.ask("SHA-256 of its key, from the minutes: ")?.to_string()
        }
    };
    let plain: String = typed.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    if plain.eq_ignore_ascii_case(key_sha256) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the request's key is {key_sha256}, not the one of the minutes: the file was changed on its way, or is another one"
    )))
}

/// A file that only its owner reads.
fn read_private(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let failed = |e: io::Error| Failure::usage(format!("cannot read `{}`: {e}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::usage(format!(
            "`{0}` can be read by others (mode {mode:03o}): run `chmod 600 {0}`, and deal new shares if somebody may have",
            path.display()
        )));
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(Failure::usage(format!(
            "`{}` has more than {LONGEST} bytes: it is no share",
            path.display()
        )));
    }
    Ok(text)
}

/// The terminal that this runs at. What is typed is not shown; it is as before when this is dropped.
struct Terminal {
    before: Termios,
}

impl Terminal {
    fn open() -> anyhow::Result<Self> {
        let nobody = || {
            Failure::usage(
                "nobody sits here to be asked: run this at a terminal, or give files (--share, --shares-to, --key-sha256)",
            )
        };
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(nobody());
        }
        let before = tcgetattr(io::stdin()).map_err(|_| nobody())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).map_err(|_| nobody())?;
        Ok(Self { before })
    }

    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(writeln!(io::stderr(), "{text}")?)
    }

    fn ask(&mut self, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
        write!(io::stderr(), "{prompt}")?;
        io::stderr().flush()?;
        let mut line = Zeroizing::new(String::with_capacity(LONGEST as usize + 1));
        io::stdin().lock().take(LONGEST + 1).read_line(&mut line)?;
        writeln!(io::stderr())?;
        match line.ends_with('\n') {
            true => Ok(line),
            false => Err(Failure::usage("the input ended, or is no share")),
        }
    }

    fn wait(&mut self, prompt: &str) -> anyhow::Result<()> {
        self.ask(prompt).map(|_| ())
    }

    /// One share; none when the line is empty and that is allowed.
    fn share(
        &mut self,
        prompt: &str,
        read: impl Fn(&str) -> Result<Share, SharesError>,
        wanted: Wanted,
    ) -> anyhow::Result<Option<Share>> {
        let mut last = None;
        for _ in 0..TRIES {
            let line = self.ask(prompt)?;
            if line.trim().is_empty() && matches!(wanted, Wanted::AnyNumber(_)) {
                return Ok(None);
            }
            match read(&line) {
                Ok(share) => return Ok(Some(share)),
                Err(error) => {
                    self.say(&format!("{error}; try again"))?;
                    last = Some(error);
                }
            }
        }
        Err(last.map_or_else(|| Failure::usage("no share"), anyhow::Error::new))
    }

    /// The screen and what can be scrolled back to (ECMA-48 ED 2, and 3 as xterm has it).
    fn clear(&mut self) -> anyhow::Result<()> {
        write!(io::stderr(), "\x1b[2J\x1b[3J\x1b[H")?;
        Ok(io::stderr().flush()?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt() -> Vec<Share> {
        shares::deal(2, 3).unwrap().1
    }

    fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn collected(given: &[PathBuf], set: SetId) -> Result<Vec<u8>, String> {
        collect(given, set, Wanted::Threshold(2))
            .map(|all| all.iter().map(Share::number).collect())
            .map_err(|e| crate::exit::in_words(&e))
    }

    // I10: wrong, too few, repeated, of another ceremony, damaged: each by name.
    #[test]
    fn shares_from_files_are_taken_or_refused_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (dealt(), dealt());
        let set = ours[0].set();
        let file = |name: &str, share: &Share| written(folder.path(), name, &share.to_text());
        let files: Vec<PathBuf> = ours.iter().map(|s| file(&format!("{}", s.number()), s)).collect();
        assert_eq!(collected(&files[1..], set), Ok(vec![2, 3]));
        assert_eq!(collected(&files, set), Ok(vec![1, 2, 3]));
        let strange = file("strange", &other[1]);
        // One wrong letter in the middle.
        let letter = |at: usize, c: char| match (at, c) {
            (40, 'q') => 'p',
            (40, _) => 'q',
            _ => c,
        };
        let text: String = ours[1].to_text().chars().filter(|c| *c != ' ').collect();
        let wrong: String = text.chars().enumerate().map(|(at, c)| letter(at, c)).collect();
        let damaged = written(folder.path(), "damaged", &wrong);
        let cut = written(folder.path(), "cut", ours[1].to_text().get(..60).unwrap());
        let long = written(folder.path(), "long", &"q".repeat(2_000));
        for (given, word) in [
            (vec![files[0].clone()], "1 of 2 shares given"),
            (vec![files[0].clone(), files[0].clone()], "share 1 was given twice"),
            (vec![files[0].clone(), strange.clone()], "is of set"),
            (vec![files[0].clone(), damaged], "mistyped"),
            (vec![files[0].clone(), cut], "characters after"),
            (vec![files[0].clone(), long], "is no share"),
            (vec![folder.path().join("absent")], "cannot read"),
        ] {
            let refused = collected(&given, set).unwrap_err();
            assert!(refused.contains(word), "{word}: {refused}");
            let letters: String = refused.chars().filter(|c| *c != ' ').collect();
            assert!(!letters.contains(text.get(4..16).unwrap()), "a share is in the message: {refused}");
        }
        std::fs::set_permissions(&files[0], std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(collected(&files, set).unwrap_err().contains("chmod 600"));
    }

    #[test]
    fn what_is_handed_out_in_files_is_private_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, to) = (dealt(), folder.path().join("shares"));
        let returned = hand_out(&ours, Some(&to)).unwrap();
        assert!(ours.iter().zip(&returned).all(|(a, b)| a.to_text() == b.to_text()));
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o700);
        let file = to.join("share-3.txt");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(hand_out(&ours, Some(&to)).is_err(), "shares are never overwritten");
    }

    #[test]
    fn a_digest_is_compared_as_people_write_it() {
        let key = "ab".repeat(32);
        let spaced = "AB:".repeat(31) + " AB";
        assert!(same_digest(Some(&spaced), "x", &key).is_ok());
        for other in ["", "ab", &"ac".repeat(32)] {
            let refused = same_digest(Some(other), "x", &key).unwrap_err();
            assert!(refused.to_string().contains("changed on its way"), "{refused}");
        }
    }
}
