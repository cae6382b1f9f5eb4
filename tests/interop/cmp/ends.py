"""Steps: what time ends, and what is left of all of this."""

from harness import check, run, same, until
from scene import pems_in, serial_of, suite
from waiting import Asking


# R49: RFC 9810 5.3.18. From here on the clock is ahead.
@suite.step
def a_certificate_that_nobody_confirms_is_revoked_unless_it_is_used(s):
    silent, busy = s.device("silent").approved().give_secret(), s.device("busy").approved().give_secret()
    certificates = {}
    for device in (silent, busy):
        key = device.new_key("first")
        file, said = device.ask("ir", device.mac(), key, "-disable_confirm")
        check("CERTCONF" not in said, said)
        certificates[device] = device.takes(file, key)
    # A confirmation may be lost on the way; who uses the certificate has it.
    busy.takes(busy.ask("kur", busy.signed(), busy.key)[0], busy.key)
    s.set_clock("+11m")
    until("what nobody confirmed is revoked", lambda: silent.revoked(certificates[silent]))
    same(silent.revoked(certificates[silent]), "given_up", "reason")
    last = s.hospital.as_("anna", "device", "events", silent.id)[-1]
    same(last["event"]["event"], "certificate_revoked", "last event")
    check(last["actor"] != silent.id, f"the control plane judged, not the device: {last}")
    same(busy.revoked(certificates[busy]), None, "the one that was used")
    # Power was lost in between: the device asks again, and nobody has to come by.
    silent.takes(silent.ask("ir", silent.mac(), silent.key)[0], silent.key)


# R36
@suite.step
def a_secret_ends(s):
    device = s.device("hasty").approved().give_secret("1m")
    s.set_clock("+13m")
    said = s.refused("ir", "badMessageCheck", "the protection does not verify", *device.mac(), "-newkey",
                     device.new_key("first"), "-certout", device.out("no.pem"))
    check("expired" in said, said)
    same([n for n in device.names() if n.startswith(("issuance", "certificate"))], [], "issuance")


# I10
@suite.step
def no_file_of_the_server_holds_a_secret(s):
    device = s.device("sealed").give_secret()
    proof = device.secret.split("-")[1].encode()
    s.refused("genm", "badMessageCheck", "does not verify", *device.mac(secret=device.secret[:-1]))
    for path in s.hospital.data.rglob("*"):
        if path.is_file():
            check(proof not in path.read_bytes(), f"{path.name} holds a secret")
    check(proof.decode() not in (s.folder / "up.err").read_text(), "the log holds a secret")


# R44, R50, I7: devices go on calling the authority that they know.
@suite.step
def a_generation_of_authorities_takes_over_and_devices_hardly_notice(s):
    device = s.device("of-two-generations").enrolled()
    before, root = device.certificate, s.hospital.anchors
    s.hospital.as_("sara", "ca", "create", "issuing-2")
    s.hospital.as_("anna", "ca", "activate", "issuing-2")
    both = "".join(a["certificate_pem"] for a in s.hospital.as_("anna", "ca", "list") if a["purpose"] == "devices")
    answer = device.out("genp.der")
    s.cmp("genm", *device.signed(), "-infotype", "caCerts", "-rspout", answer)
    first = s.issuing
    s.issuing = s.file("issuing-both.pem", both)
    # recipient is the issuer of the certificate that signs: the one before, then the new one.
    for key in (device.key, device.new_key("second")):
        device.takes(device.ask("kur", device.signed(), key)[0], key)
    for certificate, issuer, ok in ((before, first, True), (device.certificate, first, False),
                                    (device.certificate, s.issuing, True)):
        run("openssl", "verify", "-CAfile", root, "-untrusted", issuer, certificate, ok=ok, env=s.hospital.env)
    for pem in pems_in(s.issuing):
        der = run("openssl", "x509", "-outform", "DER", stdin=pem.encode()).stdout
        check(der in answer.read_bytes(), "caCerts lack an authority that is about to issue")


# A restart ends transactions, not certificates.
@suite.step
def after_a_restart_clients_begin_anew(s):
    device = s.device("restarted").enrolled()
    s.hospital.restart(s.hospital.env)
    signer = device.out("extra.pem")
    device.takes(device.ask("kur", device.signed(), device.key, "-extracertsout", signer)[0], device.key)


# I3, R48
@suite.step
def what_the_ledger_says_was_issued_is_what_devices_have(s):
    sum_ = s.hospital.check_ledger()
    same(sum_["open_issuances"], 0, "intents without a certificate")
    lines = s.hospital.as_("anna", "cert", "ls")
    # What a client rejected it has not kept.
    rejected = {line["serial"] for line in lines if line["revoked"] and line["revoked"]["reason"] == "given_up"}
    known = {line["serial"] for line in lines if line["kind"] == "device"}
    same((known - rejected - s.given, s.given - known), (set(), set()), "certificates that only one side knows")


# R44, I7: the control plane renews its own certificate at two thirds of two days.
@suite.step
def answers_are_signed_with_the_servers_newest_certificate(s):
    def signer(device):
        extra = device.out("extra.pem")
        s.cmp("genm", *device.signed(), "-extracertsout", extra)
        return serial_of(extra)

    before = signer(s.device("watching").enrolled())
    s.set_clock("+33h")
    device = s.device("watching-on").enrolled()
    until("the server's certificate is a new one", lambda: signer(device) != before)
    device.takes(device.ask("kur", device.signed(), device.key)[0], device.key)


def is_served(s):
    """The control plane's own certificate has ended too, days later; it has another within seconds."""
    try:
        run("curl", "-sS", "-o", s.folder / "served", "--cacert", s.hospital.anchors,
            f"https://{s.hospital.enroll}/.well-known/est/cacerts", env=s.hospital.env)
    except AssertionError:
        return False
    return True


# R43, R66: a device that was switched off, or a control plane that was away. The clock is days ahead from here on.
@suite.step
def after_its_end_a_certificate_renews_by_tier(s):
    standard, forgotten = s.device("late").enrolled(), s.device("forgotten").enrolled()
    high = s.device("late-high", tier="high").approved()
    made, idevid = s.maker.idevid("SN-late-high")
    key = high.new_key("first")
    high.takes(high.ask("ir", ("-cert", idevid, "-key", made, "-subject", "/CN=pump", "-recipient", "/"), key)[0], key)
    s.set_clock("+3d")
    until("the server's certificate is a new one", lambda: is_served(s))
    for device in (standard, high):
        run("openssl", "verify", "-CAfile", s.hospital.anchors, "-untrusted", s.issuing, device.certificate,
            ok=False, env=s.hospital.env)
    standard.takes(standard.ask("kur", standard.signed(), standard.key)[0], standard.key)
    asking = Asking(high, "kur", high.signed(), high.key)
    s.hospital.as_("sara", "device", "allow-late-renewal", high.id, "--for", "12h", "--reason", "was in repair")
    said = asking.end(0)
    check("a person must allow" in said, f"it was not told what it waits for:\n{said}")
    high.takes(asking.file, high.key)
    s.set_clock("+100d")
    until("the server's certificate is a new one", lambda: is_served(s))
    said = s.refused("kur", "notAuthorized", "ended_too_long_ago", *forgotten.signed(), "-newkey", forgotten.key,
                     "-certout", forgotten.out("no.pem"))
    check("enroll anew" in said, said)
    s.hospital.check_ledger()
