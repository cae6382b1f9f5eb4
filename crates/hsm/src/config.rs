//! Which token of which module, and how long to wait for it.

use std::path::PathBuf;
use std::time::Duration;

use super::HsmError;

/// More sessions than this no module needs from one process: a network module is busy with a dozen.
const MOST_SESSIONS: usize = 64;

/// A token and how it is used.
#[derive(Debug, Clone)]
pub struct Config {
    /// The module: a shared library, loaded into this process.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The token's serial number, where two have one label.
    pub serial: Option<String>,
    /// How many calls go into the module at once, each on its own session and thread.
    pub sessions: usize,
    /// How long who asks for a signature waits, all in all.
    pub timeout: Duration,
    /// As `timeout`, for making a key, listing keys and the first connection: a card takes a minute for RSA-4096.
    pub generate_timeout: Duration,
}

impl Config {
    /// Four sessions, five seconds, two minutes.
    pub fn new(module: PathBuf, token: &str) -> Self {
        Self {
            module,
            token: token.to_owned(),
            serial: None,
            sessions: 4,
            timeout: Duration::from_secs(5),
            generate_timeout: Duration::from_secs(120),
        }
    }

    pub(crate) fn check(&self) -> Result<(), HsmError> {
        let bad = |why| Err(HsmError::Config(why));
        if !self.module.is_absolute() {
            // A name without a directory would be looked up in the loader's path, which the environment decides.
            return bad("`module` must be an absolute path");
        }
        if self.token.is_empty() || self.token.len() > 32 {
            return bad("`token` is the token's label: 1 to 32 bytes (CK_TOKEN_INFO)");
        }
        if !(1..=MOST_SESSIONS).contains(&self.sessions) {
            return bad("`sessions` must be 1 to 64");
        }
        if self.timeout.is_zero() || self.generate_timeout < self.timeout {
            return bad("`timeout` must be above zero, and `generate_timeout` at least as long");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let good = || Config::new("/usr/lib/softhsm/libsofthsm2.so".into(), "lanyard");
        assert!(good().check().is_ok());
        let edits: [fn(&mut Config); 7] = [
            |c| c.module = "libsofthsm2.so".into(),
            |c| c.token = String::new(),
            |c| c.token = "x".repeat(33),
            |c| c.sessions = 0,
            |c| c.sessions = 65,
            |c| c.timeout = Duration::ZERO,
            |c| c.generate_timeout = Duration::from_secs(1),
        ];
        for edit in edits {
            let mut config = good();
            edit(&mut config);
            assert!(matches!(config.check(), Err(HsmError::Config(_))), "{config:?}");
        }
    }
}
