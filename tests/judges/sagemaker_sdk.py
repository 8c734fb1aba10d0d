"""Trains an image in the local mode of the sagemaker Python SDK, and deploys and unpacks the model.

usage: sagemaker_sdk.py IMAGE DATA.csv FOLDER HYPERPARAMETERS.json TEXTS.json
Prints {"model": {name: sha256}, "answers": the endpoint's answers to the texts}.
FOLDER/output/model.tar.gz is the SDK's.
"""

import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile

# The SDK logs to stdout, also while it is imported.
sys.stdout, stdout = sys.stderr, sys.stdout

image, data, folder, hyperparameters, texts = sys.argv[1:]
folder = pathlib.Path(folder).resolve()
folder.mkdir(parents=True, exist_ok=True)
# No telemetry and no requests to AWS, so dummy credentials are enough.
config = folder / "config.yaml"
config.write_text(
    "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
)
os.environ.update(
    SAGEMAKER_USER_CONFIG_OVERRIDE=str(config),
    AWS_DEFAULT_REGION="eu-west-1",
    AWS_ACCESS_KEY_ID="nobody",
    AWS_SECRET_ACCESS_KEY="nothing",
    AWS_EC2_METADATA_DISABLED="true",
)

from sagemaker.deserializers import JSONDeserializer  # reads the variables when it is loaded
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer

channel = folder / "data"
channel.mkdir()
shutil.copy(data, channel)
scratch = folder / "scratch"
scratch.mkdir()
session = LocalSession()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
session.config = {
    "local": {"local_code": True, "container_root": str(scratch), "serving_port": port}
}
role = "arn:aws:iam::000000000000:role/nobody"
estimator = Estimator(
    image_uri=image,
    role=role,
    instance_count=1,
    instance_type="local",
    output_path=f"file://{folder / 'output'}",
    hyperparameters=json.loads(hyperparameters),
    sagemaker_session=session,
)
try:
    estimator.fit({"train": f"file://{channel}"})
    hosted = Model(
        image_uri=image,
        model_data=f"file://{folder / 'output' / 'model.tar.gz'}",
        role=role,
        predictor_cls=Predictor,
        sagemaker_session=session,
    )
    predictor = hosted.deploy(
        initial_instance_count=1,
        instance_type="local",
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
    )
    try:
        answers = predictor.predict({"inputs": json.loads(texts)})
    finally:
        predictor.delete_endpoint()
finally:
    # The SDK does not remove its container. Its network `sagemaker-local` is shared by all jobs.
    listed = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", f"ancestor={image}"],
        check=True,
        capture_output=True,
        text=True,
    )
    for container in listed.stdout.split():
        subprocess.run(
            ["docker", "rm", "--force", "--volumes", container], check=True, stdout=sys.stderr
        )

archive = folder / "output" / "model.tar.gz"
with tarfile.open(archive) as tar:
    model = {
        member.name.removeprefix("./"): hashlib.sha256(tar.extractfile(member).read()).hexdigest()
        for member in tar
        if member.isfile()
    }
print(json.dumps({"model": model, "answers": answers}), file=stdout)
