"""AWS for the README's commands: moto, a registry behind ECR, the README's bucket and role."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TESTS = pathlib.Path(__file__).resolve().parent
SETUP = """
import boto3
boto3.client("s3").create_bucket(Bucket="my-bucket")
import json
trust = json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow",
    "Principal": {"Service": "sagemaker.amazonaws.com"},
    "Action": "sts:AssumeRole",
}]})
iam = boto3.client("iam")
iam.create_role(RoleName="trainyard-execution", AssumeRolePolicyDocument=trust)
"""


@contextlib.contextmanager
def aws():
    """Starts the servers. Yields the environment variables for commands."""
    python = os.environ.get("TRAINYARD_AWS_PYTHON")
    if not python:
        sys.exit(
            "error: `TRAINYARD_AWS_PYTHON` is not set\n"
            "help: set it to the output of `. tests/venv.sh; make_venv tests/aws-requirements.txt`"
        )
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="trainyard-readme-aws-"))
        )
        server = subprocess.Popen(
            [python, "-B", TESTS / "moto_server.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(server.wait)
        stack.callback(server.kill)
        url = server.stdout.readline().strip()
        variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "readme",
            "AWS_SECRET_ACCESS_KEY": "readme",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # The user's profiles and endpoints are not used.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        control(url, "registry", {"url": start_registry(stack, folder)})
        subprocess.run(
            [python, "-B", "-c", SETUP], check=True, env={"PATH": os.environ["PATH"], **variables}
        )
        yield variables


def control(url, what, value):
    request = urllib.request.Request(
        f"{url}/_test/{what}", data=json.dumps(value).encode(), method="POST"
    )
    urllib.request.urlopen(request, timeout=30).close()


def start_registry(stack, folder):
    """Starts a registry without authentication. Returns its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "registry.yml"
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "storage": {"filesystem": {"rootdirectory": str(folder / "store")}},
                "http": {"addr": address},
            }
        )
    )
    program = shutil.which("docker-registry") or sys.exit(
        "error: no `docker-registry`\nhelp: `./test` installs it"
    )
    with open(folder / "registry.log", "wb") as log:
        registry = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
    stack.callback(registry.wait)
    stack.callback(registry.kill)
    for _ in range(100):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
            return f"http://{address}"
        time.sleep(0.1)
    sys.exit(f"error: docker-registry does not answer\n{(folder / 'registry.log').read_text()}")
