"""The application for many users: the same pages and API, for those who have logged in.

``accounts`` keeps users, ``sessions`` lets them in, ``quotas`` says how much each may have; ``login_pages``,
``account`` and ``admin`` are the pages that one person alone does not need; ``create_app`` puts them together.
"""

from importlib.util import find_spec

from velatura.errors import MissingExtra

if any(find_spec(name) is None for name in ("argon2", "itsdangerous", "limits", "prometheus_client")):
    raise MissingExtra("the shared server", "serve")
