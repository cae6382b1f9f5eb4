"""Steps: messages that were recorded, changed on the way, cut short, or are none."""

from harness import check, same
from scene import ERROR, IP, KUP, PATH, RP, inner, suite


# R44
@suite.step
def a_recorded_message_is_good_once(s):
    device = s.device("recorded").approved().give_secret()
    key = device.new_key("first")
    ir, conf, kur, kur_conf, rr = (device.out(f"{name}.der") for name in ("ir", "conf", "kur", "kur-conf", "rr"))
    device.takes(device.ask("ir", device.mac(), key, "-reqout", f"{ir},{conf}")[0], key)
    device.takes(device.ask("kur", device.signed(), key, "-reqout", f"{kur},{kur_conf}")[0], key)
    first = device.folder / "first.pem"
    before = device.events()
    for message, words in ((ir, "transactionID was used before"), (conf, "no such transaction"),
                           (kur, "transactionID was used before"), (kur_conf, "no such transaction")):
        for path in (PATH, f"{PATH}/p/device_ldevid"):
            answer = s.post(message.read_bytes(), path=path).says(words)
            same(answer.kind, ERROR, message.name)
    # By OpenSSL itself, too.
    said = s.cmp("ir", *device.mac(), "-newkey", key, "-certout", first, "-reqin", ir, ok=False)
    check("transactionIdInUse" in said, said)
    # With a number of its own the MAC does not fit.
    said = s.cmp("ir", *device.mac(), "-newkey", key, "-certout", first, "-reqin", ir, "-reqin_new_tid", "-ref", "zzzzzzzz",
                 ok=False)
    check("badMessageCheck" in said or "transactionIdInUse" in said, said)
    same(device.events(), before, "events")
    s.cmp("rr", *device.signed(), "-oldcert", device.certificate, "-revreason", "5", "-reqout", rr)
    before = device.events()
    same(s.post(rr.read_bytes()).says("revoked already").kind, RP, "a revocation sent again")
    same(device.events(), before, "events")


def unsent(device, cmd, who, key):
    """A message as OpenSSL makes it, that the server has not seen: what is sent to goes nowhere."""
    file = device.out("unsent.der")
    device.scene.cmp(cmd, *who, "-newkey", key, "-certout", device.out("no.pem"),
                     "-implicit_confirm", "-reqout", file, host="127.0.0.1:1", ok=False)
    return file.read_bytes()


def protected(message):
    """How many bytes there are up to the end of the protection (RFC 9810 5.1)."""
    content, _ = inner(message)
    _, rest = inner(content)
    _, rest = inner(rest)
    _, extra = inner(rest)
    return len(message) - len(extra)


# I12
@suite.step
def a_message_that_was_changed_on_the_way_is_refused(s):
    device = s.device("tampered").approved().give_secret()
    key, second = device.new_key("first"), device.new_key("second")
    for cmd, who, new, answered in (("ir", device.mac, key, IP), ("kur", device.signed, second, KUP)):
        message = unsent(device, cmd, who(), new)
        before = device.events()
        # Every 7th byte: a few hundred requests, and no field is left out. What comes behind the protection is not
        # protected: certificates that may help, and are looked at as any that somebody found.
        for at in range(0, protected(message), 7):
            changed = bytearray(message)
            changed[at] ^= 1 << (at % 8)
            answer = s.post(bytes(changed))
            if answer.status != 400:
                same(answer.kind, ERROR, f"{cmd}, byte {at}")
        same(device.events(), before, f"events after a changed {cmd}")
        same(s.post(message).kind, answered, f"the {cmd} itself")
        same(device.names()[-2:], ["issuance_intended", "certificate_issued"], f"chain after the {cmd}")
        s.given.add(device.events()[-1]["serial"])
        if cmd == "ir":
            device.takes(device.ask("ir", device.mac(), key)[0], key)


# I12
@suite.step
def what_is_no_message_gets_a_reason_and_changes_nothing(s):
    device = s.device("malformed").approved().give_secret()
    message = unsent(device, "ir", device.mac(), device.new_key("first"))
    before = device.events()
    for length in range(0, len(message), 11):
        answer = s.post(message[:length])
        check(answer.status == 400 or answer.kind == ERROR, f"the first {length} bytes: {answer}")
    for what, body, status in (("nothing", b"", 400), ("text", b"hello", 400), ("a byte too many", message + b"\0", 400),
                               ("an endless length", b"\x30\x80" + message[4:], 400), ("NULL", b"\x05\x00", 400),
                               ("64 KiB and one byte", b"\x30\x83\x00\xff\xfc" + bytes(65_532), 413),
                               ("over the limit of the listener", bytes(129 << 10), 413)):
        answer = s.post(body)
        same(answer.status, status, f"{what}: {answer}")
        check(answer.headers["content-type"].startswith("text/plain"), f"{what}: {answer}")
    for content_type in ("application/pkcs10", "application/pkixcmp-poll", "text/plain", "", None):
        same(s.post(message, content_type=content_type).status, 415, f"content type {content_type}")
    for method in ("GET", "PUT", "DELETE"):
        answer = s.post(None if method == "GET" else message, method=method)
        same((answer.status, answer.headers["allow"]), (405, "POST"), method)
    same(device.events(), before, "events")
    # What is odd and right is taken.
    same(s.post(message, content_type="Application/PKIXCMP; x=y").kind, IP, "content type with a parameter")
    s.given.add(device.events()[-1]["serial"])
