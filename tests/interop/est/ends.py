"""Steps: what time ends, and what is left of all of this."""

import time

from harness import check, refusal, run, same, until
from scene import suite


# R36
@suite.step
def a_secret_ends(s):
    until("the secret of a minute has ended", lambda: time.monotonic() > s.hasty_until)
    s.hasty.by_secret(s.hasty.new_key("first")).refused(403, r"\(secret_unknown\)$")
    same([n for n in s.hasty.names() if n.startswith(("issuance", "certificate"))], [], "issuance")
    refusal(1, "within 30 days", lambda: s.hospital.secret(s.hasty.id, "31d"))
    refusal(2, "length of time", lambda: s.hospital.secret(s.hasty.id, "0m"))


# I10
@suite.step
def no_file_of_the_server_holds_a_secret(s):
    secret = s.hasty.give_secret()
    proof = secret.split("-")[1].encode()
    for path in s.hospital.data.rglob("*"):
        if path.is_file():
            check(proof not in path.read_bytes(), f"{path.name} holds a secret")
    check(proof.decode() not in (s.folder / "up.err").read_text(), "the log holds a secret")


# I3, R48
@suite.step
def what_the_ledger_says_was_issued_is_what_devices_have(s):
    sum_ = s.hospital.check_ledger()
    same(sum_["open_issuances"], 0, "intents without a certificate")
    lines = s.hospital.as_("anna", "cert", "ls")
    same({line["serial"] for line in lines if line["kind"] == "device"} ^ s.given, set(), "certificates on one side")
    by_profile = s.hospital.as_("anna", "cert", "ls", "--made-by", "device_ldevid", "--site", s.hospital.SITE)
    same({line["serial"] for line in by_profile} ^ (s.given - s.by_template), set(), "of the built-in profile")
    same(s.hospital.as_("anna", "cert", "ls", "--expiring", "20%"), [], "certificates that end soon")


# R43, R66: a device that was switched off, or a control plane that was away.
@suite.step
def after_its_end_a_certificate_renews_by_tier(s):
    standard = s.device("late").enrolled()
    high = s.device("late-high", tier="high").approved()
    made = s.maker.idevid("late-high", "SN-late-high")
    key = high.new_key("first")
    high.takes(high.by_certificate(key, shown=made, operation="simpleenroll"), key)
    forgotten = s.device("forgotten").enrolled()
    s.later("+2d")
    for device in (standard, high):
        run("openssl", "verify", "-CAfile", s.hospital.anchors, "-untrusted", s.issuing, device.certificate,
            ok=False, env=s.hospital.env)
    standard.takes(standard.by_certificate(standard.key), standard.key)
    # The secret that gave it is spent all the same.
    forgotten.by_secret(forgotten.key).refused(403, "secret_used")
    high.by_certificate(high.key).refused(202, "a person must allow")
    s.hospital.as_("sara", "device", "allow-late-renewal", high.id, "--for", "12h", "--reason", "was in repair")
    high.takes(high.by_certificate(high.key), high.key)
    # The allowance was for one.
    s.later("+4d")
    high.by_certificate(high.key).refused(202, "a person must allow")
    s.later("+95d")
    forgotten.by_certificate(forgotten.key).refused(403, r"\(ended_too_long_ago\)$")
    s.hospital.check_ledger()
