"""IPTC records (IIM 4.2), as far as they say where a picture was made."""

from __future__ import annotations

_MARK = 0x1C  # how each dataset begins
# Of record 2: code and name of a location, city, sublocation, state, code and name of the country.
_PLACES = frozenset({26, 27, 90, 92, 95, 100, 101})


def without_places(record: bytes) -> bytes:
    """The record without names of places; the very bytes where there is none.

    What cannot be followed goes as well, since a place may stand in it.
    """
    kept: list[bytes] = []
    at, found = 0, False
    while at + 5 <= len(record) and record[at] == _MARK:
        body, size = at + 5, int.from_bytes(record[at + 3 : at + 5], "big")
        if size & 0x8000:  # an extended dataset: so many bytes of size follow
            wide = size & 0x7FFF
            body, size = body + wide, int.from_bytes(record[body : body + wide], "big")
        if body + size > len(record):
            break
        if record[at + 1] == 2 and record[at + 2] in _PLACES:
            found = True
        else:
            kept.append(record[at : body + size])
        at = body + size
    return b"".join(kept) if found or record[at:].strip(b"\0") else record
