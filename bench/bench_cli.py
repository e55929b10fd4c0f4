#!/usr/bin/env python3
"""bench_cli.py - `shardy build` of a JSONL and a CSV file against DuckDB reading the same file.

The peer makes a table with a primary key in a database file in the same folder, with the same
number of threads; its clock starts after the interpreter has loaded DuckDB, ours covers the whole
process. Run it with a Python that has DuckDB; bench/run finds one.

Usage: bench_cli.py SHARDY [ID-PIECE...]
"""

import glob
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

QUICK = os.environ.get("QUICK", "0") not in ("", "0")
TARGET_BYTES = 100_000_000 if QUICK else 1_000_000_000
REPS = 3
THREADS = 2
SHARDS = 8
MASK63 = (1 << 63) - 1
VALUE_CHARS = 100
GOAL = 2.0


def die(message):
    sys.exit(f"bench_cli: {message}")


def note(message):
    print(f"  {message}", file=sys.stderr, flush=True)


def mix63(number):
    """Bijection of 0 .. 2^63-1, the one of bench_data.c."""
    number = (number * 0x9E3779B97F4A7C15) & MASK63
    number ^= number >> 32
    number = (number * 0xD6E8FEB86659FD93) & MASK63
    return number ^ (number >> 32)


def write_inputs(folder, wanted):
    """Write the wanted files with equal rows; return their row count and the digest of the rows."""
    pool = random.Random(8).randbytes(1 << 20).hex()
    jsonl = open(os.path.join(folder, "input.jsonl"), "w") if "jsonl" in wanted else None
    csv = open(os.path.join(folder, "input.csv"), "w") if "csv" in wanted else None
    if csv:
        csv.write("key,value\n")
    rows = digest = 0
    size = 0
    while size < TARGET_BYTES:
        json_lines, csv_lines = [], []
        for row in range(rows, rows + 20_000):
            key = mix63(row)
            at = (key >> 7) & ((1 << 20) - 1)
            value = pool[at : at + VALUE_CHARS]
            digest += zlib.crc32(value.encode(), zlib.crc32(key.to_bytes(8, "big")))
            json_lines.append(f'{{"key": {key}, "value": "{value}"}}\n')
            csv_lines.append(f"{key},{value}\n")
        rows += 20_000
        text = "".join(json_lines)
        size += len(text)
        if jsonl:
            jsonl.write(text)
        if csv:
            csv.write("".join(csv_lines))
    for file in (jsonl, csv):
        if file:
            file.close()
    return rows, digest


def timed(command):
    """Run a command; return (seconds, peak MiB, stdout)."""
    begun = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        die(f"{' '.join(command)}: status {child.returncode}")
    return seconds, usage.ru_maxrss / 1024, output


def check_snapshot(folder, rows, digest):
    """Read every shard with SQLite."""
    got_rows = got_digest = 0
    paths = sorted(glob.glob(os.path.join(folder, "shards", "**", "shard.db"), recursive=True))
    if len(paths) != SHARDS:
        die(f"{folder}: {len(paths)} shard files, expected {SHARDS}")
    for path in paths:
        db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        for key, value in db.execute("SELECT k, v FROM kv"):
            got_digest += zlib.crc32(value, zlib.crc32(key))
            got_rows += 1
        if path == paths[0]:
            answer = db.execute("PRAGMA integrity_check").fetchone()[0]
            if answer != "ok":
                die(f"{path}: integrity_check: {answer}")
        db.close()
    if (got_rows, got_digest) != (rows, digest):
        die(f"{folder}: {got_rows} rows, digest {got_digest}; expected {rows}, {digest}")


def run_ours(shardy, source, work, rows, digest, check):
    target = os.path.join(work, "snapshot")
    seconds, rss_mb, output = timed(
        [shardy, "--output-format", "json", "build", "--to", target, "--shards", str(SHARDS),
         "--threads", str(THREADS), source]
    )
    result = json.loads(output)
    if result["rows"] != rows:
        die(f"shardy built {result['rows']} rows, expected {rows}")
    if check:
        check_snapshot(target, rows, digest)
    size = result.get("bytes", 0)
    shutil.rmtree(target)
    return seconds, rss_mb, size


def run_duckdb(source, work, rows, check):
    target = os.path.join(work, "peer.duckdb")
    _, rss_mb, output = timed(
        [sys.executable, os.path.abspath(__file__), "--duckdb", source, target,
         "check" if check else "-"]
    )
    answer = json.loads(output)
    if answer["rows"] != rows:
        die(f"DuckDB has {answer['rows']} rows, expected {rows}")
    os.unlink(target)
    return answer["seconds"], rss_mb


def duckdb_child(source, target, check):
    import duckdb

    kind = "{'key': 'UBIGINT', 'value': 'VARCHAR'}"
    reader = (
        f"read_json('{source}', format='newline_delimited', columns={kind})"
        if source.endswith(".jsonl")
        else f"read_csv('{source}', header=true, columns={kind})"
    )
    begun = time.monotonic()
    db = duckdb.connect(target)
    db.execute(f"SET threads={THREADS}")
    db.execute("SET preserve_insertion_order=false")
    db.execute("CREATE TABLE t(key UBIGINT PRIMARY KEY, value VARCHAR)")
    db.execute(f"INSERT INTO t SELECT key, value FROM {reader}")
    db.close()
    seconds = time.monotonic() - begun
    db = duckdb.connect(target, read_only=True)
    rows, chars = db.execute("SELECT count(*), sum(length(value)) FROM t").fetchone()
    db.close()
    if check == "check" and chars != rows * VALUE_CHARS:
        die(f"DuckDB has {chars} characters, expected {rows * VALUE_CHARS}")
    print(json.dumps({"seconds": seconds, "rows": rows, "version": duckdb.__version__}))


def warm(path):
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass


def measure(case, shardy, source, work, rows, digest):
    note(case)
    warm(source)
    ours, peer, ratios, rss, size = [], [], [], 0.0, 0
    peer_rss = 0.0
    for rep in range(REPS):
        pair = {}
        for side in ("ours", "peer") if rep % 2 == 0 else ("peer", "ours"):
            if side == "ours":
                pair[side], peak, size = run_ours(shardy, source, work, rows, digest, rep == 0)
                rss = max(rss, peak)
            else:
                pair[side], peak = run_duckdb(source, work, rows, rep == 0)
                peer_rss = max(peer_rss, peak)
        ours.append(pair["ours"])
        peer.append(pair["peer"])
        ratios.append(pair["peer"] / pair["ours"])
        note(f"run {rep + 1} of {REPS}: ours {ours[-1]:.2f} s, peer {peer[-1]:.2f} s, "
             f"{ratios[-1]:.2f}x")
    line = {
        "id": case,
        "rows": rows,
        "ours": round(rows / statistics.median(ours)),
        "peer": round(rows / statistics.median(peer)),
        "peer_name": "DuckDB table with a primary key",
        "unit": "rows/s",
        "ratio": round(statistics.median(ratios), 3),
        "rss_mb": round(rss, 1),
        "goal": GOAL,
        "mb_per_s": round(os.path.getsize(source) / statistics.median(ours) / 1e6, 1),
        "b_per_row": round(size / rows, 2),
        "peer_rss_mb": round(peer_rss, 1),
        "runs": [round(ratio, 3) for ratio in ratios],
    }
    print(json.dumps(line, separators=(",", ":")), flush=True)


def memory_folder():
    """Where tmpfs cases go, as bench_dir_memory() chooses."""
    folder = os.environ.get("BENCH_TMPFS")
    if not folder and os.access("/dev/shm", os.W_OK):
        stat = os.statvfs("/dev/shm")
        if stat.f_bavail * stat.f_frsize >= 6 * TARGET_BYTES:
            folder = "/dev/shm"
    return tempfile.mkdtemp(prefix="shardy-bench-", dir=folder or None)


def main(arguments):
    if len(arguments) == 4 and arguments[0] == "--duckdb":
        duckdb_child(*arguments[1:])
        return
    if not arguments:
        sys.exit(__doc__)
    shardy, pieces = arguments[0], arguments[1:]
    cases = [
        kind
        for kind in ("jsonl", "csv")
        if not pieces or any(piece in f"cli/{kind}" for piece in pieces)
    ]
    if not cases:
        return
    try:
        import duckdb  # noqa: F401
    except ImportError:
        die(f"{sys.executable} has no duckdb: set BENCH_PYTHON to a Python that has it")
    work = memory_folder()
    try:
        note(f"making {' and '.join(cases)} input of {TARGET_BYTES / 1e6:.0f} MB")
        rows, digest = write_inputs(work, cases)
        for kind in cases:
            source = os.path.join(work, f"input.{kind}")
            measure(f"cli/{kind}", shardy, source, work, rows, digest)
            os.unlink(source)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
