"""Steps: what time ends, and what is left of all of this."""

import time

from harness import check, refusal, same, until
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
