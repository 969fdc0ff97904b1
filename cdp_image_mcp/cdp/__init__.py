"""A driver for Chrome, Edge, Chromium and Brave over the raw DevTools protocol. It knows nothing of any site.

::

    from cdp_image_mcp import cdp
    from cdp_image_mcp.cdp import keyboard_mouse

    options = cdp.LaunchOptions(browser=cdp.find_browser(), profile=Path("/abs/profile"), mode="headless")
    async with cdp.launch(options) as browser:
        async with await cdp.Page.create(browser.connection) as page:
            bodies = await cdp.Bodies.start(page)                    # before the navigation
            async with cdp.live_streams(page, lambda request: "/stream" in request.url) as streams:
                await page.navigate("http://127.0.0.1:8000/")
                world = cdp.World(page, "watch", binding="report")
                await world.make()
                with world.messages() as messages, bodies.watch(lambda r: r.mime_type.startswith("image/")) as images:
                    await world.evaluate(SCRIPT)
                    editor = await world.node("document.querySelector('[contenteditable]')")
                    await keyboard_mouse.click(editor)
                    await keyboard_mouse.insert_text(page, "a picture of a cat")
                    await keyboard_mouse.press(page, "Enter")
                    stream = await streams.next(timeout=10)
                    async for chunk in stream:
                        ...
                    text = await messages.next(timeout=10)
                    request = await images.next(timeout=60)
                    body = await bodies.read(request)                # body.data, body.way
"""

from .bodies import Bodies, Body, Request
from .connection import Connection, connect
from .errors import CDPError, LaunchError
from .launching.browser import Browser
from .launching.discovery import FoundBrowser, find_browser
from .launching.launcher import attach, launch
from .launching.options import LaunchOptions
from .launching.plain import PlainWindow, open_plain
from .page import Page
from .session import Event, Session, Subscription
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
    "Subscription",
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
