"""Parameter Store as documents on a node see it: `{{ ssm:… }}` as text, `{{ ssm-secure:… }}` where nobody reads it."""

import http.server
import threading

import pytest
from conftest import PROGRAM, Server
from own_agent import OwnAgent
from ssm_agent import ServiceError, SsmAgent
from test_commands import finished, send

pytestmark = pytest.mark.skipif("control_plane" in PROGRAM, reason="the small program has no agent")

SECRET = "correct horse"
SCRIPT = """schemaVersion: '2.2'
parameters:
  greeting: {type: String, default: '{{ ssm:NAME/greeting }}'}
mainSteps:
- name: tell
  action: aws:runShellScript
  inputs:
    runCommand:
    - echo "{{ greeting }}, {{ssm:NAME/whom:1}} and {{ ssm:NAME/whom:now }}"
    - '{{ ssm:NAME/lines }}'
"""
DOWNLOAD = """schemaVersion: '2.2'
mainSteps:
- name: get
  action: aws:downloadContent
  inputs:
    sourceType: HTTP
    sourceInfo:
      url: URL
      allowInsecureDownload: 'true'
      authMethod: Basic
      username: '{{ ssm-secure:NAME/user }}'
      password: '{{ ssm-secure:NAME/password }}'
    destinationPath: FOLDER/file
"""


@pytest.fixture
def node(server, ssm, tmp_path):
    agent = OwnAgent.join(server, tmp_path)
    yield agent
    agent.stop()
    ssm.deregister_managed_instance(InstanceId=agent.node)


@pytest.fixture
def run(ssm, name, node):
    """Sends a document, whose NAME is the test's, and answers what came of it."""
    made = []

    def run(content, **arguments):
        document = f"{name}-{len(made)}"
        content = content.replace("NAME", f"/{name}")
        ssm.create_document(Name=document, Content=content, DocumentFormat="YAML", DocumentType="Command")
        made.append(document)
        command = send(ssm, DocumentName=document, InstanceIds=[node.node], **{"Parameters": {}, **arguments})
        finished(ssm, command, 60)
        invocation = ssm.get_command_invocation(CommandId=command["CommandId"], InstanceId=node.node)
        whole = ssm.list_command_invocations(CommandId=command["CommandId"], Details=True)
        return invocation, str(whole["CommandInvocations"])

    yield run
    for document in made:
        ssm.delete_document(Name=document)


@pytest.fixture
def put(ssm, name):
    made = []

    def put(key, value, kind="String"):
        made.append(f"/{name}/{key}")
        ssm.put_parameter(Name=made[-1], Value=value, Type=kind, Overwrite=True)

    yield put
    ssm.delete_parameters(Names=sorted(set(made)))


def test_text_reaches_the_node(ssm, name, put, run):
    put("greeting", "hello")
    put("whom", "world")
    put("whom", "moon")
    put("lines", "echo one,echo two", "StringList")
    ssm.label_parameter_version(Name=f"/{name}/whom", ParameterVersion=2, Labels=["now"])
    done, _ = run(SCRIPT)
    assert (done["Status"], done["StandardOutputContent"]) == ("Success", "hello, world and moon\none\ntwo\n"), done
    # What the caller gives may refer to the store as well.
    done, _ = run(SCRIPT, Parameters={"greeting": [f"{{{{ ssm:/{name}/whom }}}}"]})
    assert done["StandardOutputContent"].startswith("moon, world and moon\n"), done


@pytest.mark.parametrize("kind, why", [(None, "does not exist"), ("SecureString", "SecureString")])
def test_what_cannot_be_told_fails_on_the_node(name, put, run, kind, why):
    put("whom", "world")
    put("whom", "moon")
    put("lines", "true", "StringList")
    if kind:
        put("greeting", SECRET, kind)
    done, whole = run(SCRIPT.replace("whom:now", "whom"))
    assert done["Status"] == "Failed"
    assert f"/{name}/greeting" in whole and why in whole and SECRET not in whole, whole


def test_a_secret_reaches_the_place_it_is_for(tmp_path, put, run):
    seen = []

    class Peer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *_):
            pass

    peer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    threading.Thread(target=peer.serve_forever, daemon=True).start()
    try:
        put("user", "me", "SecureString")
        put("password", SECRET, "SecureString")
        content = DOWNLOAD.replace("URL", f"http://127.0.0.1:{peer.server_address[1]}/file").replace(
            "FOLDER", str(tmp_path)
        )
        done, whole = run(content)
        assert done["Status"] == "Success", whole
        assert seen[-1] == "Basic bWU6Y29ycmVjdCBob3JzZQ=="
        assert (tmp_path / "file").read_text() == "here"
        assert SECRET not in whole
        # Nor is it in the journal, the receipts or the outputs that the node keeps.
        kept = [file for file in (tmp_path / "state").rglob("*") if file.is_file()]
        assert kept and not [file for file in kept if SECRET.encode() in file.read_bytes()]
        # A plain parameter is no secret.
        put("plain", SECRET)
        done, whole = run(content.replace("NAME/password", "NAME/plain"))
        assert done["Status"] == "Failed" and "plain" in whole and SECRET not in whole, whole
    finally:
        peer.shutdown()
        peer.server_close()


def test_nodes_read_what_their_role_may(tmp_path):
    """One that was broken into gives away no more than is for its role."""
    rules = ["web=/web/*", "web=shared", "web=/some/?", "web=/some/*/x", "web=/a*/b*", "db=/db/*"]
    more = [argument for rule in rules for argument in ("--node-parameters", rule)]
    with Server(tmp_path, arguments=["--no-local-node", *more]) as server:
        ssm = server.client()
        for parameter in ("/web/key", "/web/sub/key", "/db/key", "shared", "other"):
            ssm.put_parameter(Name=parameter, Value="v", Type="SecureString")
        agents = {role: SsmAgent(server.url) for role in ("web", "nobody")}
        for role, agent in agents.items():
            agent.join(ssm, IamRole=role)

        def refusal(role, operation, **arguments):
            try:
                agents[role].ssm(operation, {"WithDecryption": True, **arguments})
                return None
            except ServiceError as error:
                return error.code, str(error)

        arn = "arn:aws:ssm:us-east-1:000000000000:parameter/web/key"
        for name in ("/web/key", "/web/sub/key:1", "shared", arn):
            assert refusal("web", "GetParameter", Name=name) is None, name
        for name in ("/db/key", "other", "/web", "/websites"):
            code, text = refusal("web", "GetParameter", Name=name)
            assert code == "AccessDeniedException" and "ssm:GetParameter on resource" in text, text
            assert refusal("nobody", "GetParameter", Name=name)[0] == "AccessDeniedException"
        assert refusal("web", "GetParameters", Names=["/web/key", "shared"]) is None
        assert refusal("web", "GetParameters", Names=["/web/key", "/db/key"])[0] == "AccessDeniedException"
        assert refusal("web", "GetParametersByPath", Path="/web", Recursive=True) is None
        assert refusal("web", "GetParametersByPath", Path="/web/sub") is None
        assert refusal("web", "GetParametersByPath", Path="/apps/back") is None
        # Not all that is there is theirs.
        for path in ("/some", "/apps", "/db"):
            assert refusal("web", "GetParametersByPath", Path=path)[0] == "AccessDeniedException", path
        assert refusal("web", "GetParametersByPath", Path="/")[0] == "AccessDeniedException"
        assert refusal("web", "GetParameterHistory", Name="/web/key") is None
        assert refusal("web", "GetParameterHistory", Name="/db/key")[0] == "AccessDeniedException"
        # The role is what counts, from then on when it changes.
        ssm.update_managed_instance_role(InstanceId=agents["web"].node, IamRole="db")
        assert refusal("web", "GetParameter", Name="/db/key") is None
        assert refusal("web", "GetParameter", Name="/web/key")[0] == "AccessDeniedException"
        assert server.stop() == 0
