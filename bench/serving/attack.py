"""Broken and hostile requests beside good ones: every good one is to be answered right."""

import collections
import contextlib
import http.client
import itertools
import json
import random
import socket
import threading
import time

from measure import Failed
from serving.cases import CASES
from serving.server import ROUTE, Server, free_port, post

CLIENTS, ATTACKERS = 4, 4
SLOW_CONNECTIONS = 25
SEED = 18


def head(*headers, method="POST"):
    lines = [f"{method} {ROUTE} HTTP/1.1", "host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def with_body(body, content_type="application/json"):
    return head(f"content-length: {len(body)}", f"content-type: {content_type}") + body


def attacks(texts):
    """Returns bytes by the name of the attack."""
    whole = with_body(json.dumps({"inputs": texts[:20]}).encode())
    return {
        "invalid JSON": with_body(b'{"inputs": ["a'),
        "invalid UTF-8": with_body(b'["\xff\xfe"]'),
        "deep nesting": with_body(b"[" * 1_000_000),
        "100 MB announced": head("content-length: 100000000") + b'["' + b"x" * 1_000_000,
        "7 MB in one text": with_body(b'["' + b"x" * 7_000_000 + b'"]'),
        "a million texts": with_body(b"[" + b'"x",' * 1_000_000 + b'"x"]'),
        "open quote in CSV": with_body(b'"' + b"a\n" * 100_000, "text/csv"),
        "two lengths": head("content-length: 4", "content-length: 5") + b"abcd",
        "negative length": head("content-length: -1"),
        "length and chunks": head("content-length: 4", "transfer-encoding: chunked")
        + b"0\r\n\r\nGET /info HTTP/1.1\r\nhost: x\r\n\r\n",
        "wrong chunk": head("transfer-encoding: chunked") + b"zz\r\n",
        "long header": head("a: " + "b" * 1_000_000),
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "unknown type": with_body(b"x", "image/png"),
        "half of a head": whole[:20],
        "half of a body": whole[:-20],
        "nothing": b"",
        "answer is not read": whole * 20,
    }


def attack(port, kind, message, draw):
    """Sends the bytes, a half of them on many connections, and leaves at once or a second later."""
    connections = SLOW_CONNECTIONS if kind.startswith("half") else 1
    with contextlib.ExitStack() as stack:
        for _ in range(connections):
            stream = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            with contextlib.suppress(OSError):
                stream.sendall(message)
        if draw.random() < 0.5:
            stream.settimeout(1)
            with contextlib.suppress(OSError):
                stream.recv(65536)


def measure(programs, seconds):
    """Returns numbers of good answers, attacks and seconds of the slowest good answer."""
    case, port, texts = CASES["svm"], free_port(), programs.texts()[:100]
    command, _ = programs.command(case, "serve", port)
    bodies = [json.dumps({"inputs": [text]}).encode() for text in texts]
    kinds = attacks(texts)
    counts, slowest, problems = collections.Counter(), [0.0], []

    def client(number, expected):
        for at in itertools.count(number):
            if time.monotonic() > until or problems:
                return
            began = time.perf_counter()
            try:
                status, body = post(port, bodies[at % len(bodies)])
            except (OSError, http.client.HTTPException) as error:
                status, body = 0, str(error).encode()
            slowest[0] = max(slowest[0], time.perf_counter() - began)
            if (status, body) != (200, expected[at % len(bodies)]):
                problems.append(f"a good request has status {status}: {body[:500]!r}")
            counts["good answers"] += 1

    def attacker(number):
        draw = random.Random(SEED + number)
        while time.monotonic() < until and not problems:
            kind = draw.choice(list(kinds))
            with contextlib.suppress(OSError):
                attack(port, kind, kinds[kind], draw)
            counts["attacks"] += 1

    with Server(command, {}, port, programs.folder / "attack.log", bodies[0]) as server:
        expected = [post(port, body)[1] for body in bodies]
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=client, args=(at, expected)) for at in range(CLIENTS)]
        threads += [threading.Thread(target=attacker, args=(at,)) for at in range(ATTACKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if server.process.poll() is not None:
            problems.append(f"the server ended:\n{server.last_lines()}")
        elif (code := server.stop()) != 0:
            problems.append(f"the server ended with {code} after SIGTERM")
        peak = server.peak_bytes
    if not counts["good answers"]:
        problems.append("no good request was answered")
    if problems:
        raise Failed(problems[0])
    return dict(counts) | {"seconds": seconds, "slowest_seconds": slowest[0], "memory_bytes": peak}
