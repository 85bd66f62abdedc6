"""A client in the shape of amazon-ssm-agent, after the documented protocol: it registers with an activation, gets
credentials by its own key, polls for messages, acknowledges, replies and deletes.

What it "runs" is a function of the test.
"""

import base64
import collections
import datetime
import hashlib
import json
import threading
import time
import uuid

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

REGION = "us-east-1"


class ServiceError(Exception):
    def __init__(self, status, body):
        self.status = status
        self.code = body.get("__type", "")
        super().__init__(f"{status} {body}")


class RsaAuth(SigV4Auth):
    """Signs as SigV4 does, with a node's RSA key in the place of the derived secret."""

    def __init__(self, node, key):
        super().__init__(Credentials(node, "-"), "ssm", REGION)
        self.key = key

    def signature(self, string_to_sign, request):
        signed = self.key.sign(
            string_to_sign.encode(),
            padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32),
            hashes.SHA256(),
        )
        return base64.b64encode(signed).decode()


class SsmAgent:
    def __init__(self, url, platform="Linux"):
        self.url = url
        self.platform = platform
        self.http = urllib3.PoolManager()
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.fingerprint = str(uuid.uuid4())
        self.node = None
        self.credentials = None
        # What was said, by operation, for comparing conversations.
        self.conversation = []

    # One request.

    def call(self, target, body, auth, timeout=60):
        request = AWSRequest(
            "POST",
            self.url,
            data=json.dumps(body),
            headers={"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"},
        )
        if auth:
            auth.add_auth(request)
        self.conversation.append(target.split(".")[1])
        response = self.http.request(
            "POST", self.url, body=request.body, headers=dict(request.headers), retries=False, timeout=timeout
        )
        answer = json.loads(response.data or b"{}")
        if response.status != 200:
            raise ServiceError(response.status, answer)
        return answer

    def ssm(self, operation, body):
        return self.call(f"AmazonSSM.{operation}", body, SigV4Auth(self.credentials, "ssm", REGION))

    def messages(self, operation, body, timeout=60):
        target = f"EC2WindowsMessageDeliveryService.{operation}"
        return self.call(target, body, SigV4Auth(self.credentials, "ec2messages", REGION), timeout)

    # A node's life.

    def public_key(self):
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def register(self, activation_id, activation_code):
        answer = self.call(
            "AmazonSSM.RegisterManagedInstance",
            {
                "ActivationId": activation_id,
                "ActivationCode": activation_code,
                "PublicKey": self.public_key(),
                "PublicKeyType": "Rsa",
                "Fingerprint": self.fingerprint,
            },
            None,
        )
        self.node = answer["InstanceId"]
        return self.node

    def authenticate(self):
        """Gets credentials, and a new key if the service asks for one."""
        answer = self.call(
            "AmazonSSM.RequestManagedInstanceRoleToken",
            {"Fingerprint": self.fingerprint},
            RsaAuth(self.node, self.key),
        )
        self.credentials = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
        if answer["UpdateKeyPair"]:
            self.change_key()
        return answer

    def change_key(self):
        """Tells a new key, signed with the old one."""
        old, self.key = self.key, rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.call(
            "AmazonSSM.UpdateManagedInstancePublicKey",
            {"NewPublicKey": self.public_key(), "NewPublicKeyType": "Rsa"},
            RsaAuth(self.node, old),
        )

    def heartbeat(self):
        self.ssm(
            "UpdateInstanceInformation",
            {
                "InstanceId": self.node,
                "AgentName": "amazon-ssm-agent",
                "AgentVersion": "3.3.987.0",
                "AgentStatus": "Active",
                "PlatformType": self.platform,
                "PlatformName": "Debian GNU/Linux",
                "PlatformVersion": "12",
                "IPAddress": "127.0.0.1",
                "ComputerName": "test.example",
                "SSMConnectionChannel": "ec2messages",
            },
        )

    def join(self, ssm, **activation):
        """Everything up to the first poll."""
        activation.setdefault("IamRole", "nodes")
        made = ssm.create_activation(**activation)
        self.register(made["ActivationId"], made["ActivationCode"])
        self.authenticate()
        self.heartbeat()
        return self.node

    def poll(self, visibility=10, timeout=60):
        answer = self.messages(
            "GetMessages",
            {
                "Destination": self.node,
                "MessagesRequestId": str(uuid.uuid4()),
                "VisibilityTimeoutInSeconds": visibility,
            },
            timeout,
        )
        for message in answer["Messages"]:
            digest = hashlib.sha256(message["Payload"].encode()).hexdigest()
            assert message["PayloadDigest"] == digest
            assert message["Destination"] == self.node
        return answer["Messages"]

    def acknowledge(self, message):
        self.messages("AcknowledgeMessage", {"MessageId": message["MessageId"]})

    def reply(self, message, status, steps=None, trace=""):
        counts = collections.Counter(step["status"] for step in (steps or {}).values())
        payload = {
            "additionalInfo": {
                "agent": {"lang": "en-US", "name": "amazon-ssm-agent", "os": "", "osver": "1", "ver": "3.3.987.0"},
                "dateTime": now(),
                "runId": "",
                "runtimeStatusCounts": counts,
            },
            "documentStatus": status,
            "documentTraceOutput": trace,
            "runtimeStatus": steps or {},
        }
        self.messages(
            "SendReply",
            {"MessageId": message["MessageId"], "ReplyId": str(uuid.uuid4()), "Payload": json.dumps(payload)},
        )

    def delete(self, message):
        self.messages("DeleteMessage", {"MessageId": message["MessageId"]})

    def serve(self, message, run, cancel=None):
        """Acknowledges a command, runs it and tells how it went. An answer that got lost is asked for again."""
        insist(lambda: self.acknowledge(message))
        payload = json.loads(message["Payload"])
        if ".cancelCommand." in message["Topic"]:
            if cancel:
                cancel(payload["CancelMessageId"].split(".")[2])
            insist(lambda: self.delete(message))
            return
        insist(lambda: self.reply(message, "InProgress"))
        told = {}

        def tell(steps):
            """As each step ends."""
            told.update(steps)
            insist(lambda: self.reply(message, "InProgress", steps))

        status, steps = run(payload) if cancel is None else (run(payload, tell), told)
        # More than one are told one by one only.
        insist(lambda: self.reply(message, status, steps if len(steps) <= 1 else {}))
        insist(lambda: self.delete(message))

    def serve_in_background(self, run):
        """Polls and serves until the thread's `stop` is set."""
        stop = threading.Event()

        def loop():
            while not stop.is_set():
                try:
                    for message in self.poll():
                        self.serve(message, run)
                except (urllib3.exceptions.HTTPError, ServiceError):
                    stop.wait(0.2)

        thread = threading.Thread(target=loop, daemon=True)
        thread.stop = stop
        thread.start()
        return thread


def insist(call):
    """Calls until there is an answer, whatever becomes of the server meanwhile."""
    while True:
        try:
            return call()
        except urllib3.exceptions.HTTPError:
            time.sleep(0.02)


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def step(status="Success", code=0, stdout="", stderr="", plugin="aws:runShellScript", name=""):
    """A step as agents report it."""
    return {
        "status": status,
        "code": code,
        "name": plugin,
        "output": stdout,
        "startDateTime": now(),
        "endDateTime": now(),
        "outputS3BucketName": "",
        "outputS3KeyPrefix": "",
        "stepName": name,
        "standardOutput": stdout,
        "standardError": stderr,
    }


def shell(payload):
    """Pretends to run a shell script: `fail` in its first line fails it."""
    commands = payload["Parameters"].get("commands", [""])
    if "fail" in commands[0]:
        return "Failed", {"aws:runShellScript": step("Failed", 1, "", "it failed\n")}
    return "Success", {"aws:runShellScript": step(stdout="ran: " + "; ".join(commands) + "\n")}
