"""Prints an export of OpenTelemetry traces as JSON.

    traces.py FILE

FILE has the body of a request to /v1/traces. Prints {"resource": attributes, "spans": [...]}, the
spans in the order in which they were sent.
"""

import json
import pathlib
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def fields(span):
    assert span.start_time_unix_nano <= span.end_time_unix_nano
    return {
        "trace_id": span.trace_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "status": Status.StatusCode.Name(span.status.code),
        "attributes": attributes(span.attributes),
        "events": [event.name for event in span.events],
    }


(name,) = sys.argv[1:]
export = ExportTraceServiceRequest.FromString(pathlib.Path(name).read_bytes())
(spans,) = export.resource_spans
print(
    json.dumps(
        {
            "resource": attributes(spans.resource.attributes),
            "spans": [fields(span) for scope in spans.scope_spans for span in scope.spans],
        }
    )
)
