"""``doctor --probe``: whether each role is found on the present page. Nothing is typed and nothing is sent."""

from typing import Any

from cdp_image_mcp.chatgpt.window.tab import Tab

__all__ = ["probe_roles"]

AT_REST = ("composer", "composer_form", "file_input", "attach_menu", "signed_in")
"""Roles that a signed-in home page shows by itself."""
CLASSIC_ALONE = ("new_chat",)
"""Roles of the classic page that the rebuilt one has no known locator for; without it the home address is opened."""
WITH_TEXT = ("send",)
"""Roles that exist only once there is text (the classic page shows a voice control instead)."""
IN_A_TURN = ("stop", "turn", "user_part", "picture", "drawing")
"""Roles that exist only in a conversation."""

ALIVE_SECONDS = 15.0
"""Longest wait for the page's script to take over: before that half of the roles are not there yet."""


async def probe_roles(tab: Tab) -> list[tuple[str, bool, str]]:
    """(role, found or not to be expected here, how) for each role of the way through."""
    alive = f"() => {list(AT_REST)}.every((role) => witness.has(role))"
    await tab.eye.ask(
        f"witness.until({alive}, {ALIVE_SECONDS * 1000}).then(Boolean)",
        reply=bool,
        timeout=ALIVE_SECONDS + 10,
    )
    rows: list[tuple[str, bool, str]] = []
    for role in (*AT_REST, *CLASSIC_ALONE, *WITH_TEXT, *IN_A_TURN):
        tried: list[dict[str, Any]] = await tab.eye.ask(f"witness.explain('{role}')", reply=list[dict[str, Any]])
        hit = next((one for one in tried if one["found"]), None)
        if hit is not None:
            unique = "" if hit["found"] == 1 else f" ({hit['found']} of them)"
            rows.append((role, True, f"by {hit['css']}{unique}"))
        elif role in AT_REST:
            rows.append((role, False, f"none of {len(tried)} locators finds it"))
        else:
            rows.append((role, True, f"not on this page; expected only {_where(role)}"))
    return rows


def _where(role: str) -> str:
    if role in CLASSIC_ALONE:
        return "on the classic page"
    return "once there is text" if role in WITH_TEXT else "in a conversation"
