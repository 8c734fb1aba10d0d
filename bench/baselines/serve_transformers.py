"""transformers' pipeline behind FastAPI: a baseline of `transformer serve`.

uvicorn runs `serve_transformers:fastapi_app`. MODEL_DIR is a folder that `from_pretrained` opens,
THREADS the number of PyTorch's threads.
"""

import os

# The model is a folder, so the hub is not contacted.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
MAX_BATCH = 32


def classifier():
    """Returns a function from texts to labels with probabilities."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(int(os.environ["THREADS"]))
    classify = pipeline("text-classification", model=os.environ["MODEL_DIR"], device="cpu")
    return lambda texts: classify(texts, batch_size=MAX_BATCH, truncation=True)


def fastapi_app():
    import serve_fastapi

    return serve_fastapi.app(classifier())
