"""Two servers on one PostgreSQL database, one of which is killed in the middle of a command with rate control.

Its nodes go on with the other, as they would behind one address.
"""

import collections
import shutil
import signal
import threading

import pytest
from conftest import Server, wait_for
from ssm_agent import SsmAgent, shell
from test_commands import states

# Nodes of each server, and how often a server is killed.
NODES = 5
ROUNDS = 6


@pytest.fixture
def servers(cluster, tmp_path):
    database = cluster.database()
    for name in ("first", "second"):
        (tmp_path / name).mkdir(mode=0o700)
    with Server(tmp_path / "first", database) as first:
        # Both seal under one key.
        (key,) = (tmp_path / "first").rglob("master.key")
        place = tmp_path / "second" / key.parent.relative_to(tmp_path / "first")
        place.mkdir(mode=0o700, exist_ok=True)
        shutil.copy2(key, place)
        with Server(tmp_path / "second", database) as second:
            yield first, second


class Fleet:
    """Nodes that talk to the one server or the other, and what was run on them."""

    def __init__(self, servers):
        self.servers = servers
        self.lock = threading.Lock()
        self.runs = collections.Counter()
        self.running = collections.Counter()
        self.most = collections.Counter()
        # Called with the number of runs of the command so far, that one among them.
        self.at = lambda count: None
        self.agents = {}
        self.threads = []
        for server in servers:
            for _ in range(NODES):
                agent = SsmAgent(server.url)
                node = agent.join(server.client(), Tags=[{"Key": "Group", "Value": "pair"}])
                self.agents[node] = agent
                self.threads.append(agent.serve_in_background(lambda payload, node=node: self.run(node, payload)))

    def run(self, node, payload):
        command = payload["CommandId"]
        with self.lock:
            self.runs[command, node] += 1
            self.running[command] += 1
            self.most[command] = max(self.most[command], self.running[command])
            self.at(self.count(command))
        done = shell(payload)
        with self.lock:
            self.running[command] -= 1
        return done

    def count(self, command):
        return sum(count for (of, _), count in self.runs.items() if of == command)

    def kill(self, server):
        """Without warning; its nodes find the other."""
        server.stop(signal.SIGKILL)
        other = next(one for one in self.servers if one is not server)
        for agent in self.agents.values():
            agent.url = other.url
        return other

    def share(self):
        for place, agent in enumerate(self.agents.values()):
            agent.url = self.servers[place % 2].url

    def stop(self):
        for thread in self.threads:
            thread.stop.set()


def send(server, script, **rates):
    return server.client().send_command(
        DocumentName="AWS-RunShellScript",
        Targets=[{"Key": "tag:Group", "Values": ["pair"]}],
        Parameters={"commands": [script]},
        **rates,
    )["Command"]["CommandId"]


def the_end(ssm, command):
    def over():
        found = ssm.list_commands(CommandId=command)["Commands"][0]
        return found if found["Status"] not in ("Pending", "InProgress") else None

    return wait_for(over, "the end of the command", 90)


def test_a_killed_server_costs_no_node_and_runs_none_twice(servers):
    fleet = Fleet(servers)
    for turn in range(ROUNDS):
        victim = servers[turn % 2]
        killed = threading.Event()

        def kill(count, victim=victim, at=1 + turn, killed=killed):
            if count >= at and not killed.is_set():
                fleet.kill(victim)
                killed.set()

        fleet.at = kill
        # By the one that stays and the one that goes, in turns.
        command = send(servers[turn // 2 % 2], "true", MaxConcurrency="3")
        killed.wait(60)
        ssm = servers[(turn + 1) % 2].client()
        done = the_end(ssm, command)
        assert (done["Status"], done["CompletedCount"], done["ErrorCount"]) == ("Success", 2 * NODES, 0), done
        assert set(states(ssm, done).values()) == {"Success"}
        assert {node: fleet.runs[command, node] for node in fleet.agents} == dict.fromkeys(fleet.agents, 1)
        assert fleet.most[command] <= 3
        victim.start()
        fleet.share()
    fleet.stop()


def test_errors_are_counted_across_servers(servers):
    fleet = Fleet(servers)
    killed = threading.Event()

    def kill(count):
        # With the first of the two errors told, or about to be.
        if count == 2 and not killed.is_set():
            fleet.kill(servers[0])
            killed.set()

    fleet.at = kill
    command = send(servers[0], "fail", MaxConcurrency="1", MaxErrors="1")
    ssm = servers[1].client()
    done = the_end(ssm, command)
    assert killed.is_set()
    assert (done["Status"], done["ErrorCount"]) == ("Failed", 2), done
    ends = collections.Counter(states(ssm, done).values())
    # One more than is allowed; those after it never began.
    assert ends["Failed"] == 2 and sum(ends.values()) == 2 * NODES, ends
    assert fleet.count(command) == 2
    fleet.stop()
