"""Ten machines, each in a network namespace of its own with the real agent: one is cut off in the middle of a command,
one agent is killed and started again."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from conftest import PROGRAM, Server, wait_for
from test_commands import command_of, states

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="network namespaces need root and iproute2"),
    pytest.mark.skipif("control_plane" in PROGRAM, reason="the small program has no agent"),
]

COUNT = 10
BRIDGE = "capstan-test"
SERVER = "198.51.100.1"


def ip(*arguments, check=True):
    subprocess.run(["ip", *arguments], check=check, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Machine:
    """A network namespace with an agent in it."""

    def __init__(self, number, folder):
        self.name = f"capstan-test-{number}"
        self.folder = folder / self.name
        self.folder.mkdir(mode=0o700)
        self.process = None
        ip("netns", "add", self.name)
        ip("link", "add", f"cap{number}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", f"cap{number}", "master", BRIDGE, "up")
        self.inside("ip", "addr", "add", f"198.51.100.{number + 10}/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")
        self.inside("ip", "link", "set", "lo", "up")

    def inside(self, *command, **options):
        return subprocess.run(["ip", "netns", "exec", self.name, *command], check=True, **options)

    def register(self, url, activation):
        self.inside(
            PROGRAM,
            *["agent", "register", "--endpoint", url, "--state", str(self.folder)],
            *["--activation-id", activation["ActivationId"], "--activation-code", activation["ActivationCode"]],
            stdout=subprocess.DEVNULL,
        )
        identity = json.loads(next(self.folder.glob("agent/identity*")).read_text())
        self.node = identity["nodeId"]

    def start(self):
        environment = {**os.environ, "CAPSTAN_CACHE": str(self.folder.parent / "cache")}
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, PROGRAM, "agent", "run", "--state", str(self.folder)],
            stderr=self.log,
            env=environment,
            start_new_session=True,
        )

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def cut(self):
        self.inside("ip", "link", "set", "eth0", "down")

    def join(self):
        self.inside("ip", "link", "set", "eth0", "up")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)
        ip("netns", "del", self.name, check=False)


@pytest.fixture
def machines(tmp_path):
    made = []
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("addr", "add", f"{SERVER}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number in range(COUNT):
            made.append(Machine(number, tmp_path))
        yield made
    finally:
        for machine in made:
            machine.stop()
        ip("link", "del", BRIDGE, check=False)


def test_ten_machines(machines, tmp_path):
    state = tmp_path / "server"
    state.mkdir(mode=0o700)
    with Server(state, listen=f"{SERVER}:0") as server:
        run_commands(machines, server)


def run_commands(machines, server):
    ssm = server.client()
    activation = ssm.create_activation(
        IamRole="nodes", RegistrationLimit=COUNT, Tags=[{"Key": "Environment", "Value": "production"}]
    )
    for machine in machines:
        machine.register(server.url, activation)
        machine.start()
    online = lambda: len(
        ssm.describe_instance_information(Filters=[{"Key": "PingStatus", "Values": ["Online"]}])[
            "InstanceInformationList"
        ]
    )
    wait_for(lambda: online() == COUNT, "ten nodes", 60)

    def send(script, **arguments):
        return ssm.send_command(
            DocumentName="AWS-RunShellScript",
            Targets=[{"Key": "tag:Environment", "Values": ["production"]}],
            Parameters={"commands": [script]},
            **arguments,
        )["Command"]

    def over(command):
        found = command_of(ssm, command)
        return found if found["Status"] not in ("Pending", "InProgress") else None

    first = send("hostname", TimeoutSeconds=600, MaxConcurrency="50%", MaxErrors="10%")
    done = wait_for(lambda: over(first), "the first command", 120)
    assert (done["Status"], done["TargetCount"], done["CompletedCount"]) == ("Success", COUNT, COUNT)

    # More and more at once, up to all that are left: then one is cut off, and one agent killed and started again.
    second = send("sleep 4; echo done", MaxConcurrency="100%")
    lost, killed = sorted(machines, key=lambda machine: machine.node)[-2:]
    running = lambda: [states(ssm, second).get(machine.node) for machine in (lost, killed)] == ["InProgress"] * 2
    wait_for(running, "the last two that run", 90)
    lost.cut()
    killed.kill()
    time.sleep(1)
    killed.start()
    others = lambda: list(states(ssm, second).values()).count("Success") == COUNT - 1
    wait_for(others, "the end on the others", 90)
    # Nothing came of the one that was cut off: it still runs, as far as anybody knows.
    assert states(ssm, second)[lost.node] == "InProgress" and command_of(ssm, second)["Status"] == "InProgress"
    lost.join()
    done = wait_for(lambda: over(second), "the end on the one that was cut off", 120)
    assert (done["Status"], done["CompletedCount"], done["ErrorCount"]) == ("Success", COUNT, 0)
    outputs = ssm.list_command_invocations(CommandId=second["CommandId"], Details=True)["CommandInvocations"]
    assert all(one["CommandPlugins"][0]["Output"].endswith("done\n") for one in outputs)
    assert server.stop() == 0
