"""Steps: factory certificates (IDevID, IEEE 802.1AR) of an accepted maker: enrollment without a secret."""

from harness import check, refusal, same
from peers import key_sha256, new_key
from scene import MODEL, suite


def by_factory(device, made, key, operation="simpleenroll"):
    """An operation over TLS with a factory certificate, for this key."""
    return device.by_certificate(key, shown=made, operation=operation)


# R35, R34, R7
@suite.step
def a_factory_certificate_enrolls_the_device_of_that_serial_number(s):
    for name, form in (("idevid", "device"), ("module", "module"), ("permanent", "permanent")):
        device = s.device(name, tier="high").approved()
        made = s.maker.idevid(name, f"SN-{name}", form=form)
        key = device.new_key("operational")
        device.takes(by_factory(device, made, key), key)
        bound = [e for e in device.events() if e["event"] == "maker_key_bound"]
        same([(e["format"], e["key_sha256"]) for e in bound], [("idevid", key_sha256(made[0]))], "bound key")
    # The key that left the factory may be the one that is certified.
    device = s.device("one-key").approved()
    key, chain = s.maker.idevid("one-key", "SN-one-key")
    device.takes(by_factory(device, (key, chain), key), key)


# R38, I2: who copied the operational key does not get a certificate for a key of his own.
@suite.step
def for_a_new_key_the_factory_certificate_has_to_speak_again(s):
    device = s.device("anchored").approved()
    made = s.maker.idevid("anchored", "SN-anchored")
    key = device.new_key("first")
    device.takes(by_factory(device, made, key), key)
    device.takes(device.by_certificate(key), key)
    copied = device.new_key("copied")
    device.by_certificate(copied).refused(403, r"\(new_key_not_in_hardware\)$")
    same(device.alarms(), ["clone_suspected"], "alarms")
    # Nor with a secret that somebody talked out of an operator.
    device.give_secret()
    device.by_secret(copied).refused(403, r"\(new_key_not_in_hardware\)$")
    second = device.new_key("second")
    device.takes(by_factory(device, made, second), second)
    third = device.new_key("third")
    device.takes(by_factory(device, made, third, "simplereenroll"), third)


# I1
@suite.step
def an_unapproved_device_waits_with_its_factory_certificate_too(s):
    device = s.device("factory-waits")
    made = s.maker.idevid("factory-waits", "SN-factory-waits")
    key = device.new_key("first")
    by_factory(device, made, key).refused(202, "not yet approved")
    check("maker_key_bound" not in device.names(), "a key was bound before the approvals")
    s.hospital.approve(device.id)
    device.takes(by_factory(device, made, key), key)


# R7, R35
@suite.step
def a_serial_number_that_nobody_registered_is_refused(s):
    made = s.maker.idevid("unknown", "SN-unknown")
    s.post("simpleenroll", factory_request(s), "--cert", made[1], "--key", made[0]).refused(
        403, r"SN-unknown.*\(not_registered\)$")


def factory_request(s):
    from peers import request
    return request(new_key(s.folder / "factory-request.key"))


# R35: each of these certificates names a registered, approved device.
@suite.step
def a_factory_certificate_that_is_not_good_is_refused(s):
    device = s.device("shown").approved()
    serial = "SN-shown"
    key = device.new_key("first")
    bad = {
        "a maker whom nobody accepted": s.stranger.idevid("shown", serial),
        "one that has ended": s.maker.idevid("ended", serial, end="20210101000000Z"),
        "one that has not begun": s.maker.idevid("early", serial, start="20400101000000Z"),
        "one for servers": s.maker.idevid("server", serial, form="server"),
        "one that names no device": s.maker.idevid("nameless", serial, form="authority"),
        "the factory's own": (s.maker.ca_key, s.maker.ca),
        "the maker's root": (s.maker.root_key, s.maker.root),
    }
    # The accepted factory behind a certificate that it did not sign.
    made, chain = s.stranger.idevid("grafted", serial)
    leaf = chain.read_text().split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    bad["a foreign one under the accepted factory"] = (made, s.file("grafted.pem", leaf + s.maker.ca.read_text()))
    # Nothing behind it: the factory's CA is the maker's to send, the root alone is registered.
    made, chain = s.maker.idevid("bare", serial)
    bad["one without its factory's"] = (made, chain.with_name("bare.leaf.pem"))
    for what, shown in bad.items():
        answer = by_factory(device, shown, key)
        check(answer.status == 403 and "(certificate_not_ours)" in answer.text, f"{what}: {answer}")
    same([n for n in device.names() if n not in ("device_registered", "device_approved")], [], "chain")
    made = s.maker.idevid("good", serial)
    device.takes(by_factory(device, made, key), key)


# I2, R38
@suite.step
def one_factory_key_is_one_record(s):
    first, second = s.device("original").approved(), s.device("double").approved()
    made, chain = s.maker.idevid("original", "SN-original")
    key = first.new_key("first")
    first.takes(by_factory(first, (made, chain), key), key)
    # The maker certified the same key once more, under another serial number.
    twice = s.maker.idevid("double", "SN-double", key=made)
    by_factory(second, twice, second.new_key("first")).refused(403, r"\(hardware_key_reused\)$")
    same((first.alarms(), second.alarms()), (["hardware_key_reused"],) * 2, "alarms of both")
    # Under a serial number that nobody registered too.
    third = s.maker.idevid("third", "SN-nobody", key=made)
    by_factory(first, third, key).refused(403, r"\(hardware_key_reused\)$")
    # And another board with the first one's serial number is not the first one.
    board = s.maker.idevid("board", "SN-original")
    by_factory(first, board, first.new_key("other")).refused(403, r"\(other_hardware\)$")
    same(first.alarms(), ["hardware_key_reused"] * 2 + ["clone_suspected"], "alarms")
    # A hardware key is not the operational key of another device either.
    second.give_secret()
    second.by_secret(key).refused(403, r"\(key_reused\)$")


# R38
@suite.step
def hardware_that_was_not_purchased_is_refused(s):
    right = new_key(s.folder / "purchased.key")
    device = s.device("purchased", ek_sha256=key_sha256(right)).approved()
    key = device.new_key("first")
    by_factory(device, s.maker.idevid("swapped", "SN-purchased"), key).refused(
        403, r"\(not_the_purchased_hardware\)$")
    same(device.alarms(), ["clone_suspected"], "alarms")
    device.takes(by_factory(device, s.maker.idevid("purchased", "SN-purchased", key=right), key), key)


@suite.step
def of_two_devices_with_one_serial_number_a_person_says_which(s):
    device = s.device("twin").approved()
    made = s.maker.idevid("twin", "SN-twin")
    other = s.hospital.register("Other Medical", MODEL, "SN-twin")
    key = device.new_key("first")
    by_factory(device, made, key).refused(403, key_sha256(made[0]) + r" \(ambiguous_serial\)$")
    # Two more, of which one record has the key.
    device = s.device("twin-2", ek_sha256=key_sha256(made[0])).approved()
    s.hospital.register("Other Medical", MODEL, "SN-twin-2")
    made = s.maker.idevid("twin-2", "SN-twin-2", key=made[0])
    device.takes(by_factory(device, made, key), key)
    same(s.hospital.certificates(other), [], "certificates of the other one")


# R66
@suite.step
def a_critical_device_must_prove_its_firmware_first(s):
    device = s.device("critical", tier="critical").approved()
    before = device.names()
    by_factory(device, s.maker.idevid("critical", "SN-critical"), device.new_key("first")).refused(
        403, r"\(attest_first\)$")
    same(device.names(), before, "chain")


# R39: hardware takes the place of a file.
@suite.step
def a_device_that_began_with_a_secret_may_go_over_to_its_factory_certificate(s):
    device = s.device("upgraded").enrolled()
    made = s.maker.idevid("upgraded", "SN-upgraded")
    key = device.new_key("operational")
    by_factory(device, made, key).refused(403, r"\(hardware_not_vouched_for\)$")
    device.give_secret()
    device.takes(by_factory(device, made, key), key)
    device.by_certificate(device.new_key("soft")).refused(403, "new_key_not_in_hardware")


# I2, R49
@suite.step
def the_factory_certificate_of_a_revoked_or_retired_device_is_worth_nothing(s):
    device = s.device("factory-end").approved()
    made = s.maker.idevid("factory-end", "SN-factory-end")
    key = device.new_key("first")
    device.takes(by_factory(device, made, key), key)
    s.hospital.as_("sara", "device", "revoke", device.id, "--because", "lost", "--reason", "drill")
    by_factory(device, made, key).refused(403, r"\(revoked\)$")
    s.hospital.as_("sara", "device", "retire", device.id, "--reason", "end of life")
    by_factory(device, made, key).refused(403, r"\(retired\)$")
    same(device.alarms(), ["revoked_certificate_used", "retired_identity_used"], "alarms")


# R35, R49: the factory's list, by an authority below the root that was accepted.
@suite.step
def a_factory_certificate_that_its_maker_revoked_is_refused_and_its_device_cut_off(s):
    def take(out, *issuer):
        return s.hospital.as_("sara", "endorsement", "revocations", "Acme Medical Device Root", "--crl", s.maker.list(out), *issuer)

    used, fresh, other = (s.device(name).approved() for name in ("list-used", "list-fresh", "list-other"))
    made = {d: s.maker.idevid(name, f"SN-{name}") for d, name in
            ((used, "list-used"), (fresh, "list-fresh"), (other, "list-other"))}
    key = used.new_key("first")
    used.takes(by_factory(used, made[used], key), key)
    for name in ("list-used", "list-fresh"):
        s.maker.revoke(name, "keyCompromise")
    refusal(1, "list is not by", lambda: take(s.folder / "without.crl"))
    taken = take(s.folder / "factory.crl", "--issuer", s.maker.ca)
    check("2 revoked certificates, 2 new" in taken["outcome"] and "1 enrolled devices" in taken["outcome"], taken)
    # In use: found by the certificate that it had shown. Not in use: refused when it shows it.
    same(s.hospital.detail(used.id)["stage"], "quarantined", "stage")
    same([c["revoked"] is not None for c in s.hospital.certificates(used.id)], [True], "its certificate")
    for device in (used, fresh):
        by_factory(device, made[device], device.new_key("again")).refused(403, r"\(maker_revoked\)$")
        check(set(device.alarms()) == {"maker_revoked"}, device.alarms())
    key = other.new_key("first")
    other.takes(by_factory(other, made[other], key), key)
    check("maker_certificates_shown" in other.names(), other.names())
