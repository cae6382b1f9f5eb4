"""Steps: messages that were changed, sent again, too long or none at all."""

import http.client
import time

from harness import check, same
from scene import Proxy, ask, suite

# pkiStatus FAILURE (RFC 8894 3.2.1.3): the attribute with the PrintableString "2".
FAILURE = bytes.fromhex("060a6086480186f84501090331031301") + b"2"
SUCCESS = FAILURE[:-1] + b"0"
POST = "/scep/legacy-north?operation=PKIOperation"


# R36, I2, I12
@suite.step
def a_message_sent_again_gives_nothing_new_and_a_changed_one_nothing(s):
    proxy = Proxy(s.at)
    device = s.device("recorded").approved()
    key = device.new_key("first")
    device.has_by(device.swan(key, "--password", device.give_secret(), to=proxy.address), "first", key)
    message = s.message = proxy.messages[-1]
    # From one address so many are answered in a second, and those of this loop are nearly all.
    time.sleep(1)
    before = s.ledger_size()
    again = ask(s.at, "POST", POST, message)
    check(again.status == 200 and SUCCESS in again.body, f"sent again: {again}")
    failures = 0
    for at in range(40, len(message), len(message) // 22):
        changed = message[:at] + bytes([message[at] ^ 4]) + message[at + 1:]
        answer = ask(s.at, "POST", POST, changed)
        check(answer.status in (200, 400), f"byte {at}: {answer}")
        # What is not signed may be changed: that is then the same message.
        failures += answer.status == 400 or FAILURE in answer.body
    check(failures >= 18, failures)
    # Cut short.
    for end in range(1, len(message), len(message) // 12):
        same(ask(s.at, "POST", POST, message[:end]).status, 400, f"the first {end} bytes")
    same(s.ledger_size(), before, "events")


# I12
@suite.step
def what_is_no_message_gets_a_reason_and_changes_nothing(s):
    before = s.ledger_size()
    for what, method, target, body, status in (
            ("nothing", "POST", POST, b"", 400),
            ("text", "POST", POST, b"-----BEGIN CERTIFICATE-----", 400),
            ("an empty sequence", "POST", POST, b"\x30\x00", 400),
            ("65 KiB", "POST", POST, b"\x30\x83\x01\x03\xfb" + bytes(65 << 10), 413),
            ("129 KiB", "POST", POST, bytes(129 << 10), 413),
            ("no operation", "GET", "/scep/legacy-north", b"", 400),
            ("another operation", "GET", "/scep/legacy-north?operation=Steal", b"", 400),
            ("no message", "GET", POST, b"", 400),
            ("no base64", "GET", POST + "&message=*", b"", 400),
            ("another method", "PUT", POST, b"x", 405),
            ("another path", "GET", "/scep/legacy-north/a/b?operation=GetCACaps", b"", 404)):
        answer = ask(s.at, method, target, body)
        same(answer.status, status, f"{what}: {answer}")
        check(answer.text.strip(), f"{what} has no reason")
    same(s.ledger_size(), before, "events")


# I12: each message costs two private operations of RSA.
@suite.step
def messages_are_bounded_by_the_second(s):
    connection = http.client.HTTPConnection(s.at, timeout=60)

    def post(body):
        connection.request("POST", POST, body)
        answer = connection.getresponse()
        answer.read()
        return answer

    # What is no message costs its reading, and keeps nobody out.
    for _ in range(300):
        same(post(b"x").status, 400, "answer to a message that is none")
    same(post(s.message).status, 200, "answer to a message after a flood of what is none")
    turned_away = None
    for _ in range(2_000):
        answer = post(s.message)
        if answer.status == 503:
            turned_away = answer
            break
        same(answer.status, 200, "answer to a message again")
    check(turned_away is not None and turned_away.getheader("retry-after") == "1", "nobody was turned away")
    # What costs nothing is still answered.
    same(s.get("/scep/legacy-north?operation=GetCACaps").status, 200, "capabilities")
    connection.close()
    # The next step's messages are for another second.
    time.sleep(1)
