"""Which files are generated, wholly or in part, and what each has to hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.docs.manifests import bundle_manifest, marketplace, plugin, registry_entry
from tests.docs.markdown import replace_blocks
from tests.docs.reference import BLOCKS
from tests.docs.variants import variants_page

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def _readme() -> str:
    return replace_blocks(README.read_text("utf-8"), {name: make() for name, make in BLOCKS.items()})


def _json(make: Callable[[], dict[str, Any]]) -> Callable[[], str]:
    return lambda: json.dumps(make(), indent=2, ensure_ascii=False) + "\n"


DOCUMENTS: dict[Path, Callable[[], str]] = {
    README: _readme,
    ROOT / "fixtures" / "site" / "VARIANTS.md": variants_page,
    ROOT / ".mcp" / "server.json": _json(registry_entry),
    ROOT / ".mcp" / "manifest.json": _json(bundle_manifest),
    ROOT / ".mcp" / ".claude-plugin" / "plugin.json": _json(plugin),
    ROOT / ".mcp" / ".claude-plugin" / "marketplace.json": _json(marketplace),
}


def rendered(path: Path) -> str:
    """The whole text that ``path`` has to hold now."""
    return DOCUMENTS[path]()
