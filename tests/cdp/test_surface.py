"""What the driver shows to the outside."""

from types import ModuleType

from cdp_image_mcp import cdp
from cdp_image_mcp.cdp import errors


def test_the_surface_is_pinned() -> None:
    shown = {name for name, value in vars(cdp).items() if not isinstance(value, ModuleType) and name[0] != "_"}
    assert sorted(shown) == [
        "Bodies",
        "Browser",
        "CDPError",
        "Connection",
        "LaunchError",
        "LaunchOptions",
        "Node",
        "Page",
        "PlainWindow",
        "World",
        "attach",
        "find_browser",
        "launch",
        "live_streams",
        "open_plain",
        "socket_messages",
    ]


def test_every_error_is_of_one_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 15
    for kind in kinds:
        assert issubclass(kind, cdp.CDPError)
