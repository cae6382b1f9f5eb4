"""Steps: ACME's device-attest-01 with `tpm` statements out of swtpm: our agent as client, and clients that are not ours with the
statements of our code. An attestation authority of a maker (pyca) certifies the chips' attestation keys.
"""

import datetime
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "acme"))
from client import Client, b64u, new_key, thumbprint  # noqa: E402
from harness import ROOT, agent_config, check, instant_acme, lanyard, refusal, run, same  # noqa: E402

VENDOR, MODEL = "Acme Medical", "Infusion X"
REFUSED, USAGE = 1, 2
OID = x509.ObjectIdentifier


class Authority:
    """A maker's authority for attestation keys, by the rules of WebAuthn 8.3.1."""

    def __init__(self, folder, name):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), x509.Name(
            [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        root = self.builder(self.key.public_key(), self.name).add_extension(x509.BasicConstraints(True, 0), True)
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self.signed(root))

    def builder(self, public, subject):
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
                .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + 3650 * day))

    def signed(self, builder):
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def certify(self, path, public_pem, device):
        """The certificate of an attestation key of this device, in a file."""
        chip = x509.Name([x509.NameAttribute(OID(f"2.23.133.2.{n}"), value)
                          for n, value in ((1, "id:49424D00"), (2, "swtpm"), (3, "id:20191023"))])
        text = device.encode()
        permanent = bytes([0x30, len(text) + 2, 0x0C, len(text)]) + text
        names = [x509.DirectoryName(chip), x509.OtherName(OID("1.3.6.1.5.5.7.8.3"), permanent)]
        builder = (self.builder(serialization.load_pem_public_key(public_pem.encode()), x509.Name([]))
                   .add_extension(x509.SubjectAlternativeName(names), True)
                   .add_extension(x509.BasicConstraints(False, None), True)
                   .add_extension(x509.ExtendedKeyUsage([OID("2.23.133.8.3")]), False))
        path.write_bytes(self.signed(builder))
        return path


class Pump:
    """A registered device on a swtpm of its own, whose agent speaks ACME."""

    def __init__(self, scene, name, chip=None):
        from tpm import Swtpm
        self.serial = f"SN-{name}"
        self.chip = chip or Swtpm(scene.folder, scene.processes, name)
        self.id = scene.hospital.register(VENDOR, MODEL, self.serial)
        self.certificates, self.event_log = self.chip.folder / "ak.pem", self.chip.folder / "event.log"
        self.event_log.touch()
        config = agent_config(scene.hospital, self.chip.folder, VENDOR, MODEL, self.serial, self.event_log,
                              "--protocol", "acme", "--enrollment-server", scene.hospital.enroll,
                              "--attestation-certificates", self.certificates)
        self.agent = ("--config", config, "--tcti", self.chip.tcti)

    def public(self):
        return lanyard("agent", "attestation-key", *self.agent)["public_key"]

    def keys(self):
        """Where the agent keeps what only its chip can open."""
        return self.chip.folder / "state/tpm"

    def enroll(self):
        return lanyard("agent", "enroll", *self.agent, "--wait", "1m")


def statement(pump, authorization, *slots, certificates=None):
    """An attestation object by our code in the pump's chip, and the request of the key that it shows."""
    out = pump.chip.folder / "object.cbor"
    subprocess.run([str(part) for part in (*program(pump, out, certificates), *slots)], input=authorization.encode(),
                   check=True, timeout=900)
    return out.read_bytes(), Path(f"{out}.csr").read_bytes()


def program(pump, out, certificates=None):
    return ("cargo", "run", "--quiet", "--locked", "-p", "lanyard-agent", "--features", "tpm", "--example",
            "attestation_object", "--manifest-path", ROOT / "Cargo.toml", "--", pump.chip.tcti, pump.keys(),
            certificates or pump.certificates, out)


class Order:
    """An order of a client that is not ours."""

    def __init__(self, scene, serial):
        self.client = Client(f"https://{scene.hospital.enroll}/acme/directory", scene.hospital.anchors)
        same(self.client.register().status_code, 201, "account")
        self.again(serial)

    def again(self, serial):
        self.order = self.client.order(("permanent-identifier", serial))
        same(self.order.status_code, 201, self.order.text)
        self.challenge = self.client.challenges(self.order)["device-attest-01"]
        self.authorization = f"{self.challenge['token']}.{thumbprint(self.client.key)}"

    def respond(self, attestation):
        return self.client.post(self.challenge["url"], {"attObj": b64u(attestation)})

    def finalize(self, request):
        return self.client.post(self.order.json()["finalize"], {"csr": b64u(request)})


def refused(answer, kind, words=""):
    body = answer.json()
    same((answer.status_code, body["type"].rpartition(":")[2]), (400, kind), f"{body}")
    check(words in body["detail"], f"`{words}` is missing: {body}")


def ended(answer, words):
    body = answer.json()
    same(body["status"], "invalid", f"{body}")
    check(words in body["error"]["detail"], f"`{words}` is missing: {body}")


def intents(scene, device):
    return [e for e in scene.hospital.events(device) if e["event"] == "issuance_intended"]


def issued(scene, device):
    return sum(e["event"] == "certificate_issued" for e in scene.hospital.events(device))


def add(suite):
    """Puts the steps of this file into the suite."""

    # R34, R36, R38: the key never leaves swtpm, and swtpm says so.
    @suite.step
    def the_agent_enrolls_by_acme_with_the_chips_statement(s):
        s.acme = Pump(s, "acme")
        s.attesting, s.stranger = Authority(s.folder, "Acme attestation"), Authority(s.folder, "Other attestation")
        s.hospital.as_("sara", "endorsement", "add", s.attesting.file, "--use", "tpm", "--reason", "checked by phone")
        refusal(USAGE, "attestation certificates: .* does not exist", s.acme.enroll)
        s.attesting.certify(s.acme.certificates, s.acme.public(), s.acme.serial)
        s.acme.enroll()
        [bound] = [e for e in s.hospital.events(s.acme.id) if e["event"] == "maker_key_bound"]
        ak = serialization.load_pem_public_key(s.acme.public().encode()).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        same((bound["format"], bound["key_sha256"]), ("tpm", hashlib.sha256(ak).hexdigest()), "the device's hardware")
        [intent] = intents(s, s.acme.id)
        same(intent["protocol"], "acme", "protocol")
        check(set(intent["evidence_sha256"]) != {"0"}, "the statement is not kept")
        kept = {path.name for path in (s.acme.chip.folder / "state").rglob("*") if path.is_file()}
        check({"identity.json", "acme.json"} <= kept and "pending.json" not in kept, kept)

    # R44, I7
    @suite.step
    def it_renews_by_acme_and_each_key_has_its_statement(s):
        for _ in range(2):
            lanyard("agent", "renew", *s.acme.agent)
        found = intents(s, s.acme.id)
        same((len({i["spki_sha256"] for i in found}), len({i["evidence_sha256"] for i in found})), (3, 3),
             "keys and statements")
        check(sum(e["event"] == "certificate_seen" for e in s.hospital.events(s.acme.id)) >= 2, "uses were not noted")

    # R34, R45: the evidence of the order is what the client sent, octet for octet.
    @suite.step
    def the_statement_of_another_client_stands_in_the_ledger(s):
        order = Order(s, s.acme.serial)
        s.sent, request = statement(s.acme, order.authorization)
        same(order.respond(s.sent).json()["status"], "valid", "challenge")
        same(order.finalize(request).json()["status"], "valid", "order")
        same(intents(s, s.acme.id)[-1]["evidence_sha256"], hashlib.sha256(s.sent).hexdigest(), "evidence")

    # R38, I5
    @suite.step
    def a_statement_that_answers_something_else_is_refused(s):
        before = issued(s, s.acme.id)
        order = Order(s, s.acme.serial)
        # Replayed; of another challenge; certified one key and shown another.
        refused(order.respond(s.sent), "badAttestationStatement")
        order.again(s.acme.serial)
        other, _ = statement(s.acme, order.authorization[:-1])
        refused(order.respond(other), "badAttestationStatement")
        order.again(s.acme.serial)
        forged, _ = statement(s.acme, order.authorization, "a", "b")
        refused(order.respond(forged), "badAttestationStatement")
        # An honest statement, and a request for a key in a file.
        order.again(s.acme.serial)
        honest, _ = statement(s.acme, order.authorization)
        same(order.respond(honest).json()["status"], "valid", "challenge")
        refused(order.client.finalize(order.order, new_key()), "badCSR")
        same(issued(s, s.acme.id), before, "certificates")

    # R7, R35, I2
    @suite.step
    def an_attestation_key_of_nobody_or_of_another_record_is_refused(s):
        order = Order(s, s.acme.serial)
        unknown = s.stranger.certify(s.folder / "unknown.pem", s.acme.public(), s.acme.serial)
        refused(order.respond(statement(s.acme, order.authorization, certificates=unknown)[0]),
                "badAttestationStatement")
        # The accepted maker says that this chip is in another device: its key is this one's for ever.
        lent = s.attesting.certify(s.folder / "lent.pem", s.acme.public(), "SN-waiting")
        order.again("SN-waiting")
        object_, request = statement(s.acme, order.authorization, certificates=lent)
        same(order.respond(object_).json()["status"], "valid", "challenge")
        ended(order.finalize(request), "cannot be two devices")
        check("hardware_key_reused" in s.alarms(s.waiting), s.alarms(s.waiting))
        # And another chip under this device's name.
        copy = Pump(s, "copy")
        copied = s.attesting.certify(s.folder / "copied.pem", copy.public(), s.acme.serial)
        order.again(s.acme.serial)
        object_, request = statement(copy, order.authorization, certificates=copied)
        same(order.respond(object_).json()["status"], "valid", "challenge")
        ended(order.finalize(request), "another hardware key")
        check("clone_suspected" in s.alarms(s.acme.id), s.alarms(s.acme.id))
        same(issued(s, copy.id), 0, "certificates of the copy")

    # R34: a client that nobody here wrote, and our statement.
    @suite.step
    def instant_acme_enrolls_a_device_with_our_statement(s):
        pump = Pump(s, "instant")
        s.attesting.certify(pump.certificates, pump.public(), pump.serial)
        out = pump.chip.folder / "object.cbor"
        directory = f"https://{s.hospital.enroll}/acme/directory"
        done = run(instant_acme(), "device", directory, s.hospital.anchors, pump.serial, out, *program(pump, out),
                   timeout=900)
        [leaf, *_] = x509.load_pem_x509_certificates(done.out.encode())
        [intent] = intents(s, pump.id)
        same(intent["evidence_sha256"], hashlib.sha256(out.read_bytes()).hexdigest(), "evidence")
        [line] = s.hospital.certificates(pump.id)
        same(line["serial"], f"{leaf.serial_number:x}", "inventory")
        # The same statement for another order: instant-acme tells what the server said.
        replay = run(instant_acme(), "device", directory, s.hospital.anchors, pump.serial, out, "true", ok=False)
        check("badAttestationStatement" in replay.err, replay.err)

    # R40
    @suite.step
    def a_device_that_was_revoked_attests_in_vain(s):
        s.hospital.as_("sara", "device", "revoke", s.acme.id, "--because", "stolen", "--reason", "not in its ward")
        before = json.loads((s.acme.chip.folder / "state/identity.json").read_text())
        refusal(REFUSED, "acme: the order ended: .*revoked", lambda: lanyard("agent", "renew", *s.acme.agent))
        same(json.loads((s.acme.chip.folder / "state/identity.json").read_text()), before, "what it has")
