"""Steps: what is left of all of this."""

from harness import check, run, same
from scene import suite


# I3, R48
@suite.step
def what_the_ledger_says_was_issued_is_what_devices_have(s):
    same(s.hospital.check_ledger()["open_issuances"], 0, "intents without a certificate")
    for issuer, given in s.given.items():
        lines = s.hospital.as_("anna", "cert", "ls", "--issuer", issuer)
        same({line["serial"] for line in lines if line["kind"] == "device"}, given, f"certificates of {issuer}")


# I10
@suite.step
def no_file_of_the_server_holds_a_secret(s):
    secret = s.hasty.give_secret().split("-")[1].encode()
    for path in s.hospital.data.rglob("*"):
        check(not path.is_file() or secret not in path.read_bytes(), f"{path.name} holds a secret")


# R43, R44, R66: what SCEP certifies is a key without hardware. So the tiers that renew by themselves do, signed by the certificate that
# has ended; those for which a person must agree get no certificate here in the first place.
@suite.step
def after_its_end_a_certificate_renews_by_tier(s):
    standard, low = s.device("late").enrolled(), s.device("late-low", tier="low").enrolled()
    forgotten, stolen = s.device("forgotten").enrolled(), s.device("stolen").enrolled()
    high = s.device("late-high", tier="high").approved()
    key = high.new_key("first")
    done = high.swan(key, "--password", high.give_secret(), ok=False)
    check("badRequest" in done.err and "certificate_issued" not in high.names(), done.err)
    s.hospital.as_("sara", "device", "revoke", stolen.id, "--because", "stolen", "--reason", "gone")
    s.later("+2d")
    for device in (standard, low, forgotten):
        run("openssl", "verify", "-CAfile", s.hospital.anchors, "-untrusted", s.authority("legacy-north"),
            device.certificate, ok=False, env=s.hospital.env)
    for device in (standard, low):
        device.renews("late")
        # And on from there, as always.
        device.renews("after")
    check("badRequest" in stolen.renews("late", ok=False).err, "it was revoked while it slept")
    check("revoked_certificate_used" in stolen.alarms(), stolen.alarms())
    s.later("+95d")
    check("badRequest" in forgotten.renews("late", ok=False).err, "90 days are over")
    same(forgotten.names().count("certificate_issued"), 1, "certificates")
    key = forgotten.new_key("anew")
    forgotten.has_by(forgotten.swan(key, "--password", forgotten.give_secret()), "anew", key)
    same(s.hospital.check_ledger()["open_issuances"], 0, "intents without a certificate")
