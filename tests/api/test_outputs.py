"""Whole outputs of commands: in S3 (moto stands in for it) and in a folder, as the node's policy has it."""

import os
import stat

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
    - runCommand: ['echo old']
"""


@pytest.fixture(scope="module")
def s3(aws):
    client = aws("s3")
    for bucket in ("logs", "others"):
        client.create_bucket(Bucket=bucket)
    return client


@pytest.fixture
def node(server, ssm, s3, tmp_path):
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


def test_steps_of_old_documents_are_found_by_their_plugin(s3, run):
    command, invocation = run(OLD, OutputS3BucketName="logs", OutputS3KeyPrefix="ours")
    (plugin,) = invocation["CommandPlugins"]
    assert "/awsrunShellScript/0.awsrunShellScript/stdout" in plugin["StandardOutputUrl"]
    assert object_at(s3, plugin["StandardOutputUrl"]) == "old\n"


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
