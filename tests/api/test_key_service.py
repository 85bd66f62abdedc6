"""The master key in the keeping of a key service; moto stands in for AWS KMS."""

import contextlib
import os
import signal
import sqlite3
import subprocess

import pytest
import urllib3
from conftest import PROGRAM, Server

pytestmark = pytest.mark.skipif("control_plane" in PROGRAM, reason="the small program knows no key service")


@pytest.fixture
def kms(aws):
    """A client of the key service, whose endpoint is `kms.meta.endpoint_url`."""
    return aws("kms")


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "peer")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "peer")


def new_key(kms):
    return kms.create_key()["KeyMetadata"]["KeyId"]


class KeptServer(Server):
    """A server whose master key a service seals; its access keys are made the same way."""

    def __init__(self, state, kms, key, store=None, more=()):
        state.mkdir(mode=0o700, exist_ok=True)
        self.service = ["--master-key-kms", key, "--kms-endpoint", kms.meta.endpoint_url] if key else []
        super().__init__(state, store, ["--no-local-node", *more])

    def start(self):
        self.place = [*self.place, *self.service]
        super().start()
        self.service = []

    def files(self):
        return {file.name for file in self.state.rglob("*")}


def refused(state, *arguments, store=None, **environment):
    """What a server says that does not start."""
    done = subprocess.run(
        [PROGRAM, "server", "--state", str(state), "--listen", "127.0.0.1:0", "--no-local-node", *arguments]
        + (["--store", store] if store else []),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode != 0 and "listening" not in done.stdout
    return done.stderr


def put_secret(server):
    server.client().put_parameter(Name="/db/password", Value="hunter2", Type="SecureString")


def secret_of(server):
    return server.client().get_parameter(Name="/db/password", WithDecryption=True)["Parameter"]["Value"]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request):
    return request.getfixturevalue("cluster").database() if request.param == "postgres" else None


def test_nothing_secret_is_on_the_disk(tmp_path, kms, store):
    key = new_key(kms)
    with KeptServer(tmp_path / "a", kms, key, store) as server:
        put_secret(server)
        server.stop(signal.SIGKILL)
        server.start()
        assert secret_of(server) == "hunter2"
        assert "master.key" not in server.files()
        server.stop()
        if store:
            # Another server needs the database and the service alone.
            with KeptServer(tmp_path / "b", kms, key, store) as other:
                assert secret_of(other) == "hunter2"

    without = refused(tmp_path / "a", store=store)
    assert f"sealed under {key}" in without and "--master-key-kms" in without
    # The service does not know the key any more.
    urllib3.request("POST", f"{kms.meta.endpoint_url}/moto-api/reset")
    gone = refused(tmp_path / "a", "--master-key-kms", key, "--kms-endpoint", kms.meta.endpoint_url, store=store)
    assert f"sealed under {key}" in gone and "Decrypt" in gone and "AccessDeniedException" in gone


def test_a_key_of_a_file_is_taken_over_and_sealed_anew(tmp_path, kms):
    state = tmp_path / "state"
    first, second = new_key(kms), new_key(kms)
    with KeptServer(state, kms, None) as server:
        put_secret(server)
        server.stop()
    (file,) = state.rglob("master.key")
    with KeptServer(state, kms, first) as server:
        assert secret_of(server) == "hunter2"
        server.stop()
    file.unlink()
    assert opened_with(kms, state).endswith(first)
    # From here on the first is not needed any more.
    with KeptServer(state, kms, second) as server:
        assert secret_of(server) == "hunter2"
        server.stop()
    assert opened_with(kms, state).endswith(second)
    with KeptServer(state, kms, second) as server:
        assert secret_of(server) == "hunter2"
        server.stop()


def opened_with(kms, state):
    """The key that opens what the database keeps."""
    (database,) = state.rglob("server.db")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        ((sealed,),) = connection.execute("SELECT sealed FROM sealed_master_key").fetchall()
    opened = kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"capstan": "master-key"})
    assert len(opened["Plaintext"]) == 32
    return opened["KeyId"]


def test_what_is_wrong_is_told(tmp_path, kms):
    url = kms.meta.endpoint_url
    unknown = refused(tmp_path / "a", "--master-key-kms", "alias/nothing", "--kms-endpoint", url)
    assert "alias/nothing" in unknown and "NotFoundException" in unknown
    nobody = refused(tmp_path / "a", "--master-key-kms", "alias/x", "--kms-endpoint", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1" in nobody and "Encrypt" in nobody
    bare = refused(
        tmp_path / "a", "--master-key-kms", "alias/x", "--kms-endpoint", url, AWS_ACCESS_KEY_ID="", HOME="/nonexistent"
    )
    assert "AWS_ACCESS_KEY_ID" in bare and "--master-key-kms" in bare
    # Its file was lost after the database was made with it.
    with KeptServer(tmp_path / "b", kms, None) as server:
        server.stop()
    (file,) = (tmp_path / "b").rglob("master.key")
    file.unlink()
    lost = refused(tmp_path / "b", "--master-key-kms", new_key(kms), "--kms-endpoint", url)
    assert "master.key" in lost and "--master-key" in lost
