"""The ledger: facts and measurements in SQLite, or in PostgreSQL by URL."""
