"""What the steps share: a hospital that serves ACME by dns-01 and tls-alpn-01, a zone on Knot DNS, a DNS server that lies."""

import base64
import json
import os
import secrets
import socketserver
import struct
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Hospital, Suite, binary, check, free_port, listens, run, same, until  # noqa: E402, F401

suite = Suite("names")
ZONE = "interop.example"
NAMES = [f"{name}.{ZONE}" for name in ("pacs", "ehr", "lab", "ris", "viewer", "archive", "portal")]


class Knot:
    """An authoritative server for the zone, with a key for RFC 2136 and a control socket."""

    def __init__(self, folder, processes):
        self.folder, self.port = folder / "knot", free_port()
        (self.folder / "db").mkdir(parents=True)
        self.key = base64.b64encode(secrets.token_bytes(32)).decode()
        (self.folder / f"{ZONE}.zone").write_text(
            f"$ORIGIN {ZONE}.\n$TTL 5\n@ SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A 127.0.0.1\n"
            + "".join(f"{name}. A 127.0.0.1\n" for name in NAMES)
            # One that leads where the configuration lets it lead, and one that does not.
            + f"_acme-challenge.ehr CNAME ehr.acme\n_acme-challenge.archive CNAME archive.elsewhere\n")
        self.socket = self.folder / "knot.sock"
        config = self.folder / "knot.conf"
        config.write_text(f"""
server:
    rundir: {self.folder}
    listen: 127.0.0.1@{self.port}
control:
    listen: {self.socket}
log:
  - target: stderr
    any: info
database:
    storage: {self.folder}/db
key:
  - id: clients
    algorithm: hmac-sha256
    secret: {self.key}
acl:
  - id: update
    key: clients
    action: update
zone:
  - domain: {ZONE}
    storage: {self.folder}
    file: {ZONE}.zone
    acl: update
""")
        processes.start("knot", "knotd", "-c", config)
        until("knot answers", lambda: listens(self.port))

    def hook(self, name, script):
        """A program of a client's, with `zone` to write TXT records."""
        path = self.folder / name
        control = f"knotc -s {self.socket}"
        path.write_text(f"""#!/bin/bash
set -eu
zone() {{  # set|unset NAME VALUE
  {control} zone-begin {ZONE} >/dev/null
  if [ "$1" = set ]; then {control} zone-set {ZONE} "$2." 5 TXT "\\"$3\\"" >/dev/null
  else {control} zone-unset {ZONE} "$2." TXT "\\"$3\\"" >/dev/null; fi
  {control} zone-commit {ZONE} >/dev/null
}}
{script}
""")
        path.chmod(0o755)
        return path


class Liar:
    """A DNS server over TCP in front of the right one. `says` is how it behaves now; it counts questions."""

    def __init__(self):
        self.says, self.asked = "refused", 0
        liar = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                head = self.request.recv(2)
                if len(head) < 2:
                    return
                liar.asked += 1
                question = self.request.recv(struct.unpack(">H", head)[0])
                answer = liar.answer(question)
                if answer is None:
                    # Says nothing until the other one gives up.
                    self.request.recv(1)
                else:
                    self.request.sendall(struct.pack(">H", len(answer)) + answer)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address = True, True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, question):
        flags = {"refused": 0x8005, "failed": 0x8182}.get(self.says, 0x8180)
        head = question[:2] + struct.pack(">H", flags) + question[4:6]
        if self.says == "silent":
            return None
        if self.says in ("refused", "failed"):
            return head + b"\0\0\0\0\0\0" + question[12:]
        if self.says == "another id":
            return bytes([question[0] ^ 1]) + head[1:] + b"\0\0\0\0\0\0" + question[12:]
        if self.says == "another question":
            return head + b"\0\0\0\0\0\0" + question[12:].replace(b"challenge", b"chellange")
        if self.says == "a loop":
            return head + b"\0\1\0\0\0\0" + question[12:] + b"\xc0" + bytes([len(question)]) + bytes(10)
        raise AssertionError(self.says)


class Scene:
    def __init__(self, folder, processes):
        self.folder, self.processes, self.secrets = folder, processes, {}
        self.names_resolve_here()
        self.knot, self.liar = Knot(folder, processes), Liar()
        self.port, self.tls = free_port(), free_port()
        self.hospital = Hospital(folder, processes, enroll={
            "listen": f"127.0.0.1:{self.port}", "tls_alpn01_port": self.tls,
            "acme_challenges": ["dns-01", "tls-alpn-01"], "dns01_delegates": [f"acme.{ZONE}"],
            "dns_servers": [f"127.0.0.1:{self.liar.port}", f"127.0.0.1:{self.knot.port}"]})
        self.directory = f"https://localhost:{self.port}/acme/directory"
        self.root = self.hospital.anchors

    def names_resolve_here(self):
        """The server runs behind a script that gives it a hosts file of its own."""
        hosts, script = self.folder / "hosts", self.folder / "lanyard"
        hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ["localhost", *NAMES]))
        mount = f'mount --bind {hosts} /etc/hosts && exec "$0" "$@"'
        script.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{mount}' {binary()} \"$@\"\n")
        script.chmod(0o755)
        os.environ["LANYARD_BIN"] = str(script)

    def application(self, name):
        """An application of that name, approved; its id and a one-time secret."""
        record = self.folder / f"{name}.json"
        record.write_text(json.dumps({"name": name, "dns": [f"{name}.{ZONE}"], "ips": [], "site": Hospital.SITE,
                                      "owner": "imaging", "purpose": "viewing of images"}))
        self.hospital.as_("anna", "application", "register", record)
        self.hospital.as_("sara", "application", "approve", name)
        id_ = next(a["application"] for a in self.hospital.as_("anna", "application", "list")
                   if a["record"]["name"] == name)
        return id_, self.hospital.as_("anna", "application", "secret", name)

    def lego(self, name, *command, how, secret=None, ok=True, domain=None):
        """lego with an account of its own, by `dns` (RFC 2136) or `tls`."""
        # lego asks for it each time where a server requires it, and uses it once.
        secret = self.secrets.setdefault(name, secret)
        bind = ("--eab", "--kid", secret["reference"], "--hmac", secret["eab_hmac_key"])
        way = {
            "dns": ("--dns", "rfc2136", "--dns.disable-cp", "--dns.resolvers", f"127.0.0.1:{self.knot.port}"),
            "tls": ("--tls", "--tls.port", f"127.0.0.1:{self.tls}"),
            "tls elsewhere": ("--tls", "--tls.port", f"127.0.0.1:{free_port()}")}[how]
        env = {"LEGO_CA_CERTIFICATES": str(self.root), "RFC2136_NAMESERVER": f"127.0.0.1:{self.knot.port}",
               "RFC2136_TSIG_KEY": "clients.", "RFC2136_TSIG_SECRET": self.knot.key,
               "RFC2136_TSIG_ALGORITHM": "hmac-sha256.", "RFC2136_TTL": "5"}
        return run("lego", "--server", self.directory, "--accept-tos", "--email", "pki@interop.example", "--path",
                   self.folder / f"lego-{name}", "--domains", domain or f"{name}.{ZONE}", *bind, *way, *command, ok=ok,
                   env=env)

    def certbot(self, name, script, secret=None, ok=True):
        """certbot by hooks; the script has `$CERTBOT_DOMAIN` and `$CERTBOT_VALIDATION`."""
        hook = self.knot.hook(f"auth-{name}-{time.monotonic_ns()}", script)
        folder = self.folder / f"certbot-{name}"
        places = [part for place in ("config", "work", "logs") for part in (f"--{place}-dir", folder / place)]
        bind = ("--eab-kid", secret["reference"], "--eab-hmac-key", secret["eab_hmac_key"]) if secret else ()
        env = {"REQUESTS_CA_BUNDLE": str(self.root)}
        if secret:
            run("certbot", "register", "--server", self.directory, *places, "--non-interactive", "--agree-tos", "-m",
                "pki@interop.example", "--no-eff-email", *bind, env=env)
        return run("certbot", "certonly", "--server", self.directory, *places, "--non-interactive", "--manual",
                   "--preferred-challenges", "dns", "--manual-auth-hook", hook, "--force-renewal", "-d",
                   f"{name}.{ZONE}", ok=ok, env=env)

    def count(self, id_):
        return len(self.hospital.certificates(id_))
