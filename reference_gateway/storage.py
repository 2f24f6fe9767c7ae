"""Chooses what keeps the books and the counts of a configuration: SQLite and memory, or PostgreSQL for all."""

from pathlib import Path

from reference_gateway.config import GatewayConfig
from reference_gateway.database import Database, StorageError
from reference_gateway.limits import RunningCalls, SharedRunningCalls
from reference_gateway.sqlite_database import SqliteDatabase
from reference_gateway.windows import LocalWindows, SharedWindows, Windows


def open_database(config: GatewayConfig, folder: Path) -> Database:
    """The configured database, not yet started; raises `StorageError` when its driver is not installed."""
    if not isinstance(config.database, str):
        return SqliteDatabase(config.database or folder / "gateway.sqlite")
    try:
        from reference_gateway.postgresql_database import PostgresqlDatabase
    except ModuleNotFoundError as error:
        raise StorageError(
            f"{error.name} is not installed; pip install 'weighbridge[postgres]' to use PostgreSQL"
        ) from error
    return PostgresqlDatabase(config.database, config.database_connections)


class Counting:
    """Where limits are counted: for this process, or for all that share the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def windows(self, limiter: str) -> Windows:
        """The windows of one limiter."""
        return SharedWindows(self._database, limiter) if self._database.shared else LocalWindows()

    def running_calls(self) -> RunningCalls:
        """The calls that are running."""
        return SharedRunningCalls(self._database) if self._database.shared else RunningCalls()
