"""transformers' pipeline behind LitServe with batching: a baseline of `transformer serve`.

    serve_litserve.py PORT

MODEL_DIR and THREADS are as in serve_transformers.py.
"""

import sys

import litserve
from serve_transformers import MAX_BATCH, classifier

# Seconds that a request waits for others.
BATCH_TIMEOUT = 0.01


class Api(litserve.LitAPI):
    def setup(self, device):
        self.classify = classifier()

    def decode_request(self, request):
        (text,) = request["inputs"]
        return text

    def predict(self, texts):
        return self.classify(list(texts))

    def encode_response(self, output):
        return [output]


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT, api_path="/invocations")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run("127.0.0.1", int(sys.argv[1]), log_level="error", generate_client_file=False)
