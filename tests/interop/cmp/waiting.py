"""Steps: what a person has to decide first."""

from harness import check, same, until
from scene import suite

# It polls a last time when the time is nearly up (5 seconds before), and not in the 300 seconds that it was told.
PATIENT = ("-total_timeout", "30")


class Asking:
    """A client in the background, that has been told to wait and has polled once."""

    def __init__(self, device, cmd, who, key=None):
        s = device.scene
        self.device, self.file, self.key = device, device.out("waited.pem"), key or device.new_key("first")
        before, had = self.told(), self.gives(device)
        self.process = s.processes.start(
            "asking", *s.command(cmd, *who, "-newkey", self.key, "-certout", self.file, *PATIENT), env=s.hospital.env)
        until("a device waits, and polls", lambda: self.told() >= before + 2 or self.process.poll() is not None)
        check(self.process.poll() is None, f"it did not wait:\n{self.said()}")
        same(self.gives(device), had, "what a device has that waits")

    def gives(self, device):
        return [n for n in device.names() if n.startswith(("issuance", "certificate_issued", "enrollment_secret_used"))]

    def told(self):
        return (self.device.scene.folder / "up.err").read_text().count("waits for a person")

    def said(self):
        return "".join((self.device.scene.folder / f"asking.{end}").read_text() for end in ("out", "err"))

    def end(self, code):
        same(self.process.wait(60), code, f"exit code:\n{self.said()}")
        self.device.scene.processes.stop("asking")
        return self.said()


# R31, R36, R42, I1
@suite.step
def an_unapproved_device_waits_until_both_have_approved(s):
    device = s.device("waiting").give_secret()
    asking = Asking(device, "ir", device.mac())
    s.hospital.as_("sara", "device", "approve", device.id, "--role", "security")
    s.hospital.as_("ben", "device", "approve", device.id, "--role", "biomedical")
    said = asking.end(0)
    for step in ("received IP", "sending POLLREQ", "received POLLREP", "sending CERTCONF", "received PKICONF"):
        check(step in said, f"`{step}` is missing:\n{said}")
    check("not yet approved" in said, f"it was not told what it waits for:\n{said}")
    device.takes(asking.file, asking.key)


# R31, R35
@suite.step
def who_waits_with_a_factory_certificate_and_is_retired_is_told_no(s):
    device = s.device("withdrawn")
    made, idevid = s.maker.idevid("SN-withdrawn")
    asking = Asking(device, "ir", ("-cert", idevid, "-key", made, "-subject", "/CN=pump", "-recipient", "/"))
    s.hospital.as_("ben", "device", "retire", device.id, "--reason", "sent back to its maker")
    said = asking.end(1)
    check("retired: this device is retired" in said, said)
    check(not asking.file.exists(), "a certificate came all the same")
    same(device.alarms(), ["retired_identity_used"], "alarms")
