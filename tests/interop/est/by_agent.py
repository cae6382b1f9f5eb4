"""Steps: our own agent as EST client, on a software TPM."""

import shutil

from agents import Agent, intents
from blocks import Shell, blocks
from harness import ROOT, binary, check, refusal, same
from scene import MODEL, VENDOR, suite

WAITING, REFUSED, USAGE = 3, 1, 2


# R34, R35, R36
@suite.step
def our_agent_waits_for_approval_and_enrolls_with_its_secret(s):
    h = s.hospital
    s.agent_id = h.enter(VENDOR, MODEL, "SN-agent")
    s.agent = Agent(h, s.folder / "agent-est", "SN-agent", "est", VENDOR, MODEL)
    refusal(USAGE, "enrollment secret", s.agent.enroll)
    s.agent.give(h.secret(s.agent_id))
    refusal(WAITING, "not yet approved by security and biomedical", lambda: s.agent.enroll(wait="1s"))
    h.approve(s.agent_id)
    standing = s.agent.enroll()
    same((standing["stage"], standing["verdict"], [r["code"] for r in standing["reasons"]]),
         ("enrolled", "untrusted", ["never_attested"]), "a certificate is an identity and no evidence")
    s.agent.verifies(s.issuing)
    same(intents(h, s.agent_id), [("est", s.agent.key_sha256())], "one certificate, for the agent's key")
    s.given.add(s.agent.serial_number())


# R44, I7
@suite.step
def our_agent_renews_with_a_new_key_and_shows_the_new_certificate(s):
    before = s.agent.identity()
    s.agent.renew()
    s.agent.verifies(s.issuing)
    check(s.agent.identity()["chain_pem"] != before["chain_pem"], "it is the same certificate")
    check(s.agent.identity()["slot"] != before["slot"], "it is the same key")
    same([protocol for protocol, _ in intents(s.hospital, s.agent_id)], ["est", "est"], "protocols")
    seen = [e["serial"] for e in s.hospital.events(s.agent_id) if e["event"] == "certificate_seen"]
    check(s.agent.serial_number() in seen, f"the use of the new one was not noted: {seen}")
    s.given.add(s.agent.serial_number())


# R40
@suite.step
def our_agent_is_refused_in_the_servers_words(s):
    h = s.hospital
    spent = s.agent.secret_file.read_text()
    other = Agent(h, s.folder / "agent-other", "SN-agent-other", "est", VENDOR, MODEL)
    h.register(VENDOR, MODEL, "SN-agent-other")
    other.give(spent.strip())
    refusal(REFUSED, r"est: refused: .*\(secret_used\)", other.enroll)
    h.as_("sara", "device", "revoke", s.agent_id, "--because", "stolen", "--reason", "not in its ward")
    before = s.agent.identity()
    refusal(REFUSED, r"est: refused: .*\(certificate_not_current\)", s.agent.renew)
    same(s.agent.identity(), before, "what it has")


# R36
@suite.step
def the_page_about_the_agent_is_true(s):
    h, folder, programs = s.hospital, s.folder / "agent-page", s.folder / "agent-programs"
    folder.mkdir()
    programs.mkdir()
    (programs / "lanyard").symlink_to(binary())
    device = h.register("Acme", "P1", "S-1")
    shutil.copy(h.anchors, folder / "anchors.pem")
    (folder / "secret").write_text(h.secret(device))
    shell = Shell("agent-page", folder, s.processes, path=[programs],
                  replace={"HOST:8443": h.server, "HOST:8445": h.enroll})
    page = blocks(ROOT / "docs/protocols/agent.md")
    same(len(page), 2, "blocks of the page")
    said = "".join(shell.run(block) for block in page)
    check("untrusted" in said and device in said, said)
    lines = h.certificates(device)
    same([line["revoked"] for line in lines], [None, None], "certificates")
    s.given |= {line["serial"] for line in lines}
    s.processes.stop("agent-page")
