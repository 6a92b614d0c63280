"""XMP packets: properties read, taken out and put in by place, so that all else in a packet keeps its bytes.

A packet is RDF in XML (ISO 16684-1). It is followed with expat, which knows namespaces and refuses what is not XML; a
document type, the way in for entity bombs, is refused as well. Damaged packets raise :class:`Damaged`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
PLUS = "http://ns.useplus.org/ldf/xmp/1.0/"
EXIF = "http://ns.adobe.com/exif/1.0/"
TIFF = "http://ns.adobe.com/tiff/1.0/"
THUMBNAILS = "http://ns.adobe.com/xap/1.0/"
GOOGLE_IMAGE = "http://ns.google.com/photos/1.0/image/"
NOTE = "http://ns.adobe.com/xmp/note/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PLACES = {(PHOTOSHOP, name) for name in ("City", "State", "Country")}
_PLACES |= {(IPTC_CORE, "Location"), (IPTC_CORE, "CountryCode")}
_PLACES |= {(IPTC_EXT, "LocationCreated"), (IPTC_EXT, "LocationShown")}
DO_NOT_TRAIN = "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-GENAIMLTRAINING"
EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="' + RDF.encode() + b'"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
DEEPEST = 64
# How small copies of the picture begin, at any depth.
_COPY = re.compile(rb"<[^\s<>]*:Thumbnails[\s/>]|[<\s](?:GImage:Data|x(?:ap|mp)GImg:image)[\s=>]")
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')")
# What is left of an earlier mark of ours once its properties are taken out.
_EMPTIED = re.compile(
    rb'<rdf:Description xmlns:rdf="[^"]*" rdf:about=(?:"[^"]*"|\'[^\']*\')(?: xmlns:(?:plus|dc)="[^"]*")*'
    rb"(?:\s*/>|></rdf:Description>)"
)
_TAG = re.compile(rb"<[^\s/>]+(?:\s+[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")


class Damaged(ValueError):
    """Not a packet that can be changed without harm."""


@dataclass(frozen=True)
class Property:
    """One property of the picture: its namespace and name, its text, and the bytes that hold it."""

    space: str
    name: str
    text: str
    start: int
    stop: int


@dataclass
class _Open:
    space: str
    name: str
    start: int
    tag: bytes  # as it opens
    text: list[str] = field(default_factory=list)


class _Reader:
    """What expat found: the properties, and where the RDF ends."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.properties: list[Property] = []
        self.about = ""
        self.end: int | None = None
        self._open: list[_Open] = []
        self._spaces: dict[str, list[str]] = {"xml": ["http://www.w3.org/XML/1998/namespace"]}
        self._parser = expat.ParserCreate("utf-8", namespace_separator="\n")
        self._parser.buffer_text = True
        self._parser.StartNamespaceDeclHandler = lambda prefix, space: self._spaces.setdefault(prefix, []).append(space)
        self._parser.EndNamespaceDeclHandler = lambda prefix: self._spaces[prefix].pop()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._stop
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype
        try:
            self._parser.Parse(packet.rstrip(b"\0"), True)
        except expat.ExpatError as error:
            raise Damaged(str(error)) from None

    def _doctype(self, *_: object) -> None:
        raise Damaged("a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        space, _, local = name.rpartition("\n")
        tag = _TAG.match(self.packet, at)
        if tag is None:
            raise Damaged("a tag that cannot be followed")
        self._open.append(_Open(space, local, at, tag[0]))
        if len(self._open) > DEEPEST:
            raise Damaged("elements too deep within each other")
        if (space, local) == (RDF, "Description") and self._depth() == 0:
            self.about = attributes.get(f"{RDF}\nabout", self.about)
            self._attributes(tag[0], at, attributes)

    def _attributes(self, tag: bytes, at: int, attributes: dict[str, str]) -> None:
        """The properties that stand in a start tag; of where they stand, expat tells only the prefixes' namespaces."""
        wanted = {key for key in attributes if key.rpartition("\n")[0] not in (RDF, "")}
        for found in _ATTRIBUTE.finditer(tag):
            prefix, _, local = found[1].decode("utf-8", "replace").rpartition(":")
            key = f"{next(reversed(self._spaces.get(prefix, [])), '')}\n{local}"
            if key in wanted:
                wanted.remove(key)
                space, _, name = key.rpartition("\n")
                self.properties.append(Property(space, name, attributes[key], at + found.start(), at + found.end()))
        if wanted:
            raise Damaged("an attribute that cannot be followed")

    def _depth(self) -> int:
        """How many elements of its own stand between a picture's description and here; -1 outside of one."""
        names = [(element.space, element.name) for element in self._open]
        outer = names.index((RDF, "Description")) if (RDF, "Description") in names else len(names)
        return len(names) - 1 - outer

    def _text(self, text: str) -> None:
        depth = self._depth()
        if depth >= 1:  # only a property's text is asked for; a copy for each element within it would be quadratic
            self._open[-depth].text.append(text)

    def _stop(self, name: str) -> None:
        depth = self._depth()
        element = self._open.pop()
        at = self._parser.CurrentByteIndex
        empty = element.tag.endswith(b"/>")
        if depth == 1:
            text = "".join(element.text).strip()
            stop = element.start + len(element.tag) if empty else self.packet.index(b">", at) + 1
            self.properties.append(Property(element.space, element.name, text, element.start, stop))
        elif (element.space, element.name) == (RDF, "RDF") and not empty:
            self.end = at


def properties(packet: bytes) -> list[Property]:
    """The properties of the picture that a packet describes; those inside structures are part of their text."""
    return _Reader(packet).properties


def value(packet: bytes, space: str, name: str) -> str | None:
    """The text of one property, or None."""
    return next((p.text for p in properties(packet) if (p.space, p.name) == (space, name)), None)


def without(packet: bytes, drop: Callable[[Property], bool]) -> bytes:
    """The packet without the properties that ``drop`` says."""
    for found in sorted(properties(packet), key=lambda p: p.start, reverse=True):
        if drop(found):
            packet = packet[: found.start] + packet[found.stop :]
    return packet


def upright(packet: bytes) -> bytes:
    """XMP's own copy of the orientation says "as it is": EXIF rules, but Pillow and others fall back to this one."""
    return re.sub(rb"(tiff:Orientation(?:=[\"']|>))[1-8]", rb"\g<1>1", packet)


def without_thumbnails(packet: bytes) -> bytes:
    return without(packet, lambda p: (p.space, p.name) in ((THUMBNAILS, "Thumbnails"), (GOOGLE_IMAGE, "Data")))


def holds_copy(packet: bytes) -> bool:
    """Whether a copy of the picture stands in it, at any depth and be it damaged; UTF-16 as well."""
    return _COPY.search(packet.replace(b"\0", b"")) is not None


def without_copies(packet: bytes) -> bytes:
    """Without each property that has a copy of the picture somewhere in it, as xmpMM:Pantry of what went into it."""
    made = without(packet, lambda p: holds_copy(b" " + packet[p.start : p.stop]))
    return b"" if holds_copy(made) else made


def coordinates(found: Property) -> bool:
    """Whether it is a place on earth: EXIF's in XMP, or what makers of cameras and drones call so."""
    return any(word in found.name.lower() for word in ("gps", "latitude", "longitude"))


def place(found: Property) -> bool:
    """Whether it says where the picture was made, in numbers or by name."""
    return coordinates(found) or (found.space, found.name) in _PLACES


def without_places(packet: bytes) -> bytes:
    return without(packet, place)


def unextended(packet: bytes) -> bytes:
    """Without the note that more of it stands elsewhere in a JPEG."""
    return without(packet, lambda p: (p.space, p.name) == (NOTE, "HasExtendedXMP"))


def marked(packet: bytes, *, do_not_train: bool, rights: str | None) -> bytes:
    """The packet (b"" for none) that also says: not for training generative models; whose rights these are.

    plus:DataMining is the Data Mining property of the PLUS coalition, which IPTC adopted in 2023.
    """
    wanted: Mapping[tuple[str, str], object] = {(PLUS, "DataMining"): do_not_train, (DC, "rights"): rights}
    wanted = {key: on for key, on in wanted.items() if on}
    if not wanted:
        return packet
    packet = _EMPTIED.sub(b"", without(packet or EMPTY, lambda p: (p.space, p.name) in wanted))
    reader = _Reader(packet)
    if reader.end is None:
        raise Damaged("no RDF element")
    text = f'<rdf:Description xmlns:rdf="{RDF}" rdf:about={quoteattr(reader.about)}'
    text += f' xmlns:plus="{PLUS}" plus:DataMining="{DO_NOT_TRAIN}"' if do_not_train else ""
    if rights:
        words = escape("".join(c for c in rights if c.isprintable()))
        text += f' xmlns:dc="{DC}"><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{words}</rdf:li></rdf:Alt>'
        text += "</dc:rights></rdf:Description>"
    else:
        text += "/>"
    return packet[: reader.end] + text.encode() + packet[reader.end :]
