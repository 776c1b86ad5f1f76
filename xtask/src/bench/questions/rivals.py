"""Loads events into DuckDB or ClickHouse, and asks them questions.

Standard input: a job as JSON. Standard output: the figures and answers as JSON.
"""

import json
import os
import resource
import sys
import time

COLUMNS = ["user_id", "session", "country", "amount", "duration_ms", "device", "plan", "ok"]


class DuckDB:
    TYPES = ["VARCHAR", "VARCHAR", "VARCHAR", "DOUBLE", "INTEGER", "VARCHAR", "VARCHAR", "BOOLEAN"]

    def __init__(self, folder, threads):
        import duckdb

        self.name = f"DuckDB {duckdb.__version__}"
        self.path = os.path.join(folder, "events.duckdb")
        self.connection = duckdb.connect(self.path)
        self.connection.execute("SET enable_progress_bar = false")
        if threads:
            self.connection.execute(f"SET threads = {threads}")

    def load(self, events):
        payload = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, self.TYPES))
        fields = ", ".join(f"payload.{name} AS {name}" for name in COLUMNS)
        self.connection.execute(
            "CREATE TABLE events AS "
            f'SELECT event_type, "timestamp", {fields} '
            f"FROM read_json('{events}', format = 'newline_delimited', columns = "
            f"{{event_type: 'VARCHAR', timestamp: 'TIMESTAMP', payload: 'STRUCT({payload})'}})"
        )
        self.connection.execute("CHECKPOINT")

    def rest(self):
        """Nothing runs in the background."""
        return time.perf_counter()

    def ask(self, sql):
        return self.connection.execute(sql).fetchall()

    def rows(self, answer):
        return answer

    def bytes(self):
        return os.path.getsize(self.path)


class ClickHouse:
    TYPES = ["String", "String", "LowCardinality(String)", "Float64", "UInt32"]
    TYPES += ["LowCardinality(String)", "LowCardinality(String)", "Bool"]

    def __init__(self, folder, threads):
        from chdb import session

        self.session = session.Session(folder)
        self.session.query("CREATE DATABASE bench ENGINE = Atomic")
        self.session.query("USE bench")
        if threads:
            self.session.query(f"SET max_threads = {threads}")
        self.session.query("SET output_format_json_quote_64bit_integers = 0")
        # They remember which parts of the table a condition selects. The runs of a question have the same condition, so
        # all but the first would measure that memory and not the search: 4 ms instead of 50 for one session.
        self.session.query("SET use_query_condition_cache = 0")
        self.session.query("SET use_query_condition_cache_for_top_k = 0")
        self.name = f"ClickHouse {self.rows(self.ask('SELECT version()'))[0][0]}"

    def load(self, events):
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, self.TYPES))
        payload = columns.replace("LowCardinality(String)", "String")
        fields = ", ".join(f"payload.{name}" for name in COLUMNS)
        self.session.query(
            "CREATE TABLE events (event_type LowCardinality(String), timestamp DateTime64(3, 'UTC'), "
            f"{columns}) ENGINE = MergeTree ORDER BY (event_type, timestamp)"
        )
        self.session.query(
            f"INSERT INTO events SELECT event_type, timestamp, {fields} FROM file('{events}', 'JSONEachRow', "
            f"'event_type String, timestamp DateTime64(3, ''UTC''), payload Tuple({payload})') "
            "SETTINGS date_time_input_format = 'best_effort'"
        )

    def rest(self):
        """Waits until no merge has run for a second. Returns when the last one was seen."""
        since = time.perf_counter()
        while time.perf_counter() < since + 1:
            time.sleep(0.1)
            if self.rows(self.ask("SELECT count() FROM system.merges"))[0][0]:
                since = time.perf_counter()
        return since

    def ask(self, sql):
        return self.session.query(sql, "JSONCompactEachRow").bytes()

    def rows(self, answer):
        return [json.loads(line) for line in answer.splitlines()]

    def bytes(self):
        sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'events'"
        return self.rows(self.ask(sql))[0][0]


def measure(engine, question, runs):
    times, rows = [], None
    if question["sql"]:
        for run in range(runs + 1):
            started = time.perf_counter()
            answer = engine.ask(question["sql"])
            elapsed = time.perf_counter() - started
            if run:  # The first is the warm-up.
                times.append(elapsed * 1e3)
        rows = engine.rows(answer)
    # Not measured: the exact answer to a question that is otherwise answered by a sketch.
    exact = engine.rows(engine.ask(question["exact"])) if question["exact"] else None
    return {"times_ms": times, "rows": rows, "exact": exact}


def main():
    # The libraries may print on standard output, which is for the result alone.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    job = json.load(sys.stdin)
    engine = {"duckdb": DuckDB, "clickhouse": ClickHouse}[job["engine"]](job["folder"], job["threads"])
    started = time.perf_counter()
    engine.load(job["events"])
    loaded = time.perf_counter()
    rested = engine.rest()
    result = {
        "name": engine.name,
        "load_seconds": loaded - started,
        "rest_seconds": rested - loaded,
        "bytes": engine.bytes(),
        "answers": [],
    }
    for question in job["questions"]:
        try:
            result["answers"].append(measure(engine, question, job["runs"]))
        except Exception as error:
            raise RuntimeError(f"{engine.name} cannot answer {question}") from error
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump(result, output)
    output.flush()


main()
