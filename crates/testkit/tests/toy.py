"""A toy trainer that keeps SageMaker's contract, or breaks it in the way that `--fault` names.

It tests the contract suite: the suite must accept the correct trainer and reject each fault. Its
model is the number of rows that contain each word.
"""

import collections
import csv
import http.server
import io
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import sys
import threading
import time

FAULT = ""
NUMBERS = {"min_df": 1}
SWITCHES = {"sublinear_tf": False}
WORDS = {"stopwords": "none"}
PATHS = ["train", "validation", "test", "model_dir", "data", "pause", "format", "input", "port"]


class Stopped(Exception):
    """SIGTERM was received."""


class Failed(Exception):
    """An error that the user can fix. The message explains how."""


def stop(signum, frame):
    raise Stopped


def sanitize(text):
    """Makes a user's text safe for a log: one line that no metric's expression matches."""
    if FAULT == "forge":
        return text
    return re.sub(r"[:=\s\x00-\x1f]+", "_", text)[:60]


def decode(value):
    """Decodes `10`, `"10"` or `"\\"10\\""` until it is not a JSON string."""
    value = str(value)
    for _ in range(3):
        try:
            inner = json.loads(value)
        except ValueError:
            break
        if FAULT == "decodes_once" or not isinstance(inner, str):
            break
        value = inner
    return value


def read_json(path):
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise Failed(f"`{path}` is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Failed(f"`{path}` is not a JSON object")
    return value


def set_option(options, name, value):
    key = name.lstrip("-").replace("-", "_")
    if key in NUMBERS:
        if not re.fullmatch(r"\d+", value):
            raise Failed(f"`{key}` is `{value}`, expected a number")
        value = int(value)
    elif key in SWITCHES:
        value = value.lower() == "true" or FAULT == "switch_always_on"
    elif key not in WORDS and key not in PATHS:
        near = min(NUMBERS, key=lambda known: abs(len(known) - len(key)))
        near = "" if FAULT == "no_suggestion" else f"\nhelp: did you mean `{near}`?"
        raise Failed(f"unknown hyperparameter `{key}`{near}")
    options[key] = value


def parse(arguments):
    options = {**NUMBERS, **SWITCHES, **WORDS, "rest": [], "json": False}
    given = list(arguments)
    while given:
        name = given.pop(0)
        if name == "--json":
            options["json"] = True
        elif name.lstrip("-").replace("-", "_") in SWITCHES:
            set_option(options, name, "true")
        elif name.startswith("--"):
            set_option(options, name, given.pop(0))
        else:
            options["rest"].append(name)
    return options


def with_hyperparameters(base, arguments):
    flags = []
    if FAULT != "ignores_hyperparameters":
        for name, value in read_json(base / "input/config/hyperparameters.json").items():
            own = name.startswith("sagemaker_") or name == "_tuning_objective_metric"
            if own and FAULT != "takes_sagemakers_own":
                continue
            options = parse([])
            set_option(options, name, decode(value))  # checked one by one, for the message
            key = name.replace("-", "_")
            if key not in SWITCHES:
                flags += [f"--{key}", decode(value)]
            elif options[key]:
                flags.append(f"--{key}")
    return parse(arguments + flags if FAULT == "hyperparameters_win" else flags + arguments)


def channel(base, name, options):
    if options.get(name):
        return pathlib.Path(options[name])
    by_variable = os.environ.get(f"SM_CHANNEL_{name.upper()}")
    if by_variable and FAULT != "ignores_variables":
        return pathlib.Path(by_variable)
    folder = base / "input/data" / name
    return folder if folder.exists() else None


def read_rows(path):
    files = [path] if not path.is_dir() else sorted(path.iterdir())
    for file in files:
        with open(file, "rb") as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
            for number, row in enumerate(csv.DictReader(text), 1):
                if not row["label"]:
                    place = sanitize(file.name) if FAULT != "forge" else file.name
                    raise Failed(
                        f"row has no label\n  --> {place}:{number}: {sanitize(row['text'])}"
                    )
                yield row["text"], row["label"]


def fit(rows, options):
    counts = collections.defaultdict(collections.Counter)
    for text, label in rows:
        for word in set(re.findall(r"\w\w+", text.lower())):
            counts[word][label] += 1
    frequent = {w: c for w, c in counts.items() if sum(c.values()) >= options["min_df"]}
    model = {
        "labels": sorted({label for _, label in rows}),
        "words": {w: frequent[w] for w in sorted(frequent)},
    }
    return {**model, "settings": [options[key] for key in [*NUMBERS, *SWITCHES, *WORDS]]}


def count_votes(model, text):
    votes = collections.Counter()
    # Sorted, because sums of floats depend on the order.
    for word in sorted(set(re.findall(r"\w\w+", text.lower()))):
        counts = model["words"].get(word, {})
        total = sum(counts.values())
        for label, count in counts.items():
            votes[label] += count / total
    return votes


def best(model, votes):
    return max(model["labels"], key=lambda label: votes[label])


def predict(model, text):
    return best(model, count_votes(model, text))


def predict_row(model, text):
    votes = count_votes(model, text)
    label = best(model, votes)
    return {"label": label, "probability": votes[label] / (sum(votes.values()) or 1)}


def measure(model, rows):
    right, pairs = 0, collections.Counter()
    for text, label in rows:
        guess = predict(model, text)
        right += guess == label
        pairs[label, guess] += 1
    f1 = []
    for label in model["labels"]:
        hit = pairs[label, label]
        seen = sum(n for (_, guess), n in pairs.items() if guess == label)
        real = sum(n for (truth, _), n in pairs.items() if truth == label)
        f1.append(2 * hit / (seen + real) if seen + real else 0.0)
    return {
        "accuracy": right / len(rows),
        "macro_f1": sum(f1) / len(f1),
        "log_loss": 0.5,
        "ece": 0.1,
        "rows": len(rows),
        "seconds": time.process_time(),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def save(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    if FAULT == "half_model":
        (folder / "config.json").write_text("{}")
        time.sleep(0.3)
        (folder / "model.safetensors").write_text(json.dumps(model))
        return
    # A mount cannot be renamed, so the files are made in a folder inside it. `load` needs only one
    # of them, so its rename completes the model.
    with_signals = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    part = folder / ".part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        (part / "model.safetensors").write_text(json.dumps(model))
        (part / "config.json").write_text("{}")
        for name in ["model.safetensors", "config.json"]:
            os.replace(part / name, folder / name)
    finally:
        if FAULT != "leaves_temporary":
            shutil.rmtree(part, ignore_errors=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, with_signals)


def load(folder):
    if not (folder / "model.safetensors").exists():
        raise Failed(f"no model in `{folder}`")
    return json.loads((folder / "model.safetensors").read_text())


def train(base, arguments):
    options = with_hyperparameters(base, arguments)
    read_json(base / "input/config/resourceconfig.json")
    source = channel(base, "train", options)
    if source is None:
        raise Failed("no `train` channel\nhelp: pass --train")
    rows = list(read_rows(source))
    for label in sorted({label for _, label in rows}):
        print(f"class {sanitize(label)}", file=sys.stderr)
    if FAULT == "carriage_return":
        print("epoch 1\repoch 2", file=sys.stderr)
    if FAULT == "colour":
        print("\x1b[1mepoch\x1b[0m", file=sys.stderr)
    model = fit(rows, options)
    time.sleep(float(options.get("pause", 0)))  # a longer training
    facts = None
    for name in ["train", "validation", "test"]:
        source = channel(base, name, options)
        # Accuracy does not matter for a toy: half of the rows are enough.
        part = rows[:200] if name == "train" else source and list(read_rows(source))
        if part:
            facts = measure(model, part)
            for metric in ["accuracy", "macro_f1"]:
                form = "{}:{} = {:.4f}" if FAULT == "other_format" else "{}:{}={:.4f};"
                print(form.format(name, metric, facts[metric]), file=sys.stderr)
    folder = options.get("model_dir") or os.environ.get("SM_MODEL_DIR") or base / "model"
    if FAULT == "ignores_variables":
        folder = base / "model"
    save(model, pathlib.Path(folder))
    if options["json"]:
        if FAULT == "chatty":
            print("done")
        print(json.dumps(facts))


def answer(model, value):
    texts = [value] if isinstance(value, str) else value
    if isinstance(value, dict):
        texts = value.get("inputs", value.get("instances"))
    rows = [predict_row(model, text) for text in texts]
    if FAULT == "other_probability":
        rows = [{**row, "probability": row["probability"] / 2} for row in rows]
    if isinstance(value, dict) and "inputs" in value:
        return [{"label": row["label"], "score": row["probability"]} for row in rows]
    return {"predictions": rows} if isinstance(value, dict) else rows


def serve(model, port):
    """Answers requests until SIGTERM, and then those that have begun."""
    stopping = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self, status, body):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.reply(200, b"" if self.path == "/ping" else b'{"MaxPayloadInMB": 6}')

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if FAULT == "loses_answers" and stopping.is_set():
                return
            try:
                self.reply(200, json.dumps(answer(model, json.loads(body))).encode())
            except ValueError:
                self.reply(400, b'{"error": "not JSON", "help": "send JSON"}')

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = False  # closing it waits for them
    threading.Thread(target=server.serve_forever, args=[0.05]).start()
    try:
        while True:  # the signal may wake another thread
            time.sleep(0.02)
    except Stopped:
        stopping.set()
    server.shutdown()
    for _ in range(16):  # connections that wait
        if select.select([server], [], [], 0)[0]:
            server.handle_request()
    server.server_close()
    print('{"all_requests_answered":true}', file=sys.stderr)


def fail(base, message):
    if FAULT == "cause_last":
        message = f"training failed\n{message}"
    print(f"error: {message}", file=sys.stderr)
    if FAULT != "no_failure_file":
        limit = 5000 if FAULT == "long_failure" else 1024
        (base / "output/failure").write_text(message[:limit])
    return 0 if FAULT == "exits_0" else 1


def main(arguments):
    global FAULT
    if arguments[0] == "--fault":
        FAULT, arguments = arguments[1], arguments[2:]
    if FAULT == "ignores_sigterm":
        signal.signal(signal.SIGTERM, lambda *_: None)
    elif FAULT != "no_handler":
        signal.signal(signal.SIGTERM, stop)
    base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    action, *rest = arguments
    try:
        if action == "train":
            train(base, rest)
            return 0
        options = parse(rest)
        model = load(pathlib.Path(options.get("model_dir", base / "model")))
        if action == "serve":
            serve(model, int(options["port"]))
        elif action == "evaluate":
            print(json.dumps(measure(model, list(read_rows(pathlib.Path(options["data"]))))))
        elif options.get("input"):
            for line in pathlib.Path(options["input"]).read_text("utf-8").splitlines():
                print(json.dumps({"record": 1, **predict_row(model, json.loads(line)["text"])}))
        else:
            print(predict(model, options["rest"][0]))
        return 0
    except Stopped:
        if not (base / "model/config.json").exists():
            print("stopped before there was a model", file=sys.stderr)
        return 143 if FAULT == "exits_143" else 0
    except Failed as error:
        return fail(base, str(error))
    except OSError as error:
        return fail(base, f"`{base / 'model'}`: {error}")


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Stopped:
        # The work was done.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: Python first removes its signal handlers, and a late SIGTERM would kill a job
    # that is done.
    os._exit(code)
