"""A driver for Chrome, Edge, Chromium and Brave over the raw DevTools protocol. It knows nothing of any site."""

from .bodies import Bodies
from .connection import Connection
from .errors import CDPError, LaunchError
from .launching.browser import Browser
from .launching.discovery import find_browser
from .launching.launcher import attach, launch
from .launching.options import LaunchOptions
from .launching.plain import PlainWindow, open_plain
from .page import Page
from .streams import live_streams, socket_messages
from .world import Node, World

__all__ = [
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
