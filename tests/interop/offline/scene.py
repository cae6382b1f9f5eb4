"""What the steps share: a hospital, a device on swtpm, devices on software TPMs, and files that are carried."""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "swtpm"))
from harness import Hospital, Missing, Processes, Suite, agent_config, binary, check, lanyard, run, same  # noqa: E402, F401
from tpm import EventLog, Swtpm  # noqa: E402

suite = Suite("offline")
VENDOR, MODEL = "Acme Medical", "Ventilator V"
SOFT = "Ventilator S"
REFUSED, USAGE, NOT_NOW, CONTRADICTED = 1, 2, 3, 4
GOLDEN = EventLog.of()


class Device:
    """A registered device and the folder in which its files lie."""

    def __init__(self, scene, folder, id_, arguments):
        self.scene, self.folder, self.id, self.arguments = scene, folder, id_, arguments
        self.count = 0

    def file(self, name):
        self.count += 1
        return self.folder / f"{self.count}-{name}"

    def keys(self):
        out = self.file("keys")
        lanyard("agent", "request", *self.arguments, "--out", out)
        return out

    def request(self, *how):
        out = self.file("request")
        lanyard("agent", "request", *self.arguments, *how, "--out", out)
        return out

    def answer(self, challenge):
        return self.request("--challenge", challenge)

    def with_secret(self, text):
        file = self.file("secret")
        file.write_text(text)
        return self.request("--secret-file", file)

    def accept(self, response):
        return lanyard("agent", "accept", *self.arguments, response)

    def names(self):
        return [event["event"] for event in self.scene.hospital.events(self.id)]


class Scene:
    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.hospital = Hospital(folder, processes)
        self.chip = Swtpm(folder, processes, "chip")
        self.chip.boot(GOLDEN)
        self.hospital.endorse(self.chip.endorsement)
        self.hospital.approve_firmware(VENDOR, MODEL, "1.0", self.chip.event_log)
        config = agent_config(self.hospital, self.chip.folder, VENDOR, MODEL, "S-hard", self.chip.event_log)
        id_ = self.hospital.enter(VENDOR, MODEL, "S-hard")
        self.hard = Device(self, self.chip.folder, id_, ("--config", config, "--tcti", self.chip.tcti))
        if "needs a build that talks to TPMs" in run(binary(), "agent", "request", *self.hard.arguments, "--out",
                                                    folder / "probe", ok=None).err:
            raise Missing(f"`{binary()}` is built without the feature tpm: run `cargo xtask test`, or "
                          "`cargo build -p lanyard-cli --features tpm`")
        self.makers = 0
        first = self.soft("S-first", tier="critical")
        self.hospital.endorse(folder / "maker/endorsement.der")
        self.hospital.approve_firmware(VENDOR, SOFT, "1.0", first.folder / "event.log")
        self.critical = first

    def soft(self, serial, tier="standard", maker="maker", approve=True):
        """A device with a software TPM, registered under this serial number."""
        folder = self.folder / serial
        lanyard("agent", "simulate", folder, "--maker", self.folder / maker, "--vendor", VENDOR, "--model", SOFT,
                "--serial", serial, "--firmware", "1.0.0")
        config = agent_config(self.hospital, folder, VENDOR, SOFT, serial, folder / "event.log")
        id_ = self.hospital.enter(VENDOR, SOFT, serial, tier=tier)
        if approve:
            self.hospital.approve(id_)
        return Device(self, folder, id_, ("--config", config, "--tpm-dir", folder / "tpm"))

    def challenge(self, device, keys=None, who="anna"):
        out = device.file("challenge")
        whom = (keys,) if keys else ("--device", device.id)
        self.hospital.as_(who, "enroll", "challenge", *whom, "--out", out)
        return out

    def hand_in(self, device, request, *more, who="anna"):
        """The response file."""
        out = device.file("response")
        self.hospital.as_(who, "enroll", "file", request, "--out", out, *more)
        return out

    def enroll(self, device):
        """A whole first enrollment; its request and response."""
        request = device.answer(self.challenge(device, device.keys()))
        response = self.hand_in(device, request)
        device.accept(response)
        return request, response

    def on_the_network(self, device):
        """The device dials the server where it listens now."""
        config = Path(device.arguments[1])
        text = re.sub(r"^servers = .*?\]", f'servers = ["{self.hospital.server}"]', config.read_text(), count=1,
                      flags=re.M | re.S)
        config.write_text(text)

    def another_hospital(self):
        folder = self.folder / "another"
        folder.mkdir()
        return Hospital(folder, Processes(folder))

    def serials(self, device):
        return [line["serial"] for line in self.hospital.certificates(device.id)]


def changed(path, at, name="changed"):
    """The same file with one bit flipped."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    out = path.with_name(f"{path.name}-{name}-{at}")
    out.write_bytes(data)
    return out


def cut(path, length):
    out = path.with_name(f"{path.name}-cut-{length}")
    out.write_bytes(path.read_bytes()[:length])
    return out


def shown(path):
    return dict(lanyard("enroll", "show", path)["facts"])


def resigned(path):
    """The same request with the other ECDSA signature of the same bytes: (r, n - s), which anybody can make."""
    data = path.read_bytes()
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for length in range(66, 75):
        at = len(data) - length
        if int.from_bytes(data[at - 2:at], "big") == length and data[at] == 0x30 and data[at + 1] == length - 2:
            r, s = decode_dss_signature(data[at:])
            other = encode_dss_signature(r, n - s)
            out = path.with_name(f"{path.name}-resigned")
            out.write_bytes(data[:at - 2] + len(other).to_bytes(2, "big") + other)
            return out
    raise AssertionError("no ECDSA signature at the end")


def events(scene, device, name):
    return [e for e in scene.hospital.events(device.id) if e["event"] == name]
