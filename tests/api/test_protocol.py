"""How requests are signed, refused and answered, whatever the operation."""

import datetime
import json

import pytest
import urllib3
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import REGION, code_of

HTTP = urllib3.PoolManager()
TARGET = "AmazonSSM.DescribeInstanceInformation"


def post(server, target=TARGET, body="{}", key=None, secret=None, service="ssm", change=None, auth=SigV4Auth):
    """A signed request, which `change` may spoil after it was signed; its status and body."""
    key = key or server.keys["admin"]["id"]
    secret = secret or server.keys["admin"]["secret"]
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    if target:
        headers["X-Amz-Target"] = target
    request = AWSRequest("POST", server.url + "/", data=body, headers=headers)
    auth(Credentials(key, secret), service, REGION).add_auth(request)
    headers = dict(request.headers)
    url = request.url
    if change:
        url = change(headers, request) or url
    response = HTTP.request("POST", url, body=request.body, headers=headers, retries=False)
    return response.status, json.loads(response.data), response.headers


def test_an_answer_has_its_type_and_an_id(server):
    status, body, headers = post(server)
    assert status == 200 and "InstanceInformationList" in body
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert len(headers["x-amzn-RequestId"]) == 36


@pytest.mark.parametrize(
    "arguments, status, code, words",
    [
        ({"target": "AmazonSSM.MakeCoffee"}, 400, "UnknownOperationException", "MakeCoffee"),
        ({"target": "AmazonSQS.SendMessage"}, 400, "UnknownOperationException", "AmazonSQS"),
        ({"target": None}, 400, "UnknownOperationException", "X-Amz-Target"),
        ({"target": "AmazonSSM.CreateOpsItem"}, 400, "UnknownOperationException", "not served"),
        ({"body": "{"}, 400, "SerializationException", "JSON"),
        ({"body": '{"MaxResults": "ten"}'}, 400, "SerializationException", "axResults"),
        ({"body": '{"MaxResults": 4}'}, 400, "ValidationException", "'maxResults'"),
        ({"secret": "wrong"}, 400, "InvalidSignatureException", "does not match"),
        ({"key": "AKIAUNKNOWN000000000"}, 400, "UnrecognizedClientException", "security token"),
        ({"key": "ASIAUNKNOWN000000000"}, 400, "UnrecognizedClientException", "security token"),
        ({"service": "events"}, 400, "InvalidSignatureException", "correct service"),
        ({"body": json.dumps({"NextToken": "x" * (3 << 20)})}, 413, "RequestEntityTooLarge", "larger"),
    ],
)
def test_what_is_wrong_is_told(server, arguments, status, code, words):
    answer = post(server, **arguments)
    assert (answer[0], answer[1]["__type"]) == (status, code), answer[1]
    assert words in answer[1]["message"]


def test_a_request_that_was_changed_on_the_way_is_refused(server):
    def other_target(headers, request):
        headers["X-Amz-Target"] = "AmazonSSM.ListCommands"

    def other_body(headers, request):
        request.data = '{"MaxResults":50}'

    def unsigned(headers, request):
        del headers["Authorization"]

    for change, code in [
        (other_target, "InvalidSignatureException"),
        (other_body, "InvalidSignatureException"),
        (unsigned, "MissingAuthenticationTokenException"),
    ]:
        status, body, _ = post(server, change=change)
        assert (status, body["__type"]) == (400, code)


def test_signatures_are_good_for_five_minutes(server, monkeypatch):
    import botocore.auth

    def at(minutes):
        time = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: time, raising=True)
        return post(server)

    for minutes, words in [(-6, "Signature expired"), (6, "Signature not yet current")]:
        status, body, _ = at(minutes)
        assert (status, body["__type"]) == (400, "InvalidSignatureException"), body
        assert words in body["message"]
    assert at(-4)[0] == 200


def test_a_presigned_request_is_good(server):
    status, body, _ = post(server, auth=lambda *arguments: SigV4QueryAuth(*arguments, expires=60))
    assert status == 200, body

    def other(headers, request):
        return request.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")

    status, body, _ = post(server, auth=lambda *arguments: SigV4QueryAuth(*arguments, expires=60), change=other)
    assert (status, body["__type"]) == (400, "InvalidSignatureException")


def test_roles_bound_what_a_key_may_do(server):
    reader, operator = server.client("read-only"), server.client("operator")
    reader.describe_instance_information()
    code, status, message = code_of(
        reader.send_command, DocumentName="AWS-RunShellScript", Targets=[{"Key": "tag:a", "Values": ["b"]}]
    )
    assert (code, status) == ("AccessDeniedException", 400)
    assert message == (
        "User: arn:aws:iam::000000000000:user/test-read-only is not authorized to perform: ssm:SendCommand"
    )
    assert code_of(operator.create_activation, IamRole="nodes")[:2] == ("AccessDeniedException", 400)


def test_a_revoked_key_is_unknown(server):
    import subprocess

    from conftest import PROGRAM

    if "control_plane" in PROGRAM:
        pytest.skip("the small program does not revoke")
    key = server.access_key("operator")
    assert post(server, key=key["id"], secret=key["secret"])[0] == 200
    subprocess.run([PROGRAM, "access-key", "revoke", key["id"], *server.place], check=True, stdout=subprocess.DEVNULL)
    status, body, _ = post(server, key=key["id"], secret=key["secret"])
    assert (status, body["__type"]) == (400, "UnrecognizedClientException")


def test_health_and_metrics(server):
    assert HTTP.request("GET", server.url + "/livez").status == 200
    assert HTTP.request("GET", server.url + "/readyz").data == b"ready\n"
    post(server)
    metrics = HTTP.request("GET", server.url + "/metrics").data.decode()
    assert 'capstan_requests_total{operation="DescribeInstanceInformation",code="200"}' in metrics
    assert HTTP.request("GET", server.url + "/elsewhere").status == 404
