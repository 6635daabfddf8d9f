"""What the guest book remembers, in an SQLite file."""

import os
import sqlite3
from contextlib import closing, contextmanager

SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    message TEXT NOT NULL,
    written TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""


class Entries:
    """The entries. Several threads use this object, so every call opens a connection of its own."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        with self.connect() as db:
            db.executescript(SCHEMA)

    @contextmanager
    def connect(self):
        with closing(sqlite3.connect(self.path)) as db, db:  # the second one commits, or rolls back
            db.row_factory = sqlite3.Row
            yield db

    def add(self, name, message):
        with self.connect() as db:
            return db.execute("INSERT INTO entry (name, message) VALUES (?, ?)", (name, message)).lastrowid

    def all(self):
        with self.connect() as db:
            return db.execute("SELECT * FROM entry ORDER BY id DESC").fetchall()

    def by(self, name):
        with self.connect() as db:
            return db.execute("SELECT * FROM entry WHERE name = ? ORDER BY id DESC", (name,)).fetchall()
