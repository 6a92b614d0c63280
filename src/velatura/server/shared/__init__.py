"""The application for many users: the same pages and API behind a door that knows them.

``accounts`` keeps users, ``door`` lets them in, ``quotas`` says how much each may have; ``entrance``, ``account`` and
``admin`` are the pages that one person alone does not need; ``serving`` puts them together.
"""

from importlib.util import find_spec

from velatura.errors import MissingExtra

if any(find_spec(name) is None for name in ("argon2", "itsdangerous", "limits", "prometheus_client")):
    raise MissingExtra("the shared server", "serve")
