"""The clients of this suite: curl with OpenSSL, strongSwan's `pki`, Bouncy Castle; and a maker's factory, by OpenSSL.

Each says what it does on the wire and nothing about what should come of it; that stands in the steps.
"""

import base64
import re
import sys
from hashlib import sha256
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import check, run, same  # noqa: E402

HERE = Path(__file__).resolve().parent
JARS = ":".join(f"/usr/share/java/{name}.jar" for name in ("bcpkix", "bcprov", "bcutil"))
# The first stage of the JIT is enough for a program that runs a second.
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp")


# -- OpenSSL ----------------------------------------------------------------------------------------------------------

def new_key(path, kind="P-256"):
    """A private key in a file."""
    options = {"P-256": ("EC", "ec_paramgen_curve:P-256"), "P-384": ("EC", "ec_paramgen_curve:P-384"),
               "RSA-1024": ("RSA", "rsa_keygen_bits:1024")}
    algorithm, option = options[kind]
    run("openssl", "genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", path)
    return path


def key_sha256(path):
    """SHA-256 of a key's SubjectPublicKeyInfo, as the ledger names keys."""
    return sha256(run("openssl", "pkey", "-in", path, "-pubout", "-outform", "DER").stdout).hexdigest()


def certified_key_sha256(certificate):
    """The same, of the key in a certificate."""
    pem = run("openssl", "x509", "-in", certificate, "-noout", "-pubkey").stdout
    return sha256(run("openssl", "pkey", "-pubin", "-outform", "DER", stdin=pem).stdout).hexdigest()


def request(key, *arguments, subject="/"):
    """A certificate request as DER."""
    return run("openssl", "req", "-new", "-key", key, "-subj", subject, "-outform", "DER", *arguments).stdout


def request_with_challenge(key, challenge):
    """The same with a challengePassword (RFC 2985 5.4.1)."""
    config = Path(f"{key}.cnf")
    config.write_text("[req]\nprompt = no\ndistinguished_name = names\nattributes = attributes\n[names]\nCN = pump\n"
                      f"[attributes]\nchallengePassword = {challenge}\n")
    return run("openssl", "req", "-new", "-key", key, "-config", config, "-outform", "DER").stdout


def certificates_in(pkcs7_base64):
    """PEM certificates of a certs-only answer."""
    der = base64.b64decode(pkcs7_base64, validate=False)
    text = run("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=der).out
    return re.findall(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", text, re.S)


def serial_of(certificate):
    """Serial number, hex, as Lanyard writes it."""
    return run("openssl", "x509", "-in", certificate, "-noout", "-serial").out.strip().split("=")[1].lower()


# -- curl -------------------------------------------------------------------------------------------------------------

class Answer:
    """An HTTP answer."""

    def __init__(self, head, body):
        # After `100 Continue` there is a second head.
        lines = head.strip().split("\r\n\r\n")[-1].split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.body = body

    @property
    def text(self):
        """What it says to people: its body, or the header where a body would hurt."""
        return self.body.decode("utf-8", "replace").strip() or self.headers.get("lanyard-reason", "")

    def refused(self, status, pattern):
        """It must be this refusal: status, and code or words."""
        check(self.status == status and re.search(pattern, self.text),
              f"expected {status} and /{pattern}/, got {self.status}: {self.text}")
        return self

    def __repr__(self):
        return f"{self.status} {self.headers} {self.text[:300]}"


class Curl:
    """curl against one address."""

    def __init__(self, folder, anchors):
        self.folder, self.anchors = folder, anchors
        self.env = None

    def __call__(self, url, *arguments, stdin=None):
        """One call; fails when there is no HTTP answer."""
        head, body = self.folder / "curl.head", self.folder / "curl.body"
        body.write_bytes(b"")
        run("curl", "-sS", "--max-time", "60", "--cacert", self.anchors, "-D", head, "-o", body, *arguments, url,
            stdin=stdin, env=self.env)
        return Answer(head.read_bytes().decode("latin-1"), body.read_bytes())

    def post(self, url, body, *arguments, content_type="application/pkcs10"):
        return self(url, "-H", f"Content-Type: {content_type}", "--data-binary", "@-", *arguments, stdin=body)


# -- strongSwan -------------------------------------------------------------------------------------------------------

def strongswan(*arguments, ok=True):
    """`pki` with a subcommand and its options."""
    return run("pki", *arguments, ok=ok)


# -- Bouncy Castle ----------------------------------------------------------------------------------------------------

class BouncyCastle:
    """The driver Est.java, compiled once."""

    def __init__(self, folder, anchors, server):
        run("javac", "-nowarn", "-cp", JARS, "-d", folder, HERE / "Est.java", timeout=300)
        self.command = (*JAVA, f"{folder}:{JARS}", "Est", server, anchors)

    def __call__(self, *arguments, ok=True):
        return run(*self.command, *arguments, ok=ok)


# -- a maker ----------------------------------------------------------------------------------------------------------

class Maker:
    """A factory that gives its devices a certificate for life (IDevID, IEEE 802.1AR): a root, a CA in the factory."""

    CONFIG = """
[ca]
default_ca = factory
[factory]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
crlnumber = {folder}/crlnumber
crl_extensions = list
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
organizationName = optional
commonName = optional
serialNumber = optional
[device]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[module]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
authorityKeyIdentifier = keyid
subjectAltName = otherName:1.3.6.1.5.5.7.8.4;SEQUENCE:module_name
[module_name]
type = OID:1.3.6.1.4.1.99999.1
serial = FORMAT:ASCII, OCTETSTRING:{serial}
[permanent]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
authorityKeyIdentifier = keyid
subjectAltName = otherName:1.3.6.1.5.5.7.8.3;SEQUENCE:permanent_name
[permanent_name]
value = UTF8:{serial}
[server]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
[list]
authorityKeyIdentifier = keyid
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
    # RFC 5280 4.1.2.5: no end that is known.
    NEVER = "99991231235959Z"

    def __init__(self, folder, name="Acme Medical"):
        folder.mkdir()
        self.folder, self.name = folder, name
        (folder / "index.txt").touch()
        (folder / "crlnumber").write_text("01\n")
        self.root, self.root_key = folder / "root.pem", new_key(folder / "root.key")
        run("openssl", "req", "-x509", "-new", "-key", self.root_key, "-out", self.root, "-days", "36500",
            "-subj", f"/O={name}/CN={name} Device Root", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.ca, self.ca_key = folder / "factory.pem", new_key(folder / "factory.key")
        self.sign(self.ca_key, f"/O={name}/CN={name} Factory 1", "authority", self.ca,
                  by=(self.root, self.root_key))

    def sign(self, key, subject, extensions, out, serial="-", by=None, start="20200101000000Z", end=NEVER):
        config = self.folder / "ca.cnf"
        config.write_text(self.CONFIG.format(folder=self.folder, serial=serial))
        csr = Path(f"{key}.csr")
        csr.write_bytes(request(key, subject=subject))
        authority, authority_key = by or (self.ca, self.ca_key)
        run("openssl", "ca", "-batch", "-notext", "-config", config, "-cert", authority, "-keyfile", authority_key,
            "-extensions", extensions, "-startdate", start, "-enddate", end, "-preserveDN", "-inform", "DER",
            "-in", csr, "-out", out)

    def revoke(self, name, reason):
        """The factory takes its word back."""
        self.ca_tool("-revoke", self.folder / f"{name}.leaf.pem", "-crl_reason", reason)

    def list(self, out):
        """The factory's list of what it revoked."""
        self.ca_tool("-gencrl", "-crldays", "7", "-out", out)
        return out

    def ca_tool(self, *arguments):
        config = self.folder / "ca.cnf"
        config.write_text(self.CONFIG.format(folder=self.folder, serial="-"))
        run("openssl", "ca", "-batch", "-config", config, "-cert", self.ca, "-keyfile", self.ca_key, *arguments)

    def idevid(self, name, serial, key=None, form="device", **dates):
        """A device leaves the factory: (its key, its certificate with the factory's behind it)."""
        key = key or new_key(self.folder / f"{name}.key")
        leaf, chain = self.folder / f"{name}.leaf.pem", self.folder / f"{name}.pem"
        named = f"/serialNumber={serial}" if form == "device" else ""
        self.sign(key, f"/O={self.name}/CN=Infusion X{named}", form, leaf, serial=serial, **dates)
        chain.write_text(leaf.read_text() + self.ca.read_text())
        return key, chain


def same_keys(certificate, key):
    same(certified_key_sha256(certificate), key_sha256(key), f"key in {certificate.name}")
