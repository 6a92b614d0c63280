"""What a shared server keeps of its users, beside the jobs. No password, session or key can be read from it."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
users = sa.Table(
    "velatura_users",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("known_as", sa.String(120), nullable=False, unique=True),  # the name, folded: what may exist once
    sa.Column("password", sa.String(200), nullable=False),  # argon2id
    sa.Column("admin", sa.Boolean, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("webhook_secret", sa.String(60), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)
sessions = sa.Table(
    "velatura_sessions",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("user", sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("expires", sa.Float, nullable=False),
)
keys = sa.Table(
    "velatura_keys",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("user", sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("label", sa.String(60), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)
# ``user``: whose password it may set anew; null: it makes a new user.
invitations = sa.Table(
    "velatura_invitations",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("user", sa.ForeignKey(users.c.id, ondelete="CASCADE")),
    sa.Column("admin", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("used", sa.Float),
)
usage = sa.Table(
    "velatura_usage",
    metadata,
    sa.Column("user", sa.ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("pictures", sa.Integer, nullable=False),
)
webhooks = sa.Table(
    "velatura_webhooks",
    metadata,
    sa.Column("job", sa.String(36), primary_key=True),
    sa.Column("user", sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next", sa.Float, nullable=False),
    sa.Column("delivered", sa.Float),
)
