//! certbot 2.1 (Python): dns-01 by a hook, external binding, revocation, end of the account.

use std::process::Command;

use lanyard_enroll::acme::{AccountStatus, BindingPolicy};

use super::host::{Host, binding, openssl};
use super::{fails, succeeds};

const NAME: &str = "ehr.hospital.example";

fn certbot(host: &Host, command: &str) -> Command {
    let mut certbot = Command::new("certbot");
    certbot.env("REQUESTS_CA_BUNDLE", host.root()).args([command, "--server", &host.directory]);
    for (option, folder) in [("--config-dir", "etc"), ("--work-dir", "work"), ("--logs-dir", "logs")] {
        certbot.arg(option).arg(host.path(folder));
    }
    certbot.arg("--non-interactive");
    certbot
}

#[test]
fn certbot_enrolls_by_dns_01_changes_and_ends_its_account() {
    let host = Host::start(BindingPolicy::Required);
    let (kid, key) = binding(2);
    let register = |eab: &[&str]| {
        let mut command = certbot(&host, "register");
        command.args(["--agree-tos", "-m", "pki@hospital.example", "--no-eff-email"]).args(eab);
        command
    };
    assert!(fails(&mut register(&[])).contains("external account binding"));
    let wrong = data_encoding::BASE64URL_NOPAD.encode(b"a guess");
    assert!(
        fails(&mut register(&["--eab-kid", &kid, "--eab-hmac-key", &wrong])).contains("enrollment secret")
    );
    succeeds(&mut register(&["--eab-kid", &kid, "--eab-hmac-key", &key]));
    // The record that a DNS server would have.
    let hook = format!(
        "echo \"$CERTBOT_VALIDATION\" > {}/_acme-challenge.$CERTBOT_DOMAIN",
        host.places.folder.display()
    );
    let mut issue = certbot(&host, "certonly");
    issue.args(["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", &hook, "-d", NAME]);
    succeeds(&mut issue);
    let file = host.path("etc/live").join(NAME).join("fullchain.pem");
    assert!(openssl(&host, &file).contains(NAME));

    let mut update = certbot(&host, "update_account");
    succeeds(update.args(["-m", "biomed@hospital.example", "--no-eff-email"]));
    assert_eq!(host.accounts()[0].contacts, ["mailto:biomed@hospital.example"]);
    let mut revoke = certbot(&host, "revoke");
    let file = host.path("etc/live").join(NAME).join("cert.pem");
    succeeds(revoke.arg("--cert-path").arg(file).args([
        "--reason",
        "cessationofoperation",
        "--no-delete-after-revoke",
    ]));
    assert_eq!(host.revoked(), 1);
    succeeds(&mut certbot(&host, "unregister"));
    assert_eq!(host.accounts()[0].status, AccountStatus::Deactivated);
}
