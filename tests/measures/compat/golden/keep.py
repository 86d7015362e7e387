"""How a producer keeps a peer's numbers: one JSON file with the versions that made them."""

from __future__ import annotations

import json
import math
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def number(value: Any) -> Any:
    """A float that JSON can hold; what is not finite is kept as its name."""
    if value is None:
        return None
    value = float(value)
    return value if math.isfinite(value) else repr(value)


def keep(peer: str, results: dict[str, Any], *, also: list[str] = ()) -> None:
    """Write ``<peer>.json`` beside this file."""
    versions = {"python": platform.python_version()}
    for name in [peer, "numpy", "pandas", *also]:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    document = {
        "peer": peer,
        "versions": versions,
        "script": f"produce_{peer.split('-')[0]}.py",
        "results": results,
    }
    path = Path(__file__).with_name(f"{peer.split('-')[0]}.json")
    path.write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n")
    print(path.name, len(results), "cases")
