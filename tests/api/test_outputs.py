"""Whole outputs of commands: in S3 (moto stands in for it) and in a folder, as the node's policy has it."""

import os
import stat
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from conftest import PROGRAM, REGION
from own_agent import OwnAgent
from test_commands import finished, send

pytestmark = pytest.mark.skipif("control_plane" in PROGRAM, reason="the small program has no agent")

# More than any answer of the API holds.
LINES = 20_000
WHOLE = "".join(f"{number}\n" for number in range(1, LINES + 1))
DOCUMENT = """schemaVersion: '2.2'
mainSteps:
- name: count
  action: aws:runShellScript
  inputs: {runCommand: ['seq 20000; echo "to err" >&2']}
- name: nothing
  action: aws:runShellScript
  inputs: {runCommand: ['true']}
"""
OLD = """schemaVersion: '1.2'
description: by plugin
runtimeConfig:
  aws:runShellScript:
    properties:
    - id: 0.aws:runShellScript
      runCommand: ['echo old']
    - id: 1.aws:runShellScript
      runCommand: ['echo older', 'exit 3']
"""


class Elsewhere(BaseHTTPRequestHandler):
    """A bucket that is in a region of its own, and says so to who asks in another."""

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        away = "/eu-west-3/s3/" not in self.headers["Authorization"]
        self.server.seen.append((self.path, away))
        answer = b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>" if away else b""
        if not away:
            self.server.kept[self.path] = body
        self.send_response(301 if away else 200)
        if away:
            self.send_header("x-amz-bucket-region", "eu-west-3")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    server.seen, server.kept = [], {}
    Thread(target=server.serve_forever, args=(0.01,)).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def s3(aws):
    client = aws("s3")
    for bucket in ("logs", "others"):
        client.create_bucket(Bucket=bucket)
    return client


@pytest.fixture
def node(server, ssm, s3, elsewhere, tmp_path):
    """A node whose policy has the bucket `logs` below `ours`, a bucket that there is not, and a folder."""
    policy = tmp_path / "policy.yaml"
    endpoint = s3.meta.endpoint_url
    policy.write_text(
        f"""version: 1
profile: trusted-host
outputs:
  folder: {tmp_path}/copies
  s3:
  - {{bucket: logs, prefix: ours, endpoint: "{endpoint}"}}
  - {{bucket: gone, endpoint: "{endpoint}"}}
  - {{bucket: far, endpoint: "http://127.0.0.1:{elsewhere.server_port}"}}
  - {{bucket: fixed, region: eu-west-9, endpoint: "http://127.0.0.1:{elsewhere.server_port}"}}
"""
    )
    credentials = {"AWS_ACCESS_KEY_ID": "peer", "AWS_SECRET_ACCESS_KEY": "peer"}
    agent = OwnAgent.join(server, tmp_path, policy=["--policy", str(policy)], **credentials)
    agent.folder = tmp_path
    yield agent
    agent.stop()
    ssm.deregister_managed_instance(InstanceId=agent.node)


@pytest.fixture
def run(ssm, name, node):
    def run(content=DOCUMENT, **arguments):
        if not made:
            ssm.create_document(Name=name, Content=content, DocumentFormat="YAML", DocumentType="Command")
            made.append(name)
        command = send(ssm, DocumentName=name, Parameters={}, InstanceIds=[node.node], **arguments)
        finished(ssm, command, 60)
        (invocation,) = ssm.list_command_invocations(CommandId=command["CommandId"], Details=True)["CommandInvocations"]
        return command["CommandId"], invocation

    made = []
    yield run
    for document in made:
        ssm.delete_document(Name=document)


def keys(s3, bucket):
    return {one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def object_at(s3, url):
    """What is where the API says that it is."""
    bucket, key = url.removeprefix(f"https://s3.{REGION}.amazonaws.com/").split("/", 1)
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def test_whole_outputs_are_in_s3_and_in_the_folder(ssm, s3, node, run):
    command, invocation = run(OutputS3BucketName="logs", OutputS3KeyPrefix="ours/ä b")
    assert invocation["Status"] == "Success" and not invocation["TraceOutput"], invocation
    plugin = next(plugin for plugin in invocation["CommandPlugins"] if plugin["Name"] == "count")
    assert object_at(s3, plugin["StandardOutputUrl"]) == WHOLE
    assert object_at(s3, plugin["StandardErrorUrl"]) == "to err\n"
    one = ssm.get_command_invocation(CommandId=command, InstanceId=node.node, PluginName="count")
    assert one["StandardOutputUrl"] == plugin["StandardOutputUrl"] and len(one["StandardOutputContent"]) == 24_000
    # What is empty is not put there.
    start = f"ours/ä b/{command}/{node.node}/awsrunShellScript"
    assert {key for key in keys(s3, "logs") if command in key} == {f"{start}/count/stdout", f"{start}/count/stderr"}
    copy = node.folder / "copies" / command / "awsrunShellScript" / "count" / "stdout"
    assert copy.read_text() == WHOLE
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    # The node itself has them as well.
    kept = list((node.folder / "state").rglob(f"*{command}*/awsrunShellScript/count/stdout"))
    assert [file.read_text() for file in kept] == [WHOLE]


def test_outputs_of_old_documents_are_found_by_the_id_of_their_properties(s3, node, run):
    command, invocation = run(OLD, OutputS3BucketName="logs", OutputS3KeyPrefix="ours")
    (plugin,) = invocation["CommandPlugins"]
    assert plugin["Name"] == "aws:runShellScript" and plugin["ResponseCode"] == 3, plugin
    assert plugin["Output"].startswith("old\nolder\n")
    url = plugin["StandardOutputUrl"]
    assert "/awsrunShellScript/0.awsrunShellScript/stdout" in url
    assert object_at(s3, url) == "old\n"
    assert object_at(s3, url.replace("/0.", "/1.")) == "older\n"
    copies = node.folder / "copies" / command / "awsrunShellScript"
    read = {str(file.relative_to(copies)): file.read_text() for file in copies.rglob("stdout")}
    assert read == {"0.awsrunShellScript/stdout": "old\n", "1.awsrunShellScript/stdout": "older\n"}


def test_a_bucket_elsewhere_is_followed_once(elsewhere, node, run):
    command, invocation = run(OutputS3BucketName="far")
    assert invocation["Status"] == "Success" and not invocation["TraceOutput"], invocation
    start = f"/far/{command}/{node.node}/awsrunShellScript/count"
    assert elsewhere.kept == {f"{start}/stdout": WHOLE.encode(), f"{start}/stderr": b"to err\n"}
    assert elsewhere.seen == [(f"{start}/stdout", True), (f"{start}/stdout", False), (f"{start}/stderr", False)]
    # What the operator says about the region holds.
    _, invocation = run(OutputS3BucketName="fixed")
    assert "PermanentRedirect: elsewhere" in invocation["TraceOutput"], invocation


def test_a_folder_that_cannot_be_is_told_for_each_output(node, run):
    (node.folder / "copies").write_text("a file in its place")
    _, invocation = run()
    assert invocation["Status"] == "Success"
    for stream in ("stdout", "stderr"):
        assert f"the {stream} of `count` is not in {node.folder}/copies" in invocation["TraceOutput"], invocation
    assert "is not in" in (node.folder / "agent.log").read_text()


@pytest.mark.parametrize(
    "bucket, prefix, words",
    [
        ("others", "ours", ["this node's policy does not have it", "bucket: others"]),
        ("logs", "theirs", ["this node's policy does not have it"]),
        ("logs", "ours/../theirs", ["this node's policy does not have it"]),
        ("gone", "x", ["NoSuchBucket"]),
    ],
)
def test_what_goes_nowhere_is_told_and_costs_nothing_else(s3, run, bucket, prefix, words):
    command, invocation = run(OutputS3BucketName=bucket, OutputS3KeyPrefix=prefix)
    assert invocation["Status"] == "Success"
    for word in [f"s3://{bucket}", *words]:
        assert word in invocation["TraceOutput"], invocation["TraceOutput"]
    assert not [key for of in ("logs", "others") for key in keys(s3, of) if command in key]
