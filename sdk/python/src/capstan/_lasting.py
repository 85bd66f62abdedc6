"""What lasts as long as an instance: the objects that are in the image of a built component.

CPython counts references in the objects themselves, so that to look at an object is to write to it, and each page that an instance
writes to has to be copied for it. Objects that are marked as immortal (PEP 683) are not counted. There is no call that marks them, so
it is done in two halves: `survey`, inside of the component at the end of its preparation, says where its objects are, and
`capstan.build.image` marks them in the finished file.
"""

from __future__ import annotations

import gc
import sys
from types import CodeType
from typing import Any

# What the survey's record begins with; after it come, as 32-bit numbers, the addresses of the list of objects, of its type, and its length.
MARK = b"capstan-lasting-objects:"
# Of the build of CPython whose objects `capstan.build.image` knows.
_KNOWN = (3, 14)

_kept: list[Any] = []
_record = b""


def _parts(one: Any) -> list[Any]:
    """What an object refers to. The collector knows it, but for code."""
    if not isinstance(one, CodeType):
        return gc.get_referents(one)
    texts = [one.co_name, one.co_qualname, one.co_filename, *one.co_varnames, *one.co_freevars, *one.co_cellvars]
    return [one.co_consts, one.co_names, one.co_linetable, one.co_exceptiontable, *texts]


def survey() -> None:
    """Finds all objects, and keeps them: the place of none is given to another one."""
    global _record
    if sys.version_info[:2] != _KNOWN or sys.maxsize != 0x7FFF_FFFF:
        return
    gc.collect()
    seen: set[int] = set()
    left = gc.get_objects()
    while left:
        one = left.pop()
        if id(one) in seen or one is left or one is seen:
            continue
        seen.add(id(one))
        _kept.append(one)
        left += _parts(one)
    del one, left, seen
    # What is freed is part of the image as well, unless it is zero.
    bytes(4 << 20)
    _record = MARK + b"".join(number.to_bytes(4, "little") for number in (id(_kept), id(list), len(_kept)))
