"""Runs a server as user 65534 without network besides loopback, and stops it after one answer.

usage: unshare --net only_loopback.py PORT BODY.json COMMAND...
Prints {"answer": text of the answer, "code": exit code, "user": id of the server's user}. It has no
capabilities. Outside of its user namespace it is the caller, and may read the same files.
"""

import fcntl
import http.client
import json
import socket
import struct
import subprocess
import sys
import time

SIOCSIFFLAGS = 0x8914
IFF_UP = 1

port, body, *command = sys.argv[1:]
with socket.socket() as control:
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


as_nobody = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
server = subprocess.Popen([*as_nobody, *command], stdout=sys.stderr)
until = time.monotonic() + 60
while ask("GET", "/ping")[0] != 200:
    if server.poll() is not None or time.monotonic() > until:
        server.kill()
        sys.exit(f"the server is not ready: {server.wait()}")
    time.sleep(0.01)
with open(f"/proc/{server.pid}/uid_map", encoding="ascii") as uid_map:
    user = int(uid_map.read().split()[0])
status, answer = ask("POST", "/invocations", body.encode())
assert status == 200, answer
server.terminate()
print(json.dumps({"answer": answer.decode(), "code": server.wait(25), "user": user}))
