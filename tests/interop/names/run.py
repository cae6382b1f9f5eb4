"""Names proven by dns-01 and tls-alpn-01, by clients of the field. README.md says what this proves."""

import socket
import ssl
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from scene import ZONE, Scene, suite  # noqa: E402
from harness import check, run, same  # noqa: E402

SET = 'zone set "_acme-challenge.$CERTBOT_DOMAIN" "$CERTBOT_VALIDATION"'


# R36, R44
@suite.step
def lego_enrolls_and_renews_by_rfc2136(s):
    s.pacs, secret = s.application("pacs")
    s.lego("pacs", "run", how="dns", secret=secret)
    file = s.folder / f"lego-pacs/certificates/pacs.{ZONE}.crt"
    run("openssl", "verify", "-x509_strict", "-CAfile", s.root, "-untrusted", file, file)
    s.lego("pacs", "renew", "--days", "3650", "--no-random-sleep", how="dns")
    same(s.count(s.pacs), 2, "certificates")
    check(s.liar.asked >= 2, "the first DNS server, which refuses, was not asked first")


# An alias into a zone that is named in the configuration, and one elsewhere.
@suite.step
def an_alias_is_followed_where_the_configuration_lets_it_lead(s):
    ehr, secret = s.application("ehr")
    s.lego("ehr", "run", how="dns", secret=secret)
    same(s.count(ehr), 1, "certificates")
    archive, secret = s.application("archive")
    done = s.lego("archive", "run", how="dns", secret=secret, ok=False)
    check(f"is an alias of `archive.elsewhere.{ZONE}`" in done.err and "dns01_delegates" in done.err, done.err)
    same(s.count(archive), 0, "certificates")


# R36
@suite.step
def certbot_enrolls_and_renews_by_hooks(s):
    s.lab, secret = s.application("lab")
    s.certbot("lab", SET, secret)
    s.certbot("lab", SET)
    same(s.count(s.lab), 2, "certificates")


@suite.step
def dehydrated_enrolls_by_its_hook(s):
    ris, secret = s.application("ris")
    base = s.folder / "dehydrated"
    base.mkdir()
    hook = s.knot.hook("dehydrated", """case "$1" in
  deploy_challenge) zone set "_acme-challenge.$2" "$4";;
  clean_challenge) zone unset "_acme-challenge.$2" "$4";;
esac""")
    config = base / "config"
    config.write_text(f"CA=\"{s.directory}\"\nBASEDIR=\"{base}\"\nKEY_ALGO=prime256v1\nCHALLENGETYPE=dns-01\n"
                      f"HOOK=\"{hook}\"\nEAB_KID=\"{secret['reference']}\"\nEAB_HMAC_KEY=\"{secret['eab_hmac_key']}\"\n")
    env = {"CURL_CA_BUNDLE": str(s.root)}
    run("dehydrated", "--config", config, "--register", "--accept-terms", env=env)
    run("dehydrated", "--config", config, "--cron", "--domain", f"ris.{ZONE}", env=env)
    same(s.count(ris), 1, "certificates")


# R35
@suite.step
def a_wrong_record_and_a_missing_one_prove_nothing(s):
    before = s.count(s.lab)
    # Leftovers of earlier orders are beside it: none of them counts.
    done = s.certbot("lab", 'zone set "_acme-challenge.$CERTBOT_DOMAIN" "wrong"', ok=False)
    check("TXT records is the digest" in done.err + done.out, done.err + done.out)
    same(s.count(s.lab), before, "certificates")
    portal, secret = s.application("portal")
    done = s.certbot("portal", "true", secret, ok=False)
    check("NXDOMAIN" in done.err + done.out, done.err + done.out)
    same(s.count(portal), 0, "certificates")


# I12: what the first server says is no answer; the second one is asked, and nothing of the first counts.
@suite.step
def a_lying_or_silent_dns_server_is_passed_over(s):
    for says in ("failed", "another id", "another question", "a loop", "silent"):
        s.liar.says, before, asked = says, s.count(s.pacs), s.liar.asked
        s.lego("pacs", "renew", "--days", "3650", "--no-random-sleep", how="dns")
        same(s.count(s.pacs), before + 1, f"certificates although it is {says}")
        check(s.liar.asked > asked, f"{says}: it was not asked")
    s.liar.says = "refused"


@suite.step
def a_wildcard_is_refused(s):
    done = s.lego("pacs", "run", how="dns", domain=f"*.pacs.{ZONE}", ok=False)
    check("rejectedIdentifier" in done.err and "wildcard" in done.err, done.err)


# RFC 8737, R36, R44
@suite.step
def lego_enrolls_and_renews_by_tls_alpn(s):
    s.viewer, secret = s.application("viewer")
    s.lego("viewer", "run", how="tls", secret=secret)
    s.lego("viewer", "renew", "--days", "3650", "--no-random-sleep", how="tls")
    same(s.count(s.viewer), 2, "certificates")


class Other:
    """A TLS server that is not the ACME client."""

    def __init__(self, s, alpn):
        key, certificate = s.folder / "other.key", s.folder / "other.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", certificate, "-subj", "/CN=viewer", "-addext", f"subjectAltName=DNS:viewer.{ZONE}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if alpn:
            context.set_alpn_protocols(alpn)
        self.socket = socket.create_server(("127.0.0.1", s.tls))
        self.context = context
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            try:
                self.context.wrap_socket(peer, server_side=True).close()
            except (ssl.SSLError, OSError):
                peer.close()

    def close(self):
        # Ends the `accept` of the thread, which would keep the port.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


# RFC 8737 3: the protocol must be chosen, and the certificate be the challenge's.
@suite.step
def another_tls_server_at_that_place_proves_nothing(s):
    before = s.count(s.viewer)
    for alpn, words in ((None, "did not choose the protocol"), (["http/1.1"], "no TLS with `acme-tls/1`|did not choose"),
                        (["acme-tls/1"], "no acmeIdentifier")):
        other = Other(s, alpn)
        try:
            done = s.lego("viewer", "renew", "--days", "3650", "--no-random-sleep", how="tls elsewhere", ok=False)
        finally:
            other.close()
        check(any(w in done.err for w in words.split("|")), f"{alpn}: {done.err}")
    done = s.lego("viewer", "renew", "--days", "3650", "--no-random-sleep", how="tls elsewhere", ok=False)
    check("no connection" in done.err, done.err)
    same(s.count(s.viewer), before, "certificates")


# What the configuration does not offer is not to be had.
@suite.step
def a_challenge_that_is_not_allowed_is_not_offered(s):
    text = s.hospital.toml.read_text()
    s.hospital.toml.write_text(text.replace('["dns-01", "tls-alpn-01"]', '["http-01"]'))
    s.hospital.restart()
    before = s.count(s.pacs), s.count(s.viewer)
    for name, how in (("pacs", "dns"), ("viewer", "tls")):
        done = s.lego(name, "renew", "--days", "3650", "--no-random-sleep", how=how, ok=False)
        check("could not determine solvers" in done.err, done.err)
    same((s.count(s.pacs), s.count(s.viewer)), before, "certificates")
    s.hospital.toml.write_text(text)


@suite.step
def nothing_broke_the_ledger(s):
    s.hospital.check_ledger()


if __name__ == "__main__":
    suite.run(Scene, peers=("lego", "certbot", "dehydrated", "knotd", "knotc", "unshare"))
