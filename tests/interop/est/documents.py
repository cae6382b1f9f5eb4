"""Steps: the pages of docs that a device's maker follows, run as they stand there."""

import re
import threading

from blocks import Shell, blocks
from harness import ROOT, binary, check, free_port, lanyard, run, same, until
from scene import suite


# R36, R42, R49, R35: from `lanyard up` to enrolled, renewed, revoked, back again, and by factory certificate.
@suite.step
def the_makers_guide_is_true(s):
    folder = s.folder / "guide"
    first = free_port(2)
    ports = {example: str(first + n) for n, example in enumerate(("8443", "8444", "8445"))}
    shell = Shell("guide", folder, s.processes, path=[program_folder(s)], replace=ports)
    page = blocks(ROOT / "docs/device-makers-guide.md")
    check(len(page) >= 12 and sum(1 for block in page if block.printed) >= 8, "the guide lost its blocks")
    for block in page[:-1]:
        shell.run(block)

    def as_anna(*arguments):
        return lanyard("--profile", folder / "anna.toml", *arguments)

    names = [line["event"]["event"] for line in as_anna("device", "events", "S-1")]
    for event, times in (("certificate_issued", 3), ("certificate_revoked", 2), ("alarm_raised", 1),
                         ("revocation_ordered", 1), ("quarantine_released", 1)):
        same(names.count(event), times, event)
    events = [line["event"] for line in as_anna("device", "events", "S-2")]
    check("maker_key_bound" in [event["event"] for event in events], events)
    live = [line for line in as_anna("cert", "ls") if line["kind"] == "device" and not line["revoked"]]
    same(len(live), 2, "certificates at the end")
    for name in ("device", "second"):
        modulus = [run("openssl", *which).out for which in (
            ("x509", "-in", folder / f"{name}.pem", "-noout", "-pubkey"),
            ("pkey", "-in", folder / f"{name}.key", "-pubout"))]
        same(modulus[0], modulus[1], f"key of {name}.pem")
    # The last block ends the server and checks the ledger.
    shell.run(page[-1])
    s.processes.stop("guide")


def program_folder(s):
    """A folder with `lanyard` in it, whatever the binary under test is called."""
    folder = s.folder / "bin"
    folder.mkdir()
    (folder / "lanyard").symlink_to(binary())
    return folder


# R36, R42, I1
@suite.step
def the_page_about_est_is_true(s):
    curl, swan = s.device("page"), s.device("page-swan").approved()
    root = run("openssl", "x509", "-in", s.hospital.anchors, "-noout", "-fingerprint", "-sha256").out.strip()
    text = (ROOT / "docs/protocols/est.md").read_text()
    example = re.search(r"^ROOT=(\S+)$", text, re.M)[1]
    shell = Shell("page", s.folder / "page-folder", s.processes, replace={
        "https://lanyard.hospital.example": f"https://{s.hospital.enroll}", example: root.split("=")[1],
        "aeaqcaib-...": curl.give_secret(), "bfaqcaib-...": swan.give_secret()})

    def approve():
        until("it was told to wait", lambda: "a request waits for a person" in log.read_text()[seen:])
        s.hospital.approve(curl.id)

    log = s.folder / "up.err"
    seen = len(log.read_text())
    person = threading.Thread(target=approve)
    person.start()
    for block in blocks(ROOT / "docs/protocols/est.md"):
        shell.run(block)
    person.join()
    same(curl.names().count("certificate_issued"), 2, "certificates by curl")
    same(swan.names().count("certificate_issued"), 2, "certificates by strongSwan")
    curl.has(s.folder / "page-folder/device.pem", s.folder / "page-folder/device.key")
    swan.has(s.folder / "page-folder/next.pem", s.folder / "page-folder/next.key")
    s.given |= {line["serial"] for device in (curl, swan) for line in s.hospital.certificates(device.id)}
    s.processes.stop("page")
