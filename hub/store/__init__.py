"""The only place that knows tables."""

from hub.store.database import AWAY, TROUBLE, Database, Transaction, UnsafeDatabase, migrate

__all__ = ["AWAY", "TROUBLE", "Database", "Transaction", "UnsafeDatabase", "migrate"]
