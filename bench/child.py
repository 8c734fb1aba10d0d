"""Runs one command and prints its exit code, wall seconds, CPU seconds and peak KiB: `child.py OUT ERR COMMAND...`

A process of its own because Linux counts the memory of the process that forks into the peak of the one that is
started: a benchmark that holds a data set would blame the trainer for it. This one holds some 8 MB, the least peak
that can be measured.
"""

import os
import sys
import time

out, err, *command = sys.argv[1:]
write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
files = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, out, write, 0o600),
    (os.POSIX_SPAWN_OPEN, 2, err, write, 0o600),
]
start = time.perf_counter()
child = os.posix_spawnp(command[0], command, os.environ, file_actions=files)
# wait4 gives the usage of this child alone; getrusage(RUSAGE_CHILDREN) the largest peak of all so far.
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - start
print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
