"""What the steps share: a hospital with both listeners, devices that have OpenSSL, a maker, and bytes sent by hand."""

import os
import re
import sys
import time
import urllib.error
import urllib.request
from hashlib import sha256
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Hospital, Suite, check, run, same  # noqa: E402

suite = Suite("cmp")
VENDOR, MODEL = "Acme Medical", "Infusion X"
PATH = "/.well-known/cmp"
MEDIA_TYPE = "application/pkixcmp"
# RFC 9810 5.1.2: bodies that a server answers with.
IP, KUP, RP, ERROR = 1, 8, 12, 23


# -- OpenSSL ----------------------------------------------------------------------------------------------------------

def new_key(path, kind="P-256"):
    """A private key in a file."""
    options = {"P-256": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
               "P-384": ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"), "Ed25519": ("ED25519",),
               "RSA-1024": ("RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
               "RSA-3072": ("RSA", "-pkeyopt", "rsa_keygen_bits:3072")}
    run("openssl", "genpkey", "-algorithm", *options[kind], "-out", path)
    return path


def key_sha256(path):
    """SHA-256 of a key's SubjectPublicKeyInfo, as the ledger names keys."""
    return sha256(run("openssl", "pkey", "-in", path, "-pubout", "-outform", "DER").stdout).hexdigest()


def serial_of(certificate):
    """Serial number, hex, as Lanyard writes it."""
    return run("openssl", "x509", "-in", certificate, "-noout", "-serial").out.strip().split("=")[1].lower()


def pems_in(file):
    return re.findall(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", file.read_text(), re.S)


class Maker:
    """A factory that gives its devices a certificate for life (IDevID, IEEE 802.1AR)."""

    def __init__(self, folder, subject):
        folder.mkdir()
        self.folder = folder
        self.root, self.key = folder / "root.pem", new_key(folder / "root.key")
        run("openssl", "req", "-x509", "-new", "-utf8", "-key", self.key, "-out", self.root, "-days", "3650",
            "-subj", subject, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def sign(self, name, subject, *extensions):
        """(key, certificate) of something that leaves the factory."""
        key, leaf = new_key(self.folder / f"{name}.key"), self.folder / f"{name}.pem"
        csr, ext = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        run("openssl", "req", "-new", "-utf8", "-key", key, "-subj", subject, "-out", csr)
        ext.write_text("\n".join(("basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature",
                                  "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid", *extensions)))
        run("openssl", "x509", "-req", "-in", csr, "-CA", self.root, "-CAkey", self.key, "-days", "3650",
            "-extfile", ext, "-out", leaf)
        return key, leaf

    def idevid(self, serial):
        return self.sign(serial, f"/O=Acme Medical/CN={MODEL}/serialNumber={serial}")


# -- bytes ------------------------------------------------------------------------------------------------------------

class Answer:
    """An HTTP answer, read as a PKIMessage as far as a step needs it."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def kind(self):
        """The number of the body's choice (RFC 9810 5.1.2)."""
        same((self.status, self.headers["content-type"]), (200, MEDIA_TYPE), "an answer in CMP")
        message, _ = inner(self.body)
        _, rest = inner(message)
        return rest[0] & 0x1F

    def says(self, words):
        check(words.encode() in self.body, f"expected `{words}`: {self}")
        return self

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:600]!r}"


def inner(der):
    """Content of the first TLV, and what comes after it."""
    length, at = der[1], 2
    if length & 0x80:
        at += length & 0x7F
        length = int.from_bytes(der[2:at], "big")
    return der[at:at + length], der[at + length:]


# -- the hospital -----------------------------------------------------------------------------------------------------

class Device:
    """A device in the inventory, the key and the certificate that it has, and the secret that it was given."""

    def __init__(self, scene, name, **record):
        self.scene, self.name = scene, name
        self.folder = scene.folder / name
        self.folder.mkdir()
        self.id = scene.hospital.enter(VENDOR, MODEL, f"SN-{name}", **record)
        self.key = self.certificate = self.secret = None

    def approved(self):
        self.scene.hospital.approve(self.id)
        return self

    def give_secret(self, time="3d"):
        self.secret = self.scene.hospital.secret(self.id, time)
        return self

    def new_key(self, name, kind="P-256"):
        return new_key(self.folder / f"{name}.key", kind)

    def out(self, name):
        """A path for something that a client is to write."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        return path

    def mac(self, reference=None, secret=None):
        """Options of a client that has a secret; `-trusted` for answers to what it could not prove."""
        reference, secret = reference or self.secret.split("-")[0], secret or self.secret
        return ("-ref", reference, "-secret", f"pass:{secret}", "-subject", "/CN=pump")

    def signed(self, certificate=None, key=None):
        """Options of a client that has a certificate, or another than its last one."""
        return ("-cert", certificate or self.certificate, "-key", key or self.key, "-untrusted", self.scene.issuing)

    def ask(self, cmd, who, key, *arguments, ok=True, **more):
        """A request for a certificate for this key; the file that the certificate is in, if it comes, and what was said."""
        file = self.out("asked.pem")
        if cmd == "p10cr":
            new = ("-csr", self.out("asked.csr"))
            run("openssl", "req", "-new", "-key", key, "-subj", "/CN=pump", "-out", new[1])
        else:
            new = ("-newkey", key)
        said = self.scene.cmp(cmd, *who, *new, "-certout", file, *arguments, ok=ok, **more)
        check(file.exists() == ok, f"a certificate was written: {file.exists()}\n{said}")
        if ok:
            self.scene.given.add(serial_of(file))
        return file, said

    def takes(self, file, key):
        """The certificate in this file is for that key and this device, and the ledger has it; it is the device's from
        now on."""
        s = self.scene
        number = serial_of(file)
        certificate = self.folder / f"{number}.pem"
        certificate.write_text(file.read_text())
        run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", s.hospital.anchors, "-untrusted",
            s.issuing, certificate, env=s.hospital.env)
        public = run("openssl", "x509", "-in", certificate, "-noout", "-pubkey").out
        same(public, run("openssl", "pkey", "-in", key, "-pubout").out, "key in the certificate")
        text = run("openssl", "x509", "-in", certificate, "-noout", "-text").out
        for expected in (f"URI:urn:uuid:{self.id}", f"DNS:{self.id}.device.interop.example",
                         "TLS Web Client Authentication"):
            check(expected in text, f"`{expected}` is missing:\n{text}")
        line = self.line(number)
        same((line["kind"], line["subject"], line["owner"], line["site"], line["revoked"]),
             ("device", self.id, "biomed", s.hospital.SITE, None), f"inventory of {number}")
        self.recorded(number, key)
        s.given.add(number)
        self.certificate, self.key = certificate, key
        return certificate

    # I3
    def recorded(self, number, key):
        """The chain says what was about to be signed before it says what was signed."""
        events = self.events()
        intended, issued = ([(at, e) for at, e in enumerate(events) if e["event"] == kind and e["serial"] == number]
                            for kind in ("issuance_intended", "certificate_issued"))
        same((len(intended), len(issued)), (1, 1), f"intents and certificates of {number}")
        (before, intent), (after, certificate) = intended[0], issued[0]
        check(before < after, f"the certificate stands before its intent: {events}")
        same((intent["protocol"], intent["spki_sha256"], intent["issuance"]),
             ("cmp", key_sha256(key), certificate["issuance"]), "intent")

    def enrolled(self):
        """Registered, approved, with a certificate by a secret."""
        self.approved().give_secret()
        key = self.new_key("first")
        self.takes(self.ask("ir", self.mac(), key, "-implicit_confirm")[0], key)
        return self

    def line(self, number):
        """What the inventory has of a certificate."""
        [line] = [line for line in self.scene.hospital.certificates(self.id) if line["serial"] == number]
        return line

    def revoked(self, certificate):
        """Why it was revoked, if it was."""
        revoked = self.line(serial_of(certificate))["revoked"]
        return revoked and revoked["reason"]

    def events(self):
        return self.scene.hospital.events(self.id)

    def names(self):
        return [event["event"] for event in self.events()]

    def alarms(self):
        return self.scene.hospital.alarms(self.id)


class Scene:
    """`lanyard up` with its enrollment listeners, whose clock can be set; a maker whose devices may enroll, and one of
    which nobody knows."""

    def __init__(self, folder, processes):
        self.folder, self.processes, self.given = folder, processes, set()
        self.hospital = Hospital(folder, processes, enroll={})
        preload = run("faketime", "-f", "+0", "printenv", "LD_PRELOAD").out.strip()
        self.clock = folder / "what-time-it-is"
        self.set_clock("+0")
        self.hospital.restart({"LD_PRELOAD": preload, "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_NO_CACHE": "1",
                               "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
        authorities = self.hospital.as_("anna", "ca", "list")
        self.issuing = self.file("issuing.pem",
                                 "".join(a["certificate_pem"] for a in authorities if a["purpose"] == "devices"))
        self.maker = Maker(folder / "maker", "/O=Acme Medical/CN=Acme Device Root")
        self.hospital.endorse(self.maker.root)
        ours = run("openssl", "x509", "-in", self.issuing, "-noout", "-subject", "-nameopt", "compat").out
        # It calls itself as our issuing CA does.
        self.namesake = Maker(folder / "namesake", ours.split("=", 1)[1].strip())

    def set_clock(self, offset):
        """What time it is for the server, for people and for clients, from now on; as faketime has it."""
        new = self.clock.with_suffix(".new")
        new.write_text(offset + "\n")
        os.replace(new, self.clock)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def device(self, name, **record):
        return Device(self, name, **record)

    def command(self, cmd, *arguments, tls=False, path=PATH, host=None):
        """A run of `openssl cmp`, over plain HTTP or TLS."""
        host = host or (self.hospital.enroll if tls else self.hospital.pki_http)
        over = ("-tls_used", "-tls_trusted", self.hospital.anchors) if tls else ()
        return ("openssl", "cmp", "-config", "", "-batch", "-server", f"{'https' if tls else 'http'}://{host}{path}",
                "-cmd", cmd, "-trusted", self.hospital.anchors, *over, *arguments)

    def cmp(self, cmd, *arguments, ok=True, env=None, **where):
        """The same to its end: what it said."""
        command, env = self.command(cmd, *arguments, **where), {**self.hospital.env, **(env or {})}
        if ok:
            # faketime may tell a thread the real time once when others read the file at that moment. What is refused for its
            # time changed nothing, and is said again.
            for _ in range(5):
                done = run(*command, ok=None, env=env)
                if "badTime" not in done.out + done.err:
                    break
                time.sleep(0.2)
            check(done.returncode == 0, f"`{' '.join(map(str, command))}` ended with {done.returncode}\n{done.out}{done.err}")
        else:
            done = run(*command, ok=ok, env=env)
        return done.out + done.err

    def refused(self, cmd, fail, words, *arguments, **more):
        """It must be refused with this failInfo and these words."""
        said = self.cmp(cmd, *arguments, ok=False, **more)
        check(fail in said and re.search(words, said), f"expected {fail} and /{words}/:\n{said}")
        return said

    def post(self, body, content_type=MEDIA_TYPE, path=PATH, method="POST"):
        """One message by hand."""
        headers = {"Content-Type": content_type} if content_type is not None else {}
        call = urllib.request.Request(f"http://{self.hospital.pki_http}{path}", data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(call, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def ledger_size(self):
        """How many events there are: what changes nothing leaves it as it is."""
        return sum(len(self.hospital.events(d["device"])) for d in self.hospital.as_("anna", "device", "list"))
