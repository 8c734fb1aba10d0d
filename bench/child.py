"""Runs one command and prints its exit code, wall seconds, CPU seconds and peak KiB.

    child.py OUT ERR COMMAND...

Linux counts the memory of the forking process into the peak of its child: 8 MB of Python, 1 MB of a
shell. So a shell forks the child and exits. This process adopts the child, which waits for a signal
through a pipe and then executes the command.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# A background command of a shell reads /dev/null.
SCRIPT = (
    'out=$1 err=$2; shift 2; (read -r _ <&3; exec "$@" >"$out" 2>"$err" 3<&- 4>&-) & echo $! >&4'
)


def main():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    start_read, start_write = os.pipe()
    pid_read, pid_write = os.pipe()
    files = [(os.POSIX_SPAWN_DUP2, start_read, 3), (os.POSIX_SPAWN_DUP2, pid_write, 4)]
    shell = os.posix_spawn(
        "/bin/sh", ["sh", "-c", SCRIPT, "sh", *sys.argv[1:]], os.environ, file_actions=files
    )
    os.waitpid(shell, 0)
    child = int(os.read(pid_read, 20))
    start = time.perf_counter()
    os.write(start_write, b"\n")
    try:
        # wait4 returns the usage of this child, getrusage(RUSAGE_CHILDREN) the largest peak of all.
        _, status, usage = os.wait4(child, 0)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)  # background commands of a shell ignore Ctrl-C
        raise
    wall = time.perf_counter() - start
    print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


if __name__ == "__main__":
    main()
