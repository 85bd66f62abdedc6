"""The API as boto3 and the aws CLI see it: a server with SQLite, and one with PostgreSQL.

The program is `target/release/capstan`, or what CAPSTAN names. PostgreSQL is a private cluster in a temporary folder;
without its programs the tests with it are skipped, unless CAPSTAN_TEST_POSTGRES=required.
"""

import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("CAPSTAN", str(ROOT / "target" / "release" / "capstan"))
REGION = "us-east-1"


def postgres_programs():
    """The folder of PostgreSQL's server programs, if there is one."""
    on_path = shutil.which("initdb")
    folders = [os.path.dirname(on_path)] if on_path else []
    folders += sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    for folder in folders:
        if all(os.path.exists(os.path.join(folder, program)) for program in ("initdb", "postgres", "psql")):
            return folder
    return None


class Cluster:
    """A private PostgreSQL cluster. With root it runs as another user: it refuses root."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = postgres_programs()
        self.prefix = []
        if os.geteuid() == 0:
            user = next(user for user in ("postgres", "nobody") if self._exists(user))
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            self.prefix = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        data = os.path.join(folder, "data")
        subprocess.run(
            [*self.prefix, f"{self.programs}/initdb", "--no-sync", "-A", "trust", "-U", "capstan", "-D", data],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        self.data = data
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [*self.prefix, f"{self.programs}/postgres", "-D", self.data, "-k", self.folder, "-c", "listen_addresses="],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        try:
            wait_for(lambda: os.path.exists(os.path.join(self.folder, ".s.PGSQL.5432")) and self._answers(), "PostgreSQL")
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _exists(user):
        try:
            pwd.getpwnam(user)
            return True
        except KeyError:
            return False

    def _sql(self, sql):
        return subprocess.run(
            [f"{self.programs}/psql", "-h", self.folder, "-U", "capstan", "-d", "postgres", "-c", sql],
            capture_output=True,
            check=False,
        )

    def _answers(self):
        return self._sql("SELECT 1").returncode == 0

    def database(self):
        """The URL of a new database."""
        name = f"t{uuid.uuid4().hex}"
        done = self._sql(f"CREATE DATABASE {name}")
        assert done.returncode == 0, done.stderr
        return f"postgres://capstan@localhost/{name}?host={self.folder}"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)


def wait_for(condition, what, seconds=30):
    """Polls until the condition holds; what it answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come to be in {seconds} s")


class Server:
    """A running server, with an access key for each role."""

    def __init__(self, state, store=None, arguments=("--no-local-node",), listen="127.0.0.1:0"):
        self.state = state
        self.listen = listen
        self.place = ["--state", str(state), *(["--store", store] if store else [])]
        self.arguments = list(arguments)
        self.url = None
        self.process = None
        self.start()
        self.keys = {role: self.access_key(role) for role in ("admin", "operator", "read-only")}

    def start(self):
        # Where it was, once it was somewhere, so that clients find it again.
        listen = self.url.split("://")[1] if self.url else self.listen
        self.log = open(Path(self.state) / "server.log", "ab")
        self.process = subprocess.Popen(
            [PROGRAM, "server", *self.place, "--listen", listen, *self.arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), f"{line!r}; {Path(self.state, 'server.log').read_text()}"
        self.url = line.split()[-1]

    def access_key(self, role):
        done = subprocess.run(
            [PROGRAM, "access-key", "create", *self.place, "--name", f"test-{role}", "--role", role, "--output", "json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def client(self, role="admin", service="ssm", **options):
        key = self.keys[role]
        options.setdefault("config", Config(retries={"max_attempts": 1}, parameter_validation=True))
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key["id"],
            aws_secret_access_key=key["secret"],
            **options,
        )

    def __enter__(self):
        return self

    def __exit__(self, *failed):
        """Leaves no process, whatever became of the test."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(30)
        self.process.stdout.close()
        self.log.close()
        return self.process.returncode


@pytest.fixture(scope="session")
def cluster():
    if postgres_programs() is None:
        if os.environ.get("CAPSTAN_TEST_POSTGRES") == "required":
            pytest.fail("PostgreSQL is not installed")
        pytest.skip("PostgreSQL is not installed")
    folder = tempfile.mkdtemp(prefix="capstan-pg-")
    cluster = Cluster(folder)
    yield cluster
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def server(request, tmp_path_factory):
    """A server that all tests of a run share; tests use names of their own in it."""
    store = request.getfixturevalue("cluster").database() if request.param == "postgres" else None
    server = Server(tmp_path_factory.mktemp("server"), store)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def aws():
    """moto, standing in for services of AWS: a function that makes a client of one. Any credentials are good."""
    from moto.server import ThreadedMotoServer

    peer = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    peer.start()
    host, port = peer.get_host_and_port()
    keys = {"aws_access_key_id": "peer", "aws_secret_access_key": "peer"}
    yield lambda service: boto3.client(service, endpoint_url=f"http://{host}:{port}", region_name=REGION, **keys)
    peer.stop()


@pytest.fixture(scope="session")
def ssm(server):
    """The client of an administrator."""
    return server.client()


@pytest.fixture
def name():
    """A name that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


def code_of(call, **arguments):
    """The code, the HTTP status and the message of the error that a call answers."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as failed:
        call(**arguments)
    response = failed.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]
