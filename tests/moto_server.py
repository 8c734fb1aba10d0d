"""AWS for the tests: moto's server with a layer that adds what moto lacks.

    python moto_server.py

Prints its URL, such as http://127.0.0.1:41234, and serves until stdin closes, so it ends with its
test. Training jobs have a life cycle (moto_jobs.py), all requests are recorded, and tests can order
faults:

    POST /_test/job       life cycle of jobs: SCRIPT in moto_jobs.py, and "prefix" of their names
    POST /_test/fault     {"operation": "CreateTrainingJob", "kind": "throttle", "times": 2,
                          "after": 0, "match": "text"}
    GET  /_test/requests  [{"operation", "method", "path", "query", "headers", "body"}, ...]
    POST /_test/forget    {}: forgets the requests and the faults
    POST /_test/registry  {"url": ...}: a real registry behind ECR, see moto_ecr.py

Kinds of faults: those of ANSWERS (an error, nothing is done), and
    drop_before  the connection ends, nothing is done
    drop_after   the connection ends, everything is done: a lost answer
    reset        half of the request's body is read, then the connection is reset
    cut          the answer ends after half of its body
    stall        {"seconds": 3}: a delayed answer
"""

import io
import json
import logging
import os
import re
import socket
import struct
import sys
import threading
import time
import uuid
from urllib.parse import parse_qs, parse_qsl

from moto.backends import get_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

import moto_ecr
from moto_jobs import Jobs

ACCOUNT = "123456789012"

# kind: (HTTP status, error code, message)
ANSWERS = {
    "throttle": (400, "ThrottlingException", "Rate exceeded"),
    "500": (500, "InternalFailure", "We encountered an internal error. Please try again."),
    "503": (503, "ServiceUnavailable", "Please reduce your request rate."),
    "expired": (
        400,
        "ExpiredTokenException",
        "The security token included in the request is expired",
    ),
    "invalid_token": (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    "signature": (
        403,
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method.",
    ),
    "skew": (
        403,
        "InvalidSignatureException",
        "Signature expired: 20261123T010000Z is now earlier than 20261123T034500Z "
        "(20261123T035000Z - 5 min.)",
    ),
    "denied": (
        400,
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: "
        "{service}:{operation} on resource: arn:aws:{service}:us-east-1:123456789012:* "
        "because no identity-based policy allows the {service}:{operation} action",
    ),
    "validation": (
        400,
        "ValidationException",
        "1 validation error detected: Value at 'x' failed to satisfy constraint: "
        "Member must not be null",
    ),
    "in_use": (
        400,
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region",
    ),
    "limit": (
        400,
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, "
        "with current utilization of 0 Instances and a request delta of 1 Instances. "
        "Please use AWS Service Quotas to request an increase for this quota.",
    ),
}
# Codes of S3 and of the query services for the same errors.
REST_CODES = {
    "throttle": (503, "SlowDown"),
    "500": (500, "InternalError"),
    "expired": (400, "ExpiredToken"),
    "invalid_token": (403, "InvalidAccessKeyId"),
    "signature": (403, "SignatureDoesNotMatch"),
    "skew": (403, "RequestTimeTooSkewed"),
    "denied": (403, "AccessDenied"),
}
QUERY_CODES = REST_CODES | {
    "throttle": (400, "Throttling"),
    "invalid_token": (403, "InvalidClientTokenId"),
}

# Larger bodies are not recorded. Bodies for S3 are never read in advance, so uploads are streamed.
RECORDED = 1 << 20


class Request:
    """The fields of a request that this layer uses."""

    def __init__(self, environ):
        self.environ = environ
        self.target = environ.get("HTTP_X_AMZ_TARGET", "")
        self.length = int(environ.get("CONTENT_LENGTH") or 0)
        self.form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
        scope = re.search(
            r"Credential=[^/]*/\d+/([^/]+)/([^/]+)/", environ.get("HTTP_AUTHORIZATION", "")
        )
        self.region, self.service = scope.groups() if scope else ("us-east-1", "s3")
        self.body = b""
        if (self.target or self.form) and self.length <= RECORDED:
            self.body = environ["wsgi.input"].read(self.length)
            environ["wsgi.input"] = io.BytesIO(self.body)
        self.operation = self.name()

    def name(self):
        if self.target:
            return self.target.rpartition(".")[2]
        if self.form:
            return dict(parse_qsl(self.body.decode())).get("Action", "")
        return s3_operation(self.environ)

    def json(self):
        return json.loads(self.body or b"{}")

    def record(self):
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in self.environ.items()
            if name.startswith("HTTP_")
        }
        text = self.body.decode(errors="replace")
        return {
            "service": self.service,
            "region": self.region,
            "operation": self.operation,
            "method": self.environ["REQUEST_METHOD"],
            "path": self.environ["PATH_INFO"],
            "query": self.environ.get("QUERY_STRING", ""),
            "headers": headers,
            "length": self.length,
            "body": json.loads(text) if self.target and text else text,
            "at": time.time(),
        }


def s3_operation(environ):
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    _, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    method = environ["REQUEST_METHOD"]
    if "uploads" in query:
        return {"POST": "CreateMultipartUpload", "GET": "ListMultipartUploads"}.get(method, method)
    if "uploadId" in query:
        names = {
            "PUT": "UploadPart",
            "POST": "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload",
            "GET": "ListParts",
        }
        return names.get(method, method)
    if key:
        return {
            "PUT": "PutObject",
            "GET": "GetObject",
            "HEAD": "HeadObject",
            "DELETE": "DeleteObject",
        }.get(method, method)
    if method == "GET" and "location" in query:
        return "GetBucketLocation"
    if method == "POST" and "delete" in query:
        return "DeleteObjects"
    return {
        "PUT": "CreateBucket",
        "GET": "ListObjectsV2",
        "HEAD": "HeadBucket",
        "DELETE": "DeleteBucket",
    }.get(method, method)


class Front:
    """The WSGI application."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.jobs = Jobs()
        self.lock = threading.Lock()
        self.requests = []
        self.faults = []
        self.registry = None

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"].startswith("/_test/"):
            return self.control(environ, start_response)
        request = Request(environ)
        with self.lock:
            self.requests.append(request.record())
            fault = self.due(request)
        if fault:
            return self.fail(fault, request, start_response)
        return self.serve(request, start_response)

    def due(self, request):
        """Returns the next ordered fault for this request, or None."""
        for fault in self.faults:
            if fault["operation"] not in (request.operation, "*"):
                continue
            if fault.get("match", "") not in request.environ["PATH_INFO"] + request.body.decode(
                errors="replace"
            ):
                continue
            if fault.get("after", 0) > 0:
                fault["after"] -= 1
            elif fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return None

    def fail(self, fault, request, start_response):
        kind = fault["kind"]
        if kind in ANSWERS:
            return error(kind, request, start_response)
        if kind == "drop_before":
            return drop(request)
        if kind == "drop_after":
            drain(self.serve(request, lambda *_: None))
            return drop(request)
        if kind == "reset":
            request.environ["wsgi.input"].read(request.length // 2)
            return drop(request, reset=True)
        if kind == "stall":
            time.sleep(fault.get("seconds", 3))
            return self.serve(request, start_response)
        if kind == "cut":
            whole = drain(self.serve(request, start_response))
            return Cut(whole[: len(whole) // 2], request)
        raise ValueError(kind)

    def serve(self, request, start_response):
        self.jobs.advance()
        own = (
            getattr(self, "on_" + request.operation, None)
            if request.service == "sagemaker"
            else None
        )
        if own:
            return own(request, start_response)
        app = self.moto.get_application(request.environ)
        if self.registry and request.operation == "GetAuthorizationToken":
            body = drain(app(request.environ, lambda *_: None))
            return answer(200, moto_ecr.with_endpoint(body, self.registry), start_response)
        if self.registry and request.operation == "DescribeImages":
            return answer(*moto_ecr.images(request.json(), ACCOUNT, self.registry), start_response)
        if request.operation == "ListParts":
            return list_parts(app, request, start_response)
        return app(request.environ, start_response)

    def on_CreateTrainingJob(self, request, start_response):
        wanted, key = request.json(), (ACCOUNT, request.region)
        with self.jobs.lock:
            life = self.jobs.get(key, wanted["TrainingJobName"])
            if life:
                text = (
                    "Training job names must be unique within an AWS account and region, and a "
                    f"training job with this name already exists ({life.job().arn})"
                )
                return answer(400, {"__type": "ResourceInUse", "Message": text}, start_response)
            app = self.moto.get_application(request.environ)
            status = []

            def keep(line, headers, *_):
                status.append(line)
                return start_response(line, headers)

            body = drain(app(request.environ, keep))
            if status[0].startswith("200"):
                self.jobs.create(key, wanted)
            return [body]

    def on_ListTrainingJobs(self, request, start_response):
        return answer(
            200, self.jobs.list((ACCOUNT, request.region), request.json()), start_response
        )

    def on_DescribeTrainingJob(self, request, start_response):
        if not self.jobs.get((ACCOUNT, request.region), request.json()["TrainingJobName"]):
            return answer(
                400,
                {"__type": "ValidationException", "message": "Requested resource not found."},
                start_response,
            )
        return self.moto.get_application(request.environ)(request.environ, start_response)

    def on_StopTrainingJob(self, request, start_response):
        life = self.jobs.get((ACCOUNT, request.region), request.json()["TrainingJobName"])
        if not life:
            return answer(
                400,
                {"__type": "ValidationException", "message": "Requested resource not found."},
                start_response,
            )
        if life.ended or life.stopped is not None:
            status = life.job().training_job_status
            text = f"The request was rejected because the training job is in status {status}."
            return answer(400, {"__type": "ValidationException", "message": text}, start_response)
        life.stop()
        self.jobs.advance()
        return answer(200, {}, start_response)

    def control(self, environ, start_response):
        what = environ["PATH_INFO"].removeprefix("/_test/")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        settings = json.loads(body or b"{}")
        with self.lock:
            if what == "requests":
                return answer(200, {"requests": self.requests}, start_response)
            if what == "job":
                self.jobs.script(settings)
            elif what == "fault":
                self.faults.append(settings)
            elif what == "registry":
                self.registry = settings["url"]
            elif what == "forget":
                self.requests.clear()
                self.faults.clear()
            else:
                return answer(404, {}, start_response)
        return answer(200, {}, start_response)


def list_parts(app, request, start_response):
    """Renames the root of the answer from moto 5.2.5's ListPartsResponse to S3's ListPartsResult.

    The Rust SDK requires it.
    """
    started = []
    body = drain(app(request.environ, lambda *args: started.append(args))).replace(
        b"ListPartsResponse", b"ListPartsResult"
    )
    status, headers = started[0][:2]
    headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]


class Cut:
    """An answer whose connection is closed after half of its body."""

    def __init__(self, half, request):
        self.half, self.request = half, request

    def __iter__(self):
        yield self.half
        drop(self.request)


def drain(body):
    try:
        return b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


def drop(request, reset=False):
    connection = request.environ["werkzeug.socket"]
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    else:
        connection.shutdown(socket.SHUT_RDWR)
    # Werkzeug treats this as a client that has disconnected.
    raise ConnectionResetError


def answer(status, value, start_response):
    body = json.dumps(value).encode()
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))]
    start_response(f"{status} x", [*headers, ("x-amzn-RequestId", str(uuid.uuid4()))])
    return [body]


def error(kind, request, start_response):
    status, code, message = ANSWERS[kind]
    message = message.format(service=request.service, operation=request.operation)
    if request.target:
        return answer(status, {"__type": code, "message": message}, start_response)
    status, code = (QUERY_CODES if request.form else REST_CODES).get(kind, (status, code))
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    text = (
        f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"
        if request.form
        else f"<Error>{inner}</Error>"
    )
    body = b"" if request.environ["REQUEST_METHOD"] == "HEAD" else text.encode()
    # An unread body would reset the connection before the client has read the answer.
    if not request.body:
        request.environ["wsgi.input"].read(request.length)
    start_response(
        f"{status} x", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    )
    return [body]


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # moto creates clients for some services; they must not search for credentials.
    os.environ.update(
        AWS_ACCESS_KEY_ID="moto", AWS_SECRET_ACCESS_KEY="moto", AWS_EC2_METADATA_DISABLED="true"
    )
    for service in ("sagemaker", "logs", "s3"):
        get_backend(service)
    server = make_server("127.0.0.1", 0, Front(), threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
