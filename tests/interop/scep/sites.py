"""Steps: one site's authority is not another's, and what a legacy certificate is not good for."""

from harness import check, observation, run, same
from scene import suite
import json


# R36, R46
@suite.step
def a_device_of_another_site_gets_nothing_from_a_sites_authority(s):
    s.hospital.SITE = "south"
    try:
        south = s.device("south").approved()
    finally:
        del s.hospital.SITE
    key = south.new_key("first")
    done = south.swan(key, "--password", south.give_secret(), ok=False)
    check("badRequest" in done.err, done.err)
    check("issuance_intended" not in south.names(), south.names())
    # One for all sites has it, and not those of the site that has its own.
    s.turn_on("legacy-all")
    s.get("/scep?operation=GetCACaps").refused(404, "several")
    south.has_by(south.swan(key, "--password", south.secret, authority="legacy-all"), "first", key, "legacy-all")
    north = s.device("north").approved()
    done = north.swan(north.new_key("first"), "--password", north.give_secret(), authority="legacy-all", ok=False)
    check("badRequest" in done.err, done.err)
    check("issuance_intended" not in north.names(), north.names())


# R53, I6: its key is in no hardware and there is no evidence.
@suite.step
def the_gateway_takes_no_data_by_a_legacy_certificate(s):
    device = s.device("readings").enrolled()
    chain = device.folder / "chain.pem"
    chain.write_text(device.certificate.read_text() + s.authority("legacy-north").read_text())
    done = run("curl", "-sS", "--max-time", "60", "--cacert", s.root, "--cert", chain, "--key", device.key, "-w",
               "\n%{http_code}", "-H", "Content-Type: application/fhir+json", "--data-binary", "@-",
               f"https://{s.hospital.gateway}/fhir/Observation", stdin=json.dumps(observation(device.id)).encode(),
               ok=None)
    # The chain is good and the handshake ends all the same: the device is not trusted.
    check("alert access denied" in done.err and done.out == "\n000", f"{done.out}{done.err}")
    same(s.hospital.detail(device.id)["verdict"], "untrusted", "verdict")
