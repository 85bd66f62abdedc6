"""HTTP, in the manner of `requests`. The host makes the requests, checks each against the grant, redirects included, and
adds credentials that the action never sees.
"""

from __future__ import annotations

import json as _json
from dataclasses import dataclass
from typing import Any, Iterator, Mapping
from urllib.parse import urlencode

from ._host import host
from .errors import Failure, LimitExceeded

_MOST = 16 << 20


@dataclass(frozen=True)
class Basic:
    """A user name, and the name of the secret that is the password."""

    user: str
    secret: str


@dataclass(frozen=True)
class Digest:
    """The same for HTTP's digest scheme."""

    user: str
    secret: str


@dataclass(frozen=True)
class Bearer:
    """The name of the secret that is the token."""

    secret: str


@dataclass(frozen=True)
class AwsSigV4:
    """AWS Signature Version 4 with the node's own credentials."""

    service: str
    region: str | None = None


class HTTPError(Failure):
    """A response with a status of 400 or more, and `raise_for_status` was called."""

    def __init__(self, response: Response) -> None:
        super().__init__(
            f"{response.url} answered with status {response.status_code}", detail={"status": response.status_code}
        )
        self.response = response


class Headers(dict[str, str]):
    """Names without regard to case; of several with one name, the values joined by commas."""

    def __init__(self, pairs: Any) -> None:
        super().__init__()
        for name, value in pairs:
            name = name.lower()
            self[name] = f"{self[name]}, {value}" if name in self else value

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Response:
    """An answer. Its body is read when it is asked for."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.status_code: int = inner.status()
        self.headers = Headers(inner.headers())
        self.url: str = inner.url()
        self._content: bytes | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    def iter_content(self, size: int = 65536) -> Iterator[bytes]:
        """The body in pieces, as it comes; once."""
        while piece := self._inner.read(size):
            yield piece

    @property
    def content(self) -> bytes:
        """The whole body, up to 16 MiB; use `iter_content` for more."""
        if self._content is None:
            content = bytearray()
            for piece in self.iter_content():
                content += piece
                if len(content) > _MOST:
                    raise LimitExceeded(f"{self.url} answered with more than {_MOST} bytes; read them with iter_content")
            self._content = bytes(content)
        return self._content

    @property
    def text(self) -> str:
        """The body as text, in the character set of its type, else UTF-8."""
        charset = "utf-8"
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if name.lower() == "charset":
                charset = value.strip("\"' ")
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return _json.loads(self.content)
        except ValueError as error:
            raise Failure(f"{self.url} answered with something that is not JSON: {error}") from error

    def raise_for_status(self) -> None:
        """Raises `HTTPError` for a status of 400 or more."""
        if not self.ok:
            raise HTTPError(self)


def request(
    method: str,
    url: str,
    *,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    data: bytes | str | Mapping[str, Any] | None = None,
    json: Any = None,
    auth: Basic | Digest | Bearer | AwsSigV4 | None = None,
    timeout: float | None = None,
    allow_redirects: bool = True,
) -> Response:
    """Sends a request and waits for the head of the answer.

    `data` is the body; a mapping is sent as a form. `timeout` is for all of it, in seconds.
    """
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
    pairs = [(str(name), str(value)) for name, value in (headers or {}).items()]
    given = {name.lower() for name, _ in pairs}
    kind = None
    if json is not None:
        body, kind = _json.dumps(json).encode(), "application/json"
    elif isinstance(data, Mapping):
        body, kind = urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"
    else:
        body = data.encode() if isinstance(data, str) else bytes(data or b"")
    if kind and "content-type" not in given:
        pairs.append(("content-type", kind))
    return Response(
        host().send(
            {
                "method": method.upper(),
                "url": url,
                "headers": pairs,
                "body": body,
                "authorization": _authorization(auth),
                "max_redirects": 10 if allow_redirects else 0,
                "timeout_millis": None if timeout is None else max(1, int(timeout * 1000)),
            }
        )
    )


def _authorization(auth: Any) -> tuple[str, ...]:
    match auth:
        case None:
            return ("none",)
        case Basic(user, secret):
            return ("basic", user, secret)
        case Digest(user, secret):
            return ("digest", user, secret)
        case Bearer(secret):
            return ("bearer", secret)
        case AwsSigV4(service, region):
            return ("aws-sigv4", service, region or host().aws_region())
    raise TypeError("auth is Basic, Digest, Bearer or AwsSigV4: credentials are named, and filled in by the host")


def get(url: str, **options: Any) -> Response:
    """Sends a GET request; options as of `request`."""
    return request("GET", url, **options)


def head(url: str, **options: Any) -> Response:
    """Sends a HEAD request."""
    return request("HEAD", url, **options)


def post(url: str, **options: Any) -> Response:
    """Sends a POST request."""
    return request("POST", url, **options)


def put(url: str, **options: Any) -> Response:
    """Sends a PUT request."""
    return request("PUT", url, **options)


def patch(url: str, **options: Any) -> Response:
    """Sends a PATCH request."""
    return request("PATCH", url, **options)


def delete(url: str, **options: Any) -> Response:
    """Sends a DELETE request."""
    return request("DELETE", url, **options)


def aws_endpoint(service: str) -> str | None:
    """The endpoint that the operator set for an AWS service; None for AWS's own."""
    return host().aws_endpoint(service)


def aws_region() -> str:
    """The node's AWS region."""
    return host().aws_region()
