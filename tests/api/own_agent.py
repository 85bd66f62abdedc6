"""`capstan agent`, as tests run it."""

import os
import subprocess

from conftest import PROGRAM, wait_for


class OwnAgent:
    """The agent with a folder of its own, registered and running."""

    def __init__(self, url, identifier, code, folder, policy=("--profile", "trusted-host"), **environment):
        environment = {**os.environ, "HOME": str(folder), **environment}
        state = ["--state", str(folder / "state")]
        register = ["--endpoint", url, "--activation-id", identifier, "--activation-code", code]
        done = subprocess.run(
            [PROGRAM, "agent", "register", *state, *register], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        self.node = done.stdout.split("the node ")[1].split()[0]
        self.log = open(folder / "agent.log", "wb")
        self.process = subprocess.Popen(
            [PROGRAM, "agent", "run", *state, *policy], env=environment, stderr=self.log
        )

    @classmethod
    def join(cls, server, folder, **how):
        """With an activation of its own; it answers already."""
        ssm = server.client()
        made = ssm.create_activation(IamRole=how.pop("role", "nodes"))
        agent = cls(server.url, made["ActivationId"], made["ActivationCode"], folder, **how)
        filters = [{"Key": "InstanceIds", "Values": [agent.node]}, {"Key": "PingStatus", "Values": ["Online"]}]
        try:
            wait_for(lambda: ssm.describe_instance_information(Filters=filters)["InstanceInformationList"], "the node")
        except BaseException:
            agent.stop()
            raise
        return agent

    def stop(self):
        self.process.kill()
        self.process.wait(30)
        self.log.close()
