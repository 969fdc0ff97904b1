"""A driver for Chrome, Edge, Chromium and Brave over the raw DevTools protocol. It knows nothing of any site."""

from .bodies import Bodies as Bodies
from .connection import Connection as Connection
from .errors import CDPError as CDPError
from .errors import LaunchError as LaunchError
from .launching.browser import Browser as Browser
from .launching.discovery import find_browser as find_browser
from .launching.launcher import attach as attach
from .launching.launcher import launch as launch
from .launching.options import LaunchOptions as LaunchOptions
from .launching.plain import PlainWindow as PlainWindow
from .launching.plain import open_plain as open_plain
from .page import Page as Page
from .streams import live_streams as live_streams
from .streams import socket_messages as socket_messages
from .world import Node as Node
from .world import World as World
