"""What the suites of this folder share: steps that count, processes that end, a hospital to test against.

In scope: starting `lanyard` and foreign programs on free ports of 127.0.0.1, calling the command line as one of three
people, counting. Out of scope: anything that decides whether a test passes; that stands in the suites.
Standard library only. To add a suite: a folder with run.py that makes a `Suite`, its steps, and calls `suite.run`.
"""

import base64
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("LANYARD_PEERS_PYTHON") or sys.executable
MISSING = "run `cargo xtask peers`"
# Debug builds, two busy cores: what takes a second alone may take thirty beside other jobs.
PATIENCE = 120
PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """A foreign program is not installed."""


def binary():
    """The `lanyard` under test."""
    path = os.environ.get("LANYARD_BIN") or str(ROOT / "target/debug/lanyard")
    if not os.access(path, os.X_OK):
        raise Missing(f"`{path}` is not there: run `cargo xtask test`, or build it with "
                      "`cargo build -p lanyard-cli --features tpm`")
    return path


def instant_acme():
    """instant-acme's command line (`instant-acme/src/main.rs`)."""
    path = os.environ.get("LANYARD_INSTANT_ACME") or str(ROOT / "target/peers/instant-acme/debug/instant-acme-client")
    if not os.access(path, os.X_OK):
        raise Missing(f"`{path}` is not there: {MISSING}")
    return path


def need(*programs):
    """Refuses to start without these programs."""
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        raise Missing(f"{', '.join(absent)}: not installed; {MISSING}")


class Suite:
    """Numbered steps in the order they were written. A step that fails does not stop the next ones."""

    def __init__(self, name):
        self.name, self.steps = name, []

    def step(self, function):
        self.steps.append(function)
        return function

    def run(self, prepare, peers=()):
        """Prepares a scene, runs every step with it, tears down, prints the sum and ends the process."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        passed = failed = 0
        with tempfile.TemporaryDirectory(prefix=f"lanyard-{self.name}-") as folder:
            processes = Processes(Path(folder))
            try:
                try:
                    need(*peers)
                    scene = prepare(Path(folder), processes)
                except Missing as error:
                    print(f"0. {error}")
                    failed += 1
                except Exception:  # noqa: BLE001: whatever it is, it is a failed preparation
                    print(f"0. preparation failed\n{traceback.format_exc()}{processes.logs()}")
                    failed += 1
                else:
                    for number, step in enumerate(self.steps, 1):
                        started = time.monotonic()
                        try:
                            step(scene)
                        except Exception:  # noqa: BLE001: any exception is a failed step
                            failed += 1
                            print(f"{number}. {step.__name__}: FAILED\n{traceback.format_exc()}{processes.logs()}")
                        else:
                            passed += 1
                            print(f"{number}. {step.__name__}: ok ({time.monotonic() - started:.1f} s)")
                        sys.stdout.flush()
            finally:
                processes.stop_all()
        print(f"{passed} passed, {failed} failed")
        sys.stdout.flush()
        sys.exit(1 if failed or not passed else 0)


def free_port(neighbours=0):
    """A port that is free now, with as many free ones behind it. For programs that must be told their port: below the
    range from which the system takes ports of its own (32768 on), or an outgoing connection may have it by then."""
    while True:
        first = random.randrange(15_000, 32_000)
        taken = []
        try:
            for port in range(first, first + neighbours + 1):
                taken.append(socket.socket())
                taken[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for probe in taken:
                probe.close()


def deaf_port():
    """A port that refuses connections and that nobody else can take while the socket is kept."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


def until(what, condition, seconds=PATIENCE):
    """Waits for a condition and returns its value; fails by name."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.05)


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check(holds, why):
    """`assert` that survives `python -O`."""
    if not holds:
        raise AssertionError(why)


def same(found, expected, what):
    check(found == expected, f"{what}: expected {expected!r}, found {found!r}")


def run(*command, ok=True, stdin=None, env=None, timeout=PATIENCE):
    """Runs a program to its end. `ok=None` takes any exit code."""
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True,
                          timeout=timeout, env={**os.environ, **(env or {})}, check=False)
    done.out = done.stdout.decode("utf-8", "replace")
    done.err = done.stderr.decode("utf-8", "replace")
    if ok is not None and (done.returncode == 0) != ok:
        raise AssertionError(f"`{' '.join(map(str, command))}` ended with {done.returncode}\n{done.out}{done.err}")
    return done


class Processes:
    """What runs in the background. Ends with the suite, also when the suite is killed."""

    def __init__(self, folder):
        self.folder, self.running = folder, {}

    def start(self, name, *command, env=None):
        """Starts a program; its standard output and error go to two files."""
        check(name not in self.running, f"`{name}` runs already")
        libc = ctypes.CDLL(None)
        with open(self.folder / f"{name}.out", "wb") as out, open(self.folder / f"{name}.err", "ab") as err:
            process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, **(env or {})},
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.running[name] = process
        return process

    def output(self, name):
        return (self.folder / f"{name}.out").read_text("utf-8", "replace")

    def stop(self, name, how=signal.SIGTERM):
        process = self.running.pop(name)
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)

    def stop_all(self):
        for name in reversed(list(self.running)):
            self.stop(name)

    def logs(self):
        """The last lines of everything, for a failed step."""
        text = ""
        for path in sorted(self.folder.glob("*.err")):
            lines = path.read_text("utf-8", "replace").splitlines()[-15:]
            text += "".join(f"   {path.stem}| {line}\n" for line in lines)
        return text


class Refused(Exception):
    """The command line ended with an exit code other than 0."""

    def __init__(self, command, code, text):
        super().__init__(f"`lanyard {command}` ended with {code}: {text}")
        self.code, self.text = code, text


def lanyard(*arguments, env=None):
    """Runs a command and returns its JSON, or raises `Refused`."""
    done = run(binary(), "-o", "json", *arguments, ok=None, env=env)
    if done.returncode != 0:
        raise Refused(" ".join(map(str, arguments)), done.returncode, done.err.strip())
    return json.loads(done.out) if done.out.lstrip().startswith(("{", "[")) else done.out


def refusal(code, pattern, work):
    """`work` must be refused with this exit code and words; returns the words."""
    try:
        value = work()
    except Refused as error:
        check(error.code == code and re.search(pattern, error.text),
              f"expected exit code {code} and /{pattern}/: {error}")
        return error.text
    raise AssertionError(f"expected a refusal /{pattern}/, got {value!r}")


class Hospital:
    """`lanyard up` in a folder of its own, with three people: Anna (admin, registrar), Sara (security), Ben
    (biomedical)."""

    SITE = "north"

    def __init__(self, folder, processes, upstream=None, token_file=None, enroll=None):
        """Without `upstream` the EHR is a port that refuses connections: what the gateway lets through ends in 503.
        `enroll` has keys of the configuration's table of that name, beside the addresses; `{}` for none. Without it there
        are no listeners for enrollment protocols and revocation."""
        if upstream is None:
            self.no_ehr, port = deaf_port()
            upstream = f"http://127.0.0.1:{port}/fhir"
        self.folder, self.processes = folder, processes
        self.data, self.passphrase = folder / "data", folder / "passphrase"
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_text("a passphrase of the interop suites\n")
        self.toml = folder / "lanyard.toml"
        token = f"upstream_token_file = '{token_file}'\n" if token_file else ""
        front_ends = ""
        if enroll is not None:
            keys = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", **enroll}
            # A string in JSON is one in TOML.
            front_ends = "[enroll]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        self.env = None
        self.toml.write_text(
            f"listen = '127.0.0.1:0'\nlog = 'info'\norganization = 'Interop Hospital'\n"
            "domain = 'interop.example'\norigin = 'interop.example/lanyard'\n"
            f"{front_ends}[gateway]\nsite = '{self.SITE}'\nlisten = '127.0.0.1:0'\n"
            f"upstream = '{upstream}'\nupstream_timeout_seconds = 5\n{token}")
        self.up()
        self.people()

    def up(self):
        """Starts it and waits until it says where it listens."""
        process = self.processes.start(
            "up", binary(), "-o", "json", "up", "--data", self.data, "--config", self.toml,
            "--passphrase-file", self.passphrase, env=self.env)

        def said():
            check(process.poll() is None, "`lanyard up` ended:\n" + self.processes.logs())
            try:
                return json.loads(self.processes.output("up"))
            except ValueError:
                return None

        self.started = until("`lanyard up` says where it listens", said)

        def at(name):
            return self.started[name] and self.started[name].replace("127.0.0.1", "localhost")

        self.server, self.gateway = at("control_plane"), at("gateway")
        self.enroll, self.pki_http = at("enroll"), at("pki_http")
        self.anchors = Path(self.started["anchors"])

    def restart(self, env=None):
        """Stops it and starts it again, on other ports, in this environment; people find it again."""
        self.processes.stop("up")
        self.env = env
        self.up()
        self.login()

    def login(self):
        for who in ("anna", "sara", "ben"):
            self.as_(who, "login", "--server", self.server, "--fingerprint", self.started["fingerprint"])

    def people(self):
        self.login()
        self.as_("anna", "operator", "init", "Anna", "--secret", self.started["bootstrap_secret"],
                 "--roles", "admin,registrar")
        for who, role in (("sara", "security"), ("ben", "biomedical")):
            me = self.as_(who, "operator", "key", who.capitalize())
            line = f"lanyard-operator/1 {me['operator']} {me['public_key']} {me['name']}"
            self.as_("anna", "operator", "add", line, "--roles", role)

    def as_(self, who, *arguments):
        """A command as one of the people."""
        return lanyard("--profile", self.folder / f"{who}.toml", *arguments, env=self.env)

    def enter(self, vendor, model, serial, scopes="system/Observation.c", tier="standard", ek_sha256=None,
              kind="infusion-pump"):
        """A device in the inventory that nobody has approved; its id."""
        record = self.folder / f"{serial}.json"
        record.write_text(json.dumps({
            "vendor": vendor, "model": model, "serial": serial, "site": self.SITE, "owner": "biomed",
            "department": "ICU", "purpose": "infusion of drugs", "class": kind, "tier": tier,
            "ai": False, "scopes": scopes.split(), "ae_title": None, "zone": "infusion", "ek_sha256": ek_sha256}))
        return self.as_("anna", "device", "register", record)["device"]

    def approve(self, device):
        """Both approvals, by two people."""
        self.as_("sara", "device", "approve", device, "--role", "security")
        self.as_("ben", "device", "approve", device, "--role", "biomedical")

    def register(self, vendor, model, serial, **record):
        """A device in the inventory, approved by two people; its id."""
        device = self.enter(vendor, model, serial, **record)
        self.approve(device)
        return device

    def secret(self, device, time="3d"):
        """A one-time enrollment secret; an older one of this device is void from now on."""
        return self.as_("anna", "device", "secret", device, "--for", time)["secret"]

    def approve_firmware(self, vendor, model, version, log):
        """Measured from a golden log, proposed by Anna, approved by Sara; its id and content."""
        file = self.folder / f"{vendor}-{model}-{version}.release.json"
        lanyard("release", "measure", "--vendor", vendor, "--model", model, "--release-version", version,
                "--log", log, "--file", file)
        release = self.as_("anna", "release", "add", file)["release"]
        self.as_("sara", "release", "approve", release, "--reason", "bill of materials checked")
        return release, json.loads(file.read_text())

    def profile(self, name, text):
        """A certificate profile, proposed by one and approved by another."""
        file = self.folder / f"{name}.toml"
        file.write_text(text)
        self.as_("anna", "profile", "propose", file)
        self.as_("sara", "profile", "approve", name, file)

    def endorse(self, certificate):
        return self.as_("sara", "endorsement", "add", certificate, "--reason", "maker's authority checked by phone")

    def detail(self, device):
        return self.as_("anna", "device", "get", device)

    def events(self, device):
        """What happened to a device, in order."""
        return [line["event"] for line in self.as_("anna", "device", "events", device)]

    def alarms(self, device):
        """Codes of the alarms on a device's chain, in order."""
        return [event["code"] for event in self.events(device) if event["event"] == "alarm_raised"]

    def certificates(self, device):
        """Lines of the inventory of certificates, those that end first above; revoked ones included."""
        return self.as_("anna", "cert", "ls", "--subject", device)

    def check_ledger(self):
        """Everything that is recorded recomputed; works beside a running server."""
        return lanyard("ledger", "check", "--data", self.data, "--log-key", self.started["log_vkey"], env=self.env)


def agent_config(hospital, folder, vendor, model, serial, event_log, *more):
    """Configuration of an agent; its file. `more` are options of `agent init`."""
    file = folder / "agent.toml"
    lanyard("agent", "init", "--server", hospital.server, "--anchors", hospital.anchors, "--gateway",
            hospital.gateway, "--vendor", vendor, "--model", model, "--serial", serial, "--state",
            folder / "state", "--event-log", event_log, *more, "-f", file)
    return file


def observation(device, rate=12.5):
    """A reading of an infusion pump."""
    return {
        "resourceType": "Observation", "status": "final",
        "code": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "157784",
                             "display": "MDC_FLOW_FLUID_PUMP"}]},
        "subject": {"reference": "Patient/example"},
        "effectiveDateTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "valueQuantity": {"value": rate, "unit": "mL/h", "system": "http://unitsofmeasure.org", "code": "mL/h"},
        "device": {"identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{device}"}}}


def b64(data):
    return base64.b64encode(data).decode()
