"""What the steps share: a hospital whose plain listener is on, devices with RSA keys, a proxy that keeps messages."""

import http.client
import http.server
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import Hospital, Suite, check, run, same  # noqa: E402

suite = Suite("scep")
VENDOR, MODEL = "Acme Medical", "Infusion X"


class Answer:
    """An HTTP answer."""

    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = self.body.decode("utf-8", "replace")

    def refused(self, status, words):
        check(self.status == status and words in self.text, f"expected {status} and `{words}`: {self}")
        return self

    def __repr__(self):
        return f"{self.status} {self.headers} {self.text[:300]}"


class Proxy:
    """Passes requests on to a server and keeps them."""

    def __init__(self, to):
        self.messages = kept = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if b"PKIOperation" in self.path.encode():
                    kept.append(body)
                answer = ask(to, self.command, self.path, body)
                self.send_response(answer.status)
                for name in ("content-type", "retry-after"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def last(self, path):
        """The newest message that was sent, and where it can be sent again."""
        return path, self.messages[-1]


def ask(to, method, target, body=b""):
    connection = http.client.HTTPConnection(to.replace("localhost", "127.0.0.1"), timeout=60)
    try:
        connection.request(method, target, body or None)
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Device:
    """A device in the inventory, with the key and the certificate that it has and the secret that it was given."""

    def __init__(self, scene, name, **record):
        self.scene, self.name = scene, name
        self.folder = scene.folder / name
        self.folder.mkdir()
        self.id = scene.hospital.enter(VENDOR, MODEL, f"SN-{name}", **record)
        self.key = self.certificate = self.secret = None

    def approved(self):
        self.scene.hospital.approve(self.id)
        return self

    def new_key(self, name):
        path = self.folder / f"{name}.key"
        run("openssl", "genrsa", "-traditional", "-out", path, "2048")
        return path

    def give_secret(self, time="3d"):
        self.secret = self.scene.hospital.secret(self.id, time)
        return self.secret

    # I3, R42
    def has(self, certificate, key, issuer="legacy-north"):
        """This certificate is by that authority, for that key and this device, and the ledger has it."""
        s = self.scene
        run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", s.hospital.anchors,
            "-untrusted", s.authority(issuer), certificate, env=s.hospital.env)
        text = run("openssl", "x509", "-in", certificate, "-noout", "-text").out
        for expected in (f"URI:urn:uuid:{self.id}", "TLS Web Client Authentication"):
            check(expected in text, f"`{expected}` is missing:\n{text}")
        pem = run("openssl", "x509", "-in", certificate, "-noout", "-pubkey").stdout
        der = run("openssl", "pkey", "-pubin", "-outform", "DER", stdin=pem).stdout
        own = run("openssl", "pkey", "-in", key, "-pubout", "-outform", "DER").stdout
        check(der == own, "the certificate is for another key")
        number = run("openssl", "x509", "-in", certificate, "-noout", "-serial").out.strip().split("=")[1].lower()
        events = self.events()
        intended = [e for e in events if e["event"] == "issuance_intended" and e["serial"] == number]
        issued = [e for e in events if e["event"] == "certificate_issued" and e["serial"] == number]
        same((len(intended), len(issued)), (1, 1), f"intents and certificates of {number}")
        same((intended[0]["protocol"], intended[0]["spki_sha256"]), ("scep", sha256(der).hexdigest()), "intent")
        check(events.index(intended[0]) < events.index(issued[0]), "the certificate stands before its intent")
        listed = s.hospital.as_("anna", "cert", "ls", "--issuer", issuer)
        check(number in {line["serial"] for line in listed}, f"{number} is not among those of {issuer}")
        s.given.setdefault(issuer, set()).add(number)
        self.certificate, self.key = certificate, key
        return self

    def has_by(self, done, name, key, issuer="legacy-north"):
        """The same, of what strongSwan wrote."""
        path = self.folder / f"{name}.pem"
        path.write_bytes(run("openssl", "x509", "-inform", "DER", stdin=done.stdout).stdout)
        return self.has(path, key, issuer)

    def events(self):
        return self.scene.hospital.events(self.id)

    def names(self):
        return [event["event"] for event in self.events()]

    def alarms(self):
        return self.scene.hospital.alarms(self.id)

    # -- strongSwan --

    def swan(self, key, *arguments, authority="legacy-north", dn=None, to=None, ok=True):
        """`pki --scep` for this key."""
        arguments = self.swan_arguments(key, *arguments, authority=authority, dn=dn, to=to)
        return run("pki", *arguments, ok=ok, env=self.scene.hospital.env)

    def swan_arguments(self, key, *arguments, authority="legacy-north", dn=None, to=None):
        s = self.scene
        ra = s.ra(authority)
        return ("--scep", "--url", f"http://{to or s.at}/scep/{authority}", "--dn", dn or "CN=device",
                "--cacert-enc", ra, "--cacert-sig", ra, "--cacert", s.authority(authority), "--cacert", s.root,
                "--interval", "1", "--in", key, *arguments)

    def enrolled(self, authority="legacy-north"):
        """Approved, with a certificate by a secret."""
        self.approved()
        key = self.new_key("first")
        return self.has_by(self.swan(key, "--password", self.give_secret(), authority=authority), "first", key,
                           authority)

    def renews(self, name, ok=True, **more):
        key, issuer = self.new_key(name), more.get("authority", "legacy-north")
        done = self.swan(key, "--cert", self.certificate, "--key", self.key, ok=ok,
                         dn=more.pop("dn", f"serialNumber={self.id}"), **more)
        return self.has_by(done, name, key, issuer) if ok else done


class Scene:
    """`lanyard up` with a plain listener; SCEP is off until a step turns it on."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.hospital = Hospital(folder, processes, enroll={})
        self.given = {}
        self.find()
        self.hasty = Device(self, "hasty").approved()
        self.hasty.give_secret("1m")
        self.hasty_until = time.monotonic() + 61

    def find(self):
        """Where SCEP is; also after a restart."""
        self.at = self.hospital.pki_http.replace("localhost", "127.0.0.1")
        self.root = self.hospital.anchors

    def use(self, algorithms):
        """Starts again with these algorithms."""
        text = self.hospital.toml.read_text()
        lines = [line for line in text.splitlines(True) if not line.startswith("scep_algorithms")]
        at = lines.index("[enroll]\n") + 1
        self.hospital.toml.write_text("".join([*lines[:at], f"scep_algorithms = '{algorithms}'\n", *lines[at:]]))
        self.hospital.restart()
        self.find()

    def later(self, offset):
        """Everything starts again at another time: server, people, strongSwan and OpenSSL; `+2d`."""
        preload = run("faketime", "-f", offset, "printenv", "LD_PRELOAD").out.strip()
        self.hospital.restart({"LD_PRELOAD": preload, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
        self.find()

    def device(self, name, **record):
        return Device(self, name, **record)

    def get(self, target):
        return ask(self.at, "GET", target)

    def authority(self, name):
        """The certificate of an authority, PEM."""
        [found] = [a for a in self.hospital.as_("anna", "ca", "list") if a["name"] == name]
        path = self.folder / f"{name}.pem"
        path.write_text(found["certificate_pem"])
        return path

    def ra(self, authority):
        """The RA's certificate as GetCACert gives it, PEM."""
        der = self.get(f"/scep/{authority}?operation=GetCACert").body
        pem = run("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=der).out
        path = self.folder / f"ra-{authority}.pem"
        path.write_text(pem[pem.index("-----BEGIN"):pem.index("-----END")] + "-----END CERTIFICATE-----\n")
        return path

    def ledger_size(self):
        """How many events devices have: what changes nothing leaves it as it is. The log's own heartbeat does not count."""
        return sum(len(self.hospital.events(d["device"])) for d in self.hospital.as_("anna", "device", "list"))

    def turn_on(self, name, *site):
        """A legacy authority, by two people."""
        self.hospital.as_("anna", "ca", "create", name, "--purpose", "legacy", *site, "--reason", "old pumps")
        self.hospital.as_("sara", "ca", "activate", name, "--reason", "old pumps")
