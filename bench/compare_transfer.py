#!/usr/bin/env python3
"""Compares `trainyard upload` and `download` with `aws s3 cp --recursive`, in the same run.

    bench/compare_transfer.py --out bench/runs/DATE-MACHINE-transfer
        [--pairs 5] [--files 100] [--megabytes 10]

There are two servers on 127.0.0.1: moto, which is slow and used by the tests, and s3_stand_in.py,
which discards uploads and serves one buffer, so that only the clients are measured. Each pair runs
both clients, the first one alternating; every run has a new server and an empty target. Ratios are
within a pair.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from measure import cpu_model, load, measured, median, memory_bytes, require_commit, venv

CLIENTS = ["trainyard", "aws"]
WORK = ["upload", "download"]


class Server:
    """A child process that prints its URL and ends when its standard input closes."""

    def __init__(self, command):
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self.child.stdout.readline().strip()
        if not self.url.startswith("http://"):
            sys.exit(f"error: the server does not start: {command}")

    def __enter__(self):
        os.environ["AWS_ENDPOINT_URL"] = self.url
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def command(client, work, python, source, target):
    folder, url = (source, "s3://bucket/data") if work == "upload" else (target, "s3://bucket/data")
    ends = [folder, url] if work == "upload" else [url, folder]
    if client == "trainyard":
        return [ROOT / "target/release/trainyard", work, "--json", *ends]
    return [python, "-m", "awscli", "s3", "cp", "--recursive", "--only-show-errors", *ends]


def same(source, target):
    for path in source.iterdir():
        if path.read_bytes() != (target / path.name).read_bytes():
            sys.exit(f"error: {path.name} differs after the transfer")


def one(server, client, aws, aws_python, source, folder):
    """Measures upload and download of one client with a new server."""
    results = {}
    with Server(server["command"]):
        if server["name"] == "moto":
            make = "import boto3; boto3.client('s3').create_bucket(Bucket='bucket')"
            subprocess.run([aws_python, "-c", make], check=True)
        target = folder / "target"
        for work in WORK:
            os.sync()
            result = measured(command(client, work, aws, source, target))
            result.pop("stdout")
            results[work] = result | {
                "server": server["name"],
                "client": client,
                "work": work,
                "load": load(),
            }
            print(
                f"  {server['name']:9} {work:9} {client:10} {result['wall_seconds']:7.2f} s wall "
                f"{result['cpu_seconds']:6.2f} s cpu {result['peak_bytes'] / 1e6:7.1f} MB",
                flush=True,
            )
        if server["name"] == "moto":
            same(source, target)
        shutil.rmtree(target)
    return results


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=10)
    args = parser.parse_args()
    require_commit(args.out)
    aws, aws_python = venv("bench/transfer-requirements.txt"), venv("tests/aws-requirements.txt")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    size = args.megabytes * 1_000_000
    servers = [
        {"name": "moto", "command": [aws_python, "-B", ROOT / "tests/moto_server.py"]},
        {
            "name": "stand-in",
            "command": [sys.executable, ROOT / "bench/s3_stand_in.py", str(args.files), str(size)],
        },
    ]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = folder / "source"
        source.mkdir()
        for number in range(args.files):
            (source / f"{number:03}").write_bytes(os.urandom(size))
        for pair in range(args.pairs):
            order = CLIENTS if pair % 2 == 0 else CLIENTS[::-1]
            for server in servers:
                for client in order:
                    for result in one(server, client, aws, aws_python, source, folder).values():
                        runs.append(result | {"pair": pair})
    write(args, runs)


def write(args, runs):
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / "raw.jsonl", "w") as out:
        out.writelines(json.dumps(run) + "\n" for run in runs)
    lines = [
        "# Transfers: trainyard beside the AWS CLI",
        "",
        f"{args.files} files of {args.megabytes} MB, {args.pairs} pairs; "
        f"{cpu_model()}, {os.cpu_count()} cores, {memory_bytes() / 2**30:.0f} GiB. Medians; "
        "the ratio is trainyard / aws, median and worst of the pairs. "
        "`load` is the machine's, with client and server.",
        "",
        "| server | work | trainyard s | aws s | ratio | worst | trainyard CPU s | aws CPU s "
        "| trainyard peak MB | aws peak MB | load |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for server in ["moto", "stand-in"]:
        for work in WORK:
            of = {
                client: sorted(
                    (
                        run
                        for run in runs
                        if (run["server"], run["work"], run["client"]) == (server, work, client)
                    ),
                    key=lambda run: run["pair"],
                )
                for client in CLIENTS
            }
            ratios = [
                ours["wall_seconds"] / theirs["wall_seconds"]
                for ours, theirs in zip(of["trainyard"], of["aws"])
            ]
            cells = [
                median(of[client], key)
                for key in ["wall_seconds", "cpu_seconds"]
                for client in CLIENTS
            ]
            peaks = [max(run["peak_bytes"] for run in of[client]) / 1e6 for client in CLIENTS]
            loads = statistics.median(run["load"] for client in CLIENTS for run in of[client])
            lines.append(
                f"| {server} | {work} | {cells[0]:.2f} | {cells[1]:.2f} "
                f"| {statistics.median(ratios):.2f} | {max(ratios):.2f} "
                f"| {cells[2]:.2f} | {cells[3]:.2f} | {peaks[0]:.0f} | {peaks[1]:.0f} "
                f"| {loads:.1f} |"
            )
    lines += [
        "",
        f"Made by `bench/compare_transfer.py --pairs {args.pairs} --files {args.files} "
        f"--megabytes {args.megabytes} --out DIR`.",
    ]
    (args.out / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
