"""Run Command: sending, rate control, time-outs, results, cancelling."""

import json
import signal
import time
import uuid

import pytest
import urllib3
from botocore.exceptions import WaiterError
from conftest import code_of, wait_for
from ssm_agent import ServiceError, SsmAgent, shell, step

SCRIPT = "AWS-RunShellScript"


@pytest.fixture
def fleet(server, ssm, name):
    """Makes agents that are tagged with the test's name."""
    agents = []

    def make(count, platform="Linux"):
        for _ in range(count):
            agent = SsmAgent(server.url, platform)
            agent.join(ssm, Tags=[{"Key": "Group", "Value": name}])
            agents.append(agent)
        return sorted(agents, key=lambda agent: agent.node)

    yield make
    for agent in agents:
        ssm.deregister_managed_instance(InstanceId=agent.node)


def send(ssm, **arguments):
    arguments.setdefault("DocumentName", SCRIPT)
    arguments.setdefault("Parameters", {"commands": ["uptime"]})
    return ssm.send_command(**arguments)["Command"]


def command_of(ssm, command):
    (found,) = ssm.list_commands(CommandId=command["CommandId"])["Commands"]
    return found


def finished(ssm, command, seconds=30):
    """The command, once it is over."""

    def over():
        found = command_of(ssm, command)
        return found if found["Status"] not in ("Pending", "InProgress", "Cancelling") else None

    return wait_for(over, "the end of the command", seconds)


def states(ssm, command):
    pages = ssm.get_paginator("list_command_invocations").paginate(CommandId=command["CommandId"])
    return {one["InstanceId"]: one["StatusDetails"] for page in pages for one in page["CommandInvocations"]}


def one_message(agent):
    (message,) = wait_for(agent.poll, "a message")
    return message


def test_a_command_runs_on_a_node(ssm, fleet):
    (agent,) = fleet(1)
    command = send(ssm, InstanceIds=[agent.node], Comment="a test", TimeoutSeconds=600)
    assert len(command["CommandId"]) == 36
    assert (command["Status"], command["StatusDetails"]) == ("Pending", "Pending")
    assert command["InstanceIds"] == [agent.node] and command["Parameters"] == {"commands": ["uptime"]}
    assert (command["MaxConcurrency"], command["MaxErrors"], command["TimeoutSeconds"]) == ("50", "0", 600)
    assert (command["ExpiresAfter"] - command["RequestedDateTime"]).total_seconds() == 600 + 3600

    pending = ssm.get_command_invocation(CommandId=command["CommandId"], InstanceId=agent.node)
    assert (pending["Status"], pending["ResponseCode"], pending["ExecutionStartDateTime"]) == ("Pending", -1, "")

    message = one_message(agent)
    assert message["MessageId"] == f"aws.ssm.{command['CommandId']}.{agent.node}"
    assert message["Topic"].startswith("aws.ssm.sendCommand.")
    payload = json.loads(message["Payload"])
    assert payload["DocumentName"] == SCRIPT and payload["Parameters"] == {"commands": ["uptime"]}
    assert payload["DocumentContent"]["schemaVersion"] == "1.2"
    assert "aws:runShellScript" in payload["DocumentContent"]["runtimeConfig"]

    agent.acknowledge(message)
    assert command_of(ssm, command)["Status"] == "InProgress"
    assert states(ssm, command) == {agent.node: "InProgress"}
    agent.reply(message, "InProgress")
    agent.reply(message, "Success", {"aws:runShellScript": step(stdout="up 1 day\n", stderr="a warning\n")})
    agent.delete(message)

    done = finished(ssm, command)
    assert (done["Status"], done["StatusDetails"]) == ("Success", "Success")
    assert (done["TargetCount"], done["CompletedCount"], done["ErrorCount"]) == (1, 1, 0)
    result = ssm.get_command_invocation(
        CommandId=command["CommandId"], InstanceId=agent.node, PluginName="aws:runShellScript"
    )
    assert (result["Status"], result["ResponseCode"]) == ("Success", 0)
    assert (result["StandardOutputContent"], result["StandardErrorContent"]) == ("up 1 day\n", "a warning\n")
    assert result["ExecutionElapsedTime"].startswith("PT") and result["ExecutionEndDateTime"].endswith("Z")
    (invocation,) = ssm.list_command_invocations(CommandId=command["CommandId"])["CommandInvocations"]
    assert invocation["CommandPlugins"] == []
    (invocation,) = ssm.list_command_invocations(CommandId=command["CommandId"], Details=True)["CommandInvocations"]
    (plugin,) = invocation["CommandPlugins"]
    assert (plugin["Name"], plugin["Status"], plugin["ResponseCode"]) == ("aws:runShellScript", "Success", 0)
    assert plugin["Output"] == "up 1 day\n\n----------ERROR-------\na warning\n"
    # What comes late changes nothing.
    agent.reply(message, "Failed", {"aws:runShellScript": step("Failed", 1)})
    assert states(ssm, command) == {agent.node: "Success"}


def test_the_waiter_sees_the_end(ssm, fleet):
    (agent,) = fleet(1)
    thread = agent.serve_in_background(shell)
    command = send(ssm, InstanceIds=[agent.node])
    waiter = ssm.get_waiter("command_executed")
    which = {"CommandId": command["CommandId"], "InstanceId": agent.node}
    waiter.wait(**which, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    failing = send(ssm, InstanceIds=[agent.node], Parameters={"commands": ["fail"]})
    with pytest.raises(WaiterError):
        waiter.wait(CommandId=failing["CommandId"], InstanceId=agent.node, WaiterConfig={"Delay": 1})
    thread.stop.set()


def test_tags_find_nodes_and_the_limits_hold(ssm, fleet, name):
    agents = fleet(5)
    command = send(
        ssm,
        Targets=[{"Key": "tag:Group", "Values": [name]}],
        MaxConcurrency="50%",
        MaxErrors="10%",
        TimeoutSeconds=600,
    )
    assert (command["InstanceIds"], command["TargetCount"], command["Status"]) == ([], 0, "Pending")
    wait_for(lambda: command_of(ssm, command)["TargetCount"] == 5, "the targets")
    # One, then two more, and never more than half of five.
    served, most = [], 0
    while len(served) < 5:
        waiting = [agent for agent in agents if agent not in served and peek(agent)]
        most = max(most, len(waiting))
        assert len(waiting) <= 2 and (served or len(waiting) == 1)
        agent = waiting[0]
        agent.serve(one_message(agent), shell)
        served.append(agent)
    assert most == 2
    done = finished(ssm, command)
    assert (done["Status"], done["CompletedCount"]) == ("Success", 5)
    assert set(states(ssm, command)) == {agent.node for agent in agents}


def peek(agent):
    """What the agent would get now. It is to be had again after a second, if nobody acknowledges it."""
    try:
        return agent.poll(visibility=1, timeout=0.3)
    except urllib3.exceptions.TimeoutError:
        return []


def test_the_first_error_too_many_stops(ssm, fleet, name):
    agents = fleet(4)
    threads = [agent.serve_in_background(shell) for agent in agents]
    command = send(
        ssm,
        Targets=[{"Key": "tag:Group", "Values": [name]}],
        Parameters={"commands": ["fail"]},
        MaxConcurrency="1",
        MaxErrors="1",
    )
    done = finished(ssm, command)
    assert (done["Status"], done["StatusDetails"]) == ("Failed", "Failed")
    assert (done["TargetCount"], done["CompletedCount"], done["ErrorCount"]) == (4, 4, 2)
    assert sorted(states(ssm, command).values()) == ["Failed", "Failed", "Terminated", "Terminated"]
    some = send(ssm, InstanceIds=[agents[0].node, agents[1].node], MaxErrors="2", Parameters={"commands": ["fail"]})
    assert finished(ssm, some)["StatusDetails"] == "Incomplete"
    for thread in threads:
        thread.stop.set()


def test_no_target_is_a_success_of_its_own_kind(ssm, name):
    command = send(ssm, Targets=[{"Key": "tag:Group", "Values": [name]}])
    done = finished(ssm, command)
    assert (done["Status"], done["StatusDetails"], done["TargetCount"]) == ("Success", "NoInstancesInTag", 0)
    assert states(ssm, command) == {}


def test_targets_are_met_together(ssm, fleet, name):
    agents = fleet(3)
    for agent, colour in zip(agents, ["red", "green", "blue"]):
        ssm.add_tags_to_resource(
            ResourceType="ManagedInstance", ResourceId=agent.node, Tags=[{"Key": "Colour", "Value": colour}]
        )
    targets = [{"Key": "tag:Group", "Values": [name]}, {"Key": "tag:Colour", "Values": ["red", "blue"]}]
    command = send(ssm, Targets=targets)
    wait_for(lambda: command_of(ssm, command)["TargetCount"] == 2, "the targets")
    assert set(states(ssm, command)) == {agents[0].node, agents[2].node}
    by_id = send(ssm, Targets=[{"Key": "instanceids", "Values": [agents[1].node]}])
    wait_for(lambda: states(ssm, by_id) == {agents[1].node: "Pending"}, "the target")
    by_key = send(ssm, Targets=[{"Key": "tag-key", "Values": ["Colour"]}, targets[0]])
    wait_for(lambda: command_of(ssm, by_key)["TargetCount"] == 3, "the targets")


def test_a_command_that_was_not_begun_is_cancelled_at_once(ssm, fleet):
    first, second = fleet(2)
    command = send(ssm, InstanceIds=[first.node, second.node])
    ssm.cancel_command(CommandId=command["CommandId"])
    done = finished(ssm, command)
    assert (done["Status"], done["StatusDetails"], done["CompletedCount"]) == ("Cancelled", "Cancelled", 2)
    assert set(states(ssm, command).values()) == {"Cancelled"}
    assert peek(first) == []
    # Once more is no error.
    ssm.cancel_command(CommandId=command["CommandId"])


def test_a_command_that_runs_is_asked_to_stop(ssm, fleet):
    (agent,) = fleet(1)
    command = send(ssm, InstanceIds=[agent.node])
    message = one_message(agent)
    agent.acknowledge(message)
    ssm.cancel_command(CommandId=command["CommandId"], InstanceIds=[agent.node])
    assert states(ssm, command) == {agent.node: "Cancelling"}
    stop = one_message(agent)
    assert ".cancelCommand." in stop["Topic"]
    assert json.loads(stop["Payload"]) == {"CancelMessageId": message["MessageId"]}
    agent.acknowledge(stop)
    agent.reply(message, "Cancelled", {"aws:runShellScript": step("Cancelled", 137)})
    agent.delete(message)
    agent.delete(stop)
    assert finished(ssm, command)["StatusDetails"] == "Cancelled"
    assert states(ssm, command) == {agent.node: "Cancelled"}


def test_a_message_that_was_taken_back_cannot_be_acknowledged(ssm, fleet):
    (agent,) = fleet(1)
    command = send(ssm, InstanceIds=[agent.node])
    message = one_message(agent)
    ssm.cancel_command(CommandId=command["CommandId"])
    with pytest.raises(ServiceError) as refused:
        agent.acknowledge(message)
    assert refused.value.code == "InvalidMessageId"
    assert states(ssm, command) == {agent.node: "Cancelled"}


def test_what_is_not_acknowledged_is_delivered_again(ssm, fleet):
    (agent,) = fleet(1)
    command = send(ssm, InstanceIds=[agent.node])
    (message,) = agent.poll(visibility=1)
    assert states(ssm, command) == {agent.node: "Pending"}
    (again,) = wait_for(lambda: peek(agent), "the message again")
    assert again["MessageId"] == message["MessageId"]
    assert states(ssm, command) == {agent.node: "Delayed"}
    agent.acknowledge(again)
    # Twice is the same as once.
    agent.acknowledge(again)
    assert states(ssm, command) == {agent.node: "InProgress"}
    assert peek(agent) == []


def test_a_node_that_cannot_handle_it_says_so(ssm, fleet):
    (agent,) = fleet(1)
    command = send(ssm, InstanceIds=[agent.node])
    message = one_message(agent)
    agent.messages("FailMessage", {"MessageId": message["MessageId"], "FailureType": "NoHandlerExists"})
    assert finished(ssm, command)["Status"] == "Failed"
    (invocation,) = ssm.list_command_invocations(CommandId=command["CommandId"])["CommandInvocations"]
    assert invocation["StatusDetails"] == "Undeliverable" and "NoHandlerExists" in invocation["TraceOutput"]


def test_other_platforms_are_left_out(ssm, fleet, name):
    fleet(1)
    agents = fleet(1, "Windows")
    windows = next(agent for agent in agents if agent.platform == "Windows")
    linux = next(agent for agent in agents if agent.platform == "Linux")
    assert code_of(send, ssm=ssm, InstanceIds=[windows.node])[:2] == ("UnsupportedPlatformType", 400)
    thread = linux.serve_in_background(shell)
    command = send(ssm, Targets=[{"Key": "tag:Group", "Values": [name]}])
    assert finished(ssm, command)["Status"] == "Success"
    assert states(ssm, command) == {windows.node: "InvalidPlatform", linux.node: "Success"}
    thread.stop.set()


def test_a_node_that_left_ends_its_invocations(server, ssm):
    agent = SsmAgent(server.url)
    agent.join(ssm)
    command = send(ssm, InstanceIds=[agent.node])
    ssm.deregister_managed_instance(InstanceId=agent.node)
    assert finished(ssm, command)["Status"] == "Failed"
    assert states(ssm, command) == {agent.node: "Undeliverable"}


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        ({}, "ValidationException", "InstanceIds or Targets"),
        ({"InstanceIds": ["mi-00000000000000000"]}, "InvalidInstanceId", "not in a valid state"),
        ({"InstanceIds": ["mi-00000000000000001"] * 2}, "DuplicateInstanceId", "twice"),
        ({"Targets": [{"Key": "colour", "Values": ["red"]}]}, "ValidationException", "tag:KEY"),
        ({"DocumentName": "No-Such-Document"}, "InvalidDocument", "No-Such-Document"),
        ({"DocumentVersion": "7"}, "InvalidDocumentVersion", "7"),
        ({"DocumentHash": "0" * 64, "DocumentHashType": "Sha256"}, "InvalidDocument", "hash"),
        ({"Parameters": {}}, "InvalidParameters", "commands"),
        ({"Parameters": {"commands": ["a"], "colour": ["red"]}}, "InvalidParameters", "colour"),
        ({"Parameters": {"commands": ["x" * 70000]}}, "MaxDocumentSizeExceeded", "65536"),
        ({"TimeoutSeconds": 2592001}, "ValidationException", "'timeoutSeconds'"),
        ({"MaxConcurrency": "0"}, "ValidationException", "'maxConcurrency'"),
        ({"MaxErrors": "101%"}, "ValidationException", "'maxErrors'"),
        ({"Comment": "x" * 101}, "ValidationException", "'comment'"),
        ({"InstanceIds": ["web-1"]}, "ValidationException", "'instanceIds'"),
    ],
)
def test_what_cannot_be_sent_is_refused(ssm, name, arguments, code, words):
    if arguments and not {"InstanceIds", "Targets"} & set(arguments):
        arguments = {**arguments, "Targets": [{"Key": "tag:Group", "Values": [name]}]}
    answer = code_of(send, ssm=ssm, **arguments)
    assert answer[:2] == (code, 400), answer
    assert words in answer[2], answer


def test_what_there_is_not_is_told(ssm, fleet):
    (agent,) = fleet(1)
    command = send(ssm, InstanceIds=[agent.node])["CommandId"]
    unknown = str(uuid.uuid4())
    assert ssm.list_command_invocations(CommandId=unknown)["CommandInvocations"] == []
    for call, arguments, code in [
        (ssm.list_commands, {"CommandId": unknown}, "InvalidCommandId"),
        (ssm.cancel_command, {"CommandId": unknown}, "InvalidCommandId"),
        (ssm.cancel_command, {"CommandId": command, "InstanceIds": ["mi-00000000000000000"]}, "InvalidInstanceId"),
        (ssm.cancel_command, {"CommandId": command, "InstanceIds": [agent.node] * 2}, "DuplicateInstanceId"),
        (ssm.get_command_invocation, {"CommandId": unknown, "InstanceId": agent.node}, "InvocationDoesNotExist"),
        (
            ssm.get_command_invocation,
            {"CommandId": command, "InstanceId": agent.node, "PluginName": "aws:other"},
            "InvalidPluginName",
        ),
        (ssm.list_commands, {"NextToken": "forged"}, "InvalidNextToken"),
        (ssm.list_command_invocations, {"NextToken": "forged"}, "InvalidNextToken"),
    ]:
        assert code_of(call, **arguments)[:2] == (code, 400), (arguments, code)


def test_commands_come_in_pages_and_by_filters(ssm, fleet):
    first, second = fleet(2)
    sent = [send(ssm, InstanceIds=[first.node])["CommandId"] for _ in range(5)]
    send(ssm, InstanceIds=[second.node])
    pages = ssm.get_paginator("list_commands").paginate(InstanceId=first.node, PaginationConfig={"PageSize": 2})
    found = [[command["CommandId"] for command in page["Commands"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert {command for page in found for command in page} == set(sent)
    pages = ssm.get_paginator("list_command_invocations").paginate(
        InstanceId=first.node, PaginationConfig={"PageSize": 2}
    )
    found = [[command["CommandId"] for command in page["CommandInvocations"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    ssm.cancel_command(CommandId=sent[0])

    def listed(key, value):
        answer = ssm.list_commands(InstanceId=first.node, Filters=[{"key": key, "value": value}])
        return len(answer["Commands"])

    assert (listed("Status", "Cancelled"), listed("Status", "InProgress")) == (1, 4)
    assert (listed("ExecutionStage", "Complete"), listed("ExecutionStage", "Executing")) == (1, 4)
    assert (listed("DocumentName", SCRIPT), listed("DocumentName", "Other")) == (5, 0)
    assert (listed("InvokedAfter", "2020-01-01T00:00:00Z"), listed("InvokedBefore", "2020-01-01T00:00:00Z")) == (5, 0)
    bad = [{"key": "InvokedAfter", "value": "yesterday"}]
    assert code_of(ssm.list_commands, Filters=bad)[:2] == ("ValidationException", 400)
    stage = [{"key": "ExecutionStage", "value": "Executing"}]
    assert code_of(ssm.list_command_invocations, Filters=stage)[:2] == ("InvalidFilterKey", 400)
    newest = ssm.list_commands(InstanceId=first.node, MaxResults=1)["Commands"][0]
    assert newest["RequestedDateTime"] == max(
        command["RequestedDateTime"] for command in ssm.list_commands(InstanceId=first.node)["Commands"]
    )


def test_steps_of_a_document_of_one_s_own(ssm, fleet, name):
    (agent,) = fleet(1)
    document = {
        "schemaVersion": "2.2",
        "description": "Two steps.",
        "parameters": {"Words": {"type": "String", "default": "hello"}},
        "mainSteps": [
            {"action": "aws:runShellScript", "name": "first", "inputs": {"runCommand": ["echo {{ Words }}"]}},
            {
                "action": "aws:runShellScript",
                "name": "second",
                "inputs": {"runCommand": ["true"], "timeoutSeconds": "60"},
            },
        ],
    }
    ssm.create_document(Name=name, Content=json.dumps(document), DocumentType="Command")
    command = send(
        ssm,
        DocumentName=name,
        Parameters={"Words": ["good day"]},
        InstanceIds=[agent.node],
        OutputS3BucketName="my-bucket",
        OutputS3KeyPrefix="logs/",
    )
    assert (command["ExpiresAfter"] - command["RequestedDateTime"]).total_seconds() == 3600 + 3600 + 60
    message = one_message(agent)
    assert json.loads(message["Payload"])["OutputS3BucketName"] == "my-bucket"
    agent.acknowledge(message)
    which = {"CommandId": command["CommandId"], "InstanceId": agent.node}
    agent.reply(message, "InProgress", {"first": step(stdout="good day\n", name="first")})
    plugins = ssm.list_command_invocations(CommandId=command["CommandId"], Details=True)["CommandInvocations"][0][
        "CommandPlugins"
    ]
    assert [(plugin["Name"], plugin["Status"]) for plugin in plugins] == [("first", "Success"), ("second", "Pending")]
    agent.reply(message, "Failed", {"second": step("Failed", 3, name="second")})
    assert finished(ssm, command)["Status"] == "Failed"
    first = ssm.get_command_invocation(**which, PluginName="first")
    assert (first["Status"], first["StandardOutputContent"]) == ("Success", "good day\n")
    assert first["StandardOutputUrl"] == (
        f"https://s3.us-east-1.amazonaws.com/my-bucket/logs/{command['CommandId']}/{agent.node}"
        "/awsrunShellScript/first/stdout"
    )
    second = ssm.get_command_invocation(**which, PluginName="second")
    assert (second["Status"], second["ResponseCode"]) == ("Failed", 3)
    whole = ssm.get_command_invocation(**which)
    assert (whole["PluginName"], whole["Status"], whole["ResponseCode"]) == ("", "Failed", 3)


def test_a_server_that_is_killed_forgets_nothing(server, ssm, fleet, name):
    agents = fleet(3)
    command = send(ssm, Targets=[{"Key": "tag:Group", "Values": [name]}])
    server.stop(signal.SIGKILL)
    server.start()
    threads = [agent.serve_in_background(shell) for agent in agents]
    done = finished(ssm, command)
    assert (done["Status"], done["TargetCount"], done["CompletedCount"]) == ("Success", 3, 3)
    for thread in threads:
        thread.stop.set()


def test_time_runs_out_for_what_nobody_fetches(ssm, fleet, name):
    """The only test that waits: half a minute is the shortest time-out there is."""
    (agent,) = fleet(1)
    document = {
        "schemaVersion": "2.2",
        "mainSteps": [
            {"action": "aws:runShellScript", "name": "a", "inputs": {"runCommand": ["true"], "timeoutSeconds": "1"}}
        ],
    }
    ssm.create_document(Name=name, Content=json.dumps(document), DocumentType="Command")
    command = send(ssm, DocumentName=name, Parameters={}, InstanceIds=[agent.node], TimeoutSeconds=30)
    started = time.monotonic()
    done = finished(ssm, command, 45)
    assert 30 <= time.monotonic() - started
    assert (done["Status"], done["StatusDetails"], done["DeliveryTimedOutCount"]) == ("TimedOut", "DeliveryTimedOut", 1)
    assert states(ssm, command) == {agent.node: "DeliveryTimedOut"}
