//! Adapters for the store ports: SQLite, Redis and memory.
