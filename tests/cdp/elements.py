"""Elements of a page by their selector, in a world of the test's own."""

import json

from cdp_image_mcp.cdp import Node, Page, World

__all__ = ["element", "focus", "looking_into"]


async def looking_into(page: Page) -> World:
    """A world of ours in the present document, with a function to tell by."""
    world = World(page, "test", binding="report")
    await world.make()
    return world


async def element(page: Page, selector: str) -> Node:
    """The first one; one that is not there fails the test."""
    found = await (await looking_into(page)).node(f"document.querySelector({json.dumps(selector)})")
    assert found is not None, f"no {selector}"
    return found


async def focus(node: Node) -> None:
    """Give it the keyboard."""
    assert await node.call("function() { this.focus(); return this.getRootNode().activeElement === this; }", reply=bool)
