"""Steps: certificates by each request, over both listeners; renewal; what may be asked."""

from harness import check, run, same
from scene import pems_in, serial_of, suite


# R36, R42, R45, R46, I3
@suite.step
def a_secret_gives_one_certificate_and_the_same_again(s):
    device = s.device("pump").approved()
    given = s.hospital.as_("anna", "device", "secret", device.id, "--reason", "unpacked")
    device.secret = given["secret"]
    same(given["reference"], device.secret.split("-")[0], "reference, as -ref wants it")
    key, cas, chain = device.new_key("first"), device.out("cas.pem"), device.out("chain.pem")
    file, said = device.ask("ir", device.mac(), key, "-cacertsout", cas, "-chainout", chain)
    for step in ("sending IR", "received IP", "sending CERTCONF", "received PKICONF"):
        check(step in said, f"`{step}` is missing:\n{said}")
    check("grantedWithMods" in said, f"the wish for a name was not taken, and the answer does not say so:\n{said}")
    first = device.takes(file, key)
    same(pems_in(cas), pems_in(s.hospital.anchors), "caPubs")
    same(pems_in(chain), [s.issuing.read_text()], "chain")
    same(device.names()[-5:], ["enrollment_secret_issued", "soft_key_accepted", "enrollment_secret_used",
                               "issuance_intended", "certificate_issued"], "chain of events")
    # The answer was lost.
    before = device.names()
    again, _ = device.ask("ir", device.mac(), key)
    same((again.read_text(), device.names()), (first.read_text(), before), "answer to the same request")


# R36, R43
@suite.step
def each_request_works_with_a_secret_with_and_without_tls_and_confirmation(s):
    for name, cmd, kind, mac, tls in (("by-ir", "ir", "P-384", "hmacWithSHA256", True),
                                      ("by-cr", "cr", "Ed25519", "hmacWithSHA1", False),
                                      ("by-p10cr", "p10cr", "P-256", "hmacWithSHA512", True)):
        device = s.device(name).approved().give_secret()
        key = device.new_key("first", kind)
        file, said = device.ask(cmd, device.mac(), key, "-mac", mac, "-implicit_confirm", tls=tls)
        check("CERTCONF" not in said, f"{cmd}: it was confirmed all the same:\n{said}")
        device.takes(file, key)
    # TLS is checked by the client as it would anywhere.
    said = s.cmp("genm", *device.mac(), "-tls_trusted", s.maker.root, tls=True, ok=False)
    check("certificate verify failed" in said, said)


# R44, I7
@suite.step
def a_certificate_renews_itself_with_the_same_key_and_with_a_new_one(s):
    device = s.device("renewing").enrolled()
    first = device.certificate
    for cmd, name, tls in (("kur", None, False), ("kur", "second", True), ("cr", "third", False), ("p10cr", "fourth", True)):
        key = device.new_key(name) if name else device.key
        file, said = device.ask(cmd, device.signed(), key, tls=tls)
        check("received PKICONF" in said, f"{cmd} was not confirmed:\n{said}")
        before = device.certificate
        device.takes(file, key)
        check(serial_of(before) != serial_of(device.certificate), "no other certificate came")
        same(device.revoked(before), None, "the certificate before is still good")
    # The answer's own certificate can be pinned; it stands first in extraCerts.
    extra = device.out("extra.pem")
    device.ask("kur", device.signed(), device.key, "-implicit_confirm", "-extracertsout", extra)
    signer = s.file("signer.pem", pems_in(extra)[0])
    device.ask("kur", device.signed(), device.key, "-implicit_confirm", "-srvcert", signer)
    # By the certificate of that time; nothing has taken its place yet.
    device.ask("kur", device.signed(first, device.folder / "first.key"), device.key, "-implicit_confirm")
    same(device.alarms(), [], "alarms")


# R35, R34
@suite.step
def a_factory_certificate_enrolls_the_device_of_that_serial_number(s):
    device = s.device("factory", tier="high").approved()
    made, idevid = s.maker.idevid("SN-factory")
    # OpenSSL would call us by the name of the factory's CA.
    who = ("-cert", idevid, "-key", made, "-subject", "/CN=pump", "-recipient", "/")
    key = device.new_key("first")
    device.takes(device.ask("ir", who, key)[0], key)
    check("maker_key_bound" in device.names(), "the factory's key is not bound")
    # With the key that it has it renews; for a new one the factory's has to speak (I2).
    device.takes(device.ask("kur", device.signed(), key)[0], key)
    copied = device.new_key("copied")
    device.ask("kur", device.signed(), copied, ok=False)
    same(device.alarms(), ["clone_suspected"], "alarms")
    unknown = s.maker.idevid("SN-nobody")
    s.refused("ir", "signerNotTrusted", "not_registered: .*SN-nobody", "-cert", unknown[1], "-key", unknown[0], "-newkey",
              key, "-certout", device.out("no.pem"), "-recipient", "/")


# R47
@suite.step
def a_path_names_profile_and_operation(s):
    device = s.device("labelled").approved().give_secret()
    key = device.new_key("first")
    for path, fail, words in (("/p/device_ldevid/keyupdate", "badRequest", "this path is for another operation"),
                              ("/p/pacemaker", "notAuthorized", "profile_unknown: .*pacemaker"),
                              ("/p/pacemaker/initialization", "notAuthorized", "profile_unknown: .*pacemaker")):
        s.refused("ir", fail, words, *device.mac(), "-newkey", key, "-certout", device.out("no.pem"),
                  path=f"/.well-known/cmp{path}")
    for path in ("/nested", "/p", "/p/a/b/c"):
        same(s.post(b"", path=f"/.well-known/cmp{path}").status, 404, path)
    file, _ = device.ask("ir", device.mac(), key, path="/.well-known/cmp/p/device_ldevid/initialization")
    device.takes(file, key)


# R47
@suite.step
def a_client_may_ask_before_it_asks_for_a_certificate(s):
    device = s.device("curious").enrolled()
    device.give_secret()
    for infotype, answer in (("caCerts", "id-it-caCerts"), ("certReqTemplate", "id-it-certReqTemplate"),
                             ("signKeyPairTypes", "id-it-signKeyPairTypes"), ("encKeyPairTypes", "id-it-unsupportedOIDs"),
                             (None, "id-it-caCerts")):
        asked = ("-infotype", infotype) if infotype else ()
        for who, tls in ((device.mac(), False), (device.signed(), True)):
            said = s.cmp("genm", *who, *asked, tls=tls)
            check(answer in said, f"{infotype}: expected {answer}\n{said}")
    # caCerts are the authorities that there are.
    answer = device.out("genp.der")
    s.cmp("genm", *device.signed(), "-infotype", "caCerts", "-rspout", answer)
    for authority in s.hospital.as_("anna", "ca", "list"):
        der = run("openssl", "x509", "-outform", "DER", stdin=authority["certificate_pem"].encode()).stdout
        check(der in answer.read_bytes(), f"{authority['name']} is missing")
