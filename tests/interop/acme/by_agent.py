"""Steps: our own agent as ACME client, on a software TPM: its attestation key speaks for each new key."""

from agents import Agent, intents
from harness import check, refusal, same
from scene import suite

VENDOR, MODEL = "Acme Medical", "Infusion X"
WAITING, REFUSED = 3, 1


def agent(s, serial):
    return Agent(s.hospital, s.folder / serial, serial, "acme", VENDOR, MODEL)


# R34, R35, R36, I1
@suite.step
def our_agent_attests_waits_for_approval_and_goes_on(s):
    h = s.hospital
    s.agent, s.agent_id = agent(s, "SN-agent"), h.enter(VENDOR, MODEL, "SN-agent")
    refusal(REFUSED, "badAttestationStatement", s.agent.enroll)
    h.as_("sara", "endorsement", "add", s.agent.endorsement, "--use", "tpm")
    refusal(WAITING, "acme: waiting", lambda: s.agent.enroll(wait="1s"))
    h.approve(s.agent_id)
    s.agent.enroll()
    same(intents(h, s.agent_id), [("acme", s.agent.key_sha256())], "one certificate, for the attested key")
    [bound] = [e for e in h.events(s.agent_id) if e["event"] == "maker_key_bound"]
    same(bound["format"], "tpm", "what spoke for it")


# R44, I7, I10
@suite.step
def our_agent_renews_with_a_new_key_that_its_chip_attests(s):
    before = s.agent.identity()
    s.agent.renew()
    check(s.agent.identity()["slot"] != before["slot"], "it is the same key")
    evidence = [e["evidence_sha256"] for e in s.hospital.events(s.agent_id) if e["event"] == "issuance_intended"]
    check(len(set(evidence)) == 2 and not any(set(e) == {"0"} for e in evidence), f"a statement for each: {evidence}")
    seen = [e["serial"] for e in s.hospital.events(s.agent_id) if e["event"] == "certificate_seen"]
    check(s.agent.serial_number() in seen, f"the use of the new one was not noted: {seen}")


# R39
@suite.step
def our_agent_renews_after_the_server_was_restarted(s):
    s.hospital.restart()
    # Other ports: the agent is told where the server is now. Its account was in the server's memory and is made again.
    config = s.agent.config.read_text()
    line = next(line for line in config.splitlines() if line.startswith("servers = ") and str(s.port) not in line)
    s.agent.config.write_text(config.replace(line, f'servers = ["{s.hospital.server}"]'))
    s.agent.renew()
    same(len(intents(s.hospital, s.agent_id)), 3, "certificates")


# R40
@suite.step
def our_agent_is_refused_by_acme_in_the_servers_words(s):
    h = s.hospital
    h.as_("sara", "device", "revoke", s.agent_id, "--because", "stolen", "--reason", "not in its ward")
    before = s.agent.identity()
    refusal(REFUSED, "acme: the order ended: .*revoked", s.agent.renew)
    same(s.agent.identity(), before, "what it has")
