"""The only place that knows tables."""

from hub.store.database import AWAY, Database, Transaction, UnsafeDatabase, migrate

__all__ = ["AWAY", "Database", "Transaction", "UnsafeDatabase", "migrate"]
