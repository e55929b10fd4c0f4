"""Read the original's snapshots back through the tool: every row, its shard, and absent keys.

Keys of snapshots that are sharded by other columns are looked up with the context of their row, all
keys of a context at once.
"""
import base64
import hashlib
import json
import pathlib
import subprocess
import sys


def shardy(url, *args, data=None):
    done = subprocess.run(["shardy", "--current-url", str(url), *args], input=data,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, (args[0], done.stderr)
    return done.stdout


def key_text(key):
    """A key as scans print it: integer or text."""
    if "b64" in key:
        return base64.b64decode(key["b64"]).decode("ascii")
    return key.get("int", key.get("str"))


def check_value(row, encoded):
    value = base64.b64decode(encoded)
    assert len(value) == row["len"], row
    if "b64" in row:
        assert value == base64.b64decode(row["b64"]), row
    else:
        assert hashlib.sha256(value).hexdigest() == row["sha256"], row


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    url = folder / "objects"
    rows = {str(key_text(row["key"])): row for row in expected["rows"]}
    found = {}
    for line in shardy(url, "scan").splitlines():
        item = json.loads(line)
        found[str(item["key"])] = (item["db_id"], item["value"])
    assert found.keys() == rows.keys(), folder.name
    for key, row in rows.items():
        assert found[key][0] == row["shard"], row
        check_value(row, found[key][1])
    keys = list(rows) + [str(key_text(key)) for key in expected["absent"]]
    contexts = {}
    for key in keys:
        context = rows[key].get("context", {}) if key in rows else {}
        # The key is a context of its own, which the tool finds out by itself.
        options = [f"{name}={value}" for name, value in context.items() if name != "key"]
        contexts.setdefault(tuple(options), []).append(key)
    for options, group in contexts.items():
        given = [text for option in options for text in ("--routing-context", option)]
        check_lookups(url, rows, group, given)
    return len(rows)


def check_lookups(url, rows, keys, given):
    # Standard input is trimmed line by line; keys with spaces or breaks go as arguments.
    answer = json.loads(shardy(url, "multiget", *given, "--", *keys))["results"]
    for key, item in zip(keys, answer):
        assert item["key"] == key and item["found"] == (key in rows), item
        if key in rows:
            check_value(rows[key], item["value"])
    for key in keys[:3]:
        routed = json.loads(shardy(url, "route", *given, "--", key))
        assert key not in rows or routed["db_id"] == rows[key]["shard"], routed


def main(root):
    for folder in sorted(pathlib.Path(root).iterdir()):
        print(folder.name, check(folder))


main(sys.argv[1])
