"""Steps: applications by lego and certbot (http-01)."""

import http.server
import threading
import time

from client import thumbprint
from harness import PATIENCE, check, instant_acme, run, same, until
from scene import suite


def lego(s, name, *command, folder=None, secret=None, ok=True, options=()):
    """lego with the account in a folder of its own."""
    bind = ("--eab", "--kid", secret["reference"], "--hmac", secret["eab_hmac_key"]) if secret else ()
    return run("lego", "--server", s.directory, "--accept-tos", "--email", "pki@interop.example", "--path",
               s.folder / (folder or name), "--domains", name, *bind, "--http", "--http.port",
               f"127.0.0.1:{s.http01}", *options, *command, ok=ok, env={"LEGO_CA_CERTIFICATES": str(s.root)})


def certbot(s, command, *arguments, ok=True):
    folders = [part for name in ("config", "work", "logs") for part in (f"--{name}-dir", s.folder / "certbot" / name)]
    return run("certbot", command, "--server", s.directory, *folders, "--non-interactive", *arguments, ok=ok,
               env={"REQUESTS_CA_BUNDLE": str(s.root)})


def standing(s, subject):
    """Profile, and whether it is revoked, of each certificate."""
    return [(line["kind"], line["name"], line["revoked"] is not None) for line in s.lines(subject)]


# R36, R39, R44, I1, I3
@suite.step
def lego_enrolls_renews_and_revokes(s):
    s.pacs = s.application("pacs", "pacs.interop.example")
    lego(s, "pacs.interop.example", "run", secret=s.secret("pacs"))
    file = s.folder / "pacs.interop.example/certificates/pacs.interop.example.crt"
    run("openssl", "verify", "-x509_strict", "-CAfile", s.root, "-untrusted", file, file)
    names = run("openssl", "x509", "-in", file, "-noout", "-ext", "subjectAltName").out
    check("DNS:pacs.interop.example" in names and names.count("DNS:") == 1, names)
    same(standing(s, s.pacs), [("application", "pacs", False)], "inventory")
    lego(s, "pacs.interop.example", "renew", "--days", "3650", "--no-random-sleep")
    same(len(s.lines(s.pacs)), 2, "after the renewal")
    lego(s, "pacs.interop.example", "revoke")
    same(sorted(standing(s, s.pacs)), [("application", "pacs", False), ("application", "pacs", True)], "after it")


@suite.step
def its_account_is_there_after_a_restart(s):
    s.hospital.restart()
    lego(s, "pacs.interop.example", "run")
    same(len(s.lines(s.pacs)), 3, "certificates")


# I1
@suite.step
def a_name_that_is_not_in_the_record_is_refused(s):
    s.application("ehr", "ehr.interop.example")
    done = lego(s, "viewer.interop.example", "run", folder="ehr", secret=s.secret("ehr"), ok=False)
    check("rejectedIdentifier" in done.err and "not in the record" in done.err, done.err)
    done = lego(s, "pacs.interop.example", "run", folder="ehr", ok=False)
    check("rejectedIdentifier" in done.err, done.err)


@suite.step
def a_wrong_secret_binds_no_account(s):
    wrong = dict(s.secret("ehr"))
    wrong["eab_hmac_key"] = s.secret("ehr")["eab_hmac_key"]
    done = lego(s, "ehr.interop.example", "run", folder="wrong", secret=wrong, ok=False)
    check("unauthorized" in done.err, done.err)


# I1: two people decide; lego waits for them.
@suite.step
def who_is_not_approved_waits(s):
    viewer = s.application("viewer", "viewer.interop.example", approve=False)
    secret = s.secret("viewer")
    s.processes.start("lego", "lego", "--server", s.directory, "--accept-tos", "--email", "pki@interop.example",
                      "--path", s.folder / "viewer", "--domains", "viewer.interop.example", "--eab", "--kid",
                      secret["reference"], "--hmac", secret["eab_hmac_key"], "--http", "--http.port",
                      f"127.0.0.1:{s.http01}", "--cert.timeout", str(PATIENCE), "run",
                      env={"LEGO_CA_CERTIFICATES": str(s.root)})
    log = s.folder / "up.err"
    until("the order waits", lambda: "a request waits for a person" in log.read_text("utf-8", "replace"))
    same(s.lines(viewer), [], "before the approval")
    s.approve("viewer")
    until("lego has a certificate", lambda: s.processes.running["lego"].poll() is not None)
    s.processes.stop("lego")
    same(standing(s, viewer), [("application", "viewer", False)], "after it")


# R36, R40
@suite.step
def certbot_enrolls_renews_revokes_and_ends_its_account(s):
    lab, secret = s.application("lab", "lab.interop.example"), s.secret("lab")
    certbot(s, "register", "--agree-tos", "-m", "pki@interop.example", "--no-eff-email", "--eab-kid",
            secret["reference"], "--eab-hmac-key", secret["eab_hmac_key"])
    alone = ("--standalone", "--http-01-port", s.http01, "--http-01-address", "127.0.0.1")
    certbot(s, "certonly", *alone, "-d", "lab.interop.example")
    same(standing(s, lab), [("application", "lab", False)], "issued")
    certbot(s, "renew", "--force-renewal", "--no-random-sleep-on-renew")
    same(len(s.lines(lab)), 2, "renewed")
    certbot(s, "revoke", "--cert-name", "lab.interop.example", "--reason", "cessationofoperation",
            "--no-delete-after-revoke")
    same(sorted(standing(s, lab)), [("application", "lab", False), ("application", "lab", True)], "revoked")
    certbot(s, "unregister")
    done = certbot(s, "certonly", *alone, "-d", "lab.interop.example", ok=False)
    check("should register" in done.err, done.err)


# R36
@suite.step
def instant_acme_enrolls_an_application_that_a_secret_binds(s):
    viewer, secret = s.application("second-viewer", "second.interop.example"), s.secret("second-viewer")
    arguments = ("application", s.directory, s.root, "second.interop.example", secret["reference"], secret["secret"],
                 s.http01)
    chain = run(instant_acme(), *arguments).out
    same(chain.count("BEGIN CERTIFICATE"), 2, "leaf and issuer")
    same(standing(s, viewer), [("application", "second-viewer", False)], "issued")
    again = run(instant_acme(), *arguments, ok=False)
    check("unauthorized" in again.err or "enrollment secret" in again.err, again.err)


class Page(http.server.BaseHTTPRequestHandler):
    """What proves a name: after `delay` seconds, the thumbprint of `account` to each token."""
    delay, account = 0, None

    def do_GET(self):
        time.sleep(self.delay)
        body = f"{self.path.rsplit('/', 1)[1]}.{self.account}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# RFC 8555 7.5.1: a look of milliseconds is in the answer to the challenge; a slow page holds the answer for two seconds at most.
@suite.step
def the_answer_to_a_challenge_says_what_the_look_came_to(s):
    s.application("slow-viewer", "slow.interop.example")
    secret, client = s.secret("slow-viewer"), s.client()
    same(client.register(secret["reference"], secret["secret"]).status_code, 201, "account")

    def answered():
        order = client.order(("dns", "slow.interop.example"))
        said = client.post(client.challenges(order)["http-01"]["url"], {})
        return order.headers["location"], said.status_code, said.json()

    _, status, said = answered()
    same((status, said["status"], said["error"]["type"].rsplit(":", 1)[1]), (200, "invalid", "connection"), "nobody")
    page = http.server.ThreadingHTTPServer(("127.0.0.1", s.http01), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    try:
        Page.account = thumbprint(client.key)
        place, status, said = answered()
        same((status, said["status"]), (200, "valid"), "at once")
        same(client.post(place).json()["status"], "ready", "the order")
        Page.delay = 4
        place, status, said = answered()
        same((status, said["status"]), (200, "processing"), "slow")
        until("the slow page is read", lambda: client.post(place).json()["status"] == "ready")
    finally:
        page.shutdown()
        page.server_close()


# R40
@suite.step
def an_application_that_was_removed_gets_nothing(s):
    s.hospital.as_("sara", "application", "remove", "pacs", "--reason", "switched off")
    check(all(line["revoked"] for line in s.lines(s.pacs)), "a certificate is left")
    done = lego(s, "pacs.interop.example", "run", ok=False)
    check("unauthorized" in done.err, done.err)


@suite.step
def nothing_broke_the_ledger(s):
    s.hospital.check_ledger()
