"""The judge's side: what AWS's own Python packages make of our files.

Needs `sagemaker-training`, `boto3` and `six`; the first without its dependencies (numpy, scipy,
gevent, paramiko), which its `environment` module does not import.

Reads one JSON request per line, writes one JSON answer per line. SAGEMAKER_BASE_DIR is the layout,
and the toolkit reads it once, at import.
"""

import importlib.metadata
import json
import re
import sys


def environment():
    """Hyperparameters as the toolkit decodes them, and the SM_* variables it would set."""
    from sagemaker_training import environment

    job = environment.Environment()
    return {
        "hyperparameters": {k: text(v) for k, v in job.hyperparameters.items()},
        "variables": job.to_env_vars(),
        "leader": job.is_master,
    }


def text(value):
    """A decoded value's kind and its texts."""
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
    """What Python's `re` finds: the group's text for each regex and line, or None."""
    return [[(re.search(r, line) or [None, None])[1] for line in lines] for r in regexes]


def limits(shapes):
    """The service's own limits, from the API model in botocore."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    metadata = {s: model.shape_for(s).metadata for s in shapes}
    return {s: [m.get("min"), m.get("max"), m.get("pattern")] for s, m in metadata.items()}


def matches(pattern, names):
    """Which names the service's pattern accepts as a whole."""
    return [re.fullmatch(pattern, name) is not None for name in names]


def versions():
    return {name: importlib.metadata.version(name) for name in ("sagemaker-training", "botocore")}


if __name__ == "__main__":
    calls = {f.__name__: f for f in (environment, search, limits, matches, versions)}
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(calls[name](*arguments)), flush=True)
