"""The schema and its history: numbered steps forward, one file each and dialect, in `schema/`.

An older database is brought forward when it is opened; a newer one is refused. A step is done entirely or not at all,
and its number is recorded along with it.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from reference_gateway.database import SchemaConnection, StorageError

NAMES: Final = ("0001_ledger_and_tasks", "0002_shared_by_workers")
"""All steps in order; the n-th one leads to version n."""
VERSION: Final = len(NAMES)
_VERSIONS: Final = "CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, step TEXT NOT NULL);"


async def migrate(connection: SchemaConnection, target: int = VERSION) -> None:
    """Bring the schema to a version; raises `StorageError` for a newer one and for a step that fails."""
    found = await version_of(connection)
    if found > VERSION:
        raise StorageError(
            f"its schema has version {found}, and this gateway knows versions up to {VERSION}; "
            "start the newer gateway that it belongs to, or give another database"
        )
    for version in range(found + 1, target + 1):
        await connection.script(
            f"{await _versions(connection)}\n{statements(version, connection.dialect)}\n{_mark(version)}"
        )


async def version_of(connection: SchemaConnection) -> int:
    """The version of a schema, 0 for none at all."""
    if await connection.has_table("schema_versions"):
        row = await connection.fetch_one("SELECT MAX(version) FROM schema_versions")
        return int(row[0]) if row is not None and row[0] is not None else 0
    # The first version did not record itself.
    return 1 if await connection.has_table("transfers") else 0


async def _versions(connection: SchemaConnection) -> str:
    if await connection.has_table("schema_versions"):
        return ""
    return _VERSIONS + (_mark(1) if await connection.has_table("transfers") else "")


def _mark(version: int) -> str:
    return f"INSERT INTO schema_versions (version, step) VALUES ({version}, '{NAMES[version - 1]}');"  # noqa: S608 - both are constants of this module


@cache
def statements(version: int, dialect: str) -> str:
    """The SQL of one step."""
    folder = files("reference_gateway").joinpath("schema")
    return folder.joinpath(f"{NAMES[version - 1]}.{dialect}.sql").read_text("utf-8")
