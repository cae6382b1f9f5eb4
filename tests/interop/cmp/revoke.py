"""Steps: certificates that their holder does not want."""

from harness import check, run, same
from scene import serial_of, suite


def revokes(device, certificate, reason, *who):
    return device.scene.cmp("rr", *(who or device.signed()), "-oldcert", certificate, "-revreason", str(reason))


def ended_by(device, certificate):
    """Who, and with which reason: from the chain."""
    s = device.scene
    lines = s.hospital.as_("anna", "device", "events", device.id)
    number = serial_of(certificate)
    [line] = [line for line in lines
              if line["event"]["event"] == "certificate_revoked" and line["event"]["serial"] == number]
    return line["actor"], line["event"]["reason"]


# R49
@suite.step
def a_device_gives_its_own_certificates_up(s):
    device = s.device("giving-up").enrolled()
    first = device.certificate
    old = device.signed()
    device.takes(device.ask("kur", device.signed(), device.new_key("second"))[0], device.folder / "second.key")
    # The newer one speaks for the older one.
    said = revokes(device, first, 4)
    check("received RP" in said, said)
    same((device.revoked(first), device.revoked(device.certificate)), ("superseded", None), "reasons")
    same(ended_by(device, first), (device.id, "superseded"), "who ended it")
    # What is revoked speaks for nobody, and that it is used is told.
    s.refused("rr", "notAuthorized", "certificate_not_current", *old, "-oldcert", device.certificate, "-revreason", "1")
    same(device.alarms(), ["revoked_certificate_used"], "alarms")
    # Its own; the answer may be lost, and asking again is no alarm.
    revokes(device, device.certificate, 1)
    same(device.revoked(device.certificate), "compromised", "reason")
    s.refused("rr", "certRevoked", "revoked already", *device.signed(), "-oldcert", device.certificate, "-revreason", "1")
    same(device.alarms(), ["revoked_certificate_used"], "alarms")
    device.ask("kur", device.signed(), device.key, ok=False)
    # It is the device still, and may have another.
    device.give_secret()
    key = device.new_key("third")
    device.takes(device.ask("ir", device.mac(), key)[0], key)


# R49
@suite.step
def and_nobody_elses(s):
    device, other = s.device("greedy").enrolled(), s.device("envied").enrolled()
    s.refused("rr", "notAuthorized", "not_its_own", *device.signed(), "-oldcert", other.certificate, "-revreason", "1")
    made, idevid = s.maker.idevid("SN-envied")
    s.refused("rr", "badCertId", "no such certificate", *device.signed(), "-oldcert", idevid, "-recipient", "/")
    s.refused("rr", "notAuthorized", "not_registered|current_certificate_needed", "-cert", idevid, "-key", made,
              "-oldcert", other.certificate, "-recipient", "/")
    for reason in (2, 6, 10):
        s.refused("rr", "notAuthorized", "reason_not_a_holders", *device.signed(), "-oldcert", device.certificate,
                  "-revreason", str(reason))
    same((device.revoked(device.certificate), other.revoked(other.certificate)), (None, None), "reasons")
    same((device.alarms(), other.alarms()), ([], []), "alarms")


# R49: RFC 9810 5.3.18
@suite.step
def a_certificate_that_the_client_rejects_is_revoked(s):
    device = s.device("picky").approved().give_secret()
    key = device.new_key("first")
    # It trusts another root than ours for what it gets.
    picky = ("-out_trusted", s.maker.root)
    _, said = device.ask("ir", device.mac(), key, *picky, ok=False)
    check("sending CERTCONF" in said and "received PKICONF" in said, said)
    [rejected] = s.hospital.certificates(device.id)
    same(rejected["revoked"]["reason"], "given_up", "reason")
    last = s.hospital.as_("anna", "device", "events", device.id)[-1]
    same((last["event"]["event"], last["actor"]), ("certificate_revoked", device.id), "last event")
    # It was no answer: the secret gives the same key another one, and no other key.
    device.ask("ir", device.mac(), device.new_key("second"), ok=False)
    device.takes(device.ask("ir", device.mac(), key)[0], key)
    # The same at a renewal; the certificate before is still there.
    device.ask("kur", device.signed(), device.new_key("third"), *picky, ok=False)
    same([line["serial"] for line in s.hospital.certificates(device.id) if not line["revoked"]],
         [serial_of(device.certificate)], "what it has")
