#!/usr/bin/env python3
"""Run the command line cases in cases/ against a shardy binary and print TAP.

    run.py [--refresh] BINARY [NAME ...]

A case is cases/NAME.sh with what it must give beside it:
    NAME.stdout.exact, NAME.stderr.exact   the whole output
    NAME.stdout.glob,  NAME.stderr.glob    the same with * and ? as wildcards
    NAME.exit                              the exit code
Missing files mean no output and exit code 0. Each case runs in an empty folder of its own, with
shardy on PATH, SHARDY_FIXTURES (the original's snapshots) and TESTS (this folder) set. In outputs
these folders become <DIR> and <FIXTURES>, times <TIME>, times in refs <STAMP>, durations <S> and
checksums <SUM>. --refresh writes the .exact and .exit files anew; look at the difference before you keep it.
"""
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE / "cases"
TIMEOUT_S = 120
NORMAL_FORMS = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00"), "<TIME>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "<STAMP>"),
    (re.compile(r'("(?:\w+_)?seconds": )[0-9.]+'), r"\1<S>"),
    (re.compile(r"\b(seconds=|manifest_age=)[0-9.]+"), r"\1<S>"),
    (re.compile(r"\b(xxh3-128-1m:)[0-9a-f]{32}\b"), r"\1<SUM>"),
]


def normalise(data, folder, fixtures):
    text = data.decode("utf-8", "backslashreplace")
    text = text.replace(folder, "<DIR>").replace(fixtures, "<FIXTURES>")
    text = text.replace(os.path.realpath(fixtures), "<FIXTURES>")
    for pattern, replacement in NORMAL_FORMS:
        text = pattern.sub(replacement, text)
    return text


def run_case(script, binary, fixtures):
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        programs = pathlib.Path(folder, ".bin")
        programs.mkdir()
        (programs / "shardy").symlink_to(binary)
        env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": folder,
            "TMPDIR": folder,
            "LC_ALL": "C.UTF-8",
            "TESTS": str(HERE),
            "SHARDY_FIXTURES": fixtures,
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        try:
            done = subprocess.run(["sh", "-u", str(script)], cwd=folder, env=env, timeout=TIMEOUT_S,
                                  stdin=subprocess.DEVNULL, capture_output=True)
        except subprocess.TimeoutExpired:
            return "", f"case ran longer than {TIMEOUT_S} s", "timeout"
        return (normalise(done.stdout, folder, fixtures), normalise(done.stderr, folder, fixtures),
                str(done.returncode))


def expected(script, stream):
    exact = script.with_suffix(f".{stream}.exact")
    glob = script.with_suffix(f".{stream}.glob")
    if exact.exists():
        return exact.read_text(), False
    if glob.exists():
        return glob.read_text(), True
    return "", False


def compare(script, stream, got):
    want, is_glob = expected(script, stream)
    if is_glob:
        # Brackets are not wildcards here: JSON is full of them.
        same = fnmatch.fnmatchcase(got, want.replace("[", "[[]"))
    else:
        same = got == want
    return [] if same else [f"{stream}: expected", *want.splitlines(), f"{stream}: got",
                            *got.splitlines()]


def write(path, text, default):
    if text == default:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text)


def refresh(script, stdout, stderr, code):
    for stream, got in (("stdout", stdout), ("stderr", stderr)):
        if not script.with_suffix(f".{stream}.glob").exists():
            write(script.with_suffix(f".{stream}.exact"), got, "")
    write(script.with_suffix(".exit"), code + "\n", "0\n")


def main(args):
    again = "--refresh" in args
    args = [arg for arg in args if arg != "--refresh"]
    if not args:
        print(__doc__, file=sys.stderr)
        return 2
    binary = os.path.realpath(args[0])
    scripts = sorted(CASES.glob("*.sh"))
    if args[1:]:
        scripts = [script for script in scripts if script.stem in args[1:]]
    fixtures = os.path.abspath(
        os.environ.get("SHARDY_FIXTURES") or HERE.parents[2] / "shared/fixtures")
    failed = 0
    print(f"1..{len(scripts)}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda script: run_case(script, binary, fixtures), scripts)
        for number, (script, (stdout, stderr, code)) in enumerate(zip(scripts, results), 1):
            if again:
                refresh(script, stdout, stderr, code)
            if stdout.startswith("SKIP "):
                print(f"ok {number} {script.stem} # SKIP {stdout[5:].splitlines()[0]}")
                continue
            exit_file = script.with_suffix(".exit")
            want_code = exit_file.read_text().strip() if exit_file.exists() else "0"
            lines = compare(script, "stdout", stdout) + compare(script, "stderr", stderr)
            if code != want_code:
                lines += [f"exit: expected {want_code}, got {code}"]
            failed += bool(lines)
            print(f"{'not ok' if lines else 'ok'} {number} {script.stem}")
            for line in lines:
                print(f"# {line}")
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
