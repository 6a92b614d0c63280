"""Users, their sessions and API keys, and invitations. Secrets are kept as digests alone."""

from __future__ import annotations

import os
import secrets
import time
import unicodedata
import uuid
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from itsdangerous import BadSignature, URLSafeSerializer

from velatura.errors import InputError
from velatura.server.shared.tables import invitations, keys, metadata, sessions, users

SESSION_DAYS = 14
INVITATION_DAYS = 7.0
SEEN_EVERY = 300.0  # seconds between two entries of when a user was here
SHORTEST, LONGEST = 10, 200  # characters of a password
KEY = "vk_"


class Unusable(InputError):
    """An invitation that is forged, used, withdrawn or too old."""


@dataclass(frozen=True)
class User:
    id: str
    name: str
    admin: bool
    disabled: bool
    webhook_secret: str
    created: float
    seen: float


@dataclass(frozen=True)
class Invitation:
    """``user``: whose password it sets anew; None where it makes a new user."""

    id: str
    user: str | None
    admin: bool
    expires: float
    used: float | None


class Accounts:
    """All of a server's users. ``secret``: what invitations are signed with."""

    def __init__(self, engine: sa.Engine, secret: str) -> None:
        self.engine = engine
        metadata.create_all(engine)
        self.signer = URLSafeSerializer(secret, salt="velatura invitation")
        self.hasher = PasswordHasher()
        self.nobody = self.hasher.hash(secrets.token_hex())  # an unknown name takes as long as a wrong password

    # -- Invitations --

    def invite(self, *, admin: bool = False, user: str | None = None, days: float = INVITATION_DAYS) -> str:
        """A signed token that makes one user, or sets the password of ``user`` anew, once."""
        if not 0 < days <= 90:
            raise InputError(f"invitation: expected more than 0 and up to 90 days, got {days:g}")
        id, now = str(uuid.uuid4()), time.time()
        row = {"id": id, "user": user, "admin": admin, "created": now, "expires": now + 86400 * days}
        with self.engine.begin() as connection:
            connection.execute(invitations.insert().values(**row))
        return self.signer.dumps(id)

    def invitation(self, token: str) -> Invitation:
        """What a token invites to. Raises :class:`Unusable`."""
        try:
            id = str(self.signer.loads(token))
        except BadSignature:
            raise Unusable("invitation: not one of this server, or damaged; ask for a new one") from None
        found = next((row for row in self.invitations() if row.id == id), None)
        if found is None or found.used is not None or found.expires < time.time():
            raise Unusable("invitation: used already, withdrawn, or too old; ask for a new one")
        return found

    def invitations(self) -> list[Invitation]:
        """Those that were not withdrawn, newest first."""
        columns = [invitations.c[name] for name in ("id", "user", "admin", "expires", "used")]
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).order_by(invitations.c.created.desc()))
            return [Invitation(*row) for row in rows]

    def withdraw(self, id: str) -> bool:
        unused = (invitations.c.id == id) & invitations.c.used.is_(None)
        with self.engine.begin() as connection:
            return bool(connection.execute(invitations.delete().where(unused)).rowcount)

    def join(self, token: str, name: str, password: str) -> User:
        """Make the user that a token invites, or set the password; the token is used up by it."""
        invitation = self.invitation(token)
        hashed = self._hashed(password)
        now = time.time()
        unused = (invitations.c.id == invitation.id) & invitations.c.used.is_(None) & (invitations.c.expires > now)
        try:
            with self.engine.begin() as connection:
                # The row decides between two who use it at the same time.
                if not connection.execute(invitations.update().where(unused).values(used=now)).rowcount:
                    raise Unusable("invitation: used already, withdrawn, or too old; ask for a new one")
                if invitation.user is not None:
                    connection.execute(users.update().where(users.c.id == invitation.user).values(password=hashed))
                    connection.execute(sessions.delete().where(sessions.c.user == invitation.user))
                    id = invitation.user
                else:
                    id = str(uuid.uuid4())
                    row = {"id": id, "name": _name(name), "known_as": folded(name), "password": hashed}
                    row |= {"webhook_secret": f"whsec_{b64encode(secrets.token_bytes(24)).decode()}"}
                    state = {"admin": invitation.admin, "disabled": False, "created": now, "seen": now}
                    connection.execute(users.insert().values(**row, **state))
        except sa.exc.IntegrityError:
            raise InputError("name: taken already; choose another") from None
        return self.user(id)

    # -- Users --

    def user(self, id: str) -> User:
        """Raises :class:`InputError` where there is none of this id."""
        found = self._user(users.c.id == id)
        if found is None:
            raise InputError("user: none of this id")
        return found

    def is_empty(self) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(sa.select(users.c.id).limit(1)).first() is None

    def users(self) -> list[User]:
        with self.engine.connect() as connection:
            return [User(*row) for row in connection.execute(_USER.order_by(users.c.created))]

    def login(self, name: str, password: str) -> User | None:
        """The user of this name and password; None where there is none, or may not come in."""
        query = sa.select(users.c.id, users.c.password).where(users.c.known_as == folded(name))
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        if not self._fits(row.password if row else self.nobody, password) or row is None:
            return None
        if self.hasher.check_needs_rehash(row.password):
            self._change(row.id, password=self.hasher.hash(password))
        user = self.user(row.id)
        return None if user.disabled else user

    def set_password(self, id: str, old: str, new: str) -> None:
        """A new password; all sessions end."""
        with self.engine.connect() as connection:
            kept = connection.execute(sa.select(users.c.password).where(users.c.id == id)).scalar_one()
        if not self._fits(kept, old):
            raise InputError("password: the present one is another")
        self._change(id, password=self._hashed(new))
        with self.engine.begin() as connection:
            connection.execute(sessions.delete().where(sessions.c.user == id))

    def set_disabled(self, id: str, disabled: bool) -> None:
        """Keep a user out, or let them in again; nothing of theirs is deleted."""
        user = self.user(id)
        if disabled:
            self._spare_the_last_admin(user)
        self._change(id, disabled=disabled)

    def delete(self, id: str) -> None:
        """Forget a user; their jobs and files are to be deleted before, by the queue."""
        self._spare_the_last_admin(self.user(id))
        with self.engine.begin() as connection:
            connection.execute(users.delete().where(users.c.id == id))

    def _spare_the_last_admin(self, user: User) -> None:
        if user.admin and not any(u.admin and not u.disabled and u.id != user.id for u in self.users()):
            raise InputError("user: the only administrator; invite another first")

    # -- Sessions and keys --

    def begin_session(self, user: str) -> str:
        """The cookie's value."""
        token, now = secrets.token_urlsafe(32), time.time()
        with self.engine.begin() as connection:
            connection.execute(sessions.delete().where(sessions.c.expires < now))
            row = {"digest": _digest(token), "user": user, "expires": now + 86400 * SESSION_DAYS}
            connection.execute(sessions.insert().values(**row))
        return token

    def end_session(self, token: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(sessions.delete().where(sessions.c.digest == _digest(token)))

    def by_session(self, token: str) -> User | None:
        mine = (sessions.c.digest == _digest(token)) & (sessions.c.expires > time.time())
        return self._let_in(sa.select(sessions.c.user).where(mine))

    def make_key(self, user: str, label: str) -> str:
        """An API key, which is shown this once."""
        key = KEY + secrets.token_urlsafe(32)
        row = {"id": str(uuid.uuid4()), "digest": _digest(key), "user": user, "label": label, "created": time.time()}
        with self.engine.begin() as connection:
            connection.execute(keys.insert().values(**row))
        return key

    def keys(self, user: str) -> list[tuple[str, str, float]]:
        """Id, label and time of making of a user's API keys."""
        query = sa.select(keys.c.id, keys.c.label, keys.c.created).where(keys.c.user == user).order_by(keys.c.created)
        with self.engine.connect() as connection:
            return [(row.id, row.label, row.created) for row in connection.execute(query)]

    def drop_key(self, user: str, id: str) -> bool:
        with self.engine.begin() as connection:
            mine = (keys.c.user == user) & (keys.c.id == id)
            return bool(connection.execute(keys.delete().where(mine)).rowcount)

    def by_key(self, key: str) -> User | None:
        return self._let_in(sa.select(keys.c.user).where(keys.c.digest == _digest(key)))

    def _let_in(self, query: sa.Select[tuple[str]]) -> User | None:
        user = self._user(users.c.id == query.scalar_subquery())
        if user is None or user.disabled:
            return None
        if (now := time.time()) - user.seen > SEEN_EVERY:
            self._change(user.id, seen=now)
        return user

    def _user(self, where: sa.ColumnElement[bool]) -> User | None:
        with self.engine.connect() as connection:
            row = connection.execute(_USER.where(where)).first()
        return User(*row) if row else None

    def _change(self, id: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(users.update().where(users.c.id == id).values(**values))

    def _hashed(self, password: str) -> str:
        if not SHORTEST <= len(password) <= LONGEST:
            raise InputError(f"password: expected {SHORTEST} to {LONGEST} characters, got {len(password)}")
        return self.hasher.hash(password)

    def _fits(self, hashed: str, password: str) -> bool:
        try:
            return self.hasher.verify(hashed, password[: LONGEST + 1])
        except VerificationError:
            return False


_USER = sa.select(*(users.c[name] for name in User.__dataclass_fields__))


def secret_at(path: Path) -> str:
    """The server's secret, made at the first start; who has it can forge invitations."""
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()


def _digest(secret: str) -> str:
    """Of 256 random bits: nothing to guess, so a fast hash will do."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def _name(name: str) -> str:
    clean = " ".join(unicodedata.normalize("NFC", name).split())
    if not 1 <= len(clean) <= 60 or not clean.isprintable():
        raise InputError("name: expected 1 to 60 characters that can be printed")
    return clean


def folded(name: str) -> str:
    """What tells two users apart, however a name is spelt."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())[:120]
