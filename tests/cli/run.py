#!/usr/bin/env python3
"""Run the command line cases in cases/ against a shardy binary and print TAP.

    run.py [--refresh] [--with-s3 PROGRAM] BINARY [NAME ...]

A case is cases/NAME.sh with what it must give beside it:
    NAME.stdout.exact, NAME.stderr.exact   the whole output
    NAME.stdout.glob,  NAME.stderr.glob    the same with * and ? as wildcards
    NAME.exit                              the exit code
Missing files mean no output and exit code 0. Each case runs in an empty folder of its own, with
shardy on PATH, SHARDY_FIXTURES (the original's snapshots) and TESTS (this folder) set. In outputs
these folders become <DIR> and <FIXTURES>, times <TIME>, times in refs <STAMP>, durations <S> and
checksums <SUM>. --refresh writes the .exact and .exit files anew; look at the difference before you
keep it.

Cases s3_*.sh run with an S3 server of their own, which PROGRAM (tests/s3/with_s3) starts; options of
it stand in a line "# with_s3: OPTIONS" of the case. Its URL becomes <ENDPOINT>, request ids <ID>,
milliseconds <MS>. They are skipped, with the reason, where the server or PROGRAM is missing.
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
S3_FORMS = [
    (re.compile(r"http://127\.0\.0\.1:\d{4,5}\b"), "<ENDPOINT>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d\.\d{6}Z"), "<STAMP>"),
    (re.compile(r"\brequest id \w+"), "request id <ID>"),
    (re.compile(r"\b\d+\.\d ms\b"), "<MS> ms"),
]
S3_OPTIONS = re.compile(r"^# with_s3: (.*)$", re.M)
EXIT_SKIP = 77


def normalise(data, folder, fixtures, forms):
    text = data.decode("utf-8", "backslashreplace")
    text = text.replace(folder, "<DIR>").replace(fixtures, "<FIXTURES>")
    text = text.replace(os.path.realpath(fixtures), "<FIXTURES>")
    for pattern, replacement in forms:
        text = pattern.sub(replacement, text)
    return text


def environment(folder, binary, fixtures):
    programs = pathlib.Path(folder, ".bin")
    programs.mkdir()
    (programs / "shardy").symlink_to(binary)
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": folder,
        "TMPDIR": folder,
        "XDG_CACHE_HOME": f"{folder}/cache",
        "LC_ALL": "C.UTF-8",
        "TESTS": str(HERE),
        "SHARDY_FIXTURES": fixtures,
    }
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS",
                 "SHARDY_FAULT_PROXY"):
        if name in os.environ:
            env[name] = os.environ[name]
    return env


def command(script, env, with_s3):
    """The command of a case and its environment; None when it needs a server that is not there."""
    shell = ["sh", "-u", str(script)]
    if not script.stem.startswith("s3_"):
        return shell, env
    if not with_s3:
        return None, env
    options = S3_OPTIONS.search(script.read_text())
    # The server is looked for where this user keeps it, not in the home of the case.
    return ([with_s3, *(options[1].split() if options else []), "env",
             *(f"{name}={value}" for name, value in env.items()), *shell], None)


def run_case(script, binary, fixtures, with_s3):
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        forms = NORMAL_FORMS + (S3_FORMS if script.stem.startswith("s3_") else [])
        args, env = command(script, environment(folder, binary, fixtures), with_s3)
        if args is None:
            return "SKIP needs --with-s3\n", "", "0"
        try:
            done = subprocess.run(args, cwd=folder, env=env, timeout=TIMEOUT_S,
                                  stdin=subprocess.DEVNULL, capture_output=True)
        except subprocess.TimeoutExpired:
            return "", f"case ran longer than {TIMEOUT_S} s", "timeout"
        stderr = normalise(done.stderr, folder, fixtures, forms)
        if done.returncode == EXIT_SKIP and args[0] == with_s3:
            return f"SKIP {stderr}", "", "0"
        return normalise(done.stdout, folder, fixtures, forms), stderr, str(done.returncode)


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
    with_s3 = None
    if args[:1] == ["--with-s3"] and args[1:]:
        with_s3 = os.path.realpath(args[1])
        args = args[2:]
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
        results = pool.map(lambda script: run_case(script, binary, fixtures, with_s3), scripts)
        for number, (script, (stdout, stderr, code)) in enumerate(zip(scripts, results), 1):
            if again and not stdout.startswith("SKIP "):
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
