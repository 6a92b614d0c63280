"""The artists' study: people see real works and mimicked ones, and say how successful the mimicry is.

``design`` makes the questions, ``answers`` keeps what people say, ``statistics`` tells what it comes to. The pages are
``server``'s. Needs the extra ``web``.
"""

from importlib.util import find_spec

from velatura.errors import MissingExtra

if any(find_spec(name) is None for name in ("itsdangerous", "krippendorff", "sqlalchemy")):
    raise MissingExtra("the artists' study", "web")
