"""What an action or collector asks for, and why. The operator sees the reasons before granting anything.

Texts may hold `${inputs.KEY}`, which stands for the step's input of that name, and `${context.workDirectory}`,
`${context.downloadsDirectory}` or `${context.dataDirectory}`.
"""

from __future__ import annotations

from typing import Any, Sequence

_ACCESS = ("read-only", "read-write", "read", "list", "execute", "write", "create", "remove", "replace", "append")
_USES = ("header", "body", "environment", "stdin")


def _words(given: str | Sequence[str], allowed: Sequence[str], what: str) -> list[str]:
    words = [given] if isinstance(given, str) else list(given)
    for word in words:
        if word not in allowed:
            raise ValueError(f"`{word}` is no {what}; use {', '.join(allowed)}")
    return words


class Capability:
    """One request. `reason` is for the operator; `optional` says that the action works without it."""

    kind: str

    def __init__(self, reason: str, optional: bool, **entry: Any) -> None:
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"the capability {type(self).__name__} needs a reason, which the operator reads")
        self.entry = {**entry, "reason": reason, **({"optional": True} if optional else {})}


class Files(Capability):
    """A file or folder, absolute: `Files("${inputs.folder}", "read-write", reason="rotates the logs")`."""

    kind = "files"

    def __init__(self, path: str, access: str | Sequence[str] = "read-only", *, reason: str, optional: bool = False) -> None:
        if not path.startswith(("/", "${")):
            raise ValueError(f"the path `{path}` is not absolute: it starts with / or with a ${{…}} binding")
        super().__init__(reason, optional, path=path, access=_words(access, _ACCESS, "access to files"))


class Program(Capability):
    """A program, by the name that `process.run` uses.

    `paths` are absolute, the first that exists is used. `arguments` is their shape: literals, and holes `{word}` (not empty,
    no leading `-`), `{int}`, `{path}` (absolute), `{text}` (anything), and last `{words...}` or `{rest...}` for any number.
    """

    kind = "programs"

    def __init__(
        self, name: str, paths: str | Sequence[str], *, arguments: Sequence[str] = (), reason: str, optional: bool = False
    ) -> None:
        found = [paths] if isinstance(paths, str) else list(paths)
        for path in found:
            if not path.startswith("/"):
                raise ValueError(f"the path `{path}` of the program {name} is not absolute")
        super().__init__(reason, optional, paths=found, arguments=list(arguments))
        self.name = name


class Host(Capability):
    """A host: `https://example.com` with optional port and path pattern, a binding to an input that is a URL, or `*` for
    whatever the policy grants."""

    kind = "hosts"

    def __init__(self, url: str, *, methods: Sequence[str] = (), reason: str, optional: bool = False) -> None:
        super().__init__(reason, optional, url=url, methods=[one.upper() for one in methods])


class Parameter(Capability):
    """A parameter, or with a trailing `*` several."""

    kind = "parameters"

    def __init__(self, name: str, *, reason: str, optional: bool = False) -> None:
        super().__init__(reason, optional, name=name)


class Secret(Capability):
    """A secret or secure parameter, where its value may go (`header`, `body`, `environment`, `stdin`), and in requests to which
    hosts."""

    kind = "secrets"

    def __init__(
        self,
        name: str,
        *,
        uses: str | Sequence[str] | None = None,
        hosts: Sequence[str] = (),
        reason: str,
        optional: bool = False,
    ) -> None:
        entry: dict[str, Any] = {"name": name}
        if uses is not None:
            entry["uses"] = _words(uses, _USES, "place for a secret")
        if hosts:
            entry["hosts"] = list(hosts)
        super().__init__(reason, optional, **entry)


class Document(Capability):
    """A document to read or run, or with a trailing `*` several."""

    kind = "documents"

    def __init__(self, name: str, *, reason: str, optional: bool = False) -> None:
        super().__init__(reason, optional, name=name)


class Signing(Capability):
    """An AWS service for which the host signs requests with the node's credentials."""

    kind = "signing"

    def __init__(self, service: str, *, reason: str, optional: bool = False) -> None:
        super().__init__(reason, optional, name=service)


def requests(capabilities: Sequence[Capability], children: str) -> dict[str, Any]:
    """The `capabilities` of a manifest."""
    if children not in ("same", "any"):
        raise ValueError(f"children is `same` (as the action itself) or `any` (all that the policy grants), not `{children}`")
    found: dict[str, Any] = {}
    for one in capabilities:
        if not isinstance(one, Capability):
            raise TypeError(f"capabilities are Files, Program, Host, …, not {one!r}")
        if isinstance(one, Program):
            programs = found.setdefault("programs", {})
            if one.name in programs:
                raise ValueError(f"the program {one.name} is declared twice")
            programs[one.name] = one.entry
        else:
            found.setdefault(one.kind, []).append(one.entry)
    if children != "same":
        found["children"] = children
    return found
