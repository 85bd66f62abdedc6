"""Changing the memory that a built component begins with: its objects are marked as immortal. Why, `capstan._lasting` says."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from .._lasting import MARK
from .component import _CORE_HEADER, _HEADER, _MODULE, ComponentError, _Reader, _section, sections

# The section of a core module that holds its data, and what the addresses in it are made with.
_DATA, _I32_CONST, _GLOBAL_GET, _END = 11, 0x41, 0x23, 0x0B
# CPython 3.14 of 32 bits: the count that an object gets which is made immortal, and the least of one that is.
_IMMORTAL, _LEAST_IMMORTAL = 5 << 28, 1 << 30
# An object begins with its count and its type; a list goes on with its length and where its items are.
_TYPE, _LENGTH, _ITEMS = 4, 8, 12


@dataclass(frozen=True)
class _Piece:
    """Bytes of a data section that become memory."""

    address: int
    length: int
    at: int


class _Memory:
    """The memory that a data section makes."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        pieces = _pieces(data)
        self.pieces = sorted(pieces, key=lambda one: one.address)
        self.addresses = [one.address for one in self.pieces]
        self.bytes = bytearray(max((one.address + one.length for one in pieces), default=0))
        for one in self.pieces:
            self.bytes[one.address : one.address + one.length] = data[one.at : one.at + one.length]

    def number(self, address: int) -> int:
        return int.from_bytes(self.bytes[address : address + 4], "little")

    def put(self, address: int, number: int) -> None:
        """Writes to the section. Where many zeros are, nothing stands in it, and a number there cannot be changed."""
        piece = self.pieces[bisect_right(self.addresses, address) - 1]
        within = address - piece.address
        if 0 <= within <= piece.length - 4:
            self.data[piece.at + within : piece.at + within + 4] = number.to_bytes(4, "little")

    def lasting(self) -> list[int]:
        """The addresses that the survey left."""
        at = self.bytes.find(MARK)
        while at >= 0:
            record = at + len(MARK)
            found, kind, length = (self.number(record + 4 * index) for index in range(3))
            # The mark itself stands in memory too, with something else behind it.
            if found and (self.number(found + _TYPE), self.number(found + _LENGTH)) == (kind, length):
                items = self.number(found + _ITEMS)
                return [self.number(items + 4 * index) for index in range(length)]
            at = self.bytes.find(MARK, record)
        raise ComponentError("the survey of its objects cannot be read")


def _pieces(data: bytes) -> list[_Piece]:
    """The data whose address is fixed."""
    reader, found = _Reader(data), []
    for _ in range(reader.number()):
        kind, address = reader.number(), None
        if kind == 2:
            reader.number()
        if kind != 1:
            operation = reader.byte()
            # Addresses are below 2 GB, so that the sign does not matter.
            number = reader.number()
            if operation not in (_I32_CONST, _GLOBAL_GET) or reader.byte() != _END:
                raise ComponentError("data stands at an address of an unknown form")
            if operation == _I32_CONST:
                address = number
        length = reader.number()
        if address is not None:
            found.append(_Piece(address, length, reader.at))
        reader.at += length
    return found


def _marked(data: bytes) -> tuple[bytes, int]:
    """A data section with its objects marked, and how many these are."""
    if MARK not in data:
        return data, 0
    memory, count = _Memory(data), 0
    for address in memory.lasting():
        references = memory.number(address)
        if not references:
            raise ComponentError("an object of the component is not where the survey found it")
        if references < _LEAST_IMMORTAL:
            memory.put(address, _IMMORTAL)
            count += 1
    return bytes(memory.data), count


def with_lasting_objects(component: bytes) -> tuple[bytes, int]:
    """The component with the objects of its image marked as immortal, and how many these are."""
    out, count = [_HEADER], 0
    for number, body in sections(component):
        if number == _MODULE and MARK in body:
            module = [_CORE_HEADER]
            for inner, content in sections(body, _CORE_HEADER):
                if inner == _DATA:
                    content, marked = _marked(content)
                    count += marked
                module.append(_section(inner, content))
            body = b"".join(module)
        out.append(_section(number, body))
    return b"".join(out), count
