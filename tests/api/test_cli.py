"""The program itself as a client: `capstan command`, `node`, `document` and `parameter` against a server."""

import json
import os
import re
import signal
import subprocess

import pytest
from conftest import PROGRAM, wait_for
from ssm_agent import SsmAgent, shell

SCRIPT = "AWS-RunShellScript"
DOCUMENT = """schemaVersion: '2.2'
description: Greets # somebody
mainSteps:
- name: greet
  action: aws:runShellScript
  inputs: {runCommand: [echo hello]}
"""


class Cli:
    """Runs the program as somebody, with an environment that says nothing else."""

    def __init__(self, server, home, role="admin"):
        key = server.keys[role]
        self.environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "CAPSTAN_ENDPOINT": server.url,
            "AWS_ACCESS_KEY_ID": key["id"],
            "AWS_SECRET_ACCESS_KEY": key["secret"],
        }

    def __call__(self, *arguments, code=0, stdin="", **environment):
        """What it prints; `None` takes a variable away."""
        done = self.result(*arguments, stdin=stdin, **environment)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def result(self, *arguments, stdin="", **environment):
        return subprocess.run(
            [PROGRAM, *map(str, arguments)],
            env=self.changed(environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments, **more):
        return json.loads(self(*arguments, "--output", "json", **more))

    def changed(self, environment):
        changed = {**self.environment, **environment}
        return {name: value for name, value in changed.items() if value is not None}


@pytest.fixture
def cli(server, tmp_path):
    return Cli(server, tmp_path)


@pytest.fixture
def fleet(server, ssm, name):
    """Nodes with the test's name as a tag, which pretend to run what they are sent."""
    agents, threads = [], []

    def make(count, run=shell):
        made = []
        for _ in range(count):
            agent = SsmAgent(server.url)
            agent.join(ssm, Tags=[{"Key": "Group", "Value": name}])
            if run:
                threads.append(agent.serve_in_background(run))
            agents.append(agent)
            made.append(agent)
        return made

    yield make
    for thread in threads:
        thread.stop.set()
    for agent in agents:
        ssm.deregister_managed_instance(InstanceId=agent.node)


def rows(table):
    """The lines of a table as lists, without the names of its columns."""
    return [re.split(r" {2,}", line) for line in table.splitlines()[1:]]


def test_a_command_is_sent_and_watched(cli, fleet, name):
    first, second = fleet(2)
    done = cli.result(
        "command", "send", SCRIPT, "--target", f"tag:Group={name},other", "--parameters", 'commands=["uptime"]',
        "--comment", name, "--timeout-seconds", 600, "--max-concurrency", "100%", "--max-errors", 1,
        "--document-version", "$DEFAULT", "--watch",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    identifier, *lines = done.stdout.splitlines()
    assert lines[-1] == "Success: 2 of 2 nodes  Success 2"
    for agent in (first, second):
        assert f"{agent.node}  Success" in lines

    command = cli.json("command", "show", identifier)["Commands"][0]
    assert (command["Comment"], command["TimeoutSeconds"]) == (name, 600)
    assert (command["MaxConcurrency"], command["MaxErrors"]) == ("100%", "1")
    assert command["Parameters"] == {"commands": ["uptime"]}
    shown = cli("command", "show", identifier)
    assert "2 of 2, 0 with errors" in shown
    assert {row[0]: row[1] for row in rows(shown[shown.index("NODE") :])} == {
        first.node: "Success",
        second.node: "Success",
    }
    steps = cli("command", "show", identifier, "--node", first.node)
    assert "ran: uptime" in steps and "exit code  0" in steps
    (step,) = cli.json("command", "show", identifier, "--node", first.node)["Steps"]
    assert step["StandardOutputContent"] == "ran: uptime\n"
    # It is over: watching it again says so at once.
    assert cli("command", "watch", identifier).splitlines()[-1] == lines[-1]


def test_a_command_that_fails_ends_the_program_so(cli, fleet):
    (agent,) = fleet(1)
    send = ("command", "send", SCRIPT, "--node", agent.node, "--parameters", '{"commands":["fail"]}', "--watch")
    done = cli.result(*send)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "Failed: 1 of 1 nodes  Failed 1"
    done = cli.result(*send, "--output", "json")
    assert done.returncode == 1
    # One value, after all is over.
    assert json.loads(done.stdout)["CommandInvocations"][0]["StatusDetails"] == "Failed"
    identifier = json.loads(done.stdout)["Commands"][0]["CommandId"]
    assert "it failed" in cli("command", "show", identifier, "--node", agent.node)


def test_parameters_are_taken_as_run_takes_them(cli, fleet, tmp_path):
    (agent,) = fleet(1)
    file = tmp_path / "parameters.json"
    file.write_text('{"commands": "hostname", "executionTimeout": 60}')
    for arguments, expected in [
        (["commands=id,pwd"], {"commands": ["id", "pwd"]}),
        ([f"file://{file}"], {"commands": ["hostname"], "executionTimeout": ["60"]}),
        ([f"file://{file}", "commands=w"], {"commands": ["w"], "executionTimeout": ["60"]}),
    ]:
        given = [part for argument in arguments for part in ("-p", argument)]
        sent = cli.json("command", "send", SCRIPT, "--node", agent.node, *given)
        assert sent["Command"]["Parameters"] == expected


def test_a_command_without_nodes_is_no_success(cli, name):
    send = ("command", "send", SCRIPT, "--target", f"tag:Group={name}", "--parameters", "commands=id")
    # Nobody knows yet.
    identifier = cli(*send).strip()
    assert len(identifier) == 36
    assert "match no node" in cli(*send, "--watch", code=1)


def test_a_command_is_cancelled(cli, fleet):
    (agent,) = fleet(1, run=None)
    identifier = cli("command", "send", SCRIPT, "--node", agent.node, "--parameters", "commands=id").strip()
    watcher = subprocess.Popen(
        [PROGRAM, "command", "watch", identifier], env=cli.environment, stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout.readline().endswith(": 0 of 1 nodes  Pending 1\n")
    assert identifier in cli("command", "cancel", identifier, "--node", agent.node)
    assert watcher.communicate(timeout=30)[0].splitlines()[-1] == "Cancelled: 1 of 1 nodes  Cancelled 1"
    assert watcher.returncode == 130


def test_who_stops_watching_does_not_stop_the_command(cli, fleet):
    (agent,) = fleet(1, run=None)
    watcher = subprocess.Popen(
        [PROGRAM, "command", "send", SCRIPT, "--node", agent.node, "--parameters", "commands=id", "--watch"],
        env=cli.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    identifier = watcher.stdout.readline().strip()
    watcher.stdout.readline()
    watcher.send_signal(signal.SIGINT)
    assert f"capstan command cancel {identifier}" in watcher.communicate(timeout=30)[1]
    assert watcher.returncode == 130
    assert cli.json("command", "show", identifier)["Commands"][0]["Status"] == "InProgress"
    cli("command", "cancel", identifier)


def test_a_watcher_outlives_its_server(server, cli, fleet):
    (agent,) = fleet(1, run=None)
    identifier = cli("command", "send", SCRIPT, "--node", agent.node, "--parameters", "commands=id").strip()
    watcher = subprocess.Popen(
        [PROGRAM, "command", "watch", identifier],
        env=cli.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watcher.stdout.readline()
    server.stop()
    assert "trying again" in watcher.stderr.readline()
    server.start()
    (message,) = wait_for(agent.poll, "the message")
    agent.serve(message, shell)
    out, _ = watcher.communicate(timeout=30)
    assert (out.splitlines()[-1], watcher.returncode) == ("Success: 1 of 1 nodes  Success 1", 0)


def test_commands_are_listed(cli, fleet):
    (agent,) = fleet(1, run=None)
    sent = [
        cli("command", "send", SCRIPT, "--node", agent.node, "--parameters", "commands=id").strip() for _ in range(3)
    ]
    cli("command", "cancel", sent[0])
    listed = lambda *how: {row[0] for row in rows(cli("command", "list", "--node", agent.node, *how))}
    assert listed() == set(sent)
    assert listed("--status", "Cancelled") == {sent[0]}
    (newest,) = cli.json("command", "list", "--node", agent.node, "--limit", 1)["Commands"]
    assert newest["CommandId"] in sent
    # More than a page.
    many = cli.json("command", "list", "--limit", 60)["Commands"]
    assert len({command["CommandId"] for command in many}) == len(many) <= 60


def test_machines_join_and_nodes_are_tagged(server, cli, name):
    printed = cli(
        "node", "activate", "--role", name, "--limit", 2, "--expires", "2h", "--name", name, "--tag", f"Group={name}"
    )
    code = re.search(r"^code +(\S+)$", printed, re.M)[1]
    identifier = re.search(r"^activation +(\S+)$", printed, re.M)[1]
    line = f"capstan agent register --endpoint {server.url} --activation-id {identifier} --activation-code {code}"
    assert line in printed
    agent = SsmAgent(server.url)
    agent.register(identifier, code)
    assert [row[:3] for row in rows(cli("node", "list", "--tag", f"Group={name}", "--status", "ConnectionLost"))] == [
        [agent.node, "ConnectionLost", name]
    ]
    agent.authenticate()
    agent.heartbeat()
    (node,) = cli.json("node", "list", "--tag", f"Group={name}", "--status", "online")["InstanceInformationList"]
    assert (node["InstanceId"], node["IamRole"]) == (agent.node, name)
    assert cli("node", "tag", agent.node, "Colour=red", "Empty=") == f"{agent.node}: Colour=red, Empty=, Group={name}\n"
    assert cli("node", "tag", agent.node, "--remove", "Empty") == f"{agent.node}: Colour=red, Group={name}\n"
    shown = cli("node", "show", agent.node)
    assert "Online" in shown and f"Colour=red, Group={name}" in shown
    assert {"Key": "Colour", "Value": "red"} in cli.json("node", "show", agent.node)["TagList"]
    assert cli("node", "list", "--tag", f"Group={name}", "--tag", "Colour=blue") == ""

    made = cli.json("node", "activate", "--expires", "1d")
    assert set(made) == {"ActivationId", "ActivationCode"}
    assert "30 days" in cli("node", "activate", "--expires", "40d", code=2)
    cli("node", "deregister", agent.node)
    assert agent.node in cli("node", "show", agent.node, code=2)
    assert "InvalidInstanceId" in cli("node", "deregister", agent.node, code=2)


def test_nodes_of_all_pages_are_listed(server, cli, ssm, name):
    made = ssm.create_activation(IamRole=name, RegistrationLimit=60, Tags=[{"Key": "Group", "Value": name}])
    agent = SsmAgent(server.url)
    nodes = set()
    for _ in range(55):
        agent.fingerprint = os.urandom(16).hex()
        nodes.add(agent.register(made["ActivationId"], made["ActivationCode"]))
    listed = cli.json("node", "list", "--tag", f"Group={name}")["InstanceInformationList"]
    assert {node["InstanceId"] for node in listed} == nodes and len(nodes) == 55
    assert len(rows(cli("node", "list", "--tag", f"Group={name}"))) == 55


def test_documents_of_a_server(cli, server, tmp_path, name):
    file = tmp_path / "greet.yaml"
    file.write_text(DOCUMENT)
    # As an option, before and after the subcommand, and as a variable.
    options = ("--endpoint", server.url)
    create = ("document", *options, "create", file, "--name", name, "--tag", f"Group={name}")
    assert cli(*create, CAPSTAN_ENDPOINT=None) == f"{name}: version 1\n"
    assert "DocumentAlreadyExists" in cli(*create, code=2)
    assert cli("document", "show", name, *options, CAPSTAN_ENDPOINT=None) == DOCUMENT
    assert json.loads(cli("document", "show", name, "--format", "json"))["schemaVersion"] == "2.2"
    assert cli.json("document", "show", name)["Content"] == DOCUMENT
    changed = DOCUMENT.replace("hello", "good day")
    assert cli("document", "update", name, "-", "--version-name", "two", stdin=changed) == f"{name}: version 2\n"
    assert cli("document", "show", name) == DOCUMENT
    assert cli("document", "show", name, "--document-version", "$LATEST") == changed
    assert cli("document", "set-default", name, 2) == f"{name}: version 2 is the default\n"
    assert cli("document", "show", name) == changed
    listed = {row[0]: row[1:4] for row in rows(cli("document", "list"))}
    assert listed[name] == ["Command", "2", "YAML"] and listed[SCRIPT][0] == "Command"
    cli("document", "delete", name, "--document-version", 1)
    assert cli("document", "delete", name) == f"{name}: deleted\n"
    assert name not in cli("document", "list")
    assert "InvalidDocument" in cli("document", "show", name, code=2)
    told = cli("document", "create", "-", "--name", name, stdin=DOCUMENT.replace("mainSteps", "mainStep"), code=2)
    assert "InvalidDocumentContent" in told and f"{name}:3:" in told


def test_parameters_of_a_server(cli, server, tmp_path, name):
    options = ("--endpoint", server.url)
    put = lambda *how, **more: cli("parameter", "put", f"/{name}/port", *how, **more)
    assert put("--value", "80", *options, CAPSTAN_ENDPOINT=None) == f"/{name}/port: version 1\n"
    assert "ParameterAlreadyExists" in put("--value", "81", code=2)
    assert put("--value", "-", "--overwrite", stdin="81\n") == f"/{name}/port: version 2\n"
    assert cli("parameter", *options, "get", f"/{name}/port", CAPSTAN_ENDPOINT=None) == "81\n"
    assert cli("parameter", "get", f"/{name}/port:1") == "80\n"
    assert cli("parameter", "label", f"/{name}/port", "prod", "--version", 1) == f"/{name}/port: version 1 is prod\n"
    assert cli("parameter", "get", f"/{name}/port:prod") == "80\n"
    assert "aws.no" in cli("parameter", "label", f"/{name}/port", "aws.no", code=2)
    history = rows(cli("parameter", "history", f"/{name}/port"))
    assert [(row[0], row[3], row[-1]) for row in history] == [("1", "test-admin", "80"), ("2", "test-admin", "81")]

    secret = ("parameter", "put", f"/{name}/secret", "--type", "SecureString", "--value", "hunter2")
    assert cli(*secret) == f"/{name}/secret: version 1\n"
    told = cli("parameter", "get", f"/{name}/secret", code=2)
    assert "--with-decryption" in told and "hunter2" not in told
    assert cli("parameter", "get", f"/{name}/secret", "--with-decryption") == "hunter2\n"
    assert cli.json("parameter", "get", f"/{name}/secret")["Parameter"]["Value"] != "hunter2"
    # What is replaced keeps its type, and what is not there is made.
    cli("parameter", "put", f"/{name}/secret", "--value", "hunter3", "--overwrite")
    assert "hunter" not in cli("parameter", "history", f"/{name}/secret")
    assert "hunter3" in cli("parameter", "history", f"/{name}/secret", "--with-decryption")
    cli("parameter", "put", f"/{name}/new", "--value", "x", "--overwrite")
    listed = {row[0]: row[1:3] for row in rows(cli("parameter", "list"))}
    assert listed[f"/{name}/port"] == ["String", "2"] and listed[f"/{name}/secret"] == ["SecureString", "2"]
    for which in ("port", "secret", "new"):
        cli("parameter", "delete", f"/{name}/{which}")
    for operation in ("get", "delete", "history"):
        assert f"/{name}/port" in cli("parameter", operation, f"/{name}/port", code=2)
    assert name not in cli("parameter", "list")


def test_without_an_endpoint_the_machine_is_meant(cli, server, tmp_path, name):
    here = {"CAPSTAN_ENDPOINT": None, "AWS_ENDPOINT_URL": server.url, "AWS_ENDPOINT_URL_SSM": server.url}
    state = ("--state", tmp_path / "state")
    cli("parameter", *state, "put", f"/{name}", "--value", "here", **here)
    assert cli("parameter", *state, "get", f"/{name}", **here) == "here\n"
    assert "ParameterNotFound" in cli("parameter", "get", f"/{name}", code=2)
    assert SCRIPT in cli("document", *state, "list", **here).splitlines()
    assert cli.json("parameter", *state, "get", f"/{name}", **here)["Parameter"]["Value"] == "here"
    assert [one["Name"] for one in cli.json("parameter", *state, "list", **here)["Parameters"]] == [f"/{name}"]
    assert {"Name": SCRIPT} in cli.json("document", *state, "list", **here)["DocumentIdentifiers"]
    assert "runtimeConfig" in cli.json("document", *state, "show", SCRIPT, **here)["Content"]
    for arguments in (
        ("parameter", *state, "history", f"/{name}"),
        ("document", *state, "delete", name),
        ("document", *state, "set-default", name, "1"),
        ("document", *state, "create", "-", "--name", name),
        ("document", *state, "show", SCRIPT, "--document-version", "1"),
    ):
        assert "--endpoint" in cli(*arguments, code=2, **here)
    # Of commands and nodes there are none but a server's.
    for variables in (
        {"AWS_ENDPOINT_URL": server.url},
        {"AWS_ENDPOINT_URL_SSM": server.url, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
    ):
        cli("node", "list", CAPSTAN_ENDPOINT=None, **variables)


def test_credentials_come_from_the_shared_file_too(cli, server, tmp_path):
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    told = cli("node", "list", code=1, **nobody)
    assert "no credentials" in told and "capstan access-key create" in told
    key = server.keys["admin"]
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[ops]\naws_access_key_id = {key['id']}\naws_secret_access_key = {key['secret']}\n"
    )
    assert "no credentials" in cli("node", "list", code=1, **nobody)
    cli("node", "list", AWS_PROFILE="ops", AWS_REGION="eu-west-1", **nobody)


def test_what_goes_wrong_is_told(cli, server, tmp_path, name):
    told = cli("node", "list", code=1, CAPSTAN_ENDPOINT="http://127.0.0.1:1")
    assert "capstan server" in told and "127.0.0.1:1" in told
    assert "is no endpoint" in cli("node", "list", code=2, CAPSTAN_ENDPOINT="127.0.0.1:8400")
    assert "SignatureDoesNotMatch" in (told := cli("node", "list", code=1, AWS_SECRET_ACCESS_KEY="wrong")) or (
        "InvalidSignatureException" in told
    )
    assert "UnrecognizedClientException" in cli("node", "list", code=1, AWS_ACCESS_KEY_ID="AKIA0000000000000000")
    send = ("command", "send", "--target", f"tag:Group={name}")
    assert "InvalidDocument" in cli(*send, "No-Such-Document", code=2)
    assert "InvalidParameters" in cli(*send, SCRIPT, code=2)
    assert "--target" in cli("command", "send", SCRIPT, code=2)
    assert "tag:KEY=VALUE" in cli("command", "send", SCRIPT, "--target", "Group", code=2)
    assert "cannot be used with" in cli(*send, SCRIPT, "--node", "mi-0123456789abcdef0", code=2)
    (tmp_path / "own.yaml").write_text(DOCUMENT)
    assert "document create" in cli(*send, tmp_path / "own.yaml", code=2)
    unknown = "00000000-0000-0000-0000-000000000000"
    for arguments in (("show", unknown), ("watch", unknown), ("cancel", unknown)):
        assert "InvalidCommandId" in cli("command", *arguments, code=2)
    reader = Cli(server, tmp_path, "read-only")
    reader("node", "list")
    assert "AccessDeniedException" in reader(*send, SCRIPT, "--parameters", "commands=id", code=3)
    operator = Cli(server, tmp_path, "operator")
    assert "AccessDeniedException" in operator("node", "activate", code=3)
