"""Steps: devices that attest their key (device-attest-01)."""

import time

from client import new_key
from harness import check, same
from scene import error_of, problem, suite

VENDOR, MODEL = "Acme Medical", "Infusion X"


def proven(s, device, serial, client=None):
    """An order whose device has attested."""
    client = client or s.client()
    if client.kid is None:
        same(client.register().status_code, 201, "account")
    order = client.order(("permanent-identifier", serial))
    same(order.status_code, 201, order.text)
    answer = client.attest(order, device)
    same((answer.status_code, answer.json()["status"]), (200, "valid"), answer.text)
    return client, order


# R36, R39, I1, I3
@suite.step
def a_device_enrolls_by_its_makers_word(s):
    s.pump, s.pump_id = s.maker.device("SN-1"), s.hospital.enter(VENDOR, MODEL, "SN-1")
    client, order = proven(s, s.pump, "SN-1")
    waiting = client.finalize(order, s.pump.key)
    same((waiting.status_code, waiting.json()["status"]), (200, "processing"), waiting.text)
    check(int(waiting.headers["retry-after"]) <= 15, "when to ask again")
    same(s.lines(s.pump_id), [], "certificates before the approvals")
    s.hospital.approve(s.pump_id)

    client, order = proven(s, s.pump, "SN-1")
    done = client.finalize(order, s.pump.key)
    same(done.json()["status"], "valid", done.text)
    s.leaf, *issuers = client.certificate(done)
    s.leaf.verify_directly_issued_by(issuers[0])
    same(s.leaf.public_key(), s.pump.key.public_key(), "key")
    [line] = s.lines(s.pump_id)
    same((line["kind"], line["serial"], line["revoked"]), ("device", f"{s.leaf.serial_number:x}", None), "inventory")
    events = s.hospital.events(s.pump_id)
    [bound] = [e for e in events if e["event"] == "maker_key_bound"]
    same((bound["format"], bound["grade"]), ("packed", "FIPS 140-3"), "hardware")
    [intent] = [e for e in events if e["event"] == "issuance_intended"]
    same(intent["protocol"], "acme", "protocol")
    check(set(intent["evidence_sha256"]) != {"0"}, "the statement is not kept")


# R44
@suite.step
def it_is_told_when_to_renew_and_renews_with_its_key(s):
    client, order = proven(s, s.pump, "SN-1")
    told = client.renewal(s.leaf)
    same((told.status_code, told.headers["retry-after"]), (200, "21600"), told.text)
    start = told.json()["suggestedWindow"]["start"]
    check(s.leaf.not_valid_before_utc.isoformat() < start < s.leaf.not_valid_after_utc.isoformat(), start)
    same(client.finalize(order, s.pump.key).json()["status"], "valid", "renewal")
    same(len(s.lines(s.pump_id)), 2, "certificates")


@suite.step
def another_key_at_finalize_is_refused(s):
    client, order = proven(s, s.pump, "SN-1")
    problem(client.finalize(order, new_key()), 400, "badCSR")


# I2
@suite.step
def other_hardware_under_its_serial_number_is_refused_and_alarmed(s):
    copy = s.maker.device("SN-1")
    client, order = proven(s, copy, "SN-1")
    error_of(client.finalize(order, copy.key), "unauthorized", "another hardware key")
    check("clone_suspected" in s.hospital.alarms(s.pump_id), s.hospital.alarms(s.pump_id))


# R7
@suite.step
def a_serial_number_that_nobody_registered_is_refused(s):
    stranger = s.maker.device("SN-404")
    client, order = proven(s, stranger, "SN-404")
    error_of(client.finalize(order, stranger.key), "unauthorized", "SN-404")


@suite.step
def the_statement_must_name_the_device_of_the_order(s):
    client = s.client()
    client.register()
    problem(client.attest(client.order(("permanent-identifier", "SN-2")), s.pump), 400, "badAttestationStatement")


# I12: whom nobody accepted, or only for something else, vouches for nothing.
@suite.step
def a_maker_that_is_not_accepted_for_it_is_refused(s):
    client = s.client()
    client.register()
    for maker in (s.stranger, s.other_use):
        order = client.order(("permanent-identifier", "SN-1"))
        problem(client.attest(order, maker.device("SN-1")), 400, "badAttestationStatement")


@suite.step
def an_account_of_nobody_orders_no_addresses(s):
    client = s.client()
    client.register()
    problem(client.order(("dns", "pacs.interop.example")), 400, "rejectedIdentifier", "must be bound")


@suite.step
def an_account_of_one_device_orders_for_no_other(s):
    other = s.hospital.register(VENDOR, MODEL, "SN-3")
    secret = s.hospital.secret(other)
    client = s.client()
    same(client.register(secret.split("-")[0], secret).status_code, 201, "account")
    again = s.client()
    problem(again.register(secret.split("-")[0], secret), 403, "unauthorized")
    client, order = proven(s, s.pump, "SN-1", client)
    error_of(client.finalize(order, s.pump.key), "unauthorized", "another record")
    device = s.maker.device("SN-3")
    client, order = proven(s, device, "SN-3", client)
    same(client.finalize(order, device.key).json()["status"], "valid", "its own device")
    s.bound, s.bound_device = client, device


# R39
@suite.step
def an_account_keeps_its_address_with_another_key_and_over_a_restart(s):
    old, address = s.bound.key, s.bound.kid
    same(s.bound.change_key(new_key()).status_code, 200, "key change")
    same(s.bound.register().headers["location"], address, "address")
    s.hospital.restart()
    same(s.bound.post(address).json()["status"], "valid", "after the restart")
    left = s.client()
    left.key = old
    problem(left.register(), 403, "unauthorized")
    client, order = proven(s, s.bound_device, "SN-3", s.bound)
    same(client.finalize(order, s.bound_device.key).json()["status"], "valid", "renewal after it")


# R40
@suite.step
def who_holds_the_key_or_the_account_revokes(s):
    client, order = proven(s, s.bound_device, "SN-3", s.bound)
    leaf, *_ = client.certificate(client.finalize(order, s.bound_device.key))
    problem(client.revoke(s.leaf), 403, "unauthorized")
    problem(client.revoke(leaf, new_key()), 403, "unauthorized")
    same(client.revoke(leaf, reason=4).status_code, 200, "by the account")
    problem(client.revoke(leaf), 400, "alreadyRevoked")
    same(client.revoke(s.leaf, s.pump.key, reason=1).status_code, 200, "by the key")
    end = client.renewal(s.leaf).json()["suggestedWindow"]["end"]
    check(end < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), f"it is not told to renew at once: {end}")
    revoked = [line["revoked"] for line in s.lines(s.pump_id) if line["serial"] == f"{s.leaf.serial_number:x}"]
    check(revoked and revoked[0] is not None, f"inventory {revoked}")


@suite.step
def an_account_that_ended_orders_nothing(s):
    same(s.bound.post(s.bound.kid, {"status": "deactivated"}).json()["status"], "deactivated", "account")
    problem(s.bound.order(("permanent-identifier", "SN-3")), 403, "unauthorized")
    problem(s.bound.register(), 403, "unauthorized")


# I2, I11
@suite.step
def a_retired_device_is_refused(s):
    device, serial = s.maker.device("SN-9"), "SN-9"
    number = s.hospital.register(VENDOR, MODEL, serial)
    client, order = proven(s, device, serial)
    same(client.finalize(order, device.key).json()["status"], "valid", "before")
    s.hospital.as_("ben", "device", "retire", number, "--reason", "sold")
    client, order = proven(s, device, serial)
    error_of(client.finalize(order, device.key), "unauthorized", "retired")
    check("retired_identity_used" in s.hospital.alarms(number), s.hospital.alarms(number))


@suite.step
def the_ledger_holds(s):
    s.hospital.check_ledger()
