"""Authorities under a root that is not ours: one made with OpenSSL, as a hospital's, and one made in a ceremony. README.md says
what this proves."""

import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import blocks  # noqa: E402
from harness import PATIENCE, PYTHON, ROOT, Hospital, Suite, binary, check, lanyard, refusal, run, same, until  # noqa: E402

suite = Suite("ca")

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
default = "5d"
longest = "20d"

[revocation]
mode = "crl-ocsp"

[enrollment]
label = "listed"
"""
CA = "basicConstraints=critical,CA:TRUE,pathlen:{}\nkeyUsage=critical,keyCertSign,cRLSign\n" \
     "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"


class Scene:
    """A hospital with its own PKI of two levels, made with OpenSSL."""

    def __init__(self, folder, processes):
        self.folder = folder
        self.base = "http://pki.interop.example"
        self.root, self.policy = folder / "hospital-root.pem", folder / "hospital-policy.pem"
        self.make_root("hospital-root", "/O=Interop Hospital/CN=Hospital Root")
        key, csr = folder / "hospital-policy.key", folder / "hospital-policy.csr"
        run("openssl", "req", "-newkey", "rsa:3072", "-nodes", "-keyout", key, "-out", csr,
            "-subj", "/O=Interop Hospital/CN=Hospital Policy CA")
        self.sign(csr, self.policy, "hospital-root", CA.format(2), days=2000)
        self.hospital = h = Hospital(folder, processes, enroll={"http_url": self.base})
        # A second person who may decide about authorities.
        h.as_("eve", "login", "--server", h.server, "--fingerprint", h.started["fingerprint"])
        me = h.as_("eve", "operator", "key", "Eve")
        h.as_("anna", "operator", "add", f"lanyard-operator/1 {me['operator']} {me['public_key']} {me['name']}",
              "--roles", "security")
        profile = folder / "listed-pump.toml"
        profile.write_text(PROFILE)
        h.as_("sara", "profile", "propose", profile)
        h.as_("eve", "profile", "approve", "listed-pump", profile)

    def make_root(self, name, subject, extra=""):
        config = self.folder / f"{name}.cnf"
        config.write_text("[req]\ndistinguished_name=n\nx509_extensions=x\nprompt=no\n[n]\n[x]\n"
                          "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                          f"subjectKeyIdentifier=hash\n{extra}")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-days", "3650",
            "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem", "-subj", subject,
            "-config", config)

    def sign(self, csr, out, by, extensions, days=700, digest="-sha256", more=()):
        """The hospital's CA signs a request."""
        file = self.folder / "extensions.cnf"
        file.write_text(extensions)
        run("openssl", "x509", "-req", "-in", csr, "-CA", self.folder / f"{by}.pem", "-CAkey", self.folder / f"{by}.key",
            "-out", out, "-days", days, digest, "-extfile", file, *more)
        return out

    def request(self, name, *arguments, under=None):
        csr = self.folder / f"{name}.csr"
        self.hospital.as_("sara", "ca", "request", name, "--under", under or self.root, "-f", csr, *arguments)
        return csr

    def file(self, name, *parts):
        path = self.folder / name
        path.write_text("".join(part.read_text() for part in parts))
        return path

    def states(self):
        return {a["name"]: a["state"] for a in self.hospital.as_("anna", "ca", "list")}

    def curl(self, path, out, *arguments, trust=None):
        """The EST listener, verified; its status."""
        return int(run("curl", "-sS", "-o", out, "-w", "%{http_code}", "--cacert", trust or self.hospital.anchors,
                       *arguments, f"https://{self.hospital.enroll}/.well-known/est/{path}").out)

    def enroll(self, device, name, secret=None):
        """By EST with curl; status and certificate."""
        secret = secret or self.hospital.secret(device)
        key, csr, answer = (self.folder / f"{name}{end}" for end in (".key", ".csr", ".p7"))
        if not key.exists():
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
            run("openssl", "req", "-new", "-key", key, "-subj", "/CN=any", "-outform", "DER", "-out", csr)
        base64 = self.folder / f"{name}.b64"
        base64.write_text(run("openssl", "base64", "-A", "-in", csr).out)
        head = self.folder / f"{name}.head"
        status = self.curl("simpleenroll", answer, "-u", f"{device}:{secret}", "-D", head,
                           "-H", "Content-Type: application/pkcs10", "--data-binary", f"@{base64}", trust=self.everything())
        if status != 200:
            return status, head.read_text().lower()
        der, pem = self.folder / f"{name}.p7b", self.folder / f"{name}.pem"
        run("openssl", "base64", "-d", "-A", "-in", answer, "-out", der)
        pem.write_text(run("openssl", "pkcs7", "-inform", "DER", "-in", der, "-print_certs").out)
        return status, pem

    def everything(self):
        """All roots that are trusted now."""
        path = self.folder / "everything.pem"
        path.write_text(self.hospital.anchors.read_text() + self.root.read_text())
        return path

    def here(self, address):
        return f"http://{self.hospital.pki_http}{address[len(self.base):]}"

    def bundle(self):
        pem = self.folder / "bundle.pem"
        run("curl", "-sS", "-f", "-o", pem, f"http://{self.hospital.pki_http}/pki/bundle.pem")
        return pem


def subjects(pem):
    """Subjects of a PEM file, in order."""
    p7 = run("openssl", "crl2pkcs7", "-nocrl", "-certfile", pem).out
    out = run("openssl", "pkcs7", "-print_certs", "-noout", stdin=p7.encode()).out
    return [line.split("CN = ")[-1] for line in out.splitlines() if line.startswith("subject")]


# R50
@suite.step
def a_request_names_the_root_above_and_is_what_a_ca_expects(s):
    h = s.hospital
    leaf = s.sign(s.folder / "hospital-policy.csr", s.folder / "leaf.pem", "hospital-root", "basicConstraints=CA:FALSE\n")
    refusal(1, "under: .*issuer", lambda: h.as_("sara", "ca", "request", "issuing-h1", "--under", s.policy))
    refusal(1, "under: ", lambda: h.as_("sara", "ca", "request", "issuing-h1", "--under", leaf))
    refusal(2, "holds 2 certificates", lambda: h.as_(
        "sara", "ca", "request", "issuing-h1", "--under", s.file("two.pem", s.root, s.policy)))
    refusal(1, "role", lambda: h.as_("ben", "ca", "request", "issuing-h1", "--under", s.root))
    refusal(1, "starts with `root`", lambda: h.as_("sara", "ca", "request", "root-h1", "--under", s.root))
    refusal(1, "starts with `root`", lambda: h.as_("sara", "ca", "request", "h1", "--purpose", "root", "--under", s.root))
    refusal(1, r"\[keys.pkcs11\]", lambda: s.request("issuing-h1", "--keys", "pkcs11"))
    csr = s.request("issuing-h1")
    text = run("openssl", "req", "-in", csr, "-noout", "-text", "-verify").out
    for expected in ("CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "O = Interop Hospital, CN = Lanyard Issuing CA g2"):
        check(expected in text, f"`{expected}` is not in the request:\n{text}")
    same(s.states()["issuing-h1"], "planned", "state")
    check("Hospital Root" not in "".join(subjects(s.bundle())), "a root is trusted that nobody imported")
    # The same key again, and nothing that would be overwritten.
    again = s.folder / "again.csr"
    h.as_("eve", "ca", "request", "issuing-h1", "--again", "-f", again)
    keys = [run("openssl", "req", "-in", file, "-noout", "-pubkey").out for file in (csr, again)]
    check(keys[0] == keys[1], "another key")
    refusal(2, "exists already", lambda: h.as_("eve", "ca", "request", "issuing-h1", "--again", "-f", csr))
    refusal(1, "names are used once", lambda: h.as_("sara", "ca", "request", "issuing-h1", "--under", s.root))
    refusal(1, "our own root", lambda: h.as_("eve", "ca", "import", "issuing-1", s.root))


# R50
@suite.step
def what_the_hospital_made_wrong_is_refused_with_field_and_rule(s):
    h, csr = s.hospital, s.folder / "issuing-h1.csr"
    good = CA.format(0)

    def refused(pattern, extensions=good, by="hospital-policy", days=700, digest="-sha256", parts=None, more=()):
        out = s.sign(csr, s.folder / "wrong.pem", by, extensions, days, digest, more)
        file = s.file("wrong-chain.pem", out, *((s.policy,) if parts is None else parts))
        refusal(1, pattern, lambda: h.as_("eve", "ca", "import", "issuing-h1", file))

    refused("basicConstraints", good.replace("CA:TRUE,pathlen:0", "CA:FALSE"))
    refused("basicConstraints.*critical", good.replace("critical,CA", "CA"))
    refused("keyUsage.*cRLSign", good.replace(",cRLSign", ""))
    refused("keyUsage", good.replace("keyUsage=critical,keyCertSign,cRLSign\n", ""))
    refused("subjectKeyIdentifier", good.replace("subjectKeyIdentifier=hash", "subjectKeyIdentifier=none"))
    refused("extendedKeyUsage", good + "extendedKeyUsage=serverAuth\n")
    refused("nameConstraints.*dNSName must permit", good + "nameConstraints=critical,permitted;DNS:other.example\n")
    refused("nameConstraints.*must be critical", good + "nameConstraints=permitted;DNS:interop.example\n")
    refused("nameConstraints.*iPAddress must not exclude", good + "nameConstraints=critical,excluded;IP:0.0.0.0/0.0.0.0\n")
    refused("nameConstraints.*uniformResourceIdentifier", good + "nameConstraints=critical,permitted;URI:.example\n")
    refused("extensions: 1.2.3.4", good + "1.2.3.4=critical,DER:0500\n")
    refused("validity.*30 days", days=20)
    refused("validity.*later than its issuer", days=2500)
    refused("signatureAlgorithm", digest="-sha1")
    refused("issuer of .* is missing.*Hospital Policy CA", parts=())
    refused("is not between ours and the root", parts=(s.policy, h.anchors))
    # Another subject: one that an authority has already.
    own = s.folder / "issuing-1.pem"
    own.write_text(h.as_("anna", "ca", "get", "issuing-1")["certificate_pem"])
    subject = run("openssl", "x509", "-in", own, "-noout", "-subject", "-nameopt", "RFC2253").out.strip()
    organization, name = [p.split("=")[1] for p in subject.removeprefix("subject=").split(",")][::-1]
    refused("subject: another authority", more=("-set_subject", f"/O={organization}/CN={name}")
            if "set_subject" in run("openssl", "x509", "-help", ok=None).err else ("-subj", f"/O={organization}/CN={name}"))
    # Another root of the same name; another key; another request.
    s.make_root("false-root", "/O=Interop Hospital/CN=Hospital Root")
    out = s.sign(csr, s.folder / "wrong.pem", "false-root", good)
    refusal(1, "authorityKeyIdentifier|signature", lambda: h.as_("eve", "ca", "import", "issuing-h1", out))
    refusal(1, "is not between|must end in the root|authorityKeyIdentifier|above", lambda: h.as_(
        "eve", "ca", "import", "issuing-h1", s.file("f.pem", out, s.folder / "false-root.pem")))
    refusal(1, "key of the request", lambda: h.as_("eve", "ca", "import", "issuing-h1", s.policy))
    refusal(2, "no certificate|PEM", lambda: h.as_("eve", "ca", "import", "issuing-h1", csr))
    same(s.states()["issuing-h1"], "planned", "state after all that")


# R50, R44, I7
@suite.step
def what_is_right_is_trusted_first_and_issues_when_another_person_says_so(s):
    h = s.hospital
    out = s.sign(s.folder / "issuing-h1.csr", s.folder / "issuing-h1.pem", "hospital-policy", CA.format(0))
    file = s.file("issuing-h1-chain.pem", out, s.policy)
    refusal(1, "another person", lambda: h.as_("sara", "ca", "import", "issuing-h1", file))
    h.as_("eve", "ca", "import", "issuing-h1", file)
    refusal(1, "is created and cannot be imported", lambda: h.as_("eve", "ca", "import", "issuing-h1", file))
    same(s.states()["issuing-h1"], "created", "state")
    found = subjects(s.bundle())
    for name in ("Hospital Root", "Hospital Policy CA"):
        check(name in found, f"{name} is not in the bundle: {found}")
    # EST tells it too, before its first use.
    answer, der, pem = (s.folder / f"cacerts{end}" for end in ("", ".der", ".pem"))
    same(s.curl("cacerts", answer), 200, "cacerts")
    run("openssl", "base64", "-d", "-A", "-in", answer, "-out", der)
    pem.write_text(run("openssl", "pkcs7", "-inform", "DER", "-in", der, "-print_certs").out)
    check({"Hospital Root", "Hospital Policy CA"} <= set(subjects(pem)), f"cacerts: {subjects(pem)}")
    refusal(1, "another person must", lambda: h.as_("sara", "ca", "activate", "issuing-h1"))
    h.as_("eve", "ca", "activate", "issuing-h1")
    same((s.states()["issuing-h1"], s.states()["issuing-1"]), ("active", "draining"), "states")


# R50, R49, R34
@suite.step
def a_device_gets_its_certificate_under_the_hospitals_root_and_renews_with_it(s):
    h = s.hospital
    device = h.register("Acme Medical", "Infusion X", "UNDER-1")
    status, chain = s.enroll(device, "UNDER-1")
    same(status, 200, "enrollment")
    leaf = s.folder / "leaf-1.pem"
    run("openssl", "x509", "-in", chain, "-out", leaf)
    run("openssl", "verify", "-CAfile", s.root, "-untrusted", s.file("u.pem", s.folder / "issuing-h1.pem", s.policy), leaf)
    run("openssl", "verify", "-CAfile", h.anchors, "-untrusted", s.folder / "issuing-h1.pem", leaf, ok=False)
    # Renewal shows the certificate in TLS: the server builds the path through the hospital's CA.
    csr, base64, answer = s.folder / "renew.csr", s.folder / "renew.b64", s.folder / "renew.p7"
    run("openssl", "req", "-new", "-key", s.folder / "UNDER-1.key", "-subj", "/CN=any", "-outform", "DER", "-out", csr)
    base64.write_text(run("openssl", "base64", "-A", "-in", csr).out)
    status = s.curl("simplereenroll", answer, "--cert", s.file("show.pem", leaf, s.folder / "issuing-h1.pem", s.policy),
                    "--key", s.folder / "UNDER-1.key", "-H", "Content-Type: application/pkcs10", "--data-binary",
                    f"@{base64}", trust=s.everything())
    same(status, 200, f"renewal: {answer.read_text()}")
    # OCSP and list, verified from the hospital's root.
    issuer, above = s.folder / "issuing-h1.pem", s.file("above.pem", s.folder / "issuing-h1.pem", s.policy)
    url = s.here(run("openssl", "x509", "-in", leaf, "-noout", "-ocsp_uri").out.strip())

    def ocsp():
        done = run("openssl", "ocsp", "-issuer", issuer, "-cert", leaf, "-url", url, "-CAfile", s.root,
                   "-verify_other", above, ok=None)
        return "Response verify OK" in done.out + done.err and done.out

    check(": good" in until("the responder under the hospital's root answers", ocsp), "OCSP")
    text = run("openssl", "x509", "-in", leaf, "-noout", "-ext", "crlDistributionPoints").out
    crl, pem = s.folder / "list.crl", s.folder / "list.pem"
    run("curl", "-sS", "-f", "-o", crl, s.here(text.split("URI:")[1].split()[0]))
    done = run("openssl", "crl", "-inform", "DER", "-in", crl, "-CAfile", issuer, "-out", pem)
    check("verify OK" in done.err, done.err)
    h.as_("sara", "device", "revoke", device, "--because", "stolen", "--reason", "gone from ward 3")
    check(": revoked" in ocsp(), "OCSP after the revocation")


# R51
@suite.step
def a_restart_keeps_it_and_our_own_listener_is_certified_under_the_hospitals_root(s):
    h = s.hospital
    anchors = h.anchors.read_text()
    h.processes.stop("up")
    h.up()
    check(h.anchors.read_text().count("BEGIN CERTIFICATE") == anchors.count("BEGIN CERTIFICATE") + 1, "anchors.pem")
    h.login()
    h.as_("eve", "login", "--server", h.server, "--fingerprint", h.started["fingerprint"])
    same(s.states()["issuing-h1"], "active", "state")
    out = s.folder / "any"
    same(s.curl("cacerts", out, trust=s.root), 200, "the hospital's root alone is enough for a client")


# R50
@suite.step
def a_root_of_ours_below_theirs_signs_the_next_authorities(s):
    h = s.hospital
    csr = s.request("root-h1", "--purpose", "root")
    wrong = s.sign(csr, s.folder / "flat.pem", "hospital-policy", CA.format(0))
    refusal(1, "pathLenConstraint.*at least 1", lambda: h.as_(
        "eve", "ca", "import", "root-h1", s.file("flat-chain.pem", wrong, s.policy)))
    out = s.sign(csr, s.folder / "root-h1.pem", "hospital-policy", CA.format(1))
    h.as_("eve", "ca", "import", "root-h1", s.file("root-h1-chain.pem", out, s.policy))
    same(s.states()["root-h1"], "created", "state")
    h.as_("eve", "ca", "activate", "root-h1")
    h.as_("sara", "ca", "create", "issuing-h2")
    h.as_("eve", "ca", "activate", "issuing-h2")
    made = s.folder / "issuing-h2.pem"
    made.write_text(h.as_("anna", "ca", "get", "issuing-h2")["certificate_pem"])
    run("openssl", "verify", "-CAfile", s.root, "-untrusted", s.file("u2.pem", out, s.policy), made)
    status, chain = s.enroll(h.register("Acme Medical", "Infusion X", "UNDER-2"), "UNDER-2")
    same(status, 200, "enrollment three levels below")
    leaf = s.folder / "leaf-2.pem"
    run("openssl", "x509", "-in", chain, "-out", leaf)
    run("openssl", "verify", "-CAfile", s.root, "-untrusted", s.file("u3.pem", made, out, s.policy), leaf)
    # Its list is served where the authority's certificate says; the hospital's are the hospital's to publish.
    text = run("openssl", "x509", "-in", made, "-noout", "-ext", "crlDistributionPoints,authorityInfoAccess").out
    crl, above = s.folder / "root-h1.crl", s.folder / "root-h1.cer"
    for file, words in ((crl, "Full Name:"), (above, "CA Issuers")):
        run("curl", "-sS", "-f", "-o", file, s.here(text.split(words)[1].split("URI:")[1].split()[0]))
    listed = run("openssl", "crl", "-inform", "DER", "-in", crl, "-CAfile", out, "-noout")
    check("verify OK" in listed.err, listed.err)
    same(run("openssl", "x509", "-inform", "DER", "-in", above).out.strip(), out.read_text().strip(), "its issuer")
    refusal(1, "stands below", lambda: h.as_("eve", "ca", "retire", "root-1"))


# R53
@suite.step
def evidence_about_devices_under_the_hospitals_root_is_proved_by_both_verifiers(s):
    h = s.hospital
    for name in ("UNDER-1", "UNDER-2"):
        device = next(d["device"] for d in h.as_("anna", "device", "list") if d["serial"] == name)
        file = s.folder / f"{name}.evidence"
        h.as_("anna", "evidence", "at", device, "now", "-f", file)
        report = lanyard("verify", file, "--log-key", h.started["log_vkey"])
        check("proved" in report["outcome"], report)
        done = run(PYTHON, ROOT / "tests/interop/bundle/verify.py", "--log-vkey", h.started["log_vkey"], file, ok=None)
        check('"outcome": "proved' in done.out, done.out + done.err)


# R50
@suite.step
def a_request_that_nobody_answers_is_given_up(s):
    h = s.hospital
    s.request("issuing-never")
    h.as_("eve", "ca", "retire", "issuing-never")
    refusal(1, "is retired", lambda: h.as_("eve", "ca", "import", "issuing-never", s.folder / "issuing-h1-chain.pem"))
    h.check_ledger()


# The ceremony, as its page has it: the blocks run as they stand there.


def page():
    return [b for b in blocks.blocks(ROOT / "docs/pki-ceremony.md") if b.heading == "The commands"]


def share(s, number, folder="shares"):
    return s.laptop / folder / f"share-{number}.txt"


# R50, I10
@suite.step
def the_ceremony_of_the_page_makes_a_root_that_the_server_works_under(s):
    h = s.hospital
    s.laptop = s.folder / "laptop"
    tools = s.folder / "tools"
    tools.mkdir()
    (tools / "lanyard").symlink_to(binary())
    shell = blocks.Shell("page", s.laptop, h.processes, path=[tools], replace={
        "sara.toml": str(h.folder / "sara.toml"), "eve.toml": str(h.folder / "eve.toml")})
    found = page()
    same(len(found), 8, "blocks of the page")
    for block in found:
        shell.run(block)
    h.processes.stop("page")
    same(s.states()["issuing-c1"], "active", "state")
    status, chain = s.enroll(h.register("Acme Medical", "Infusion X", "CEREMONY-1"), "CEREMONY-1")
    same(status, 200, "enrollment")
    leaf = s.folder / "leaf-c.pem"
    run("openssl", "x509", "-in", chain, "-out", leaf)
    run("openssl", "verify", "-x509_strict", "-CAfile", s.laptop / "root.pem", "-untrusted", s.laptop / "issuing-c1.pem", leaf)
    # What it names is served, and it names no list: nobody signs one for us.
    root = s.folder / "root-c1.cer"
    text = run("openssl", "x509", "-in", s.laptop / "issuing-c1.pem", "-noout", "-text").out
    check("CRL Distribution" not in text, text)
    run("curl", "-sS", "-f", "-o", root, s.here(text.split("CA Issuers - URI:")[1].split()[0]))
    same(run("openssl", "x509", "-inform", "DER", "-in", root).out.strip(), (s.laptop / "root.pem").read_text().strip(), "root")
    for file, mode in ((s.laptop / "root", 0o700), (s.laptop / "root/root.key", 0o600), (s.laptop / "shares", 0o700),
                       (share(s, 1), 0o600)):
        same(file.stat().st_mode & 0o777, mode, f"mode of {file.name}")


# I10: each wrong thing by name, and nothing made or overwritten.
@suite.step
def what_is_wrong_in_a_ceremony_is_said_by_name(s):
    root, certificate, csr = s.laptop / "root", s.laptop / "root.pem", s.laptop / "issuing-c1.csr"
    key = (s.laptop / "key-of-the-minutes").read_text().strip()
    out = s.folder / "never.pem"

    def sign(*numbers, folder="shares", directory=root, digest=key, request=csr, by=certificate):
        given = [part for n in numbers for part in ("--share", share(s, n, folder))]
        return lambda: lanyard("ca", "ceremony", "sign", directory, "--certificate", by, "--request", request,
                               "--key-sha256", digest, "--out", out, *given)

    refusal(2, "2 of 3 shares given", sign(1, 2))
    refusal(2, "share 2 was given twice", sign(1, 2, 2))
    refusal(2, "share 1 is of set", sign(1, 2, 3, folder="shares-new"))
    refusal(2, "share 1 is of set", sign(1, 2, 3, directory=s.laptop / "root-new"))
    refusal(2, "--http-url.*must begin with `http://`", lambda: lanyard(
        "ca", "ceremony", "sign", root, "--certificate", certificate, "--request", csr, "--http-url", "https://h", "--out", out))
    refusal(1, "changed on its way", sign(1, 2, 3, digest="00" * 32))
    refusal(2, "holds no key: is the medium mounted", sign(1, 2, 3, directory=s.laptop / "shares"))
    refusal(2, "No such file", sign(1, 2, 3, directory=s.laptop / "absent"))
    # A share that is mistyped, and one that others can read.
    mistyped = s.laptop / "shares" / "share-9.txt"
    text = share(s, 3).read_text().strip()
    mistyped.write_text(text[:-1] + ("q" if text[-1] != "q" else "p"))
    mistyped.chmod(0o600)
    refusal(2, "mistyped", sign(1, 2, 9))
    share(s, 1).chmod(0o644)
    refusal(2, "chmod 600", sign(1, 2, 3))
    share(s, 1).chmod(0o600)
    # Requests: of somebody else, for something else, cut.
    other = s.folder / "other.csr"
    run("openssl", "req", "-new", "-key", s.folder / "UNDER-1.key", "-subj", "/O=Interop Hospital/CN=me", "-out", other)
    digest = run("sha256sum", stdin=run("openssl", "pkey", "-in", s.folder / "UNDER-1.key", "-pubout", "-outform",
                                        "DER").stdout).out.split()[0]
    refusal(1, "not one of `lanyard ca request`", sign(1, 2, 3, request=other, digest=digest))
    run("openssl", "req", "-new", "-key", s.folder / "UNDER-1.key", "-subj", "/O=Elsewhere/CN=me", "-out", other)
    refusal(1, "of organisation `Elsewhere`", sign(1, 2, 3, request=other, digest=digest))
    other.write_text(csr.read_text()[:300])
    refusal(2, "other.csr", sign(1, 2, 3, request=other))
    check(not out.exists(), "something was signed")
    # Nothing is overwritten.
    again = ("ca", "ceremony", "make", root, "--threshold", "2", "--count", "3", "--organization", "X", "--certificate",
             s.folder / "x.pem", "--shares-to", s.folder / "x")
    refusal(2, "exists already", lambda: lanyard(*again))
    for threshold, count in ((1, 3), (4, 3), (2, 17)):
        refusal(2, "use at least 2", lambda t=threshold, c=count: lanyard(
            "ca", "ceremony", "make", s.folder / "y", "--threshold", t, "--count", c, "--organization", "X",
            "--certificate", s.folder / "y.pem", "--shares-to", s.folder / "ys"))
    check(not (s.folder / "y").exists() and not (s.folder / "ys").exists(), "something was made")
    # Nobody to ask.
    refusal(2, "nobody sits here", lambda: lanyard("ca", "ceremony", "verify", root))


# I10
@suite.step
def after_a_new_dealing_the_new_shares_open_the_new_directory_only(s):
    certificate = s.laptop / "root.pem"

    def verify(directory, folder, *numbers):
        given = [part for n in numbers for part in ("--share", share(s, n, folder))]
        return lanyard("ca", "ceremony", "verify", s.laptop / directory, "--certificate", certificate, *given)

    looked = verify("root-new", "shares-new", 1, 3)
    same((looked["threshold"], looked["opened"]), (2, True), "the new dealing")
    same(verify("root", "shares", 1, 2, 3)["key_sha256"], looked["key_sha256"], "the same key")
    refusal(2, "is of set", lambda: verify("root", "shares-new", 1, 2))
    refusal(2, "is of set", lambda: verify("root-new", "shares", 1, 2, 3))
    false = s.folder / "false-root-2"
    lanyard("ca", "ceremony", "make", false, "--threshold", "2", "--count", "2", "--organization", "Interop Hospital",
            "--certificate", s.folder / "false-root-2.pem", "--shares-to", s.folder / "false-shares")
    certificate = s.folder / "false-root-2.pem"
    refusal(4, "not the key of its CA certificate", lambda: verify("root-new", "shares-new", 1, 3))


# I10
@suite.step
def at_a_terminal_shares_are_shown_once_typed_back_unseen_and_a_mistake_is_asked_again(s):
    directory, certificate = s.folder / "typed", s.folder / "typed.pem"
    with Terminal("ca", "ceremony", "make", directory, "--threshold", "2", "--count", "2", "--organization", "Typed Hospital",
                  "--certificate", certificate) as terminal:
        shares = []
        for number in (1, 2):
            terminal.expect(f"custodian {number} of 2 alone")
            terminal.type("")
            shown = re.search(r"lys1[ a-z0-9]+", terminal.expect("write it down"))[0].strip()
            shares.append(shown)
            terminal.type("")
            terminal.expect("type it back")
            if number == 1:
                terminal.type(shown[:-1] + ("q" if shown[-1] != "q" else "p"))
                terminal.expect("try again")
            else:
                terminal.type(shares[0])
                terminal.expect("another share than the one that was shown")
            terminal.type(shown.upper())
        terminal.expect("for the minutes")
        same(terminal.end(), 0, "exit code")
    check(certificate.exists() and (directory / "root.key").exists(), "the root")
    with Terminal("ca", "ceremony", "verify", directory, "--certificate", certificate) as terminal:
        for number in (0, 1):
            terminal.expect("next share")
            terminal.type(shares[number])
        terminal.expect("next share")
        terminal.type("")
        seen = terminal.expect("open the root")
        check(shares[0] not in seen and shares[1] not in seen, "what was typed is seen")
        same(terminal.end(), 0, "exit code")


# I10, I3, I7
@suite.step
def a_request_while_the_hardware_module_is_away_is_asked_again_later_and_loses_nothing(s):
    h = s.hospital
    tokens, away = s.folder / "tokens", s.folder / "tokens-away"
    tokens.mkdir()
    conf = s.folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    env = {"SOFTHSM2_CONF": str(conf), "LANYARD_HSM_PIN": "739153"}
    run("softhsm2-util", "--init-token", "--free", "--label", "lanyard", "--so-pin", "12345678", "--pin", "739153", env=env)
    h.toml.write_text(h.toml.read_text() + "[keys.pkcs11]\nmodule = '/usr/lib/softhsm/libsofthsm2.so'\ntoken = 'lanyard'\n")
    h.processes.stop("up")
    h.env = env
    h.up()
    h.login()
    h.as_("eve", "login", "--server", h.server, "--fingerprint", h.started["fingerprint"])
    # Under the hospital's root too.
    csr = s.request("issuing-hsm", "--keys", "pkcs11")
    out = s.sign(csr, s.folder / "issuing-hsm.pem", "hospital-policy", CA.format(0))
    h.as_("eve", "ca", "import", "issuing-hsm", s.file("issuing-hsm-chain.pem", out, s.policy))
    h.as_("eve", "ca", "activate", "issuing-hsm")
    check(not (h.data / "keys/issuing-hsm.key").exists(), "its key is a file")
    same(s.enroll(h.register("Acme Medical", "Infusion X", "HSM-1"), "HSM-1")[0], 200, "enrollment with a key in the module")
    device = h.register("Acme Medical", "Infusion X", "HSM-2")
    secret = h.secret(device)
    tokens.rename(away)
    for _ in range(3):
        status, head = s.enroll(device, "HSM-2", secret=secret)
        same(status, 503, "while it is away")
        check("retry-after: " in head, head)
    line = next(a for a in h.as_("anna", "ca", "list") if a["name"] == "issuing-hsm")
    check(line["keys"] == "pkcs11" and "goes on by itself" in line["trouble"], line)
    # What was begun at the moment of the loss was given up; nothing is begun after it.
    kinds = [event["event"] for event in h.events(device)]
    check(kinds.count("issuance_intended") == kinds.count("issuance_abandoned") <= 1, kinds)
    away.rename(tokens)

    def again():
        status, chain = s.enroll(device, "HSM-2", secret=secret)
        return status == 200 and chain

    leaf = s.folder / "leaf-hsm.pem"
    run("openssl", "x509", "-in", until("the same request with the same secret is answered", again), "-out", leaf)
    run("openssl", "verify", "-CAfile", s.root, "-untrusted", s.file("u4.pem", out, s.policy), leaf)
    kinds = [event["event"] for event in h.events(device)]
    same(kinds.count("certificate_issued"), 1, "certificates")
    check(kinds.count("issuance_intended") == 1 + kinds.count("issuance_abandoned"), kinds)
    h.check_ledger()


class Terminal:
    """`lanyard` at a terminal of its own."""

    def __init__(self, *arguments):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execv(binary(), [binary(), *map(str, arguments)])
        self.pid, self.seen, self.code = pid, "", None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def expect(self, words):
        """Reads until these words; all that was seen since the last time."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.seen:
            check(time.monotonic() < deadline, f"`{words}` was not printed, but:\n{self.seen}")
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.fd, 4096).decode("utf-8", "replace")
                except OSError:
                    raise AssertionError(f"it ended before `{words}`:\n{self.seen}") from None
        seen, _, self.seen = self.seen.partition(words)
        return seen + words

    def type(self, line):
        os.write(self.fd, f"{line}\n".encode())

    def end(self):
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code


if __name__ == "__main__":
    suite.run(Scene, peers=("openssl", "curl", "softhsm2-util"))
