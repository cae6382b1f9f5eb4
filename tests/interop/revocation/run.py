"""OpenSSL and curl against OCSP, revocation lists, bundles and generations. README.md says what this proves."""

import json
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import PYTHON, Hospital, Suite, check, lanyard, refusal, run, same  # noqa: E402

suite = Suite("revocation")
ROOT = Path(__file__).resolve().parents[3]
PROFILE = """name = "listed-pump"
description = "Pumps whose certificates can be looked up"
subject = "device"
classes = ["infusion-pump"]

[key]
types = ["p256", "p384"]

[names]
subject = "serial-number"
alternative = ["uri-id", "machine-dns"]

[usage]
purposes = ["clientAuth"]

[validity]
default = "30d"
longest = "90d"

[revocation]
mode = "crl-ocsp"

[enrollment]
label = "listed"
"""


class Scene:
    """A hospital that serves revocation, and devices that enroll by EST with curl."""

    def __init__(self, folder, processes):
        self.folder = folder
        # The address in certificates is not the one that listens: what stands in them is mapped to it below.
        self.base = "http://pki.interop.example"
        self.hospital = Hospital(folder, processes, enroll={"http_url": self.base, "delta_entries": 1})
        self.pem = folder / "bundle.pem"
        self.profile = folder / "listed-pump.toml"
        self.profile.write_text(PROFILE)

    def here(self, address):
        """An address out of a certificate, as it is reached here."""
        check(address.startswith(self.base), f"`{address}` does not begin with {self.base}")
        return f"http://{self.hospital.pki_http}{address[len(self.base):]}"

    def fetch(self, path, *arguments, file="fetched"):
        """curl; status, headers, body."""
        body, head = self.folder / file, self.folder / f"{file}.head"
        code = run("curl", "-sS", "-o", body, "-D", head, "-w", "%{http_code}", *arguments,
                   path if path.startswith("http") else f"http://{self.hospital.pki_http}{path}").out
        headers = dict(line.lower().split(": ", 1) for line in head.read_text().splitlines() if ": " in line)
        return int(code), headers, body

    def device(self, serial):
        """A device that has enrolled by EST; its id and its certificate."""
        device = self.hospital.register("Acme Medical", "Infusion X", serial)
        return device, self.enroll(device, serial)

    def enroll(self, device, name):
        secret = self.hospital.secret(device)
        key, csr, answer = (self.folder / f"{name}{end}" for end in (".key", ".csr", ".p7"))
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        run("openssl", "req", "-new", "-key", key, "-subj", "/CN=any", "-outform", "DER", "-out", csr)
        base64 = self.folder / f"{name}.b64"
        base64.write_text(run("openssl", "base64", "-A", "-in", csr).out)
        run("curl", "-sS", "--fail-with-body", "--cacert", self.hospital.anchors, "-u", f"{device}:{secret}",
            "-H", "Content-Type: application/pkcs10", "--data-binary", f"@{base64}", "-o", answer,
            f"https://{self.hospital.enroll}/.well-known/est/simpleenroll")
        der = self.folder / f"{name}.p7b"
        run("openssl", "base64", "-d", "-A", "-in", answer, "-out", der)
        pem = self.folder / f"{name}.pem"
        pem.write_text(run("openssl", "pkcs7", "-inform", "DER", "-in", der, "-print_certs").out)
        return pem

    def issuer(self, certificate):
        """The issuer's certificate, from the address that the certificate names."""
        text = run("openssl", "x509", "-in", certificate, "-noout", "-ext", "authorityInfoAccess").out
        address = text.split("CA Issuers - URI:")[1].split()[0]
        status, headers, body = self.fetch(self.here(address), file="issuer.cer")
        same((status, headers["content-type"]), (200, "application/pkix-cert"), "issuer's certificate")
        pem = self.folder / f"issuer-of-{certificate.stem}.pem"
        run("openssl", "x509", "-inform", "DER", "-in", body, "-out", pem)
        return pem

    def ocsp(self, certificate, *arguments):
        """What `openssl ocsp` says of it, having verified the answer from the root."""
        address = run("openssl", "x509", "-in", certificate, "-noout", "-ocsp_uri").out.strip()
        done = run("openssl", "ocsp", "-issuer", self.issuer(certificate), *arguments, "-cert", certificate, "-url",
                   self.here(address), "-CAfile", self.hospital.anchors)
        check("Response verify OK" in done.out + done.err, f"not verified: {done.out}{done.err}")
        return done.out

    def crl(self, certificate):
        """The list that the certificate names, PEM, verified against the issuer."""
        text = run("openssl", "x509", "-in", certificate, "-noout", "-ext", "crlDistributionPoints").out
        address = text.split("URI:")[1].split()[0]
        status, headers, body = self.fetch(self.here(address), file="list.crl")
        same((status, headers["content-type"]), (200, "application/pkix-crl"), "list")
        pem = self.folder / "list.pem"
        verified = run("openssl", "crl", "-inform", "DER", "-in", body, "-CAfile", self.issuer(certificate), "-out", pem)
        check("verify OK" in verified.err, f"list not verified: {verified.err}")
        return pem

    def whole_chain(self, certificate, issuer, ok=True):
        """OpenSSL with a list for every certificate below the root, each from the address that stands in the certificate."""
        parts = [self.list_of(certificate, issuer), self.list_of(issuer, self.hospital.anchors)]
        everything = self.folder / "with-lists.pem"
        everything.write_text("".join(part.read_text() for part in parts) + self.hospital.anchors.read_text())
        return run("openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", everything, "-untrusted", issuer,
                   certificate, ok=ok)

    def list_of(self, certificate, issuer):
        status, _, body = self.fetch(self.here(listed_at(certificate)), file="one.crl")
        same(status, 200, f"the list that {certificate.name} names")
        pem = self.folder / f"list-of-{certificate.stem}.pem"
        verified = run("openssl", "crl", "-inform", "DER", "-in", body, "-CAfile", issuer, "-out", pem)
        check("verify OK" in verified.err, f"list not verified: {verified.err}")
        return pem

    def by_list(self, certificate, ok=True):
        everything = self.folder / "with-list.pem"
        everything.write_text(self.crl(certificate).read_text() + self.hospital.anchors.read_text())
        return run("openssl", "verify", "-crl_check", "-CAfile", everything, "-untrusted", self.issuer(certificate),
                   certificate, ok=ok)


# R47, R10
@suite.step
def a_profile_comes_into_force_by_two_people_and_a_bad_one_is_explained(s):
    bad = s.folder / "bad.toml"
    bad.write_text(PROFILE.replace('"30d"', '"300d"').replace("clientAuth", "everything"))
    refusal(1, r"line \d+.*\n.*line \d+", lambda: lanyard("profile", "lint", bad))
    lanyard("profile", "lint", s.profile)
    h = s.hospital
    h.as_("sara", "profile", "propose", s.profile)
    refusal(1, "another person must",
            lambda: h.as_("sara", "profile", "approve", "listed-pump", s.profile))
    refusal(1, "role", lambda: h.as_("ben", "profile", "approve", "listed-pump", s.profile))
    # Anna gets the role that approves only now: she has not proposed it.
    other = s.folder / "other.toml"
    other.write_text(PROFILE + "\n# one more line\n")
    me = h.as_("eve", "login", "--server", h.server, "--fingerprint", h.started["fingerprint"])
    me = h.as_("eve", "operator", "key", "Eve")
    h.as_("anna", "operator", "add", f"lanyard-operator/1 {me['operator']} {me['public_key']} {me['name']}",
          "--roles", "security")
    refusal(1, "not the one that was approved", lambda: h.as_("eve", "profile", "approve", "listed-pump", other))
    h.as_("eve", "profile", "approve", "listed-pump", s.profile)
    same([p["active"] == PROFILE for p in h.as_("anna", "profile", "list")], [True], "profiles in force")


# R49
@suite.step
def a_certificate_is_good_by_ocsp_and_list_until_its_device_is_revoked(s):
    device, certificate = s.device("REV-1")
    for arguments in ((), ("-no_nonce",), ("-sha256",)):
        check(": good" in s.ocsp(certificate, *arguments), f"OCSP with {arguments}")
    s.by_list(certificate)
    began = time.monotonic()
    s.hospital.as_("sara", "device", "revoke", device, "--because", "stolen", "--reason", "gone from ward 3")
    for arguments in (("-no_nonce",), (), ("-sha256",)):
        out = s.ocsp(certificate, *arguments)
        check(": revoked" in out and "keyCompromise" in out, f"OCSP with {arguments} after the revocation: {out}")
    done = s.by_list(certificate, ok=False)
    check("certificate revoked" in done.out + done.err, f"by list: {done.out}{done.err}")
    print(f"   revoked in OCSP (3 forms) and list {time.monotonic() - began:.2f} s after the command began")


# R49: a relying party that fetches for itself, by OCSP and by list.
@suite.step
def a_relying_party_of_another_make_fetches_and_judges_for_itself(s):
    device, certificate = s.device("REV-P")
    issuer = s.issuer(certificate)

    def says(how):
        script = Path(__file__).resolve().parent / "consumer.py"
        return run(PYTHON, script, s.hospital.anchors, issuer, certificate, f"http://{s.hospital.pki_http}", how,
                   timeout=120).out.strip()

    same((says("ocsp"), says("crl")), ("good", "good"), "before the revocation")
    s.hospital.as_("sara", "device", "revoke", device, "--because", "lost", "--reason", "not found at the inventory")
    same((says("ocsp"), says("crl")), ("revoked key_compromise", "revoked key_compromise"), "after it")


@suite.step
def single_certificates_are_revoked_by_serial_with_their_reason(s):
    device, certificate = s.device("REV-2")
    serial = run("openssl", "x509", "-in", certificate, "-noout", "-serial").out.strip().split("=")[1].lower()
    refusal(1, "there is no certificate", lambda: s.hospital.as_(
        "sara", "cert", "revoke", "abcdef12", "--because", "superseded", "--reason", "x"))
    s.hospital.as_("sara", "cert", "revoke", serial, "--because", "superseded", "--reason", "new key on the device")
    out = s.ocsp(certificate)
    check(": revoked" in out and "superseded" in out, out)
    text = run("openssl", "crl", "-in", s.crl(certificate), "-noout", "-text").out
    check(serial.upper() in text and "Superseded" in text, text)
    # It may enroll again.
    check(": good" in s.ocsp(s.enroll(device, "REV-2b")), "the certificate after it")


# I12
@suite.step
def what_was_never_issued_is_not_good_and_strangers_get_no_answer(s):
    _, certificate = s.device("REV-3")
    issuer = s.issuer(certificate)
    url = s.here(run("openssl", "x509", "-in", certificate, "-noout", "-ocsp_uri").out.strip())
    out = run("openssl", "ocsp", "-issuer", issuer, "-serial", "0x4711", "-url", url, "-CAfile",
              s.hospital.anchors).out
    check(": revoked" in out and "certificateHold" in out, f"never issued: {out}")
    # An authority that is not ours.
    key, foreign = s.folder / "foreign.key", s.folder / "foreign.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
        "-out", foreign, "-subj", "/CN=Other")
    done = run("openssl", "ocsp", "-issuer", foreign, "-serial", "1", "-url", url, "-CAfile", s.hospital.anchors,
               ok=False)
    check("unauthorized" in done.out + done.err, f"{done.out}{done.err}")
    for body, kind, expected in ((b"x", "application/ocsp-request", 200), (b"x", "text/plain", 415),
                                 (b"0" * 70_000, "application/ocsp-request", 413)):
        file = s.folder / "body"
        file.write_bytes(body)
        status, _, _ = s.fetch("/ocsp", "-H", f"Content-Type: {kind}", "--data-binary", f"@{file}")
        same(status, expected, f"{len(body)} bytes of {kind}")
    for path in ("/crl/00/16/0.crl", "/crl/x", "/ca/00.cer", "/ca/zz", "/crl/../../etc/passwd", "/v1/devices"):
        status, _, _ = s.fetch(path, "--path-as-is")
        same(status, 404, path)


def listed_at(certificate):
    text = run("openssl", "x509", "-in", certificate, "-noout", "-ext", "crlDistributionPoints").out
    return text.split("URI:")[1].split()[0]


# R49, RFC 5280 5.2.4: whoever has the list loads what changed since.
@suite.step
def a_list_and_its_difference_say_together_what_a_new_list_says(s):
    h, places = s.hospital, {}
    for n in range(33):
        device, certificate = s.device(f"DELTA-{n}")
        place = listed_at(certificate)
        if place in places:
            break
        places[place] = device
    # Of 33 certificates two stand in the same of 32 lists.
    h.as_("sara", "device", "revoke", places[place], "--because", "lost", "--reason", "the list has an entry")
    base = s.folder / "base.pem"
    base.write_text(s.crl(certificate).read_text())
    text = run("openssl", "crl", "-in", base, "-noout", "-text").out
    address = text.split("X509v3 Freshest CRL:")[1].split("URI:")[1].split()[0]
    h.as_("sara", "device", "revoke", device, "--because", "stolen", "--reason", "after the list was loaded")
    status, headers, body = s.fetch(s.here(address), file="delta.crl")
    same((status, headers["content-type"]), (200, "application/pkix-crl"), "difference")
    delta = s.folder / "delta.pem"
    verified = run("openssl", "crl", "-inform", "DER", "-in", body, "-CAfile", s.issuer(certificate), "-out", delta)
    check("verify OK" in verified.err, f"difference not verified: {verified.err}")
    check("Delta CRL Indicator: critical" in run("openssl", "crl", "-in", delta, "-noout", "-text").out, "no indicator")
    everything = s.folder / "with-delta.pem"
    everything.write_text(base.read_text() + h.anchors.read_text())
    verify = ("openssl", "verify", "-crl_check", "-CAfile", everything, "-untrusted", s.issuer(certificate))
    run(*verify, certificate)
    # Both in one file only now: without -use_deltas OpenSSL takes the newer of the two for a whole list.
    everything.write_text(base.read_text() + delta.read_text() + h.anchors.read_text())
    done = run(*verify, "-use_deltas", certificate, ok=False)
    check("certificate revoked" in done.out + done.err, f"by list and difference: {done.out}{done.err}")
    # A third that was not revoked stays good with both.
    _, good = s.device("DELTA-GOOD")
    everything.write_text(everything.read_text() + s.crl(good).read_text())
    run(*verify, "-use_deltas", good)


# R49, RFC 5280 4.2.1.13, 4.2.2.1: an authority's certificate says where its root's list and its root are.
@suite.step
def the_whole_chain_is_checked_by_the_lists_that_its_certificates_name(s):
    _, certificate = s.device("CHAIN-1")
    issuer = s.issuer(certificate)
    s.whole_chain(certificate, issuer)
    # Up to the root by what stands in the certificates, and the root is the one that is trusted.
    thumbprint = ("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in")
    same(run(*thumbprint, s.issuer(issuer)).out, run(*thumbprint, s.hospital.anchors).out, "root")
    # What is not served is not named: a root has no responder, and nothing about itself.
    same(run("openssl", "x509", "-in", issuer, "-noout", "-ocsp_uri").out, "", "responder of a root")
    text = run("openssl", "x509", "-in", s.hospital.anchors, "-noout", "-text").out
    check("CRL Distribution" not in text and "Authority Information" not in text, text)


# RFC 9919 6
@suite.step
def an_answer_by_get_is_kept_by_proxies_for_a_minute_at_most(s):
    _, certificate = s.device("REV-4")
    request = s.folder / "request.der"
    run("openssl", "ocsp", "-issuer", s.issuer(certificate), "-cert", certificate, "-no_nonce", "-reqout", request)
    path = run("openssl", "base64", "-A", "-in", request).out.strip().replace("+", "%2B").replace("/", "%2F")
    status, headers, body = s.fetch(f"/ocsp/{path}")
    same((status, headers["content-type"]), (200, "application/ocsp-response"), "GET")
    check("max-age=60" in headers["cache-control"], headers)
    status, _, _ = s.fetch(f"/ocsp/{path}", "-H", f"If-None-Match: {headers['etag']}", file="again")
    same(status, 304, "with its ETag")
    text = run("openssl", "ocsp", "-respin", body, "-issuer", s.issuer(certificate), "-CAfile", s.hospital.anchors,
               "-no_nonce", "-resp_text").out
    check("Cert Status: good" in text, text)


@suite.step
def everything_that_is_trusted_can_be_fetched_in_three_forms(s):
    status, _, pem = s.fetch("/pki/bundle.pem", file="bundle.pem")
    same(status, 200, "PEM")
    subjects = run("openssl", "crl2pkcs7", "-nocrl", "-certfile", pem).out
    listed = run("openssl", "pkcs7", "-print_certs", "-noout", stdin=subjects.encode()).out
    check("Root CA" in listed and "Issuing CA" in listed, listed)
    status, _, p7b = s.fetch("/pki/bundle.p7b", file="bundle.p7b")
    same(status, 200, "PKCS#7")
    check("Root CA" in run("openssl", "pkcs7", "-inform", "DER", "-in", p7b, "-print_certs", "-noout").out, "PKCS#7")
    status, _, body = s.fetch("/pki/bundle.json", file="bundle.json")
    bundle = json.loads(body.read_text())
    same([key["use"] for key in bundle["keys"]], ["x509-svid"], "SPIFFE bundle")
    check(bundle["spiffe_refresh_hint"] > 0 and bundle["spiffe_sequence"] > 0, bundle)


# R44, R50, I7
@suite.step
def a_generation_takes_over_and_the_one_before_drains(s):
    h = s.hospital
    _, before = s.device("GEN-1")
    refusal(1, "root", lambda: h.as_("sara", "ca", "create", "root-2"))
    h.as_("sara", "ca", "create", "issuing-2")
    refusal(1, "names are used once", lambda: h.as_("sara", "ca", "create", "issuing-2"))
    status, _, pem = s.fetch("/pki/bundle.pem", file="two.pem")
    same(pem.read_text().count("BEGIN CERTIFICATE"), 3, "certificates in the bundle before its first use")
    refusal(1, "another person must", lambda: h.as_("sara", "ca", "activate", "issuing-2"))
    h.as_("eve", "ca", "activate", "issuing-2")
    device, after = s.device("GEN-2")
    subject = [run("openssl", "x509", "-in", c, "-noout", "-issuer").out for c in (before, after)]
    check(subject[0] != subject[1], f"one issuer: {subject}")
    for certificate in (before, after):
        run("openssl", "verify", "-CAfile", h.anchors, "-untrusted", s.issuer(certificate), certificate)
        s.by_list(certificate)
    until_answered(s, after)
    check(": good" in s.ocsp(before), "a certificate of the generation that drains")
    states = {a["name"]: a["state"] for a in h.as_("anna", "ca", "list")}
    same((states["issuing-1"], states["issuing-2"]), ("draining", "active"), "states")
    refusal(1, "are in use", lambda: h.as_("eve", "ca", "retire", "issuing-1"))
    # It survives a restart.
    h.restart()
    states = {a["name"]: a["state"] for a in h.as_("anna", "ca", "list")}
    same((states["issuing-1"], states["issuing-2"]), ("draining", "active"), "states after a restart")
    check(": good" in s.ocsp(after), "OCSP after a restart")


def until_answered(s, certificate):
    """The responder of a new generation is certified within the minute."""
    deadline = time.monotonic() + 120
    while True:
        try:
            check(": good" in s.ocsp(certificate), "a certificate of the new generation")
            return
        except Exception:  # noqa: BLE001: not yet
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


# R33, R49, R50: one command and another person; the key is in other hands.
@suite.step
def a_compromised_authority_ends_with_everything_that_it_signed(s):
    h = s.hospital
    # After the restart it listens elsewhere.
    h.as_("eve", "login", "--server", h.server, "--fingerprint", h.started["fingerprint"])
    device, before = s.device("STOLEN-1")
    h.as_("sara", "ca", "create", "issuing-3")
    declare = ("ca", "compromise", "issuing-2", "--replaced-by", "issuing-3", "--now", "--reason", "seen at a stranger's")
    refusal(1, "lanyard ca activate issuing-3", lambda: h.as_("sara", *declare))
    h.as_("eve", "ca", "activate", "issuing-3")
    refusal(2, "risk class", lambda: h.as_("sara", *declare, "--deadline", "medium=4h"))
    h.as_("sara", *declare)
    refusal(1, "another person must", lambda: h.as_("sara", "ca", "compromise", "confirm", "issuing-2"))
    issuer = s.issuer(before)
    h.as_("eve", "ca", "compromise", "confirm", "issuing-2")
    out = ocsp_of(s, before, issuer)
    check(": revoked" in out and "cACompromise" in out, out)
    deadline = time.monotonic() + 60
    while {a["name"]: a["state"] for a in h.as_("anna", "ca", "list")}["issuing-2"] != "revoked":
        check(time.monotonic() < deadline, "it is not revoked in the end")
        time.sleep(1)
    report = h.as_("anna", "ca", "compromise", "status", "issuing-2")[0]
    check(report["ended_at"] and any(line["off_the_air"] for line in report["classes"]), report)
    check(all(line["owner"] and line["why"] for line in report["stuck"]), report)
    # Whoever asks for the authority's own state has the root's list.
    key_id = run("openssl", "x509", "-in", h.anchors, "-noout", "-ext", "subjectKeyIdentifier").out
    key_id = key_id.split("\n")[1].strip().replace(":", "").lower()
    status, _, body = s.fetch(f"/crl/{key_id}/1/0.crl", file="root.crl")
    same(status, 200, "the root's list")
    pem = s.folder / "root-list.pem"
    verified = run("openssl", "crl", "-inform", "DER", "-in", body, "-CAfile", h.anchors, "-out", pem)
    check("verify OK" in verified.err, verified.err)
    serial = run("openssl", "x509", "-in", issuer, "-noout", "-serial").out.strip().split("=")[1]
    text = run("openssl", "crl", "-in", pem, "-noout", "-text").out
    check(serial in text and "CA Compromise" in text, text)
    # And so does whoever follows the addresses in the certificates.
    everything = s.folder / "with-root-list.pem"
    everything.write_text(s.list_of(issuer, h.anchors).read_text() + h.anchors.read_text())
    for certificate, expected in ((issuer, "certificate revoked"), (s.issuer(s.device("STOLEN-2")[1]), "OK")):
        done = run("openssl", "verify", "-crl_check_all", "-CAfile", everything, certificate, ok=None)
        check(expected in done.out + done.err, f"by the list that it names: {done.out}{done.err}")
    check(issuer.read_text().strip() not in s.fetch("/pki/bundle.pem", file="after.pem")[2].read_text(), "in the bundle")
    # The device comes back by a person's secret.
    after = s.enroll(device, "STOLEN-1-again")
    until_answered(s, after)
    s.by_list(after)


    # Evidence about the device carries what ended the authority, and both verifiers count its new certificate alone.
    file = s.folder / "STOLEN-1.evidence"
    h.as_("anna", "evidence", "at", device, "now", "-f", file)
    report = lanyard("verify", file, "--log-key", h.started["log_vkey"])
    digest = run("openssl", "x509", "-in", after, "-noout", "-fingerprint", "-sha256").out.strip().split("=")[1]
    same(report["claim"]["state"]["certificates"], [digest.replace(":", "").lower()], "certificates that count")
    check(b'"event":"authority_compromise_confirmed"' in file.read_bytes(), "the bundle does not show the compromise")
    done = run(PYTHON, ROOT / "tests/interop/bundle/verify.py", "--log-vkey", h.started["log_vkey"], file, ok=None)
    check("proved" in report["outcome"] and '"outcome": "proved' in done.out, f"{report['outcome']}: {done.out}{done.err}")


def ocsp_of(s, certificate, issuer):
    """The same where the bundle has the issuer no more."""
    address = run("openssl", "x509", "-in", certificate, "-noout", "-ocsp_uri").out.strip()
    done = run("openssl", "ocsp", "-issuer", issuer, "-cert", certificate, "-url", s.here(address), "-CAfile",
               s.hospital.anchors)
    check("Response verify OK" in done.out + done.err, f"not verified: {done.out}{done.err}")
    return done.out


@suite.step
def the_inventory_lists_by_share_of_lifetime_and_the_ledger_checks(s):
    h = s.hospital
    all_of_them = h.as_("anna", "cert", "ls")
    check(any(c["kind"] == "device" and c["profile"] == "listed-pump" for c in all_of_them), all_of_them)
    check(all(c["issuer"] for c in all_of_them), "each names its authority")
    same(h.as_("anna", "cert", "ls", "--expiring", "1%"), [], "nothing is about to end")
    revoked = h.as_("anna", "cert", "ls", "--revoked")
    check(revoked and all(c["revoked"] for c in revoked), revoked)
    report = h.as_("anna", "cert", "renewals")
    same(report["late"], [], "late renewals")
    h.check_ledger()


suite.run(Scene, peers=("openssl", "curl"))
