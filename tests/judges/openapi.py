"""Sends the requests that schemathesis makes from the OpenAPI document of a server.

    openapi.py URL PATHS

PATHS is a regular expression of the tested paths. Requests are valid or broken in one place. Fails
if an answer is a 5xx or differs from the document. Writes to the current folder.
"""

import sys

import schemathesis
from schemathesis.cli import schemathesis as command

# Left out are the checks that all valid requests are accepted and all others are not: a record may
# lack a text, which has an error in the place of its answer.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
]


@schemathesis.serializer("application/jsonlines")
def json_lines(_, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


url, paths = sys.argv[1:]
options = "--no-color --seed 18 --max-examples 10 --phases examples,coverage,fuzzing"
command(
    [
        "run",
        f"{url}/openapi.json",
        *options.split(),
        *"--generation-database none --request-timeout 60".split(),
        "--include-path-regex",
        paths,
        "--checks",
        ",".join(CHECKS),
    ]
)
