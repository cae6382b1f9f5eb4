"""`lanyard agent` on a software TPM, as a client of the standard protocols: for the suites of EST, ACME and CMP.

In scope: making the device, calling the agent, reading what it keeps. Out of scope: deciding whether a test passes.
"""

import hashlib
import json
import re
from pathlib import Path

from harness import lanyard, run


class Agent:
    """A simulated device with its agent. Nothing is sent before `enroll`."""

    def __init__(self, hospital, folder, serial, protocol, vendor, model, server=None, profile=None):
        self.hospital, self.folder, self.serial = hospital, Path(folder), serial
        self.maker = Path(folder).parent / "chips"
        made = lanyard("agent", "simulate", folder, "--maker", self.maker, "--vendor", vendor, "--model", model,
                       "--serial", serial)
        self.tpm, self.endorsement = made["tpm_dir"], made["endorsement"]
        self.attestation = Path(made["attestation_certificates"])
        self.config, self.secret_file = self.folder / "agent.toml", self.folder / "secret"
        more = ["--certificate-profile", profile] if profile else []
        lanyard("agent", "init", "--server", hospital.server, "--anchors", hospital.anchors, "--vendor", vendor,
                "--model", model, "--serial", serial, "--state", self.folder / "state", "--event-log",
                made["event_log"], "--protocol", protocol, "--enrollment-server", server or hospital.enroll,
                "--attestation-certificates", self.attestation, *more, "-f", self.config)
        self.device = ("--config", self.config, "--tpm-dir", self.tpm)

    def give(self, secret):
        """A technician puts the one-time secret where the agent finds it."""
        self.secret_file.touch(mode=0o600)
        self.secret_file.write_text(secret + "\n")

    def enroll(self, *arguments, wait="2m"):
        secret = ("--secret-file", self.secret_file) if self.secret_file.exists() else ()
        return lanyard("agent", "enroll", *self.device, "--wait", wait, *secret, *arguments)

    def renew(self, wait="2m"):
        return lanyard("agent", "renew", *self.device, "--wait", wait)

    def attest(self):
        return lanyard("agent", "attest", *self.device)

    def identity(self):
        return json.loads((self.folder / "state/identity.json").read_text())["current"]

    def certificate(self):
        """The leaf, in a file."""
        leaf = self.folder / "leaf.pem"
        leaf.write_text(pems(self.identity()["chain_pem"])[0])
        return leaf

    def serial_number(self):
        text = run("openssl", "x509", "-in", self.certificate(), "-noout", "-serial").out
        return text.strip().split("=")[1].lower()

    def key_sha256(self):
        """SHA-256 of the certificate's key, as the ledger names keys."""
        pem = run("openssl", "x509", "-in", self.certificate(), "-noout", "-pubkey").stdout
        der = run("openssl", "pkey", "-pubin", "-outform", "DER", stdin=pem).stdout
        return hashlib.sha256(der).hexdigest()

    def verifies(self, issuing):
        """OpenSSL takes the certificate as a client's."""
        run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", self.hospital.anchors,
            "-untrusted", issuing, self.certificate(), env=self.hospital.env)


def pems(text):
    return re.findall(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", text, re.S)


def intents(hospital, device):
    """Protocol and key of everything that was about to be signed."""
    return [(e["protocol"], e["spki_sha256"]) for e in hospital.events(device) if e["event"] == "issuance_intended"]
