"""Count the results of a test run: `summarise.py FOLDER`.

The folder holds meson's testlog files (*.json, one object a line) and TAP files (*.tap). Every TAP
point counts once, a test that speaks another protocol counts once. Failures and skips are listed
with their reasons; the last line is "N passed, N failed, N skipped"; exit status 1 when anything
failed or nothing passed.
"""

import json
import pathlib
import re
import sys

POINT = re.compile(r"^\s*(not )?ok\b\s*(\d+)?\s*(?:- )?([^#]*)(?:#\s*(\w+)\s*(.*))?$")
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*SKIP\w*\s*(.*))?$", re.IGNORECASE)
GOOD = {"OK", "EXPECTEDFAIL", "SKIP"}


class Count:
    """Results so far; failures and skips keep a line for the reader."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def tap(self, name, text):
        """Add the points of one TAP stream; returns whether it was one."""
        planned = None
        seen = 0
        said = ""  # last line since the previous point: the reason of a cmocka skip()
        for line in text.splitlines():
            plan = PLAN.match(line)
            point = POINT.match(line)
            if plan:
                # cmocka prints one plan for each group of tests.
                planned = (planned or 0) + int(plan.group(1))
                if planned == 0:
                    self.skipped.append(f"{name} ({plan.group(2) or 'no reason given'})")
            elif point:
                seen += 1
                self._point(name, point, said)
            said = "" if point or plan else line.lstrip("# ")
        if planned is not None and seen < planned:
            self.failed.append(f"{name}: planned {planned} tests, ran {seen}")
        return planned is not None

    def _point(self, name, point, said):
        bad, _, title, directive, reason = point.groups()
        if directive and directive.upper().startswith("SKIP"):
            # cmocka writes "not ok 1 # SKIP name", others "ok 1 - name # SKIP reason".
            title, reason = (title, reason) if title.strip() else (reason, said)
            self.skipped.append(f"{name}: {title.strip()} ({reason or 'no reason given'})")
        elif bad:
            self.failed.append(f"{name}: {title.strip()}")
        else:
            self.passed += 1

    def test(self, suite, record):
        """Add one test of a meson log."""
        name = f"{suite}/{record['name'].split(' / ')[-1]}"
        failed_before = len(self.failed)
        is_tap = self.tap(name, record.get("stdout", ""))
        # Meson takes cmocka's way to write a skip for a failure: the points and the status decide.
        good = record["result"] in GOOD or (is_tap and record.get("returncode") == 0)
        if not good and len(self.failed) == failed_before:
            self.failed.append(f"{name}: {record['result']}")
        if len(self.failed) > failed_before:
            print_output(name, record)
        elif not is_tap and record["result"] == "SKIP":
            self.skipped.append(f"{name} ({last_line(record)})")
        elif not is_tap:
            self.passed += 1


def last_line(record):
    lines = (record.get("stderr", "") or record.get("stdout", "")).strip().splitlines()
    return lines[-1] if lines else "no reason given"


def print_output(name, record):
    text = record.get("stdout", "") + record.get("stderr", "")
    lines = text.splitlines()
    print(f"---- {name}: {record['result']}")
    print("\n".join(lines[-80:]))


def main(folder):
    count = Count()
    for path in sorted(pathlib.Path(folder).iterdir()):
        before = (count.passed, len(count.failed), len(count.skipped))
        if path.suffix == ".json":
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                count.test(path.stem, json.loads(line))
        elif path.suffix == ".tap":
            text = path.read_text(encoding="utf-8", errors="replace")
            if not count.tap(path.stem, text):
                count.failed.append(f"{path.stem}: no TAP plan")
            if len(count.failed) > before[1]:
                print(f"---- {path.stem}\n{text}")
        else:
            continue
        now = (count.passed, len(count.failed), len(count.skipped))
        print("{}: {} passed, {} failed, {} skipped".format(
            path.stem, *(b - a for a, b in zip(before, now))))
    for line in count.skipped:
        print("skipped: " + line)
    for line in count.failed:
        print("FAILED: " + line)
    print(f"{count.passed} passed, {len(count.failed)} failed, {len(count.skipped)} skipped")
    return 1 if count.failed or count.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
