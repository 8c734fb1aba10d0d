"""Looks up a file of the cache with huggingface_hub.

    hub_cache.py CACHE REVISION

Prints JSON: `path` of `config.json` of `some/model`; null if it is not cached.
"""

import json
import sys

from huggingface_hub import try_to_load_from_cache


def main():
    cache, revision = sys.argv[1:]
    path = try_to_load_from_cache("some/model", "config.json", cache_dir=cache, revision=revision)
    print(json.dumps({"path": path}))


if __name__ == "__main__":
    main()
