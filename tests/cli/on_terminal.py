"""Run the tool on a pseudo-terminal: stored control characters are shown, and builds draw a bar."""
import os
import pty
import subprocess


def on_terminal(*args, streams=("stdout", "stderr")):
    """Output of a command whose named streams are a terminal, and of the others."""
    leader, follower = pty.openpty()
    pipes = {name: follower if name in streams else subprocess.PIPE for name in
             ("stdout", "stderr")}
    process = subprocess.Popen(["shardy", *args], stdin=subprocess.DEVNULL, **pipes)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not part:
            break
        shown += part
    out, err = process.communicate()
    os.close(leader)
    assert process.returncode == 0, (args, shown, out, err)
    return shown, (out or b"") + (err or b"")


def main():
    with open("v.jsonl", "w", encoding="utf-8") as file:
        file.write('{"key":"\\u001b[31mred","value":"a\\u009b2J\\u0007\\u007fé"}\n')
    shown, printed = on_terminal("build", "--to", "s", "--shards", "1", "--key-encoding", "utf8",
                                 "v.jsonl", streams=("stderr",))
    assert printed.startswith(b"published"), printed
    assert b"\x1b[K" in shown and b"shards" in shown, shown
    for output in ("text", "table", "jsonl"):
        command = ("--current-url", "s", "--output-format", output, "scan", "--value-encoding",
                   "utf8")
        shown, _ = on_terminal(*command)
        assert not set(shown) & (set(range(32)) - set(b"\r\n")), (output, shown)
        assert "\x9b" not in shown.decode() and b"\x7f" not in shown, (output, shown)
        assert "é" in shown.decode(), (output, shown)
        print(output, shown.decode().splitlines()[-1])
        raw = subprocess.run(["shardy", *command], capture_output=True, check=True).stdout
        assert ("a\x9b2J".encode() in raw) and b"\x7f" in raw, (output, raw)
    shown, _ = on_terminal("--current-url", "s", "--output-format", "text", "shards")
    assert b"\x1b" not in shown and b"\\x1b[31mred" in shown, shown


main()
