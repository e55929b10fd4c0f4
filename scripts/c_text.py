"""Reading C sources for the checks: text without comments and strings, line numbers kept."""

import pathlib
import re
import subprocess

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'",
    re.DOTALL,
)


def files(*patterns):
    """Paths of the tree that match git patterns, as text relative to its root."""
    out = subprocess.run(
        [_ROOT / "scripts/list_files", *patterns], check=True, stdout=subprocess.PIPE, text=True
    )
    return out.stdout.splitlines()


def read(path):
    return (_ROOT / path).read_text(encoding="utf-8")


def code_only(text):
    """The text with comments blanked and strings emptied; every newline stays."""

    def blank(match):
        token = match.group()
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        return token[0] + token[0]

    return _TOKEN.sub(blank, text)
