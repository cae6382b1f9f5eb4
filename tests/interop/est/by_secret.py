"""Steps: a device without anything but a one-time secret."""

import re

from harness import check, refusal, run, same
from peers import certificates_in, new_key, request, request_with_challenge, serial_of
from scene import suite


@suite.step
def cacerts_has_every_authority_and_asks_for_nobody(s):
    answer = s.get("cacerts")
    same((answer.status, answer.headers["content-type"], answer.headers["content-transfer-encoding"]),
         (200, "application/pkcs7-mime", "base64"), f"cacerts {answer}")
    same(int(answer.headers["content-length"]), len(answer.body), "content length")
    listed = {a["certificate_pem"].strip() for a in s.hospital.as_("anna", "ca", "list")}
    same({pem.strip() for pem in certificates_in(answer.body)}, listed, "authorities")
    check(b"\n" not in answer.body, "base64 in lines, which strongSwan does not read")
    # By the label of a profile the same.
    same(s.get("device_ldevid/cacerts").body, answer.body, "cacerts by label")


# R47
@suite.step
def csrattrs_says_key_and_usage(s):
    answer = s.get("csrattrs")
    same((answer.status, answer.headers["content-type"]), (200, "application/csrattrs"), f"csrattrs {answer}")
    der = run("openssl", "base64", "-d", "-A", stdin=answer.body).stdout
    text = run("openssl", "asn1parse", "-inform", "DER", stdin=der).out
    # The last is id-aa-certificationRequestInfoTemplate (RFC 9908).
    for expected in ("id-ecPublicKey", "prime256v1", "X509v3 Extended Key Usage", "1.2.840.113549.1.9.16.2.61"):
        check(expected in text, f"`{expected}` is missing:\n{text}")


# R36, R42, R45, R46, I3
@suite.step
def a_secret_gives_one_certificate_and_the_same_again(s):
    device = s.device("pump").approved()
    given = s.hospital.as_("anna", "device", "secret", device.id, "--reason", "unpacked")
    # In the forms that the other protocols want: reference and EAB key.
    secret = given["secret"]
    same((given["subject"], given["reference"]), (device.id, secret.split("-")[0]), "device and reference")
    check(re.fullmatch(r"[a-z2-7]{8}-[a-z2-7]{32,}", secret), secret)
    check("secret" not in given["recorded"], f"the secret is shown twice: {given}")
    eab = run("openssl", "base64", "-A", stdin=secret.encode()).out.translate(str.maketrans("+/", "-_", "="))
    same(given["eab_hmac_key"], eab, "EAB key")

    key = device.new_key("first")
    der = request(key, subject="/O=Somebody Else/CN=root")
    first = device.by_secret(key, secret, der)
    device.takes(first, key)
    text = run("openssl", "x509", "-in", device.certificate, "-noout", "-subject").out
    check("Somebody Else" not in text and "root" not in text, f"the request's names are in it: {text}")
    same(device.names()[-5:], ["enrollment_secret_issued", "soft_key_accepted", "enrollment_secret_used",
                               "issuance_intended", "certificate_issued"], "chain")
    # The answer was lost: the same request, and another one for the same key.
    before = device.names()
    same(device.by_secret(key, secret, der).body, first.body, "answer to the same request")
    same(device.by_secret(key, secret).body, first.body, "answer to another request for the same key")
    # As people type it.
    same(device.by_secret(key, f" {secret.upper()}").body, first.body, "answer to the secret in capitals")
    other = device.new_key("other")
    device.by_secret(other, secret).refused(403, r"\(secret_used\)$")
    same(device.names(), before, "chain after repetitions and a refusal")
    device.secret = secret


# R36
@suite.step
def a_secret_may_stand_in_the_request(s):
    device = s.device("challenge").approved()
    key = device.new_key("first")
    device.takes(s.post("simpleenroll", request_with_challenge(key, device.give_secret())), key)


# R36
@suite.step
def a_wrong_secret_is_refused_and_changes_nothing(s):
    device = s.device("wrong").approved()
    key = device.new_key("first")
    old, new = device.give_secret(), device.give_secret()
    other = s.device("wrong-2").approved().give_secret()
    before = s.ledger_size()
    reference, proof = new.split("-")
    for secret in (old, "hunter2", reference, f"{reference}-", f"{reference}-{other.split('-')[1]}",
                   f"{reference}-{proof[:-1]}", f"{new}a", f"{other.split('-')[0]}-{proof}", "a" * 41, "a" * 300):
        device.by_secret(key, secret).refused(403, r"\(secret_unknown\)$")
    same(s.ledger_size(), before, "events after wrong secrets")
    # Another device's is that device's: what comes of it is not ours.
    answer = device.by_secret(key, other)
    pem = s.file("others.pem", certificates_in(answer.body)[0])
    s.given.add(serial_of(pem))
    text = run("openssl", "x509", "-in", pem, "-noout", "-ext", "subjectAltName").out
    check(device.id not in text, f"a secret of another device gave a certificate of this one: {text}")
    device.takes(device.by_secret(device.new_key("second"), new), device.folder / "second.key")


@suite.step
def who_says_nothing_of_himself_is_asked(s):
    der = request(new_key(s.folder / "nobody.key"))
    answer = s.post("simpleenroll", der).refused(401, "who asks")
    # Bouncy Castle goes on only where the answer has no body.
    same((answer.body, answer.headers["www-authenticate"].split()[0]), (b"", "Basic"), f"{answer}")
    for header in ("Bearer abc", "Digest username=x", "Basic !", "Basic cHVtcA==", "Basic cHVtcDo="):
        s.post("simpleenroll", der, "-H", f"Authorization: {header}").refused(401, "[Ss]cheme|malformed|empty")
    s.post("simplereenroll", der).refused(401, "who asks")
    s.post("simplereenroll", der, "-u", f"pump:{s.hospital.secret(s.device('asked').approved().id)}").refused(
        403, "simplereenroll is for who has a certificate")


# I1
@suite.step
def an_unapproved_device_waits_until_two_people_have_approved_it(s):
    device = s.device("waiting")
    key = device.new_key("first")
    der = request(key)
    device.give_secret()

    def waits():
        answer = device.by_secret(key, der=der).refused(202, "not yet approved")
        same((answer.body, answer.headers["content-length"]), (b"", "0"), "body of 202")
        check(1 <= int(answer.headers["retry-after"]) <= 3600, f"{answer}")

    waits()
    device.by_secret(key, "hunter2").refused(403, "secret_unknown")
    s.hospital.as_("sara", "device", "approve", device.id, "--role", "security")
    waits()
    same([n for n in device.names() if "issu" in n and "secret" not in n], [], "issuance before the approvals")
    s.hospital.as_("ben", "device", "approve", device.id, "--role", "biomedical")
    device.takes(device.by_secret(key, der=der), key)


# R7
@suite.step
def nobody_has_a_secret_of_a_device_that_is_not_registered(s):
    refusal(1, "there is no device|no device", lambda: s.hospital.secret("00000000-0000-4000-8000-000000000001"))


# R66
@suite.step
def a_key_in_a_file_is_too_weak_for_high_and_critical(s):
    for tier in ("high", "critical"):
        device = s.device(f"soft-{tier}", tier=tier).approved()
        device.give_secret()
        before = device.names()
        device.by_secret(device.new_key("first")).refused(403, r"\(key_too_weak_for_tier\)$")
        same(device.names(), before, f"chain of the {tier} device")
    device = s.device("soft-low", tier="low").enrolled()
    # A certificate says who, not whether: without evidence it is trusted nowhere.
    same(s.hospital.detail(device.id)["verdict"], "untrusted", "verdict")


# I2, R38
@suite.step
def the_key_of_another_device_is_refused_and_alarmed(s):
    owner, thief = s.device("owner").enrolled(), s.device("thief").approved()
    thief.give_secret()
    thief.by_secret(owner.key).refused(403, r"\(key_reused\)$")
    same(thief.alarms(), ["hardware_key_reused"], "alarms")
    same(s.hospital.certificates(thief.id), [], "certificates of the second device")
    # The secret is not spent by it.
    key = thief.new_key("own")
    thief.takes(thief.by_secret(key), key)


@suite.step
def other_kinds_of_keys(s):
    device = s.device("p384").approved()
    device.give_secret()
    key = device.new_key("first", "P-384")
    device.takes(device.by_secret(key), key)
    device = s.device("rsa-1024").approved()
    device.give_secret()
    device.by_secret(device.new_key("first", "RSA-1024")).refused(400, "RSA")
