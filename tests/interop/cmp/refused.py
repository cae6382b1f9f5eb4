"""Steps: who gets nothing, and what a person hears of it."""

from harness import check, run, same
from scene import new_key, suite


def no(device, cmd, fail, words, who, key, *arguments, **more):
    """Refused with this failInfo and words, nothing issued."""
    new = ("-newkey", key, "-certout", device.out("no.pem"))
    said = device.scene.refused(cmd, fail, words, *who, *new, *arguments, **more)
    check(not (device.folder / "no.pem").exists(), f"a certificate came all the same:\n{said}")
    return said


# R36
@suite.step
def a_wrong_secret_is_refused_and_not_told_from_an_unknown_one(s):
    device, other = s.device("guessing").approved().give_secret(), s.device("other").approved().give_secret()
    key = device.new_key("first")
    before = device.names()
    reference = device.secret.split("-")[0]
    for what, ref, secret in (("another device's", reference, other.secret), ("changed", reference, device.secret[:-1] + "2"),
                              ("shortened", reference, device.secret[:-1]), ("its first part alone", reference, reference),
                              ("empty", reference, ""), ("of another name", other.secret.split("-")[0], device.secret),
                              ("of nobody", "zzzzzzzz", device.secret), ("no name", "nobody", device.secret)):
        if ref == reference and secret == device.secret:
            continue
        said = no(device, "ir", "badMessageCheck", "the protection does not verify", ("-ref", ref, "-secret", f"pass:{secret}",
                                                                                  "-subject", "/CN=x"), key)
        check("PKIStatus: rejection" in said, f"{what}: {said}")
    same(device.names(), before, "events")
    # A newer one makes it void.
    old = device.mac()
    device.give_secret()
    no(device, "ir", "badMessageCheck", "the protection does not verify", old, key)
    device.takes(device.ask("ir", device.mac(), key)[0], key)


# R36, I2
@suite.step
def a_secret_is_good_for_one_key_and_a_key_for_one_device(s):
    device = s.device("spent").enrolled()
    other_key = device.new_key("other")
    for cmd in ("ir", "cr"):
        no(device, cmd, "notAuthorized", "secret_used", device.mac(), other_key)
    device.ask("p10cr", device.mac(), other_key, ok=False)
    thief = s.device("thief").approved().give_secret()
    no(thief, "ir", "notAuthorized", f"key_reused: .*{device.id}", thief.mac(), device.key)
    same(thief.alarms(), ["hardware_key_reused"], "alarms")
    check("certificate_issued" not in thief.names(), "the thief has a certificate")


# R44: a secret neither renews nor revokes.
@suite.step
def renewal_and_revocation_must_be_signed(s):
    device = s.device("unsigned").enrolled()
    device.give_secret()
    no(device, "kur", "wrongIntegrity", "must be signed", device.mac(), device.key, "-oldcert", device.certificate)
    s.refused("rr", "wrongIntegrity", "must be signed", *device.mac(), "-oldcert", device.certificate)
    # A certificate without its key; the update of somebody else's.
    other = s.device("unsigned-other").enrolled()
    run(*s.command("kur", *device.signed(key=other.key), "-newkey", other.key), ok=False)
    no(device, "kur", "badCertId", "oldCertId must name", device.signed(), device.key, "-oldcert", other.certificate)
    same((device.alarms(), other.alarms()), ([], []), "alarms")


# R46
@suite.step
def a_key_must_be_proven_and_strong(s):
    device = s.device("unproven").approved().give_secret()
    key, weak = device.new_key("first"), device.new_key("weak", "RSA-1024")
    for popo in ("-1", "0", "2"):
        no(device, "ir", "badPOP", "proof|raVerified|possession", device.mac(), key, "-popo", popo)
    no(device, "ir", "badPOP", "1024", device.mac(), weak)
    no(device, "ir", "badMessageCheck", "no protection", device.mac(), key, "-unprotected_requests", "-unprotected_errors")
    no(device, "ir", "wrongAuthority", "recipient is not a name", device.mac(), key, "-recipient", "/CN=Somebody Else")
    check("issuance_intended" not in device.names(), "something was about to be signed")


# R7, R38: anybody can sign with a certificate that he made himself.
@suite.step
def strangers_open_nothing(s):
    device = s.device("imitated").enrolled()
    key = device.new_key("second")
    san = f"subjectAltName=URI:urn:uuid:{device.id},DNS:{device.id}.device.interop.example"
    self_made, own = device.new_key("self"), device.out("self.pem")
    run("openssl", "req", "-x509", "-new", "-key", self_made, "-out", own, "-subj", "/CN=pump", "-addext",
        "keyUsage=critical,digitalSignature", "-addext", san)
    namesake = s.namesake.sign("imitated", f"/CN={device.id}", san, "extendedKeyUsage=clientAuth")
    before = s.ledger_size()
    for certificate, signer, words in ((own, self_made, "certificate_not_ours"),
                                       (namesake[1], namesake[0], "certificate_invalid")):
        # OpenSSL leaves a self-signed one out of extraCerts, unless it is told.
        who = ("-cert", certificate, "-key", signer, "-extracerts", certificate)
        for cmd in ("ir", "cr", "kur"):
            no(device, cmd, "signerNotTrusted", words, (*who, "-recipient", "/"), key)
        s.refused("genm", "signerNotTrusted", words, *who, "-recipient", "/")
        s.refused("rr", "notAuthorized", words, *who, "-oldcert", device.certificate)
    # They would fill the table of open transactions; four of one sender, if anything.
    for number in range(6):
        key = new_key(device.folder / f"flood-{number}.key")
        no(device, "ir", "signerNotTrusted", "certificate_not_ours", 
           ("-cert", own, "-key", self_made, "-extracerts", own), key, "-recipient", "/")
    same(s.ledger_size(), before, "events")


# R38, R49, I11
@suite.step
def a_revoked_device_renews_nothing_and_raises_an_alarm(s):
    device = s.device("stolen").enrolled()
    s.hospital.as_("sara", "device", "revoke", device.id, "--because", "stolen", "--reason", "gone from the ward")
    same(device.revoked(device.certificate), "stolen", "reason")
    for cmd, key in (("kur", device.key), ("kur", device.new_key("second")), ("cr", device.key)):
        no(device, cmd, "signerNotTrusted", "certificate_not_current", device.signed(), key)
    same(device.alarms(), ["revoked_certificate_used"] * 3, "alarms")
    s.refused("genm", "signerNotTrusted", "certificate_not_current", *device.signed())
    # Nor by a secret that was there before.
    other = s.device("lost").approved().give_secret()
    s.hospital.as_("sara", "device", "revoke", other.id, "--because", "lost", "--reason", "not on the shelf")
    no(other, "ir", "notAuthorized", "revoked", other.mac(), other.new_key("first"))
    same(other.alarms(), ["revoked_certificate_used"], "alarms")


# R38, I11
@suite.step
def a_retired_device_never_comes_back(s):
    device = s.device("retired").enrolled()
    device.give_secret()
    s.hospital.as_("ben", "device", "retire", device.id, "--reason", "beyond repair")
    no(device, "kur", "signerNotTrusted", "certificate_not_current", device.signed(), device.key)
    no(device, "ir", "notAuthorized", "retired", device.mac(), device.new_key("second"))
    same(set(device.alarms()), {"revoked_certificate_used", "retired_identity_used"}, "alarms")


# R43: a device's clock is the least that is to be relied on.
@suite.step
def a_clock_that_is_ten_minutes_off_costs_nothing(s):
    device = s.device("clock").enrolled()
    clock = s.folder / "their-clock"
    for offset in ("+10m", "-10m"):
        clock.write_text(offset + "\n")
        file, _ = device.ask("kur", device.signed(), device.key, env={"FAKETIME_TIMESTAMP_FILE": str(clock)})
        device.takes(file, device.key)
    for offset in ("+20m", "-20m"):
        clock.write_text(offset + "\n")
        # For a clock that is so late the server's certificate, minutes old, has not begun.
        no(device, "kur", "badTime", "set the clock", device.signed(), device.key, "-unprotected_errors",
           env={"FAKETIME_TIMESTAMP_FILE": str(clock)})
