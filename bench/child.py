"""Runs one command and prints its exit code, wall seconds, CPU seconds and peak KiB: `child.py OUT ERR COMMAND...`

A process of its own, started by a shell: Linux counts the memory of the process that forks into the peak of the one that
is started, and Python's is 8 MB, a shell's 1 MB. The shell forks and ends, its fork is adopted by this process, waits to
be told, and becomes the command.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# What runs in the background reads /dev/null.
SCRIPT = (
    'out=$1 err=$2; shift 2; (read -r _ <&3; exec "$@" >"$out" 2>"$err" 3<&- 4>&-) & echo $! >&4'
)


def main():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    go, tell = os.pipe()
    hear, say = os.pipe()
    files = [(os.POSIX_SPAWN_DUP2, go, 3), (os.POSIX_SPAWN_DUP2, say, 4)]
    shell = os.posix_spawn(
        "/bin/sh", ["sh", "-c", SCRIPT, "sh", *sys.argv[1:]], os.environ, file_actions=files
    )
    os.waitpid(shell, 0)
    child = int(os.read(hear, 20))
    start = time.perf_counter()
    os.write(tell, b"\n")
    try:
        # wait4 gives the usage of this child alone; getrusage(RUSAGE_CHILDREN) the largest peak of all so far.
        _, status, usage = os.wait4(child, 0)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)  # a shell's background commands do not hear Ctrl-C
        raise
    wall = time.perf_counter() - start
    print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


if __name__ == "__main__":
    main()
