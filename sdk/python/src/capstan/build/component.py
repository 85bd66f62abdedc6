"""Reading and changing component binaries, as far as a build needs it: imports, custom sections, and the removal of
imports that an action has no business with.

The runtime inside of a Python component is linked against all of WASI. An action that asks for no file should not
import a file system, and none can use sockets; `without_interfaces` takes such imports out of the finished component.
Every function of them becomes a trap, but for `wasi:cli/environment`: the runtime asks it at the first call into an
instance, and is told that nothing is there. What is removed leaves a filler of its sort, so that the indices of others stay what they
were; those of core modules and core instances move, since there are more of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_HEADER = b"\0asm\x0d\0\x01\0"
_CORE_HEADER = b"\0asm\x01\0\0\0"

# Section numbers of a component.
_CUSTOM, _MODULE, _CORE_INSTANCE, _CORE_TYPE, _COMPONENT, _INSTANCE = 0, 1, 2, 3, 4, 5
_ALIAS, _TYPE, _CANON, _START, _IMPORT, _EXPORT = 6, 7, 8, 9, 10, 11

# Sorts of things that have an index.
_CORE, _FUNC, _VALUE, _TYPES, _COMPONENTS, _INSTANCES = 0, 1, 2, 3, 4, 5


# The interface whose functions answer with nothing once it is removed. Its functions, which return a list or an option, all
# lower to a core function that takes no more than the address to write the answer to.
_ANSWERED = "wasi:cli/environment"
_ANSWERED_TYPE = b"\x60\x01\x7f\x00"


class ComponentError(Exception):
    """The file is no component, or one of a shape that this build does not know."""


def _leb(value: int) -> bytes:
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        if not value:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def _name(text: bytes) -> bytes:
    return _leb(len(text)) + text


def _section(number: int, body: bytes) -> bytes:
    return bytes([number]) + _leb(len(body)) + body


class _Reader:
    """A position in bytes."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def bytes(self) -> bytes:
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at]

    def done(self) -> bool:
        return self.at >= len(self.data)


def sections(data: bytes, header: bytes = _HEADER) -> list[tuple[int, bytes]]:
    """The sections of a component, in order, as number and body."""
    if data[: len(header)] != header:
        raise ComponentError("the file is no WebAssembly component")
    reader, found = _Reader(data, len(header)), []
    while not reader.done():
        number = reader.byte()
        found.append((number, reader.bytes()))
    return found


def imports(data: bytes) -> list[str]:
    """The names of what a component imports, with versions."""
    names = []
    for number, body in sections(data):
        if number == _IMPORT:
            reader = _Reader(body)
            for _ in range(reader.number()):
                names.append(_import(reader)[0])
    return names


def _import(reader: _Reader) -> tuple[str, int, int]:
    """One import: its name, its sort (-1 for one that this build does not know) and its type's index."""
    if reader.byte() > 1:
        raise ComponentError("an import has a name of an unknown form")
    name = reader.bytes().decode()
    sort = reader.byte()
    if sort == _CORE:
        reader.byte()
        return name, -1, reader.number()
    if sort in (_FUNC, _COMPONENTS, _INSTANCES):
        return name, sort, reader.number()
    bound = reader.byte()
    if sort == _TYPES:
        return name, sort, reader.number() if bound == 0 else -1
    raise ComponentError(f"the import {name} is a value, which this build does not know")


def custom_section(data: bytes, name: str) -> bytes | None:
    """The content of a custom section of the component itself."""
    for number, body in sections(data):
        if number == _CUSTOM:
            reader = _Reader(body)
            if reader.bytes() == name.encode():
                return body[reader.at :]
    return None


def with_custom_section(data: bytes, name: str, content: bytes) -> bytes:
    """The component with one custom section of this name, in the place of all earlier ones."""
    kept = [one for one in sections(data) if not (one[0] == _CUSTOM and _Reader(one[1]).bytes() == name.encode())]
    kept.append((_CUSTOM, _name(name.encode()) + content))
    return _HEADER + b"".join(_section(*one) for one in kept)


@dataclass
class _Module:
    """What a core module imports: the type of each function, by module and field."""

    functions: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)


def _core_imports(module: bytes) -> _Module:
    types: list[bytes] = []
    result = _Module()
    for number, body in sections(module, _CORE_HEADER):
        reader = _Reader(body)
        if number == 1:
            for _ in range(reader.number()):
                start = reader.at
                if reader.byte() != 0x60:
                    raise ComponentError("a core module has types that this build does not know")
                for _ in ("parameters", "results"):
                    count = reader.number()
                    reader.at += count
                types.append(body[start : reader.at])
        elif number == 2:
            for _ in range(reader.number()):
                space, name, kind = reader.bytes(), reader.bytes(), reader.byte()
                if kind == 0:
                    result.functions[space, name] = types[reader.number()]
                elif kind == 1:
                    reader.byte()
                    _skip_limits(reader)
                elif kind == 2:
                    _skip_limits(reader)
                elif kind == 3:
                    reader.at += 2
                else:
                    reader.byte()
                    reader.number()
            return result
        elif number > 2:
            return result
    return result


def _skip_limits(reader: _Reader) -> None:
    flags = reader.byte()
    reader.number()
    if flags & 1:
        reader.number()


def _stub_module(types: list[bytes]) -> bytes:
    """A core module with a function of each type, named by its number, that does nothing but trap."""
    count = _leb(len(types))
    exports = b"".join(_name(str(i).encode()) + b"\0" + _leb(i) for i in range(len(types)))
    return (
        _CORE_HEADER
        + _section(1, count + b"".join(types))
        + _section(3, count + b"".join(_leb(i) for i in range(len(types))))
        + _section(7, count + exports)
        + _section(10, count + b"\x03\x00\x00\x0b" * len(types))
    )


def _nothing_module() -> bytes:
    """A core module with a function that answers with an empty list, or with no value, in the memory it is given.

    The function stores the words 256 and 0 at the address. To a list they are its address and its length; the address
    is aligned and not null, as bindings demand even of an empty one. To an option the first byte, 0, means none.
    """
    store = b"\x20\x00" + b"\x42\x80\x02" + b"\x37\x02\x00"  # local.get 0, i64.const 256, i64.store align=4
    return (
        _CORE_HEADER
        + _section(1, b"\x01" + _ANSWERED_TYPE)
        + _section(2, b"\x01" + _name(b"") + _name(b"memory") + b"\x02\x00\x00")
        + _section(3, b"\x01\x00")
        + _section(7, b"\x01" + _name(b"nothing") + b"\x00\x00")
        + _section(10, b"\x01" + _name(b"\x00" + store + b"\x0b"))
    )


class _Surgery:
    """One pass over a component that leaves out imports."""

    # The modules that come first, before those of the component: of functions that trap, and that answer with nothing.
    STUBS, NOTHING, ADDED_MODULES = 0, 1, 2
    # A filler in the place of a type: `bool`.
    FILLER_TYPE = _section(_TYPE, b"\x01\x7f")
    # A filler in the place of an instance: one that exports nothing.
    FILLER_INSTANCE = _section(_INSTANCE, b"\x01\x01\x00")

    def __init__(self, data: bytes, unwanted) -> None:
        self.sections = sections(data)
        self.unwanted = unwanted
        self.out: list[bytes] = []
        self.instances = self.types = self.functions = self.core_functions = 0
        # Where each core instance of the component is now, and where the next one will be; the stubs are number 0.
        self.core_instances: list[int] = []
        self.next_core_instance = 1
        # The core instance that answers with nothing, by the memory that it writes to.
        self.nothing: dict[int, int] = {}
        self.gone_instances: set[int] = set()
        self.answered_instances: set[int] = set()
        self.gone_types: set[int] = set()
        self.gone_functions: set[int] = set()
        self.answered_functions: set[int] = set()
        self.signatures = self._signatures()
        self.stubs: list[bytes] = []
        self.filler_function = self._filler_function()

    def run(self) -> bytes:
        for at, (number, body) in enumerate(self.sections):
            if number == _CUSTOM and _Reader(body).bytes() == b"component-name":
                continue
            if number == _TYPE:
                self._types(at, body)
            elif number == _IMPORT:
                self._imports(body)
            elif number == _ALIAS:
                self._aliases(body)
            elif number == _CANON:
                self._canon(body)
            elif number == _CORE_INSTANCE:
                self._core_instances(body)
            else:
                if number == _INSTANCE:
                    self.instances += _Reader(body).number()
                elif number == _EXPORT:
                    self._count_exports(body)
                self.out.append(_section(number, body))
        if not self.gone_instances:
            return _HEADER + b"".join(_section(*one) for one in self.sections)
        front = _section(_MODULE, _stub_module(self.stubs)) + _section(_MODULE, _nothing_module())
        stubs = _section(_CORE_INSTANCE, b"\x01\x00" + _leb(self.STUBS) + b"\x00")
        return _HEADER + front + stubs + b"".join(self.out)

    def _unwanted_import(self, body: bytes) -> bool:
        reader = _Reader(body)
        return reader.number() == 1 and self.unwanted(_import(reader)[0])

    def _types(self, at: int, body: bytes) -> None:
        count = _Reader(body).number()
        following = self.sections[at + 1] if at + 1 < len(self.sections) else (None, b"")
        if count == 1 and following[0] == _IMPORT and self._unwanted_import(following[1]):
            self.out.append(self.FILLER_TYPE)
        else:
            self.out.append(_section(_TYPE, body))
        self.types += count

    def _imports(self, body: bytes) -> None:
        reader = _Reader(body)
        count = reader.number()
        for _ in range(count):
            name, sort, _type = _import(reader)
            if self.unwanted(name):
                if count != 1 or sort != _INSTANCES:
                    raise ComponentError(f"the import {name} cannot be removed: it is no interface by itself")
                self.gone_instances.add(self.instances)
                if name.split("@")[0] == _ANSWERED:
                    self.answered_instances.add(self.instances)
                self.out.append(self.FILLER_INSTANCE)
            self._count(sort)
        if not self._unwanted_import(body):
            self.out.append(_section(_IMPORT, body))

    def _count(self, sort: int) -> None:
        """One more definition in the index space of its sort."""
        if sort == _INSTANCES:
            self.instances += 1
        elif sort == _TYPES:
            self.types += 1
        elif sort == _FUNC:
            self.functions += 1

    def _aliases(self, body: bytes) -> None:
        reader = _Reader(body)
        for _ in range(reader.number()):
            start = reader.at
            sort = reader.byte()
            core_sort = reader.byte() if sort == _CORE else None
            kind_at = reader.at
            kind, index = reader.byte(), reader.number()
            rest = reader.at
            if kind == 2:
                reader.number()
            else:
                reader.bytes()
            item = body[start : reader.at]
            if kind == 0 and index in self.gone_instances:
                if sort == _FUNC:
                    self.gone_functions.add(self.functions)
                    if index in self.answered_instances:
                        self.answered_functions.add(self.functions)
                    item = self.filler_function
                elif sort == _TYPES:
                    self.gone_types.add(self.types)
                    self.out.append(self.FILLER_TYPE)
                    self.types += 1
                    continue
                else:
                    raise ComponentError("an interface to be removed exports more than functions and types")
            elif kind == 1:
                item = body[start : kind_at + 1] + _leb(self.core_instances[index]) + body[rest : reader.at]
            self._count(sort)
            if sort == _CORE and core_sort == 0:
                self.core_functions += 1
            self.out.append(_section(_ALIAS, b"\x01" + item))

    def _canon(self, body: bytes) -> None:
        reader = _Reader(body)
        for _ in range(reader.number()):
            start = reader.at
            kind = reader.byte()
            gone, answered, memory = False, False, None
            if kind == 0:
                reader.byte()
                reader.number()
                self._options(reader)
                reader.number()
                self.functions += 1
            elif kind == 1:
                reader.byte()
                function = reader.number()
                gone, answered = function in self.gone_functions, function in self.answered_functions
                memory = self._options(reader)
            elif kind in (2, 3, 4):
                gone = reader.number() in self.gone_types
            else:
                raise ComponentError(f"the component uses the canonical function {kind}, which this build does not know")
            if kind != 0:
                if answered:
                    self.out.append(self._answer(self.core_functions, memory))
                elif gone:
                    self.out.append(self._stub(self.core_functions))
                self.core_functions += 1
            if not gone:
                self.out.append(_section(_CANON, b"\x01" + body[start : reader.at]))

    @staticmethod
    def _options(reader: _Reader) -> int | None:
        """Reads the options of a canonical function; the memory among them."""
        memory = None
        for _ in range(reader.number()):
            option = reader.byte()
            if option in (3, 4, 5, 7):
                index = reader.number()
                if option == 3:
                    memory = index
        return memory

    def _stub(self, function: int) -> bytes:
        """An alias of a stub, which takes the number of the core function that is left out."""
        signature = self.signatures.get(function, b"\x60\x00\x00")
        if signature not in self.stubs:
            self.stubs.append(signature)
        return self._core_function(0, str(self.stubs.index(signature)).encode())

    def _answer(self, function: int, memory: int | None) -> bytes:
        """An alias of the function that answers with nothing, which takes the number of the one that is left out; before it,
        the instance for this memory, which is not there yet where the stubs are made."""
        if memory is None or self.signatures.get(function, _ANSWERED_TYPE) != _ANSWERED_TYPE:
            raise ComponentError(f"a function of {_ANSWERED} is lowered in a way that this build does not know")
        made = b""
        if memory not in self.nothing:
            exports = self.next_core_instance
            self.nothing[memory] = exports + 1
            self.next_core_instance += 2
            given = b"\x01\x01" + _name(b"memory") + b"\x02" + _leb(memory)
            instance = b"\x00" + _leb(self.NOTHING) + b"\x01" + _name(b"") + b"\x12" + _leb(exports)
            made = _section(_CORE_INSTANCE, b"\x02" + given + instance)
        return made + self._core_function(self.nothing[memory], b"nothing")

    @staticmethod
    def _core_function(instance: int, name: bytes) -> bytes:
        """An alias of what a core instance exports."""
        return _section(_ALIAS, b"\x01\x00\x00\x01" + _leb(instance) + _name(name))

    def _core_instances(self, body: bytes) -> None:
        reader = _Reader(body)
        count = reader.number()
        out = [_leb(count)]
        for _ in range(count):
            start = reader.at
            if reader.byte() == 0:
                module, arguments = reader.number(), reader.number()
                out += [b"\0", _leb(module + self.ADDED_MODULES), _leb(arguments)]
                for _ in range(arguments):
                    name, sort, index = reader.bytes(), reader.byte(), reader.number()
                    out += [_name(name), bytes([sort]), _leb(self.core_instances[index])]
            else:
                for _ in range(reader.number()):
                    reader.bytes()
                    reader.byte()
                    reader.number()
                out.append(body[start : reader.at])
            self.core_instances.append(self.next_core_instance)
            self.next_core_instance += 1
        self.out.append(_section(_CORE_INSTANCE, b"".join(out)))

    def _count_exports(self, body: bytes) -> None:
        reader = _Reader(body)
        for _ in range(reader.number()):
            reader.byte()
            reader.bytes()
            sort = reader.byte()
            if sort == _CORE:
                reader.byte()
            reader.number()
            if reader.byte() == 1:
                raise ComponentError("an export has a type of its own, which this build does not know")
            if sort == _FUNC:
                self.functions += 1
            elif sort == _TYPES:
                self.types += 1
            elif sort == _INSTANCES:
                self.instances += 1

    def _signatures(self) -> dict[int, bytes]:
        """The core type of every core function that some instance hands to a module."""
        modules: list[_Module] = []
        instances: list[list[tuple[bytes, int]] | None] = []
        found: dict[int, bytes] = {}
        for number, body in self.sections:
            if number == _MODULE:
                modules.append(_core_imports(body))
            elif number == _CORE_INSTANCE:
                reader = _Reader(body)
                for _ in range(reader.number()):
                    if reader.byte() == 0:
                        module = modules[reader.number()]
                        for _ in range(reader.number()):
                            space = reader.bytes()
                            reader.byte()
                            for name, function in instances[reader.number()] or ():
                                signature = module.functions.get((space, name))
                                if signature is not None:
                                    found[function] = signature
                        instances.append(None)
                    else:
                        exports = []
                        for _ in range(reader.number()):
                            name, sort, index = reader.bytes(), reader.byte(), reader.number()
                            if sort == 0:
                                exports.append((name, index))
                        instances.append(exports)
        return found

    def _filler_function(self) -> bytes:
        """An alias of a function of an import that stays."""
        instances, gone = 0, set()
        for number, body in self.sections:
            reader = _Reader(body)
            if number == _IMPORT:
                for _ in range(reader.number()):
                    name, sort, _type = _import(reader)
                    if sort == _INSTANCES:
                        if self.unwanted(name):
                            gone.add(instances)
                        instances += 1
            elif number == _ALIAS:
                for _ in range(reader.number()):
                    start = reader.at
                    sort = reader.byte()
                    if sort == _CORE:
                        reader.byte()
                    kind, index = reader.byte(), reader.number()
                    if kind == 2:
                        reader.number()
                        continue
                    reader.bytes()
                    if kind == 0 and sort == _FUNC and index not in gone:
                        return body[start : reader.at]
        raise ComponentError("the component imports no function at all")


def without_interfaces(data: bytes, *packages: str) -> bytes:
    """The component without the imports of these packages or interfaces (`wasi:sockets`, `wasi:filesystem`): what calls
    one of their functions traps. Those of `wasi:cli/environment` answer that nothing is there."""

    def unwanted(name: str) -> bool:
        plain = name.split("@")[0]
        return any(plain == one or plain.startswith(one + "/") for one in packages)

    if not any(unwanted(name) for name in imports(data)):
        return data
    return _Surgery(data, unwanted).run()
