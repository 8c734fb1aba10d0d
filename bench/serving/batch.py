"""A batch transform job: lines in requests of at most 6 MB, as SageMaker sends them."""

import concurrent.futures
import json
import time

from measure import Failed, measured
from serving.cases import CASES
from serving.server import Server, free_port, post

PAYLOAD_BYTES = 6_000_000
WORDS = 20
# Bars: ratio to the time of `predict`, and memory.
TIME, MEMORY_MB = 1.3, 200


def pieces(path):
    """Returns the lines of a file in pieces of at most PAYLOAD_BYTES."""
    piece, size = [], 0
    with open(path, "rb") as file:
        for line in file:
            if size + len(line) > PAYLOAD_BYTES:
                yield b"".join(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line)
    if piece:
        yield b"".join(piece)


def rows_file(programs, count):
    """Writes rows of JSON lines: the beginnings of the texts, again and again."""
    texts = [" ".join(text.split()[:WORDS]) for text in programs.texts()]
    path = programs.folder / "rows.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for row in range(count):
            file.write(json.dumps({"text": texts[row % len(texts)]}) + "\n")
    return path


def send(port, rows, answers, workers):
    """Sends all pieces, some at the same time, and writes the answers in their order."""

    def one(piece):
        status, body = post(port, piece, "application/jsonlines", 600)
        lines = body.count(b"\n")
        if status != 200 or lines != piece.count(b"\n"):
            raise Failed(f"status {status}, {lines} lines: {body[:500]!r}")
        return body

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    with pool, open(answers, "wb") as file:
        for body in pool.map(one, pieces(rows)):
            file.write(body)


def measure(programs, pair):
    """Returns the seconds of `predict` and of the job, and the server's memory."""
    count = 2000 if programs.smoke else 1_000_000
    rows = programs.once("rows", lambda: rows_file(programs, count))
    case, threads = CASES["svm"], programs.args.threads
    predictions, answers = programs.folder / "predicted.jsonl", programs.folder / "answers.jsonl"
    command = [programs.binary("svm"), "predict", "--model-dir", programs.model("svm")]
    command += ["--input", rows, "--output", predictions, "--threads", threads]

    def predict():
        return {"predict_seconds": measured(command)["wall_seconds"]}

    def job():
        port = free_port()
        ours, _ = programs.command(case, "serve", port)
        variables = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6"}
        log, first = programs.folder / "batch.log", json.dumps({"inputs": ["a film"]}).encode()
        with Server(ours, variables, port, log, first) as server:
            began = time.perf_counter()
            send(port, rows, answers, threads)
            seconds = time.perf_counter() - began
            server.stop()
            return {"job_seconds": seconds, "memory_bytes": server.peak_bytes}

    parts = [predict, job] if pair % 2 == 0 else [job, predict]
    result = {"rows": count} | parts[0]() | parts[1]()
    with open(answers) as found, open(predictions) as expected:
        for line, other in zip(found, expected, strict=True):
            if json.loads(line)["label"] != json.loads(other)["label"]:
                raise Failed(f"answers differ: {line}{other}")
    return result
