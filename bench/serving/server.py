"""A server as a child process: time to its first answer, memory, end."""

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

from measure import Failed

START_TIMEOUT, STOP_TIMEOUT = 300, 30
ROUTE = "/invocations"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def post(port, body, content_type="application/json", timeout=60):
    """Sends a request. Returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        connection.request("POST", ROUTE, body, {"content-type": content_type})
        answer = connection.getresponse()
        return answer.status, answer.read()


def session_of(stat):
    """Returns the session of a process from its /proc/PID/stat."""
    # Its name, in brackets, may have any characters.
    return int(stat.rpartition(")")[2].split()[3])


def pss_bytes(rollup):
    """Returns the proportional set size: shared pages count in parts, so processes can be added."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


class Server:
    """A running server. Leaving it as a context stops it."""

    def __init__(self, command, variables, port, log, first_body):
        self.port, self.log, self.peak_bytes = port, log, 0
        command = [str(part) for part in command]
        with open(log, "wb") as output:
            began = time.perf_counter()
            self.process = subprocess.Popen(
                command,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.wait_for_answer(first_body)
            self.start_seconds = time.perf_counter() - began
        except BaseException:
            self.kill()
            raise
        self.watching = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def wait_for_answer(self, body):
        until = time.monotonic() + START_TIMEOUT
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"the server ended:\n{self.last_lines()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if post(self.port, body)[0] == 200:
                    return
            time.sleep(0.001)
        raise Failed(f"no answer in {START_TIMEOUT} s:\n{self.last_lines()}")

    def last_lines(self):
        return pathlib.Path(self.log).read_text(errors="replace")[-2000:]

    def processes(self):
        """Returns the folders in /proc of the server's session, which its workers belong to."""
        for folder in pathlib.Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    if session_of((folder / "stat").read_text()) == self.process.pid:
                        yield folder

    def watch(self):
        while not self.watching.wait(0.25):
            self.peak_bytes = max(self.peak_bytes, self.memory_bytes())

    def memory_bytes(self):
        total = 0
        for folder in self.processes():
            with contextlib.suppress(OSError):
                total += pss_bytes((folder / "smaps_rollup").read_text())
        return total

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Sends SIGTERM. Returns the exit code, None if it did not end in time."""
        self.watching.set()
        self.watcher.join()
        self.peak_bytes = max(self.peak_bytes, self.memory_bytes())
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
