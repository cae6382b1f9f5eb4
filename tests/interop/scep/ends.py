"""Steps: what is left of all of this."""

from harness import check, same
from scene import suite


# I3, R48
@suite.step
def what_the_ledger_says_was_issued_is_what_devices_have(s):
    same(s.hospital.check_ledger()["open_issuances"], 0, "intents without a certificate")
    for issuer, given in s.given.items():
        lines = s.hospital.as_("anna", "cert", "ls", "--issuer", issuer)
        same({line["serial"] for line in lines if line["kind"] == "device"}, given, f"certificates of {issuer}")


# I10
@suite.step
def no_file_of_the_server_holds_a_secret(s):
    secret = s.hasty.give_secret().split("-")[1].encode()
    for path in s.hospital.data.rglob("*"):
        check(not path.is_file() or secret not in path.read_bytes(), f"{path.name} holds a secret")
