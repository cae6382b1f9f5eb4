"""Steps: our own agent as CMP client, on a software TPM."""

from agents import Agent, intents
from harness import check, refusal, same
from scene import MODEL, VENDOR, suite

WAITING, REFUSED = 3, 1


# R34, R35, R36
@suite.step
def our_agent_polls_until_it_is_approved_and_confirms(s):
    h = s.hospital
    s.agent_id = h.enter(VENDOR, MODEL, "SN-agent")
    s.agent = Agent(h, s.folder / "agent-cmp", "SN-agent", "cmp", VENDOR, MODEL)
    s.agent.give(h.secret(s.agent_id))
    refusal(WAITING, "cmp: waiting", lambda: s.agent.enroll(wait="1s"))
    h.approve(s.agent_id)
    s.agent.enroll()
    same(intents(h, s.agent_id), [("cmp", s.agent.key_sha256())], "one certificate, for the agent's key")
    [line] = h.certificates(s.agent_id)
    same((line["serial"], line["revoked"]), (s.agent.serial_number(), None), "inventory")
    s.given.add(s.agent.serial_number())


# R44, I7
@suite.step
def our_agent_updates_its_key_and_shows_the_new_certificate(s):
    before = s.agent.identity()
    s.agent.renew()
    check(s.agent.identity()["slot"] != before["slot"], "it is the same key")
    same([protocol for protocol, _ in intents(s.hospital, s.agent_id)], ["cmp", "cmp"], "protocols")
    seen = [e["serial"] for e in s.hospital.events(s.agent_id) if e["event"] == "certificate_seen"]
    check(s.agent.serial_number() in seen, f"the use of the new one was not noted: {seen}")
    s.given.add(s.agent.serial_number())


# R40
@suite.step
def our_agent_is_refused_by_cmp_in_the_servers_words(s):
    h = s.hospital
    other = Agent(h, s.folder / "agent-other", "SN-agent-other", "cmp", VENDOR, MODEL)
    h.register(VENDOR, MODEL, "SN-agent-other")
    other.give(s.agent.secret_file.read_text().strip()[:-1] + "a")
    refusal(REFUSED, "cmp: refused: .*secret", other.enroll)
    h.as_("sara", "device", "revoke", s.agent_id, "--because", "stolen", "--reason", "not in its ward")
    before = s.agent.identity()
    refusal(REFUSED, "cmp: refused: certificate_not_current", s.agent.renew)
    same(s.agent.identity(), before, "what it has")
