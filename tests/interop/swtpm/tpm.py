"""One swtpm, the tpm2-tools that speak to it, and the event log of its firmware.

swtpm is a TPM without firmware: nobody extends its PCRs at start, and there is no log. `boot` does what firmware does:
it extends by `tpm2_pcrextend` and writes the TCG log of it (PC Client Platform Firmware Profile 10), here by hand and
not by Lanyard's own writer, so that the log is read by other eyes than wrote it.
"""

import hashlib
import os
import re
import struct
import uuid
from pathlib import Path

from harness import check, free_port, listens, run, until

EK, EK_CERTIFICATE = "0x81010001", "0x1c00002"
SHA256 = 0x000B
EV_NO_ACTION, EV_SEPARATOR, EV_S_CRTM_VERSION, EV_IPL = 0x03, 0x04, 0x08, 0x0D
EV_EFI_VARIABLE_DRIVER_CONFIG, EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000001, 0x80000003
EV_EFI_PLATFORM_FIRMWARE_BLOB = 0x80000008


class EventLog:
    """What firmware measured: PCR, type, digest and data of each event."""

    def __init__(self, events):
        self.events = events

    @staticmethod
    def of(kernel=b"kernel 6.1", version="ROM 2"):
        """The boot of a simulated device."""
        def whole(pcr, kind, data):
            return pcr, kind, hashlib.sha256(data).digest(), data

        def named(pcr, kind, content, data):
            return pcr, kind, hashlib.sha256(content).digest(), data

        events = [
            whole(0, EV_S_CRTM_VERSION, (version + "\0").encode("utf-16-le")),
            named(0, EV_EFI_PLATFORM_FIRMWARE_BLOB, b"firmware volume", struct.pack("<QQ", 0xFF000000, 15)),
            named(2, EV_EFI_PLATFORM_FIRMWARE_BLOB, b"option ROM", struct.pack("<QQ", 0xC0000, 10)),
            whole(7, EV_EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\1")),
        ]
        events += [whole(pcr, EV_SEPARATOR, bytes(4)) for pcr in range(8)]
        events += [
            named(4, EV_EFI_BOOT_SERVICES_APPLICATION, b"boot loader",
                  image_load("\\EFI\\BOOT\\BOOTX64.EFI")),
            named(9, EV_IPL, kernel, b"/boot/vmlinuz"),
        ]
        return EventLog(events)

    def and_then(self, pcr, content, name):
        """The same with one event more."""
        return EventLog([*self.events, (pcr, EV_IPL, hashlib.sha256(content).digest(), name)])

    def write(self, path):
        spec = (b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, 0, 2, 0, 2)
                + struct.pack("<IHH", 1, SHA256, 32) + b"\0")
        raw = struct.pack("<II20sI", 0, EV_NO_ACTION, bytes(20), len(spec)) + spec
        for pcr, kind, digest, data in self.events:
            raw += struct.pack("<IIIH", pcr, kind, 1, SHA256) + digest + struct.pack("<I", len(data)) + data
        Path(path).write_bytes(raw)
        return path


def variable(name, content):
    """UEFI_VARIABLE_DATA (Platform Firmware Profile 10.2.6) of one of the global variables."""
    guid = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
    return guid + struct.pack("<QQ", len(name), len(content)) + name.encode("utf-16-le") + content


def image_load(path):
    """UEFI_IMAGE_LOAD_EVENT (10.2.3) with a device path of one file."""
    name = (path + "\0").encode("utf-16-le")
    device_path = struct.pack("<BBH", 4, 4, 4 + len(name)) + name + struct.pack("<BBH", 0x7F, 0xFF, 4)
    return struct.pack("<QQQQ", 0x1000, 11, 0, len(device_path)) + device_path


class Swtpm:
    """A TPM made by swtpm_setup, with an EK certificate of a CA of its own, or of the one that `ca` puts into the folder it is given."""

    def __init__(self, folder, processes, name, ca=lambda folder: None):
        self.name, self.processes, self.folder = name, processes, folder / name
        d = self.folder
        (d / "state").mkdir(parents=True)
        (d / "ca").mkdir()
        ca(d / "ca")
        (d / "localca.conf").write_text(
            f"statedir = {d}/ca\nsigningkey = {d}/ca/signkey.pem\nissuercert = {d}/ca/issuercert.pem\n"
            f"certserial = {d}/ca/certserial\n")
        (d / "localca.options").write_text(
            "--platform-manufacturer AcmeMed\n--platform-version 1.0\n--platform-model Infusion-X\n")
        (d / "setup.conf").write_text(
            f"create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {d}/localca.conf\n"
            f"create_certs_tool_options = {d}/localca.options\n")
        run("swtpm_setup", "--tpm2", "--tpmstate", d / "state", "--config", d / "setup.conf", "--create-ek-cert",
            "--lock-nvram", "--pcr-banks", "sha256", "--vmid", name)
        self.endorsement, self.event_log = d / "ca/issuercert.pem", d / "event.log"
        self.port = None
        self.power_on()

    def power_on(self):
        """On the same ports as before; PCRs are zero."""
        for _ in range(20):
            port = self.port or free_port(1)
            process = self.processes.start(
                self.name, "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder / 'state'}",
                "--flags", "not-need-init,startup-clear",
                "--server", f"type=tcp,port={port},bindaddr=127.0.0.1",
                "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1")
            # The control port: a second connection to the other one would be taken for a client.
            if until("swtpm listens or has ended", lambda: listens(port + 1) or process.poll() is not None) is True \
                    and process.poll() is None:
                self.port, self.tcti = port, f"swtpm:host=127.0.0.1,port={port}"
                return
            self.processes.stop(self.name)
        raise AssertionError("swtpm did not start on any of 20 pairs of ports")

    def power_cycle(self):
        """The plug is pulled and put back."""
        self.processes.stop(self.name)
        self.power_on()

    def tool(self, program, *arguments, ok=True):
        """One of tpm2-tools; leaves no key in the TPM's three slots behind."""
        env = {"TPM2TOOLS_TCTI": self.tcti}
        done = run(program, *arguments, ok=ok, env=env, timeout=60)
        run("tpm2_flushcontext", "-t", env=env, timeout=60)
        return done

    def file(self, name):
        return self.folder / name

    def boot(self, log):
        """What firmware does from power-on to kernel."""
        log.write(self.event_log)
        self.tool("tpm2_pcrextend", *(f"{pcr}:sha256={digest.hex()}" for pcr, _, digest, _ in log.events))

    def pcrs(self, indices):
        """PCR values, by `tpm2_pcrread`."""
        text = self.tool("tpm2_pcrread", "sha256:" + ",".join(map(str, indices))).out
        found = {int(pcr): value.lower() for pcr, value in re.findall(r"^\s*(\d+)\s*:\s*0x([0-9A-Fa-f]{64})", text, re.M)}
        check(sorted(found) == sorted(indices), text)
        return found

    def endorsement_key(self):
        """EK certificate and public part."""
        certificate, public = self.file("ek.der"), self.file("ek.pub")
        self.tool("tpm2_nvread", EK_CERTIFICATE, "-o", certificate)
        self.tool("tpm2_readpublic", "-c", EK, "-o", public, "-f", "tss")
        return certificate.read_bytes(), tpmt(public)

    def attestation_key(self, parent=EK):
        """Made by tpm2-tools; its name."""
        self.tool("tpm2_createak", "-C", parent, "-c", self.file("ak.ctx"), "-G", "ecc", "-g", "sha256", "-s", "ecdsa",
                  "-u", self.file("ak.pub"), "-r", self.file("ak.priv"), "-n", self.file("ak.name"))
        return self.file("ak.name").read_bytes()

    def activate(self, credential, parent=EK, ok=True):
        """The secret in a credential file, by `tpm2_activatecredential` with this TPM's EK and AK."""
        session, out = self.file("session.ctx"), self.file("secret.bin")
        out.unlink(missing_ok=True)
        env = {"TPM2TOOLS_TCTI": self.tcti}
        self.tool("tpm2_startauthsession", "--policy-session", "-S", session)
        try:
            self.tool("tpm2_policysecret", "-S", session, "-c", "e")
            done = self.tool("tpm2_activatecredential", "-c", self.file("ak.ctx"), "-C", parent, "-i", credential,
                             "-o", out, "-P", f"session:{session}", ok=ok)
        finally:
            run("tpm2_flushcontext", session, env=env, ok=None, timeout=60)
        return out.read_bytes() if done.returncode == 0 else done.err


def tpmt(path):
    """TPMT_PUBLIC out of the TPM2B_PUBLIC that tpm2-tools writes."""
    raw = Path(path).read_bytes()
    check(struct.unpack(">H", raw[:2])[0] == len(raw) - 2, f"{path} is no TPM2B_PUBLIC")
    return raw[2:]


def credential_file(path, blob, encrypted_secret):
    """The file format of tpm2-tools: magic, version, both structures with their sizes."""
    path.write_bytes(struct.pack(">II", 0xBADCC0DE, 1) + struct.pack(">H", len(blob)) + blob
                     + struct.pack(">H", len(encrypted_secret)) + encrypted_secret)
    return path


def replayed(log):
    """PCR values by `tpm2_eventlog`, the oracle."""
    text = run("tpm2_eventlog", log).out
    part = text[text.index("\npcrs:"):]
    return {int(pcr): value.lower() for pcr, value in re.findall(r"^\s*(\d+)\s*:\s*0x([0-9A-Fa-f]{64})", part, re.M)}


os.environ.setdefault("TSS2_LOG", "all+none")
