"""What the agent takes of the machine while it does nothing."""

import pytest
from conftest import PROGRAM, wait_for
from own_agent import OwnAgent
from test_commands import finished, send

pytestmark = pytest.mark.skipif("control_plane" in PROGRAM, reason="the small program has no agent")

# kB; the pages of the program's file that are shared with others count in full.
MOST = 15_000


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def test_an_idle_agent_is_small_again_after_a_command(server, ssm, tmp_path):
    agent = OwnAgent.join(server, tmp_path)
    try:
        command = send(ssm, InstanceIds=[agent.node], Parameters={"commands": ["true"]})
        assert finished(ssm, command, 60)["Status"] == "Success"
        # It was more for the command, and is less once a poll brought nothing.
        wait_for(lambda: resident(agent.process.pid) <= MOST, "the agent to be small", 60)
    finally:
        agent.stop()
        ssm.deregister_managed_instance(InstanceId=agent.node)
