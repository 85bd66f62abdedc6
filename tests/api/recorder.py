"""A proxy in front of a server that writes down what agents say, in a form in which two of them can be compared."""

import collections
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

# Names whose values are compared; of all others it is the kind of the value.
TOLD = {"PublicKeyType", "NewPublicKeyType", "AgentStatus", "PlatformType", "SSMConnectionChannel"}
TOLD |= {"VisibilityTimeoutInSeconds", "FailureType", "documentStatus", "status", "code", "lang"}

Said = collections.namedtuple("Said", "operation headers body")


def shape(value, name=""):
    """What a value is made of, without what differs from one node, time or run to another."""
    if isinstance(value, dict):
        return {key: shape(of, key) for key, of in sorted(value.items())}
    if isinstance(value, list):
        return [shape(of) for of in value]
    return value if name in TOLD else type(value).__name__


def headers(said):
    """What the headers say: the kind of body, and what signed it with which key."""
    authorization = said.get("Authorization")
    kinds = {"Content-Type": said.get("Content-Type"), "by": None}
    if authorization:
        key, scope, names, signature = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^,]+), SignedHeaders=([^,]+), Signature=(\S+)", authorization
        ).groups()
        kinds["by"] = "node" if key.startswith("mi-") else key[:4]
        kinds["scope"] = scope
        kinds["signed"] = set(names.split(";"))
        kinds["signature"] = "hex" if re.fullmatch("[0-9a-f]{64}", signature) else "rsa"
        kinds["date"] = bool(re.fullmatch(r"\d{8}T\d{6}Z", said.get("X-Amz-Date", "")))
        kinds["token"] = "X-Amz-Security-Token" in said
    return kinds


class Recorder:
    """Forwards to a server. `change` may alter an answer: it gets the operation and the body."""

    def __init__(self, server_url, change=lambda operation, answer: answer):
        self.said = []
        self.news = threading.Condition()
        pool = urllib3.PoolManager(maxsize=100)
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["X-Amz-Target"]
                # The Host header is what the agent signed, and not changed.
                answer = pool.request(
                    "POST", server_url + self.path, body=body, headers=dict(self.headers), retries=False, timeout=60
                )
                # Before the agent has the answer: what it says next comes after this.
                if answer.status == 200:
                    with recorder.news:
                        recorder.said.append(Said(operation, headers(self.headers), json.loads(body)))
                        recorder.news.notify_all()
                data = json.dumps(change(operation, json.loads(answer.data or "{}"))).encode()
                self.send_response(answer.status)
                for name in ("Content-Type", "x-amzn-RequestId", "x-amzn-ErrorType"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Threads(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """An agent that ends leaves its poll."""

        self.http = Threads(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def wait_for(self, condition, what):
        """Waits until something was said."""
        with self.news:
            assert self.news.wait_for(lambda: any(map(condition, self.said)), 60), (what, self.said)

    # What was said, in parts that have an order of their own: a node works at several things at once.

    def kinds(self, *operations):
        """The different ways in which something was said that is said over and over."""
        ways = []
        for said in self.said:
            way = (said.operation, said.headers, shape(said.body))
            if said.operation.split(".")[1] in operations and way not in ways:
                ways.append(way)
        return ways

    def without_messages(self):
        """What is neither about a message nor said over and over, in its order."""
        often = {"GetMessages", "UpdateInstanceInformation"}
        return [
            (said.operation, said.headers, shape(said.body))
            for said in self.said
            if "MessageId" not in said.body and said.operation.split(".")[1] not in often
        ]

    def about(self, message_id):
        """What was said of a message, in its order.

        A step is told when it ended, and nodes may also tell how it gets on, and may tell all steps again in the end.
        So what replies tell of steps is gathered: what is known of each in the end.
        """
        said = [one for one in self.said if one.body.get("MessageId") == message_id]
        steps, told = {}, []
        for one in said:
            body = shape(one.body)
            if "Payload" in one.body:
                payload = json.loads(one.body["Payload"])
                steps.update(payload["runtimeStatus"])
                body["Payload"] = shape({**payload, "runtimeStatus": {}})
                counts = payload["additionalInfo"]["runtimeStatusCounts"]
                assert sum(counts.values()) == len(payload["runtimeStatus"])
                body["Payload"]["additionalInfo"]["runtimeStatusCounts"] = {}
            if (one.operation, one.headers, body) not in told:
                told.append((one.operation, one.headers, body))
        return told, shape(steps)
