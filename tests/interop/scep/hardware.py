"""Step: the authority's key is in a hardware module (SoftHSM2), which goes while a device asks and comes back."""

from harness import check, run, same, until
from scene import Proxy, ask, suite

AUTHORITY, PIN = "legacy-module", "739153"


def in_a_module(s):
    """Everything starts again with a module; returns the folder of its tokens."""
    tokens = s.folder / "tokens"
    tokens.mkdir()
    conf = s.folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    env = {"SOFTHSM2_CONF": str(conf), "LANYARD_HSM_PIN": PIN}
    run("softhsm2-util", "--init-token", "--free", "--label", "lanyard", "--so-pin", "12345678", "--pin", PIN, env=env)
    s.hospital.toml.write_text(s.hospital.toml.read_text() +
                               "[keys.pkcs11]\nmodule = '/usr/lib/softhsm/libsofthsm2.so'\ntoken = 'lanyard'\n")
    s.hospital.restart(env)
    s.find()
    return tokens


def trouble(s):
    [line] = [a for a in s.hospital.as_("anna", "ca", "list") if a["name"] == AUTHORITY]
    return line.get("trouble")


# R36, R50, I3, I7
@suite.step
def while_its_module_is_away_a_device_is_told_to_come_later_and_is_served_when_it_is_back(s):
    tokens = in_a_module(s)
    s.turn_on(AUTHORITY, "--site", "module", "--keys", "pkcs11")
    s.hospital.SITE = "module"
    try:
        device, new = s.device("of-module"), s.device("new-of-module").approved()
    finally:
        del s.hospital.SITE
    device.enrolled(AUTHORITY)
    key, secret, proxy = new.new_key("first"), new.give_secret(), Proxy(s.at)

    tokens.rename(s.folder / "elsewhere")
    new.swan(key, "--password", secret, authority=AUTHORITY, to=proxy.address, ok=False)
    path, message = proxy.last(f"/scep/{AUTHORITY}?operation=PKIOperation")
    # RFC 8894 has no word for it: failInfo would end the attempts of whoever reads it.
    answer = ask(s.at, "POST", path, message)
    answer.refused(503, "")
    same(answer.headers.get("retry-after"), "60", "when to ask again")
    renewal = device.swan(device.new_key("second"), "--cert", device.certificate, "--key", device.key,
                          authority=AUTHORITY, dn=f"serialNumber={device.id}", ok=False)
    check("badRequest" not in renewal.err, renewal.err)
    check("goes on by itself" in trouble(s), trouble(s))
    for asked, had in ((new, 0), (device, 1)):
        same(asked.names().count("certificate_issued"), had, "certificates")
        same(asked.names().count("issuance_intended") - asked.names().count("issuance_abandoned"), had, "intents")

    (s.folder / "elsewhere").rename(tokens)
    until("the module's authority goes on", lambda: trouble(s) is None)
    # The very message that was turned away.
    same(ask(s.at, "POST", path, message).status, 200, "the same message again")
    new.has_by(new.swan(key, "--password", secret, authority=AUTHORITY), "first", key, AUTHORITY)
    device.renews("third", authority=AUTHORITY)
    s.hospital.restart()
    s.find()
