"""The FastAPI application of both baselines."""

from fastapi import FastAPI
from pydantic import BaseModel


class Request(BaseModel):
    inputs: list[str]


def app(classify):
    """`classify`: function from texts to the answer."""
    app = FastAPI()

    @app.get("/ping")
    def ping():
        return None

    # Not `async`: FastAPI runs it in a thread, so that other requests are accepted meanwhile.
    @app.post("/invocations")
    def invocations(request: Request):
        return classify(request.inputs)

    return app
