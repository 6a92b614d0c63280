"""The quality of a lossy WebP, from the quantiser in the head of its VP8 frame (RFC 6386, sections 7, 9.2 to 9.6)."""

from __future__ import annotations

_START = b"\x9d\x01\x2a"
_HEAD = 10  # bytes before the first partition


class _Bools:
    """The boolean decoder, for even odds only: all that the frame's head needs."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.shift = data, 2, 0
        self.value, self.range = int.from_bytes(data[:2], "big"), 255

    def bit(self) -> int:
        split = 1 + ((self.range - 1) * 128 >> 8)
        found = int(self.value >= split << 8)
        if found:
            self.value -= split << 8
            self.range -= split
        else:
            self.range = split
        while self.range < 128:
            self.value, self.range, self.shift = self.value << 1, self.range << 1, self.shift + 1
            if self.shift == 8:
                self.value |= self.data[self.at]  # IndexError: cut short
                self.at, self.shift = self.at + 1, 0
        return found

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.bit()
        return value

    def signed(self, bits: int) -> int:
        """A number and its sign, if a flag says that they are there; else 0."""
        if not self.bit():
            return 0
        value = self.number(bits)
        return -value if self.bit() else value


def quality(frame: bytes) -> int | None:
    """libwebp's setting, 0 to 100, that makes about these quantisers; None where it is no key frame."""
    if len(frame) < _HEAD + 2 or frame[0] & 1 or frame[3:6] != _START:
        return None
    bools = _Bools(frame[_HEAD : _HEAD + 256])
    bools.number(2)  # colour space, clamping
    absolute, segments = True, [0]
    if by_segment := bools.bit():
        map_too, data_too = bools.bit(), bools.bit()
        if data_too:
            absolute = bool(bools.bit())
            segments = [bools.signed(7) for _ in range(4)]
            for _ in range(4):
                bools.signed(6)
        if map_too:
            for _ in range(3):
                if bools.bit():
                    bools.number(8)
    bools.number(1 + 6 + 3)  # the loop filter
    if bools.bit() and bools.bit():
        for _ in range(8):
            bools.signed(6)
    bools.number(2)  # partitions
    base = bools.number(7)
    used = segments if by_segment and absolute else [base + more for more in segments]
    return _setting(min(127.0, max(0.0, sum(used) / len(used))))


def _setting(quantiser: float) -> int:
    """The inverse of libwebp's QualityToCompression (quant_enc.c)."""
    linear = (1 - quantiser / 127) ** 3
    return round(100 * (linear * 1.5 if linear < 0.5 else (linear + 1) / 2))
