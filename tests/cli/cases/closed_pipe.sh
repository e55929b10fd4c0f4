. "$TESTS/lib.sh"
small_snapshot
python3 -c "
import os, subprocess
for command in ('scan', 'shards', 'health'):
    reading, writing = os.pipe()
    os.close(reading)
    print('exit', subprocess.run(['shardy', command], stdout=writing).returncode, flush=True)
    os.close(writing)
"
shardy info > /dev/full
echo "exit $?"
shardy --help > /dev/full
echo "exit $?"
