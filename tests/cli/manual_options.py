"""Check that every option of the tool is in --help and in the manual page, and no other is."""
import re
import subprocess
import sys

OPTION = re.compile(r"^  (?:-h, )?(--[a-z0-9-]+)", re.M)
COMMAND = re.compile(r"^  ([a-z][a-z-]*) {2,}\S", re.M)


def help_text(*args):
    return subprocess.run(["shardy", *args, "--help"], check=True, capture_output=True,
                          text=True).stdout


def main(page_path):
    page = open(page_path, encoding="utf-8").read()
    # mdoc writes --name as `Fl -name`, items and mentions alike.
    in_page = {"--" + name for name in re.findall(r"Fl -([a-z][a-z0-9-]+)", page)}
    in_page.discard("--option")
    group = help_text()
    commands = COMMAND.findall(group.split("\nCommands:\n")[1])
    in_help = set(OPTION.findall(group))
    for command in commands:
        options = set(OPTION.findall(help_text(command)))
        in_help |= options
        section = re.search(rf"^\.Ss {command}\b.*?(?=^\.S[sh] )", page, re.M | re.S)
        assert section, f"{command}: no section in the manual page"
        named = {"--" + name for name in re.findall(r"Fl -([a-z][a-z0-9-]+)", section[0])}
        missing = options - named - {"--help"}
        assert not missing, f"{command}: not in its section of the manual page: {sorted(missing)}"
    assert in_help == in_page, f"help and manual page differ in {sorted(in_help ^ in_page)}"
    print(f"{len(commands)} commands, {len(in_help)} options")


main(sys.argv[1])
