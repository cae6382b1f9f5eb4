//! What goes wrong says what, why and what to do, with its exit code and without a stack trace.

use std::os::unix::fs::PermissionsExt;

use crate::house::lanyard;

#[test]
fn each_mistake_has_its_exit_code_and_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("wrong.toml", "listen = '127.0.0.1:0'\nlisten_too = 1\n");
    write("rule.toml", "[gateway]\nsite = 'North Campus'\n");
    write("open.pass", "correct horse battery staple");
    write(
        "profile.toml",
        "[server]\naddress = '127.0.0.1:1'\norigin = 'o'\nlog_vkey = 'x'\nanchors_pem = 'none'\n",
    );
    write("record.json", "{\"vendor\": \"Acme\"");
    std::fs::set_permissions(dir.path().join("open.pass"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for (arguments, code, words) in [
        (&["up", "--data", "d", "--config", "wrong.toml"][..], 2, "line 2, column 1"),
        (&["up", "--data", "d", "--config", "rule.toml"], 2, "line 2, column 8"),
        (&["up", "--data", "d", "--config", "none.toml"], 2, "none.toml"),
        (&["up", "--data", "d"], 2, "--passphrase-file"),
        (&["up", "--data", "d", "--passphrase-file", "open.pass"], 2, "chmod 600 open.pass"),
        (&["device", "list"], 2, "lanyard login"),
        (&["--profile", "profile.toml", "device", "list"], 2, "lanyard operator key"),
        (&["login", "--server", "127.0.0.1:1"], 3, "127.0.0.1:1"),
        (&["login", "--server", "not an address"], 2, "host:port"),
        (&["verify", "none.evidence"], 2, "none.evidence"),
        (&["verify", "record.json"], 4, "contradicted"),
        (&["ledger", "check", "--data", "d"], 2, "no log"),
        (
            &[
                "release",
                "measure",
                "--vendor",
                "A",
                "--model",
                "B",
                "--release-version",
                "1",
                "--log",
                "record.json",
            ],
            2,
            "event log",
        ),
        (&["agent", "enroll", "--config", "record.json", "--tpm-dir", "t"], 2, "line 1, column"),
        (&["agent", "enroll", "--config", "record.json"], 2, "--tpm-dir"),
        (&["device", "approve", "x", "--role", "janitor"], 2, "janitor"),
        (&["no-such-command"], 2, "no-such-command"),
    ] {
        let said = lanyard(dir.path(), arguments).code(code);
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
        assert!(
            !said.err.contains("panicked") && !said.err.contains('\u{1b}'),
            "{arguments:?}: {}",
            said.err
        );
    }
    assert!(!dir.path().join("d/keys").exists(), "nothing was made by a refused start");
}

#[test]
fn completions_and_help_are_answers() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef lanyard"), ("fish", "complete -c lanyard")]
    {
        assert!(lanyard(dir.path(), &["completions", shell]).code(0).out.contains(mark), "{shell}");
    }
    let help = lanyard(dir.path(), &["--help"]).code(0).out;
    for word in ["demo", "up", "device", "verify", "Exit codes:", "4  evidence is contradicted"] {
        assert!(help.contains(word), "{word}");
    }
}
