"""Steps: renewal over TLS with the certificate that is to be followed, and its end by revocation and retirement."""

import re
import subprocess
import time

from harness import b64, check, refusal, run, same, until
from peers import Answer, request, request_with_challenge, serial_of
from scene import EST, suite


# R42, R44
@suite.step
def a_certificate_gives_the_next_for_the_same_key_and_for_a_new_one(s):
    device = s.device("renews").enrolled()
    first = device.certificate
    device.takes(device.by_certificate(device.key), device.key)
    check(serial_of(first) != serial_of(device.certificate), "the same certificate again")
    # RFC 7030 4.2.2 has the names of the certificate repeated; others are ignored like all names.
    for key, tls, names in (("second", "--tls-max=1.2", "/CN=other"), ("third", "--tlsv1.3", "/")):
        key = device.new_key(key)
        maximum = ("--tls-max", "1.2") if "1.2" in tls else ("--tlsv1.3",)
        device.takes(device.by_certificate(key, *maximum, der=request(key, subject=names)), key)
    # Both stay good: the old one until the new one was seen in use, and an overlap longer.
    same([line["revoked"] for line in s.hospital.certificates(device.id)], [None] * 4, "certificates")
    seen = [event["serial"] for event in device.events() if event["event"] == "certificate_seen"]
    check(serial_of(first) in seen, f"its use for renewal was not noted: {seen}")


@suite.step
def simpleenroll_takes_a_certificate_too_and_a_secret_goes_before_it(s):
    device = s.device("both").enrolled()
    key = device.new_key("second")
    device.takes(device.by_certificate(key, operation="simpleenroll"), key)
    # A certificate is shown unasked; who gives a secret means it. This one is spent for another key.
    spent = ("-u", f"x:{device.secret}")
    device.by_certificate(device.new_key("third"), *spent, operation="simpleenroll").refused(403, "secret_used")
    # And the secret that a device still has in its configuration does not disturb its renewals.
    key = device.new_key("fourth")
    device.takes(device.by_certificate(key, *spent), key)


# R36: RFC 7030 3.5 by RFC 9266.
@suite.step
def a_request_that_names_its_connection_is_taken_there_and_nowhere_else(s):
    device = s.device("linked").approved()
    key = device.new_key("first")
    device.give_secret()
    answer, binding = on_one_connection(s, device, key, lambda binding: binding)
    device.takes(answer, key)
    device.give_secret()
    for wrong in (b64(bytes(32)), binding, "1234"):
        answer, _ = on_one_connection(s, device, key, lambda _, wrong=wrong: wrong)
        answer.refused(403, "channel binding")
    # With TLS 1.2 nothing is compared: clients write tls-unique there.
    answer = device.by_secret(key, None, request_with_challenge(key, binding), "--tls-max", "1.2")
    device.takes(answer, key)


def on_one_connection(s, device, key, challenge):
    """A request made once the connection stands, sent over it: `openssl s_client` tells its exporter value."""
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", s.hospital.enroll, "-servername", "localhost", "-verify_return_error",
         "-CAfile", str(s.hospital.anchors), "-tls1_3", "-ign_eof", "-keymatexport", "EXPORTER-Channel-Binding",
         "-keymatexportlen", "32"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        line = b""
        while b"Keying material: " not in line:
            line = client.stdout.readline()
            check(line, "the connection ended before its exporter value was printed")
        binding = b64(bytes.fromhex(line.split()[-1].decode()))
        body = b64(request_with_challenge(key, challenge(binding))).encode()
        basic = b64(f"pump:{device.secret}".encode())
        client.stdin.write(
            f"POST {EST}/simpleenroll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Basic {basic}\r\nContent-Type: application/pkcs10\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        client.stdin.flush()
        out, _ = client.communicate(timeout=60)
    finally:
        client.kill()
    answer = out[out.index(b"HTTP/1.1 "):]
    head, body = answer.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    return Answer(head.decode(), body[:length]), binding


# R49
@suite.step
def a_revoked_certificate_gives_no_other(s):
    device = s.device("cert-revoked").enrolled()
    before, key = serial_of(device.certificate), device.key
    device.takes(device.by_certificate(key), key)
    after = serial_of(device.certificate)
    old = (key, s.folder / f"cert-revoked-{before}.chain.pem")
    s.hospital.as_("sara", "cert", "revoke", before, "--because", "compromised", "--reason", "drill")
    device.by_certificate(device.new_key("x"), shown=old).refused(403, r"\(certificate_not_current\)$")
    same(device.alarms(), ["revoked_certificate_used"], "alarms")
    # The other one is good still; when it goes too, the spent secret brings nothing back.
    same({line["serial"]: (line["revoked"] or {}).get("reason") for line in s.hospital.certificates(device.id)},
         {before: "compromised", after: None}, "inventory")
    device.by_certificate(key).refused(403, r"\(key_compromised\)$")
    second = device.new_key("second")
    device.takes(device.by_certificate(second), second)
    for number in (after, serial_of(device.certificate)):
        s.hospital.as_("sara", "cert", "revoke", number, "--because", "compromised", "--reason", "drill")
    device.by_certificate(key).refused(403, "certificate_not_current")
    device.by_secret(key).refused(403, r"\(secret_used\)$")
    # A person's new secret does.
    device.give_secret()
    key = device.new_key("after")
    device.takes(device.by_secret(key), key)


# R49
@suite.step
def a_revoked_device_gets_nothing_until_a_person_releases_it(s):
    device = s.device("stolen").enrolled()
    unused = s.hospital.secret(device.id)
    s.hospital.as_("ben", "device", "revoke", device.id, "--because", "stolen", "--reason", "gone from ward 3")
    device.by_certificate(device.key).refused(403, r"\(certificate_not_current\)$")
    device.by_secret(device.new_key("x"), unused).refused(403, r"\(revoked\)$")
    same(device.alarms(), ["revoked_certificate_used"] * 2, "alarms")
    refusal(1, "revoked", lambda: s.hospital.secret(device.id))
    s.hospital.as_("ben", "device", "release", device.id, "--reason", "found in ward 4")
    device.by_certificate(device.key).refused(403, "certificate_not_current")
    key = device.new_key("found")
    device.give_secret()
    device.takes(device.by_secret(key), key)


# R49, I2, I11
@suite.step
def a_retired_device_never_comes_back(s):
    device = s.device("retired").enrolled()
    unused = s.hospital.secret(device.id)
    s.hospital.as_("ben", "device", "retire", device.id, "--reason", "end of life")
    device.by_certificate(device.key).refused(403, r"\((certificate_not_current|retired)\)$")
    device.by_secret(device.new_key("x"), unused).refused(403, r"\(retired\)$")
    refusal(1, "retired", lambda: s.hospital.secret(device.id))
    until("the refusals were probed and it is retired",
          lambda: s.hospital.detail(device.id)["stage"] == "retired")
    device.by_certificate(device.key).refused(403, r"\((certificate_not_current|retired)\)$")
    device.by_secret(device.key, unused).refused(403, r"\(retired\)$")
    check({"revoked_certificate_used", "retired_identity_used"} <= set(device.alarms()), device.alarms())
    same([line for line in s.hospital.certificates(device.id) if line["revoked"] is None], [], "certificates")
    refusal(1, "already registered", lambda: s.hospital.enter("Acme Medical", "Infusion X", "SN-retired"))


# I1, R41: a certificate of ours that is no device's is nobody here.
@suite.step
def a_certificate_of_ours_that_nobody_recorded_is_refused(s):
    device = s.device("unrecorded").enrolled()
    key = device.new_key("thief")
    csr = s.folder / "thief.csr"
    csr.write_bytes(request(key))
    done = run("cargo", "run", "--quiet", "--locked", "-p", "lanyard-pki", "--example", "issue_as_of", "--",
               s.hospital.data / "keys", s.hospital.passphrase, s.issuing, csr, device.id, "Interop Hospital",
               "interop.example", str(int(time.time())), timeout=900)
    forged = s.file("forged.pem", done.out + s.issuing.read_text())
    device.by_certificate(key, shown=(key, forged)).refused(403, r"\(certificate_not_current\)$")
    same(device.alarms(), ["revoked_certificate_used"], "alarms")
    # The device's own is not touched by it.
    device.takes(device.by_certificate(device.key), device.key)


# I7, R50
@suite.step
def a_new_generation_of_the_authority_issues_and_the_old_one_still_renews(s):
    device = s.device("generation").enrolled()
    old = device.chain
    s.hospital.as_("anna", "ca", "create", "issuing-2")
    s.find()
    same(len(re.findall("BEGIN", s.issuing.read_text())), 2, "issuing authorities")
    # Known before it is used.
    before = s.get("cacerts").body
    device.takes(device.by_certificate(device.key), device.key)
    s.hospital.as_("sara", "ca", "activate", "issuing-2")
    same(s.get("cacerts").body, before, "cacerts before and after the change")
    key = device.new_key("second")
    device.takes(device.by_certificate(key, shown=(device.key, old)), key)
    issuer = run("openssl", "x509", "-in", device.certificate, "-noout", "-issuer").out
    subject = [a["subject"] for a in s.hospital.as_("anna", "ca", "list") if a["name"] == "issuing-2"][0]
    check(re.search(r"CN=([^,]*)", subject)[1] in issuer, f"{issuer} is not {subject}")
