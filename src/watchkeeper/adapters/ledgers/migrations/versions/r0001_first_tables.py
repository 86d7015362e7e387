"""First tables: facts, documents, measurements with their latest values and roll-ups, windows, leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _numbers() -> list[sa.Column]:
    return [
        *(sa.Column(n, sa.Float(53)) for n in ("value", "low", "high", "margin", "p_value")),
        sa.Column("rows", sa.Float(53), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("details", sa.Text),
        sa.Column("written_us", sa.BigInteger, nullable=False),
    ]


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "facts",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(400), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("key", sa.String(400), unique=True),
        sqlite_autoincrement=True,
    )
    for name in ("kind", "model", "subject"):
        op.create_index(f"facts_by_{name}", "facts", [name, "sequence"])
    op.create_table(
        "documents",
        sa.Column("kind", sa.String(80), primary_key=True),
        sa.Column("key", sa.String(400), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("rank", sa.Float(53), nullable=False),
        sa.Column("due_us", sa.BigInteger),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("documents_by_state", "documents", ["kind", "state", "updated_us"])
    op.create_index("documents_by_model", "documents", ["kind", "model", "updated_us"])
    op.create_index("documents_by_time", "documents", ["kind", "updated_us"])
    op.create_index("documents_by_rank", "documents", ["kind", "rank"])
    op.create_index("documents_due", "documents", ["kind", "due_us"])
    op.create_table(
        "series",
        sa.Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("segment", sa.String(400), nullable=False),
        sa.Column("measure", sa.String(80), nullable=False),
        sa.Column("subject", sa.String(400), nullable=False),
        sa.Column("length_us", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "series_by_name",
        "series",
        ["model", "measure", "subject", "segment", "version", "length_us"],
        unique=True,
    )
    op.create_table(
        "measurements",
        sa.Column("series_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        *_numbers(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "latest",
        sa.Column("series_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("start_us", sa.BigInteger, nullable=False),
        *_numbers(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollups",
        sa.Column("series_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("day_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("windows", sa.Integer, nullable=False),
        *(sa.Column(n, sa.Float(53)) for n in ("mean", "low", "high")),
        sa.Column("rows", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "windows",
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("version", sa.String(200), primary_key=True),
        sa.Column("segment", sa.String(400), primary_key=True),
        *(sa.Column(n, sa.BigInteger, nullable=False) for n in ("marks", "cleared", "rows", "outcomes")),
        sa.Column("mature", sa.Integer, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("measured_us", sa.BigInteger),
        sa.Column("rebuildable", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("windows_by_end", "windows", ["model", "end_us"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    for name in ("leases", "windows", "rollups", "latest", "measurements", "series", "documents", "facts"):
        op.drop_table(name)
