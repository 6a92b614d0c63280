"""What a picture shows, in words: given, read from the file's name, or written by a captioning model."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from velatura.errors import InputError

_PARENTHESES = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_SEPARATORS = re.compile(r"[_\-–—/\\.,;:&|]+")


def subject(title: str) -> str:
    """The words of a title or file name: no numbers, page marks or parentheses; lower case. May be empty.

    >>> subject("Pepper&Carrot episode 10 P03 panel1 (textless)")
    'pepper carrot episode panel'
    """
    words = _SEPARATORS.sub(" ", _PARENTHESES.sub(" ", title)).replace('"', " ").split()
    kept = [re.sub(r"\d+$", "", word) for word in words if not re.match(r"[a-z]{0,3}\d", word, re.IGNORECASE)]
    return " ".join(word.lower() for word in kept if word)


def with_artist(words: str, artist: str) -> str:
    """The caption of a fine-tuning picture, and the prompt of a new one: ``words, by artist``."""
    return f"{words}, by {artist}" if words else f"a picture by {artist}"


def named(words: str, artist: str) -> re.Match[str] | None:
    """Where ``words`` name the artist: in any case, but not inside of other words, as "Ed" in "meditation"."""
    return re.search(rf"(?<!\w){re.escape(artist)}(?!\w)", words, re.IGNORECASE)


def of_folder(
    paths: Sequence[Path],
    artist: str,
    *,
    table: Path | None = None,
    captioner: Callable[[Path], str] | None = None,
) -> list[str]:
    """One caption for each picture.

    In this order: the row of ``table`` (CSV or JSON lines with file_name and text), a ``.txt`` beside the picture or a
    ``metadata.jsonl`` in its folder (both as fine-tuning tools have them), ``captioner``, the words of the file's name.
    Each gets the artist's name or token, unless it names it already.
    """
    folders = {path.parent for path in paths}
    if table is not None:
        given = dict.fromkeys(folders, _table(table))
    else:
        tables = {folder: folder / "metadata.jsonl" for folder in folders}
        given = {folder: _table(file) for folder, file in tables.items() if file.is_file()}
    if table is not None and not any(path.name in given[path.parent] for path in paths):
        raise InputError(f"{table}: names none of the pictures; expected rows with file_name and text")
    captions = []
    for path in paths:
        beside = path.with_suffix(".txt")
        if path.name in given.get(path.parent, {}):
            words = given[path.parent][path.name]
        elif beside.is_file():
            words = beside.read_text(encoding="utf-8", errors="replace").strip()
        elif captioner is not None:
            words = captioner(path)
        else:
            words = subject(path.stem.encode("utf-8", "replace").decode())  # a name need not be text
        captions.append(words if named(words, artist) else with_artist(words, artist))
    return captions


def _table(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = (
                [json.loads(line) for line in file if line.strip()]
                if path.suffix in (".jsonl", ".json")
                else list(csv.DictReader(file))
            )
        return {Path(row["file_name"]).name: str(row["text"]).strip() for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected CSV or JSON lines with file_name and text ({error!r})") from None
