"""Rows and items on disk while a source is read: a million of them take no more memory than a thousand.

Both live in SQLite's own temporary database, which nobody else can open and which is gone with the process.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from domainclip.data.records import item_from_json, item_to_json
from domainclip.sample import SourceItem

_CACHE_KIB = 4 * 1024
_BATCH = 1024
_ITEMS = 32
"""Items in memory at a time: one may be an archive's hundreds of pieces."""

Row = Mapping[str, Any]


def temporary_database() -> sqlite3.Connection:
    """Opens an unnamed database: in memory up to its cache, beyond it in a file that has left its folder."""
    database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    database.executescript(f"pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-{_CACHE_KIB};")
    return database


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


class RowStore:
    """Rows by a key, in the order in which the keys and the rows of each came."""

    def __init__(self, rows: Iterable[tuple[str, Row]] = ()) -> None:
        self._base = temporary_database()
        self._base.executescript(
            "create table keys (number integer primary key, key text unique not null);"
            "create table cells (key integer not null, number integer primary key, row text not null);"
        )
        self._waiting: list[tuple[str, str]] = []
        self._indexed = False
        for key, row in rows:
            self.add(key, row)

    def add(self, key: str, row: Row) -> None:
        """Adds a row."""
        self._waiting.append((key, _text(row)))
        self._indexed = False
        if len(self._waiting) >= _BATCH:
            self._flush()

    def groups(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yields each key with its rows, which need not have come one after the other."""
        self._ready()
        asked = self._base.execute(
            "select k.number, k.key, c.row from keys k join cells c on c.key = k.number order by c.key, c.number"
        )
        last, name, rows = None, "", list[dict[str, Any]]()
        for number, key, row in asked:
            if last is not None and number != last:
                yield name, rows
                rows = []
            last, name = number, key
            rows.append(json.loads(row))
        if last is not None:
            yield name, rows

    def get(self, key: str) -> list[dict[str, Any]]:
        """Returns the rows of a key; none where it has none."""
        self._ready()
        asked = "select row from cells where key = (select number from keys where key = ?) order by number"
        return [json.loads(row) for (row,) in self._base.execute(asked, (safe_key(key),))]

    def __contains__(self, key: str) -> bool:
        self._flush()
        return self._base.execute("select 1 from keys where key = ?", (safe_key(key),)).fetchone() is not None

    def __len__(self) -> int:
        """Returns the number of keys."""
        self._flush()
        return int(self._base.execute("select count(*) from keys").fetchone()[0])

    def _flush(self) -> None:
        if self._waiting:
            pairs = [(safe_key(key), row) for key, row in self._waiting]
            self._waiting = []
            self._base.execute("begin")
            self._base.executemany("insert or ignore into keys (key) values (?)", ((key,) for key, _ in pairs))
            self._base.executemany(
                "insert into cells (key, row) select number, ? from keys where key = ?", ((r, k) for k, r in pairs)
            )
            self._base.execute("commit")

    def _ready(self) -> None:
        self._flush()
        if not self._indexed:
            self._base.execute("create index if not exists by_key on cells (key, number)")
            self._indexed = True


def safe_key(key: str) -> str:
    """A key that SQLite can hold: file names that are no UTF-8 have lone surrogates in Python, and are written out."""
    return key.encode("utf-8", "backslashreplace").decode()


class ItemStore(Sequence[SourceItem]):
    """Items of a source, in order, by number; read by any thread."""

    def __init__(self, items: Iterable[SourceItem] = ()) -> None:
        self._base = temporary_database()
        self._base.execute("create table items (number integer primary key, item text not null)")
        self._count, self._waiting, self._lock = 0, list[tuple[int, str]](), threading.Lock()
        for item in items:
            self.append(item)

    def append(self, item: SourceItem) -> None:
        """Adds an item at the end."""
        with self._lock:
            self._waiting.append((self._count, _text(item_to_json(item))))
            self._count += 1
            if len(self._waiting) >= _ITEMS:
                self._flush()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> SourceItem: ...

    @overload
    def __getitem__(self, number: slice) -> list[SourceItem]: ...

    def __getitem__(self, number: int | slice) -> SourceItem | list[SourceItem]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(self._count))]
        wanted = number + self._count if number < 0 else number
        with self._lock:
            self._flush()
            row = self._base.execute("select item from items where number = ?", (wanted,)).fetchone()
        if row is None:
            raise IndexError(number)
        return item_from_json(json.loads(row[0]))

    def __iter__(self) -> Iterator[SourceItem]:
        for first in range(0, self._count, _ITEMS):
            with self._lock:
                self._flush()
                asked = "select item from items where number >= ? and number < ? order by number"
                rows = self._base.execute(asked, (first, first + _ITEMS)).fetchall()
            for (row,) in rows:
                yield item_from_json(json.loads(row))

    def _flush(self) -> None:
        if self._waiting:
            self._base.execute("begin")
            self._base.executemany("insert into items values (?, ?)", self._waiting)
            self._base.execute("commit")
            self._waiting = []
