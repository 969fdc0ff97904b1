"""A driver for Chrome, Edge, Chromium and Brave over the raw DevTools protocol. It knows nothing of any site."""

from .bodies import Bodies, Body, Request
from .connection import Connection, connect
from .errors import CDPError, LaunchError
from .launching.browser import Browser
from .launching.discovery import FoundBrowser, find_browser
from .launching.launcher import attach, launch
from .launching.options import LaunchOptions
from .launching.plain import PlainWindow, open_plain
from .page import Page
from .session import Event, Session
from .streams import live_streams, socket_messages
from .window import Window, WindowReport
from .world import Node, World

__all__ = [
    "Bodies",
    "Body",
    "Browser",
    "CDPError",
    "Connection",
    "Event",
    "FoundBrowser",
    "LaunchError",
    "LaunchOptions",
    "Node",
    "Page",
    "PlainWindow",
    "Request",
    "Session",
    "Window",
    "WindowReport",
    "World",
    "attach",
    "connect",
    "find_browser",
    "launch",
    "live_streams",
    "open_plain",
    "socket_messages",
]
