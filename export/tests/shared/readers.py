"""Compares the files of an export with its lines of JSON: as pyarrow, DuckDB and Python's csv read them.

What each column must have is found here once more, from the lines alone.
"""

import csv
import json
import math
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

csv.field_size_limit(1 << 30)


class Number(str):
    """A number, as it is spelled."""


def parse(text):
    """A JSON text, with its numbers as they are spelled."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def nanos(text):
    """The nanoseconds of an RFC 3339 time in UTC."""
    date, fraction = re.fullmatch(r"(.{19})(?:\.(\d+))?Z", text).groups()
    seconds = (datetime.fromisoformat(date + "+00:00") - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()
    return int(seconds) * 10**9 + int((fraction or "").ljust(9, "0"))


def kind(value):
    if value is None:
        return None
    if isinstance(value, Number):
        if re.fullmatch(r"-?\d+", value) and -(2**63) <= int(value) < 2**63:
            return "integer"
        number = float(value)
        is_lost = number == 0 and re.search("[1-9]", re.split("[eE]", value)[0])
        return "unrepresentable number" if math.isinf(number) or is_lost else "float"
    return {bool: "boolean", str: "string", list: "array", dict: "object"}[type(value)]


def escaped(name):
    return re.sub(r"([.\[\]\\])", r"\\\1", name)


def columns(objects, prefix="payload"):
    """The name, the type and the values of each column, from all objects at one path."""
    names = dict.fromkeys(name for members in objects if isinstance(members, dict) for name in members if is_text(name))
    for name in names:
        values = [members.get(name) if isinstance(members, dict) else None for members in objects]
        kinds = {kind(value) for value in values} - {None}
        path = f"{prefix}.{escaped(name)}"
        if kinds == {"object"} and any(is_text(name) for value in values for name in value or ()):
            yield from columns(values, path)
        elif kinds <= {"string"}:
            yield path, "text", [None if value is None else without_surrogates(value) for value in values]
        elif kinds <= {"integer"}:
            yield path, "integer", [None if value is None else int(value) for value in values]
        elif kinds <= {"integer", "float"}:
            yield path, "float", [None if value is None else float(value) for value in values]
        elif kinds <= {"boolean"}:
            yield path, "boolean", values
        else:
            yield path, "json", values


def is_text(string):
    return not re.search("[\ud800-\udfff]", string)


def without_surrogates(string):
    """Each is replaced by three characters, one for each byte that it would have."""
    return re.sub("[\ud800-\udfff]", "\ufffd" * 3, string)


def checked(found, name, column_type, expected):
    """The values of a column, in the form in which they can be compared."""
    if column_type == "json":
        found = [None if value is None else parse(value) for value in found]
    if column_type == "float":
        # Zeros of both signs are different.
        found, expected = ([None if value is None else value.hex() for value in side] for side in (found, expected))
    if found != expected:
        row = next(row for row, pair in enumerate(zip(found, expected)) if pair[0] != pair[1])
        raise SystemExit(f"{name} in row {row}: {found[row]!r} is not {expected[row]!r}")


ARROW_TYPES = {
    "text": pyarrow.string(),
    "json": pyarrow.string(),
    "integer": pyarrow.int64(),
    "float": pyarrow.float64(),
    "boolean": pyarrow.bool_(),
    "time": pyarrow.timestamp("ns", "UTC"),
}
DUCKDB_TYPES = {
    "text": "VARCHAR",
    "json": "VARCHAR",
    "integer": "BIGINT",
    "float": "DOUBLE",
    "boolean": "BOOLEAN",
    "time": "TIMESTAMPTZ_NS",
}


def check_arrow(reader, table, expected):
    assert table.column_names == list(expected), f"{reader}: {table.column_names} is not {list(expected)}"
    for name, (column_type, values) in expected.items():
        column = table.column(name)
        assert column.type == ARROW_TYPES[column_type], f"{reader}: {name} is {column.type}"
        if column_type == "time":
            column = column.cast(pyarrow.int64())
        checked(column.to_pylist(), f"{reader}: {name}", column_type, values)
    for field in table.schema:
        metadata = field.metadata or {}
        is_json = field.name in expected and expected[field.name][0] == "json"
        assert (metadata.get(b"argus.json") == b"true") == is_json, f"{reader}: {field.name} has {metadata}"
        kinds = {kind(value) for value in expected[field.name][1]} - {None} if is_json else {}
        mixed = metadata.get(b"argus.mixed")
        assert (set(mixed.decode().split(",")) if mixed else {}) == (kinds if len(kinds) > 1 else {}), field.name


def duckdb_names(names):
    """The name of each column in DuckDB, and the first column that is the same but for the case of ASCII letters."""
    alike = {}
    for name in names:
        others = alike.setdefault(name.encode().lower(), [])
        yield (f"{name}_{len(others)}" if others else name), (others + [name])[0]
        others.append(name)


def check_duckdb(reader, database, source, expected):
    """`source` is what a query reads from."""
    types = {name: column_type for name, column_type, *_ in database.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    names = dict(zip(expected, duckdb_names(expected)))
    assert list(types) == [name for name, _ in names.values()], f"{reader}: {list(types)} is not {names}"
    counts = database.sql(f"SELECT count(*) FROM {source}").fetchall()
    assert counts == [(len(expected["id"][1]),)], f"{reader}: {counts}"

    def read(name, column_type, values):
        quoted = '"' + name.replace('"', '""') + '"'
        if column_type == "time":
            quoted = f"epoch_ns({quoted})"
        found = [value for (value,) in database.sql(f"SELECT {quoted} FROM {source}").fetchall()]
        checked(found, f"{reader}: {name}", column_type, values)

    for name, (column_type, values) in expected.items():
        renamed, first = names[name]
        assert types[renamed] == DUCKDB_TYPES[column_type], f"{reader}: {renamed} is {types[renamed]}"
        read(renamed, column_type, values)
        # The name in the file is that of the first column, whatever its case.
        read(name, *expected[first])


def csv_cell(column_type, value):
    """The text of a boolean or a text."""
    if value is None:
        return ""
    return str(value).lower() if column_type == "boolean" else value


def check_csv(path, expected):
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        assert next(rows) == list(expected), "csv: the names"
        found = list(zip(*rows)) or [()] * len(expected)
    for cells, (name, (column_type, values)) in zip(found, expected.items()):
        cells = list(cells)
        if column_type == "time":
            cells = [nanos(cell) for cell in cells]
        elif column_type in ("json", "float", "integer"):
            convert = {"json": str, "float": float, "integer": int}[column_type]
            cells = [None if cell == "" else convert(cell) for cell in cells]
        else:
            values, column_type = [csv_cell(column_type, value) for value in values], "text"
        checked(cells, f"csv: {name}", column_type, values)


def main(folder):
    with open(folder / "events.ndjson", encoding="utf-8", newline="\n") as file:
        lines = [line.removesuffix("\n") for line in file]
    events = [json.loads(line) for line in lines]
    # The payload is the last member of an event.
    payloads = [line[line.index(',"payload":') + len(',"payload":') : -1] for line in lines]
    expected = {
        "id": ("text", [event["id"] for event in events]),
        "seq": ("integer", [event["seq"] for event in events]),
        "event_type": ("text", [event["event_type"] for event in events]),
        "timestamp": ("time", [nanos(event["timestamp"]) for event in events]),
        "payload": ("text", payloads),
    }
    found = {name: (column_type, values) for name, column_type, values in columns([parse(text) for text in payloads])}
    table = pyarrow.parquet.read_table(folder / "events.parquet")
    # The columns of paths are in order of appearance, member by member.
    assert set(table.column_names[5:]) == set(found), f"{table.column_names[5:]} is not {list(found)}"
    expected |= {name: found[name] for name in table.column_names[5:]}
    check_arrow("pyarrow, Parquet", table, expected)
    arrow = pyarrow.ipc.open_file(folder / "events.arrow").read_all()
    check_arrow("pyarrow, Arrow", arrow, expected)
    database = duckdb.connect()
    database.register("arrow", arrow)
    path = str(folder / "events.parquet").replace("'", "''")
    check_duckdb("DuckDB, Parquet", database, f"read_parquet('{path}')", expected)
    check_duckdb("DuckDB, Arrow", database, "arrow", expected)
    check_csv(folder / "events.csv", expected)
    print(f"pyarrow {pyarrow.__version__}, DuckDB {duckdb.__version__}: {len(expected)} columns")
    print(f"{len(events)} events are the same for pyarrow, DuckDB and csv")


main(Path(sys.argv[1]))
