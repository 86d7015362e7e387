"""The browser's chart library: taken out of ``vl-convert-python`` once, and kept.

Bundling takes about a second, so the result is kept in a file of the user's cache folder, named by the versions
inside it. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bundle:
    """The script, compressed, and the digest that its address carries."""

    gzipped: bytes
    digest: str

    @property
    def script(self) -> bytes:
        """The script itself."""
        return gzip.decompress(self.gzipped)


@cache
def vega_bundle() -> Bundle:
    """Vega, Vega-Lite and Vega-Embed as one script that sets ``window.vegaEmbed``."""
    import vl_convert

    name = "-".join(
        (
            "vega",
            vl_convert.get_vega_version(),
            vl_convert.get_vegalite_versions()[-1],
            vl_convert.get_vega_embed_version(),
        )
    )
    file = _cache_folder() / f"{name}.js.gz"
    kept = _read(file)
    if kept is None:
        script = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;").encode()
        kept = gzip.compress(script, 9, mtime=0)
        _keep(file, kept)
    return Bundle(kept, hashlib.sha256(kept).hexdigest()[:16])


def _read(file: Path) -> bytes | None:
    """The kept bytes, if they are whole: a cut-off file is made anew."""
    try:
        kept = file.read_bytes()
        return kept if b"window.vegaEmbed=" in gzip.decompress(kept) else None
    except (OSError, EOFError, ValueError):
        return None


def _keep(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            part.write(content)
        os.replace(part.name, file)
    except OSError:
        return  # a home that cannot be written costs a second at each start


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "watchkeeper"
