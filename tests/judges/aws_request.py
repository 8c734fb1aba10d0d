"""Checks a request against the API model of AWS that botocore contains.

    aws_request.py FILE

FILE: {"operation": "SageMaker.CreateTrainingJob", "body": {...}}. Prints {"violations": [...]}:
unknown and missing members, types, enumerations, lengths, ranges and patterns.
"""

import json
import re
import sys

import botocore.session
from botocore.validate import ParamValidator


def service_model(target):
    session = botocore.session.get_session()
    model = session.get_service_model(target.partition(".")[0].lower())
    return model.operation_model(target.partition(".")[2])


def python_pattern(pattern):
    """Translates Java's character classes to Python's; `\\w` is letters, digits and `_`."""
    for name, ours in ((r"\p{L}", r"\w"), (r"\p{N}", r"\d"), (r"\p{Z}", " \u00a0"), (r"\p{M}", "")):
        pattern = pattern.replace(name, ours)
    return pattern


def walk(shape, value, path):
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from walk(shape.members[name], inner, f"{path}.{name}")
    elif shape.type_name == "list":
        yield from size(shape, len(value), path)
        for number, inner in enumerate(value):
            yield from walk(shape.member, inner, f"{path}[{number}]")
    elif shape.type_name == "map":
        yield from size(shape, len(value), path)
        for key, inner in value.items():
            yield from walk(shape.key, key, f"{path} key {key!r}")
            yield from walk(shape.value, inner, f"{path}.{key}")
    elif shape.type_name == "string":
        yield from size(shape, len(value), path)
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(python_pattern(pattern), value):
            yield f"{path}: {value!r} does not match {pattern}"
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value!r} is none of {shape.enum}"
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from size(shape, value, path)


def size(shape, number, path):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and number < least:
        yield f"{path}: {number} is less than {least}"
    if most is not None and number > most:
        yield f"{path}: {number} is more than {most}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    shape = service_model(request["operation"]).input_shape
    report = ParamValidator().validate(request["body"], shape)
    violations = (
        report.generate_report().splitlines()
        if report.has_errors()
        else list(walk(shape, request["body"], ""))
    )
    print(json.dumps({"violations": violations}))


main()
