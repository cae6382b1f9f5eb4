"""What the steps share: a hospital with its enrollment listener, two makers, devices that have openssl and curl."""

import base64
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Hospital, Suite, check, run, same  # noqa: E402
from peers import (BouncyCastle, Curl, Maker, certificates_in, key_sha256, new_key, request,  # noqa: E402
                   same_keys, serial_of)

suite = Suite("est")
VENDOR, MODEL = "Acme Medical", "Infusion X"
EST = "/.well-known/est"
# RFC 5652 and RFC 8951, as RFC 7030 4.2.3 has them.
CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"


class Device:
    """A device in the inventory, the key and the certificate that it has, and the secret that it was given."""

    def __init__(self, scene, name, **record):
        self.scene, self.name = scene, name
        self.folder = scene.folder / name
        self.folder.mkdir()
        self.id = scene.hospital.enter(VENDOR, MODEL, f"SN-{name}", **record)
        self.key = self.certificate = self.chain = self.secret = None

    def approved(self):
        self.scene.hospital.approve(self.id)
        return self

    def new_key(self, name, kind="P-256"):
        return new_key(self.folder / f"{name}.key", kind)

    def give_secret(self, time="3d"):
        self.secret = self.scene.hospital.secret(self.id, time)
        return self.secret

    def by_secret(self, key, secret=None, der=None, *arguments):
        """simpleenroll with a one-time secret, for this key."""
        return self.scene.post("simpleenroll", der or request(key), "-u", f"{self.id}:{secret or self.secret}",
                               *arguments)

    def by_certificate(self, key, *arguments, shown=None, operation="simplereenroll", der=None):
        """An operation over TLS with its certificate (or `shown`: a key and a chain), for this key."""
        own, chain = shown or (self.key, self.chain)
        return self.scene.post(operation, der or request(key), "--cert", chain, "--key", own, *arguments)

    def takes(self, answer, key, profile="device_ldevid"):
        """The answer has a certificate for this key: it is checked from all sides, and the device's from now on."""
        s = self.scene
        same((answer.status, answer.headers["content-type"]), (200, CERTS_ONLY), f"answer {answer}")
        same(int(answer.headers["content-length"]), len(answer.body), "content length")
        # RFC 7030 4.2.3: the certificate that was issued, and nothing else.
        [pem] = certificates_in(answer.body)
        return self.has(s.file(f"{self.name}-{serial(pem, s)}.pem", pem), key, profile)

    def has(self, certificate, key, profile="device_ldevid"):
        """This certificate is for that key and this device, and the ledger has it; it is the device's from now on."""
        s = self.scene
        run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", s.hospital.anchors,
            "-untrusted", s.issuing, certificate, env=s.hospital.env)
        same_keys(certificate, key)
        text = run("openssl", "x509", "-in", certificate, "-noout", "-text").out
        for expected in (f"URI:urn:uuid:{self.id}", f"DNS:{self.id}.device.interop.example",
                         "TLS Web Client Authentication"):
            check(expected in text, f"`{expected}` is missing:\n{text}")
        number = serial_of(certificate)
        lines = [line for line in s.hospital.certificates(self.id) if line["serial"] == number]
        same([(line["kind"], line["subject"], line["owner"], line["site"], line["profile"], line["revoked"])
              for line in lines], [("device", self.id, "biomed", s.hospital.SITE, profile, None)],
             f"inventory of {number}")
        self.recorded(number, key)
        s.given.add(number)
        if profile != "device_ldevid":
            s.by_template.add(number)
        self.certificate, self.key = certificate, key
        self.chain = certificate.with_suffix(".chain.pem")
        self.chain.write_text(certificate.read_text() + s.issuer_of(certificate).read_text())
        return self

    # I3
    def recorded(self, number, key):
        """The chain says what was about to be signed before it says what was signed."""
        events = self.events()
        intended = [at for at, e in enumerate(events) if e["event"] == "issuance_intended" and e["serial"] == number]
        issued = [at for at, e in enumerate(events) if e["event"] == "certificate_issued" and e["serial"] == number]
        same((len(intended), len(issued)), (1, 1), f"intents and certificates of {number}")
        check(intended[0] < issued[0], f"the certificate stands before its intent: {events}")
        intent, certificate = events[intended[0]], events[issued[0]]
        same((intent["protocol"], intent["spki_sha256"], intent["issuance"]),
             ("est", key_sha256(key), certificate["issuance"]), "intent")
        same(certificate["spki_sha256"], key_sha256(key), "key of the certificate on the chain")

    def enrolled(self):
        """Registered, approved, with a certificate by a secret."""
        self.approved().give_secret()
        key = self.new_key("first")
        return self.takes(self.by_secret(key), key)

    def events(self):
        return self.scene.hospital.events(self.id)

    def names(self):
        return [event["event"] for event in self.events()]

    def alarms(self):
        return self.scene.hospital.alarms(self.id)


def serial(pem, scene):
    return serial_of(scene.file("one.pem", pem))


class Scene:
    """`lanyard up` with its enrollment listeners; a maker whose devices may enroll, and one of which nobody knows."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.hospital = Hospital(folder, processes, enroll={})
        self.curl = Curl(folder, self.hospital.anchors)
        # Serial numbers of what was given out, and of those by a hospital's own profile.
        self.given, self.by_template = set(), set()
        self.find()
        self.maker, self.stranger = Maker(folder / "maker"), Maker(folder / "stranger", "Other Medical")
        self.hospital.endorse(self.maker.root)
        self.java = BouncyCastle(folder, self.hospital.anchors, self.hospital.enroll)
        # What a step needs that comes a minute later.
        self.hasty = Device(self, "hasty").approved()
        self.hasty.give_secret("1m")
        self.hasty_until = time.monotonic() + 61

    def later(self, offset):
        """Everything starts again at another time: server, people, curl and OpenSSL; `+2d`."""
        preload = run("faketime", "-f", offset, "printenv", "LD_PRELOAD").out.strip()
        self.hospital.restart({"LD_PRELOAD": preload, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
        self.curl.env = self.hospital.env
        self.find()

    def find(self):
        """Where EST is, and who issues: also after a restart."""
        self.est = f"https://{self.hospital.enroll}{EST}"
        authorities = self.hospital.as_("anna", "ca", "list")
        self.authorities = len(authorities)
        issuing = [a["certificate_pem"] for a in authorities if a["purpose"] == "devices"]
        self.issuing = self.file("issuing.pem", "".join(issuing))
        self.issuers = [self.file(f"issuing-{n}.pem", pem) for n, pem in enumerate(issuing, 1)]

    def issuer_of(self, certificate):
        """The authority that signed it: Java wants no other certificate in a chain."""
        def name(file, which):
            return run("openssl", "x509", "-in", file, "-noout", which).out
        wanted = name(certificate, "-issuer_hash")
        [issuer] = [file for file in self.issuers if name(file, "-subject_hash") == wanted]
        return issuer

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def device(self, name, **record):
        return Device(self, name, **record)

    def get(self, operation, *arguments):
        return self.curl(f"{self.est}/{operation}", *arguments)

    def post(self, operation, der, *arguments, **more):
        return self.curl.post(f"{self.est}/{operation}", base64.b64encode(der), *arguments, **more)

    def ledger_size(self):
        """How many events devices have: what changes nothing leaves it as it is. The log's own heartbeat does not count."""
        return sum(len(self.hospital.events(d["device"])) for d in self.hospital.as_("anna", "device", "list"))
