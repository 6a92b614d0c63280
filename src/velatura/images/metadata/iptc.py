"""IPTC records (IIM 4.2), as far as they say where a picture was made, or hold a small copy of it."""

from __future__ import annotations

_MARK = 0x1C  # how each dataset begins
# Of record 2: code and name of a location, city, sublocation, state, code and name of the country.
_PLACES = frozenset({26, 27, 90, 92, 95, 100, 101})
_PREVIEWS = frozenset({200, 201, 202})  # format, version and data of the object preview


def without_places(record: bytes) -> bytes:
    """The record without names of places; the very bytes where there is none.

    What cannot be followed goes as well, since a place may stand in it.
    """
    kept, rest = _split(record, _PLACES)
    return kept if len(kept) + len(rest) < len(record) or rest.strip(b"\0") else record


def without_previews(record: bytes) -> bytes:
    """The record without a preview of the unprotected picture; what cannot be followed stays, unless one is in it."""
    kept, rest = _split(record, _PREVIEWS)
    return kept if any(bytes((_MARK, 2, number)) in rest for number in _PREVIEWS) else kept + rest


def _split(record: bytes, left_out: frozenset[int]) -> tuple[bytes, bytes]:
    """The record but those datasets of record 2, up to where it cannot be followed; and what stands there."""
    kept: list[bytes] = []
    at = 0
    while at + 5 <= len(record) and record[at] == _MARK:
        body, size = at + 5, int.from_bytes(record[at + 3 : at + 5], "big")
        if size & 0x8000:  # an extended dataset: so many bytes of size follow
            wide = size & 0x7FFF
            body, size = body + wide, int.from_bytes(record[body : body + wide], "big")
        if body + size > len(record):
            break
        if record[at + 1] != 2 or record[at + 2] not in left_out:
            kept.append(record[at : body + size])
        at = body + size
    return b"".join(kept), record[at:]
