"""A server that is killed again and again, under load.

CAPSTAN_TEST_KILLS says how often; 100 is what a release has to stand.
"""

import collections
import os
import random
import signal
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from conftest import Server, wait_for
from ssm_agent import SsmAgent, shell

KILLS = int(os.environ.get("CAPSTAN_TEST_KILLS", "10"))


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_no_command_is_lost_or_run_twice(request, tmp_path, store):
    url = request.getfixturevalue("cluster").database() if store == "postgres" else None
    with Server(tmp_path, url) as server:
        kill_again_and_again(server)


def kill_again_and_again(server):
    ssm = server.client()
    runs = collections.Counter()
    agents = [SsmAgent(server.url) for _ in range(4)]
    threads = []
    for agent in agents:
        agent.join(ssm, Tags=[{"Key": "Group", "Value": "crash"}])

        def run(payload, agent=agent):
            runs[payload["CommandId"], agent.node] += 1
            return shell(payload)

        threads.append(agent.serve_in_background(run))

    accepted = []
    stop = threading.Event()

    def load():
        client = server.client()
        while not stop.is_set():
            by_tag = {"Targets": [{"Key": "tag:Group", "Values": ["crash"]}]}
            by_id = {"InstanceIds": [agent.node for agent in agents]}
            try:
                command = client.send_command(
                    DocumentName="AWS-RunShellScript",
                    Parameters={"commands": ["true"]},
                    MaxConcurrency=random.choice(["1", "2", "100%"]),
                    **random.choice([by_tag, by_id]),
                )
                accepted.append(command["Command"]["CommandId"])
            except (BotoCoreError, ClientError):
                # It was not accepted, as far as the client knows.
                pass
            stop.wait(0.01)

    senders = [threading.Thread(target=load) for _ in range(3)]
    for sender in senders:
        sender.start()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.05, 0.3))
        server.stop(signal.SIGKILL)
        server.start()
    stop.set()
    for sender in senders:
        sender.join()

    def over():
        pages = ssm.get_paginator("list_commands").paginate()
        commands = {command["CommandId"]: command for page in pages for command in page["Commands"]}
        running = [one for one in commands.values() if one["Status"] in ("Pending", "InProgress")]
        return commands if not running else None

    commands = wait_for(over, "the end of all commands", 120)
    for thread in threads:
        thread.stop.set()
    assert len(accepted) >= KILLS
    assert set(accepted) <= set(commands), "an accepted command was lost"
    for command in accepted:
        found = commands[command]
        assert (found["Status"], found["CompletedCount"]) == ("Success", len(agents)), found
        for agent in agents:
            assert runs[command, agent.node] == 1
    assert max(runs.values()) == 1, "a command ran twice on a node"
    print(f"{len(accepted)} commands were accepted, {len(commands)} stored, through {KILLS} kills")
    server.stop()
