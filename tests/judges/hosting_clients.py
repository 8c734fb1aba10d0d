"""Asks a server on this machine as the sagemaker Python SDK asks an endpoint of its local mode.

usage: hosting_clients.py PORT TEXTS.json
Prints the answers to the texts by each pair of a serializer and a deserializer:
{"JSONSerializer JSONDeserializer": ..., ...}.
"""

import json
import sys
import types

# The SDK logs to stdout, also while it is imported.
sys.stdout, stdout = sys.stderr, sys.stdout

from sagemaker import deserializers, serializers
from sagemaker.local.local_session import LocalSagemakerRuntimeClient
from sagemaker.predictor import Predictor

port, texts = int(sys.argv[1]), json.loads(sys.argv[2])
# All of a session that `predict` uses. A real one needs a region and credentials.
session = types.SimpleNamespace(
    sagemaker_runtime_client=LocalSagemakerRuntimeClient({"local": {"serving_port": port}})
)
bodies = [
    (serializers.JSONSerializer(), {"instances": texts}),
    (serializers.JSONLinesSerializer(), [{"text": text} for text in texts]),
    (serializers.CSVSerializer(), [[text] for text in texts]),
]
readers = [
    deserializers.JSONDeserializer(),
    deserializers.JSONLinesDeserializer(),
    deserializers.CSVDeserializer(),
]
results = {}
for serializer, body in bodies:
    for reader in readers:
        predictor = Predictor("local", session, serializer, reader)
        pair = f"{type(serializer).__name__} {type(reader).__name__}"
        results[pair] = predictor.predict(body)
print(json.dumps(results), file=stdout)
