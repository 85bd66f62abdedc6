"""What an agent in the shape of amazon-ssm-agent says and what our own says are the same, word for word but for ids,
times, signatures and output."""

import os
import subprocess
import threading

import pytest
from conftest import PROGRAM, wait_for
from own_agent import OwnAgent
from recorder import Recorder
from ssm_agent import SsmAgent, step

# Two steps, so that the first is told while the second runs.
DOCUMENT = """schemaVersion: '2.2'
parameters:
  gate: {type: String}
  end: {type: String}
mainSteps:
- name: first
  action: aws:runShellScript
  inputs: {runCommand: ['echo one; echo two >&2']}
- name: second
  action: aws:runShellScript
  inputs: {runCommand: ['cat {{ gate }}; {{ end }}']}
"""


class Stock:
    """Runs what an agent in the shape of amazon-ssm-agent is sent: by bash, several at once, until they are killed."""

    def __init__(self, url, identifier, code):
        self.agent = SsmAgent(url)
        self.node = self.agent.register(identifier, code)
        self.agent.authenticate()
        self.agent.heartbeat()
        self.running = {}
        self.is_stopped = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        while not self.is_stopped.is_set():
            for message in self.agent.poll():
                threading.Thread(target=self.agent.serve, args=(message, self.run, self.cancel), daemon=True).start()

    def run(self, payload, tell):
        for each in payload["DocumentContent"]["mainSteps"]:
            script = "\n".join(each["inputs"]["runCommand"])
            for name, value in payload["Parameters"].items():
                script = script.replace("{{ %s }}" % name, value[0] if isinstance(value, list) else value)
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = subprocess.Popen(["bash", "-c", script], text=True, start_new_session=True, **pipes)
            self.running[payload["CommandId"]] = process
            stdout, stderr = process.communicate()
            status = {0: "Success", -9: "Cancelled"}.get(process.returncode, "Failed")
            code = 137 if process.returncode == -9 else process.returncode
            tell({each["name"]: step(status, code, stdout, stderr, name=each["name"])})
        return status

    def cancel(self, command):
        os.killpg(self.running[command].pid, 9)

    def stop(self):
        self.is_stopped.set()


def story(server, ssm, name, folder, make):
    """One life of a node, as it was heard: it joins, changes its key, and runs what succeeds, fails and is cancelled."""
    folder.mkdir()
    rotated = threading.Event()

    def rotate(operation, answer):
        if operation.endswith("RequestManagedInstanceRoleToken") and "AccessKeyId" in answer and not rotated.is_set():
            rotated.set()
            answer["UpdateKeyPair"] = True
        return answer

    recorder = Recorder(server.url, rotate)
    made = ssm.create_activation(IamRole="nodes")
    agent = make(recorder.url, made["ActivationId"], made["ActivationCode"])
    try:
        recorder.wait_for(lambda said: said.operation.endswith("UpdateInstanceInformation"), "the heartbeat")
        messages = []
        for end in ("true", "exit 3", "cancel"):
            gate = folder / end.replace(" ", "-")
            os.mkfifo(gate)
            parameters = {"gate": [str(gate)], "end": ["true" if end == "cancel" else end]}
            sent = ssm.send_command(DocumentName=name, InstanceIds=[agent.node], Parameters=parameters)
            command = sent["Command"]["CommandId"]
            message = f"aws.ssm.{command}.{agent.node}"
            messages.append(message)
            recorder.wait_for(
                lambda said: said.body.get("MessageId") == message and '"first"' in said.body.get("Payload", ""),
                "the first step",
            )
            # Opens once the second step reads, which ends when it is closed.
            with open(gate, "w", encoding="utf-8") as gate:
                if end != "cancel":
                    gate.close()
                else:
                    ssm.cancel_command(CommandId=command)
                recorder.wait_for(
                    lambda said: said.body.get("MessageId") == message and said.operation.endswith("DeleteMessage"),
                    "the end",
                )
            wanted = {"true": "Success", "exit 3": "Failed", "cancel": "Cancelled"}[end]
            for plugin in ("first", "second"):
                got = ssm.get_command_invocation(CommandId=command, InstanceId=agent.node, PluginName=plugin)
                assert got["Status"] == ("Success" if plugin == "first" else wanted), (end, got)
            wait_for(lambda: ssm.list_commands(CommandId=command)["Commands"][0]["Status"] == wanted, wanted)

        # The message that cancelled is the one that is of no command.
        def of_cancel(said):
            message = said.body.get("MessageId", messages[0])
            return message not in messages and said.operation.endswith("DeleteMessage")

        recorder.wait_for(of_cancel, "the end of the cancellation")
        messages.append(next(said.body["MessageId"] for said in recorder.said if of_cancel(said)))
        recorder.wait_for(lambda said: said.operation.endswith("GetMessages"), "a poll")
    finally:
        agent.stop()
        recorder.stop()
        ssm.deregister_managed_instance(InstanceId=agent.node)
    return {
        "joining": recorder.without_messages(),
        "heartbeat": recorder.kinds("UpdateInstanceInformation"),
        "polls": recorder.kinds("GetMessages"),
        **dict(zip(("success", "failure", "cancelled", "cancelling"), map(recorder.about, messages))),
    }


@pytest.fixture
def document(ssm, name):
    ssm.create_document(Name=name, Content=DOCUMENT, DocumentFormat="YAML", DocumentType="Command")
    yield name
    ssm.delete_document(Name=name)


def test_our_agent_says_what_the_ssm_agent_says(server, ssm, document, tmp_path):
    stock = story(server, ssm, document, tmp_path / "stock", Stock)
    own = story(server, ssm, document, tmp_path / "own", lambda *how: OwnAgent(*how, tmp_path / "own"))
    operations = [operation.split(".")[1] for operation, _, _ in stock["joining"]]
    assert operations == [
        "RegisterManagedInstance",
        "RequestManagedInstanceRoleToken",
        "UpdateManagedInstancePublicKey",
    ]
    assert [said[0].split(".")[1] for said in stock["cancelling"][0]] == ["AcknowledgeMessage", "DeleteMessage"]
    for part, said in stock.items():
        assert own[part] == said, part
