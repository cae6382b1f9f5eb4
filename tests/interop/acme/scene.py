"""What the steps share: a hospital that serves ACME, with names that resolve for it alone."""

import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Hospital, Suite, binary, check, free_port, same  # noqa: E402
from client import Client, Maker  # noqa: E402

suite = Suite("acme")
NAMES = ["pacs.interop.example", "ehr.interop.example", "viewer.interop.example", "lab.interop.example",
         "second.interop.example", "slow.interop.example"]


class Scene:
    """`lanyard up` with device-attest-01 and http-01; a maker that is accepted and one that is not."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.names_resolve_here()
        self.port, self.http01 = free_port(), free_port()
        self.hospital = Hospital(folder, processes, enroll={
            "listen": f"127.0.0.1:{self.port}", "http01_port": self.http01,
            "acme_challenges": ["device-attest-01", "http-01"]})
        self.directory = f"https://localhost:{self.port}/acme/directory"
        self.root = self.hospital.anchors
        self.maker, self.stranger = Maker("Acme root", folder), Maker("Other root", folder)
        self.other_use = Maker("Acme TPM root", folder)
        as_sara = ("sara", "endorsement", "add")
        self.hospital.as_(*as_sara, self.maker.file, "--use", "packed", "--grade", "FIPS 140-3")
        self.hospital.as_(*as_sara, self.other_use.file, "--use", "tpm,ek")

    def names_resolve_here(self):
        """The server runs behind a script that gives it a hosts file of its own."""
        hosts, script = self.folder / "hosts", self.folder / "lanyard"
        hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ["localhost", *NAMES]))
        mount = f'mount --bind {hosts} /etc/hosts && exec "$0" "$@"'
        script.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{mount}' {binary()} \"$@\"\n")
        script.chmod(0o755)
        os.environ["LANYARD_BIN"] = str(script)

    def client(self):
        return Client(self.directory, self.root)

    def application(self, name, *dns, ips=(), approve=True):
        """An application in the inventory; its id."""
        record = self.folder / f"{name}.json"
        record.write_text(json.dumps({"name": name, "dns": list(dns), "ips": list(ips), "site": Hospital.SITE,
                                      "owner": "imaging", "purpose": "viewing of images"}))
        self.hospital.as_("anna", "application", "register", record)
        if approve:
            self.approve(name)
        return next(a["application"] for a in self.hospital.as_("anna", "application", "list")
                    if a["record"]["name"] == name)

    def approve(self, name):
        self.hospital.as_("sara", "application", "approve", name)

    def secret(self, name):
        return self.hospital.as_("anna", "application", "secret", name)

    def lines(self, subject):
        return self.hospital.certificates(subject)


def problem(answer, status, kind, words=""):
    """The answer is this problem; returns its sentence."""
    body = answer.json()
    same((answer.status_code, body.get("type", "").rpartition(":")[2]), (status, kind), f"{body}")
    check(words in json.dumps(body), f"`{words}` is missing: {body}")
    return body.get("detail")


def error_of(order, kind, words):
    """The order is invalid for this reason."""
    body = order.json()
    same((body["status"], body["error"]["type"].rpartition(":")[2]), ("invalid", kind), f"{body}")
    check(words in body["error"]["detail"], f"`{words}` is missing: {body}")
