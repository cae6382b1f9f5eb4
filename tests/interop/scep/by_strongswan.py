"""Steps: SCEP is turned on, and strongSwan's `pki` enrolls, waits, renews and is refused."""

import base64

from harness import check, refusal, run, same, until
from scene import suite

CAPABILITIES = "/scep/legacy-north?operation=GetCACaps"


# R36
@suite.step
def scep_is_off_until_two_people_made_a_legacy_authority(s):
    for target in ("/scep?operation=GetCACaps", CAPABILITIES, "/scep?operation=GetCACert"):
        s.get(target).refused(404, "SCEP is off")
    s.hospital.as_("anna", "ca", "create", "legacy-north", "--purpose", "legacy", "--site", s.hospital.SITE,
                   "--reason", "pumps of 2009")
    s.get(CAPABILITIES).refused(404, "SCEP is off")
    refusal(1, "another person", lambda: s.hospital.as_("anna", "ca", "activate", "legacy-north", "--reason", "x"))
    s.get(CAPABILITIES).refused(404, "SCEP is off")
    s.hospital.as_("sara", "ca", "activate", "legacy-north", "--reason", "pumps of 2009")
    answer = s.get(CAPABILITIES)
    same(answer.status, 200, f"capabilities {answer}")
    words = answer.text.split()
    check({"AES", "SHA-256", "POSTPKIOperation", "Renewal"} <= set(words), words)
    check(not {"DES3", "SHA-1"} & set(words), words)
    same(s.get("/scep?operation=GetCACaps").text, answer.text, "the only one needs no name")
    s.get("/scep/issuing-1?operation=GetCACaps").refused(404, "no active legacy authority")
    s.get("/scep/legacy-north?operation=GetNextCACert").refused(404, "no next CA")
    # Names under which our other keys lie.
    for name in ("scep-legacy-north", "ocsp-x", "control-tls"):
        refusal(1, "must not start with",
                lambda: s.hospital.as_("anna", "ca", "create", name, "--purpose", "legacy", "--reason", "x"))


# R42, R46: who opens messages signs no certificate.
@suite.step
def the_ra_is_certified_by_the_authority_and_can_do_nothing_else(s):
    ra, authority = s.ra("legacy-north"), s.authority("legacy-north")
    run("openssl", "verify", "-x509_strict", "-CAfile", s.root, "-untrusted", authority, ra)
    run("openssl", "verify", "-purpose", "sslclient", "-CAfile", s.root, "-untrusted", authority, ra, ok=False)
    text = run("openssl", "x509", "-in", ra, "-noout", "-text").out
    for expected in ("Digital Signature, Key Encipherment", "1.3.6.1.5.5.7.3.28|CMC Registration Authority", "3072 bit"):
        check(any(word in text for word in expected.split("|")), f"`{expected}` is missing:\n{text}")
    text = run("openssl", "x509", "-in", authority, "-noout", "-text").out
    check("Certificate Sign, CRL Sign" in text and "3072 bit" in text, text)


@suite.step
def strongswan_reads_our_certificates(s):
    run("pki", "--scepca", "--url", f"http://{s.at}/scep/legacy-north", "--caout", s.folder / "swan-ca.der",
        "--raout", s.folder / "swan-ra.der")
    # The page says so: root and issuing CA, in either order, and the RA.
    der = lambda pem: run("openssl", "x509", "-in", pem, "-outform", "DER").stdout
    read = lambda name: (s.folder / f"swan-{name}.der").read_bytes()
    same({read("ca"), read("ca-1")}, {der(s.authority("legacy-north")), der(s.hospital.anchors)}, "the CAs")
    same(read("ra"), der(s.ra("legacy-north")), "the RA's certificate")


# R36, R42, R45
@suite.step
def strongswan_enrolls_by_a_secret_and_renews_with_new_keys(s):
    device = s.device("pump").enrolled()
    check("enrollment_secret_used" in device.names(), device.names())
    for name in ("second", "third"):
        device.renews(name)
    # With the same key, under any name.
    done = device.swan(device.key, "--cert", device.certificate, "--key", device.key)
    device.has_by(done, "fourth", device.key)


# R36, I1
@suite.step
def strongswan_waits_until_two_people_have_approved(s):
    device = s.device("waits")
    key = device.new_key("first")
    s.processes.start("swan", "pki", *device.swan_arguments(key, "--password", device.give_secret()))
    log = s.processes.folder / "swan.err"
    until("strongSwan waits", lambda: "going to sleep" in log.read_text("utf-8", "replace"))
    check("issuance_intended" not in device.names(), "something was issued before the approvals")
    s.hospital.approve(device.id)
    process = s.processes.running["swan"]
    until("strongSwan has its certificate", lambda: process.poll() is not None, seconds=60)
    s.processes.stop("swan")
    out = type("Done", (), {"stdout": (s.processes.folder / "swan.out").read_bytes()})
    device.has_by(out, "first", key)


# R36, I2
@suite.step
def a_wrong_spent_or_foreign_secret_gives_nothing(s):
    device, other = s.device("refused").approved(), s.device("other").approved()
    key = device.new_key("first")
    device.give_secret()
    wrong = device.secret[:-1] + ("a" if device.secret[-1] != "a" else "b")
    for secret in ("guessed", wrong, s.hasty.secret[:9] + device.secret[9:]):
        done = device.swan(key, "--password", secret, ok=False)
        check("badRequest" in done.err, done.err)
    check("badRequest" in device.swan(key, ok=False).err, "without a secret")
    device.has_by(device.swan(key, "--password", device.secret), "first", key)
    before = device.names()
    # Spent: for another key there is nothing, for the same key the same certificate.
    done = device.swan(device.new_key("second"), "--password", device.secret, ok=False)
    check("badRequest" in done.err, done.err)
    device.has_by(device.swan(key, "--password", device.secret), "again", key)
    same([n for n in device.names() if n != "alarm_raised"], before, "chain after a lost answer")
    # One key is one device's.
    done = other.swan(key, "--password", other.give_secret(), ok=False)
    check("badRequest" in done.err, done.err)
    check("certificate_issued" not in other.names(), other.names())


# I2: a request that somebody else signed cannot be sent under one's own certificate.
@suite.step
def a_renewal_for_a_new_key_must_name_its_device(s):
    device, other = s.device("binds").enrolled(), s.device("victim").approved()
    before = device.names()
    for dn in ("CN=device", f"serialNumber={other.id}", f"CN=x{device.id}"):
        done = device.renews(f"new-{len(dn)}", dn=dn, ok=False)
        check("badRequest" in done.err, done.err)
    # That the certificate is in use was noted.
    same([name for name in device.names() if name != "certificate_seen"], before, "chain")
    device.renews("named", dn=f"CN={device.id}")


# R49
@suite.step
def revoked_and_retired_devices_renew_nothing(s):
    revoked, retired = s.device("revoked").enrolled(), s.device("retired").enrolled()
    s.hospital.as_("ben", "device", "revoke", revoked.id, "--because", "lost", "--reason", "drill")
    done = revoked.renews("second", ok=False)
    check("badRequest" in done.err, done.err)
    same(revoked.alarms(), ["revoked_certificate_used"], "alarms")
    s.hospital.as_("ben", "device", "retire", retired.id, "--reason", "sold")
    done = retired.renews("second", ok=False)
    check("badRequest" in done.err, done.err)
    check(set(retired.alarms()) & {"retired_identity_used", "revoked_certificate_used"}, retired.alarms())


# R40: relying parties that leave the legacy authority out must not meet its devices elsewhere.
@suite.step
def what_a_legacy_certificate_vouches_for_stays_with_the_legacy_authority(s):
    device = s.device("moved").enrolled()
    request = run("openssl", "req", "-new", "-key", device.key, "-subj", "/CN=moved", "-outform", "DER").stdout
    answer = device.folder / "est.p7"
    status = run("curl", "-sS", "--max-time", "60", "--cacert", s.hospital.anchors, "--cert", device.certificate,
                 "--key", device.key, "-H", "Content-Type: application/pkcs10", "--data-binary", "@-", "-o", answer,
                 "-w", "%{http_code}", f"https://{s.hospital.enroll}/.well-known/est/simplereenroll",
                 stdin=base64.b64encode(request)).out
    same(status, "200", "renewal by EST")
    pem = run("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=base64.b64decode(answer.read_bytes())).stdout
    number = run("openssl", "x509", "-noout", "-serial", stdin=pem).out.strip().split("=")[1].lower()
    listed = s.hospital.as_("anna", "cert", "ls", "--issuer", "legacy-north")
    check(number in {line["serial"] for line in listed}, f"{number} is not of the legacy authority")
    s.given["legacy-north"].add(number)


# R36
@suite.step
def a_secret_that_has_ended_gives_nothing(s):
    import time
    until("the secret of a minute has ended", lambda: time.monotonic() > s.hasty_until)
    done = s.hasty.swan(s.hasty.new_key("first"), "--password", s.hasty.secret, ok=False)
    check("badRequest" in done.err, done.err)
    check("issuance_intended" not in s.hasty.names(), s.hasty.names())
