"""The application: pages and an API over ``jobs``, on the artist's own machine.

``guard`` decides who may ask, ``api`` does, ``pages`` show, ``app`` puts them together. Needs the extra ``web``.
"""

from importlib.util import find_spec

from velatura.errors import MissingExtra

if any(find_spec(name) is None for name in ("fastapi", "jinja2", "uvicorn")):
    raise MissingExtra("the application", "web")
