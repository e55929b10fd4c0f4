"""Build from random CSV and TSV and compare the rows with those that Python's csv module reads.

Both ways of parsing (plain records by memchr, others by libcsv) take part: quoting, line breaks in
fields, line ends, delimiters and thread counts vary, and some inputs span several pieces.
"""
import base64
import csv
import io
import json
import random
import subprocess
import sys

ALPHABET = ["a", "b", " ", ",", '"', "\n", "\r\n", "é", "\t", "x" * 30, "\r"]


def shardy(*args, data=None):
    return subprocess.run(["shardy", *args], input=data, capture_output=True, check=False)


def make_text(rng, row_count, delimiter, cells):
    end = rng.choice(["\n", "\r\n"])
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    if quoting == csv.QUOTE_MINIMAL:
        # The module leaves a lone carriage return bare, and then reads it as the end of a record.
        cells = [cell for cell in cells if cell != "\r"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=quoting, delimiter=delimiter)
    writer.writerow(["other", "key", "value"])
    for _ in range(row_count):
        writer.writerow(["".join(rng.choices(cells, k=2)), rng.getrandbits(30),
                         "".join(rng.choices(cells, k=rng.choice([0, 1, 3, 20])))])
    result = text.getvalue()
    return result[:-len(end)] if rng.random() < 0.5 and row_count > 0 else result


def stored_rows(url):
    done = shardy("--current-url", url, "scan")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["key"]: base64.b64decode(row["value"]).decode() for row in rows}


def check(rng, number, row_count, cells):
    delimiter = rng.choice([",", "\t"])
    text = make_text(rng, row_count, delimiter, cells)
    want = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    data = (rng.choice(["", "\ufeff"]) + text).encode()
    for name, extra in (("plain", []), ("json", ["--value-json"])):
        url = f"out{number}-{name}"
        done = shardy("build", "--to", url, "--shards", "2", "--format",
                      "csv" if delimiter == "," else "tsv", "--threads", rng.choice("123"), *extra,
                      "-", data=data)
        assert done.returncode == 0, (done.stderr, data[:500])
        got = stored_rows(url)
        assert got.keys() == {int(row["key"]) for row in want}, (number, name)
        # Of equal keys the last row counts.
        for key, row in {int(row["key"]): row for row in want}.items():
            value = json.loads(got[key]) if extra else got[key]
            assert value == (row if extra else row["value"]), (number, name, key)


def main(seed):
    rng = random.Random(seed)
    plain = [cell for cell in ALPHABET if cell not in (",", '"', "\n", "\r\n", "\t", "\r")]
    for number in range(24):
        cells = plain if number % 3 == 0 else ALPHABET
        check(rng, number, rng.choice([0, 1, 5, 200]), cells)
    check(rng, 100, 60000, ALPHABET)
    check(rng, 101, 60000, plain)
    print("agreed")


main(int(sys.argv[1]))
