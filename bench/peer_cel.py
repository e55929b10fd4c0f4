#!/usr/bin/env python3
"""peer_cel.py - cel-cpp through cel-expr-python: an expression over rows, one at a time as it must
be, or compiled again and again. Started by bench_cel, which checks the digest of the results.

Usage: peer_cel.py eval COLUMNS EXPRESSION FILE     rows as JSON lines
       peer_cel.py compile COLUMNS EXPRESSION TIMES
COLUMNS is "name:type,..."; prints nanoseconds per row (or compilation) and the digest.
"""

import datetime
import json
import statistics
import struct
import sys
import time

import xxhash
from cel_expr_python import cel

REPS = 3
TYPES = {"int": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING,
         "timestamp": cel.Type.TIMESTAMP}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def hash_int(number):
    return xxhash.xxh3_64_intdigest(struct.pack("<q", number))


def hash_text(text):
    return xxhash.xxh3_64_intdigest(text.encode())


def environment(columns):
    overloads = [
        cel.Overload("shard_hash_int", return_type=cel.Type.UINT, parameters=[cel.Type.INT],
                     impl=hash_int),
        cel.Overload("shard_hash_string", return_type=cel.Type.UINT, parameters=[cel.Type.STRING],
                     impl=hash_text),
    ]
    return cel.NewEnv(variables={name: TYPES[kind] for name, kind in columns},
                      functions=[cel.FunctionDecl("shard_hash", overloads)])


def read_rows(path, columns):
    """Only the columns that are read, as values of Python."""
    rows = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            given = json.loads(line)
            row = {name: given[name] for name, _ in columns}
            if "ts" in row:
                row["ts"] = EPOCH + datetime.timedelta(microseconds=row["ts"])
            rows.append(row)
    return rows


def digest(results):
    total = 0
    for row, result in enumerate(results):
        number = hash_text(result) if isinstance(result, str) else int(result)
        total += number * (row + 1)
    return total & 0xFFFFFFFFFFFFFFFF


def evaluate(columns, expression, path):
    compiled = environment(columns).compile(expression)
    rows = read_rows(path, columns)
    seconds = []
    for _ in range(REPS):
        begun = time.perf_counter()
        results = [compiled.eval(data=row).value() for row in rows]
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds) / len(rows) * 1e9, digest(results)


def compilations(columns, expression, times):
    env = environment(columns)
    begun = time.perf_counter()
    for _ in range(times):
        env.compile(expression)
    return (time.perf_counter() - begun) / times * 1e9, 0


def main():
    mode, columns, expression, last = sys.argv[1:]
    columns = [pair.split(":") for pair in columns.split(",")]
    ns, total = (evaluate(columns, expression, last) if mode == "eval"
                 else compilations(columns, expression, int(last)))
    print(f"{ns:.1f} {total}")


if __name__ == "__main__":
    main()
