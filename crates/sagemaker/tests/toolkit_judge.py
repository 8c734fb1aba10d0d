"""Reference side of toolkit_judge.rs: AWS's Python packages read the same files.

Needs `sagemaker-training`, `boto3` and `six`; the first without its dependencies (numpy, scipy,
gevent, paramiko), which its `environment` module does not import.

Reads one JSON request per line, writes one JSON response per line. The toolkit reads
SAGEMAKER_BASE_DIR, the layout, once at import.
"""

import importlib.metadata
import json
import re
import sys


def environment():
    """Returns hyperparameters decoded by the toolkit, and the SM_* variables it sets."""
    from sagemaker_training import environment

    job = environment.Environment()
    return {
        "hyperparameters": {k: text(v) for k, v in job.hyperparameters.items()},
        "variables": job.to_env_vars(),
        "leader": job.is_master,
    }


def text(value):
    """Returns the type of a decoded value and its texts."""
    if value is None:
        return ["none", []]
    if isinstance(value, bool):
        return ["bool", [str(value).lower()]]
    if isinstance(value, (int, float)):
        return ["number", [repr(value)]]
    if isinstance(value, list):
        return ["list", [v if isinstance(v, str) else json.dumps(v) for v in value]]
    if isinstance(value, dict):
        pairs = sorted(value.items())
        return ["map", [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in pairs]]
    return ["string", [value]]


def search(regexes, lines):
    """Returns the group matched by each regex on each line, or None."""
    return [[(re.search(r, line) or [None, None])[1] for line in lines] for r in regexes]


def limits(shapes):
    """Returns the limits of the service from the API model in botocore."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    metadata = {s: model.shape_for(s).metadata for s in shapes}
    return {s: [m.get("min"), m.get("max"), m.get("pattern")] for s, m in metadata.items()}


def matches(pattern, names):
    """Returns, for each name, whether the pattern of the service matches it fully."""
    return [re.fullmatch(pattern, name) is not None for name in names]


def versions():
    return {name: importlib.metadata.version(name) for name in ("sagemaker-training", "botocore")}


if __name__ == "__main__":
    calls = {f.__name__: f for f in (environment, search, limits, matches, versions)}
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(calls[name](*arguments)), flush=True)
