"""Asks a server as huggingface_hub's client asks an inference endpoint.

usage: huggingface_client.py URL TEXT...
URL is that of the route. Prints {"answers": [{label: score, of both labels}, of each text]}.
"""

import json
import sys

from huggingface_hub import InferenceClient

url, *texts = sys.argv[1:]
client = InferenceClient(model=url, timeout=60)
answers = [client.text_classification(text, top_k=2) for text in texts]
scores = [{row.label: row.score for row in answer} for answer in answers]
print(json.dumps({"answers": scores}))
