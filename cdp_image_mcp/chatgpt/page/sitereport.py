"""What of the page is understood: which role is looked for, what is tried, and the page's bare structure.

The report holds tags, roles, test ids and sizes. No text, no names, no addresses: it may be shown to anybody.
"""

from typing import Any

from cdp_image_mcp.cdp.errors import CDPError
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import ImageError

AT_REST = ("composer", "composer_form", "file_input", "attach_menu", "signed_in")
"""Roles that a signed-in home page shows by itself."""
ELSEWHERE = {
    # The rebuilt page has no known locator for it; without it the home address is opened.
    "new_chat": "on the classic page",
    # The classic page shows a voice control instead.
    "send": "once there is text",
    **dict.fromkeys(("stop", "turn", "user_part", "picture", "drawing"), "in a conversation"),
}
"""Roles of the way through that it need not show, and where they are."""
ALIVE_SECONDS = 15.0
"""Longest wait for the page's script to take over: before that half of the roles are not there yet."""
STRUCTURE = """
(() => {
  const seen = [];
  const plain = (value) => (value && /^[A-Za-z_:-]{1,60}$/.test(value) ? value : value ? '…' : undefined);
  for (const element of document.querySelectorAll('main, form, dialog, [role], [data-testid], button, input, textarea,'
      + ' [contenteditable], img, canvas, video, iframe, h1, h2, h3, h4')) {
    if (seen.length >= 400) break;
    if (element.closest('nav, aside')) continue;
    const box = element.getBoundingClientRect();
    seen.push({
      tag: element.tagName.toLowerCase(), role: plain(element.getAttribute('role')),
      test: plain((element.getAttribute('data-testid') || '').replace(/[0-9a-f-]{8,}|[0-9]+/g, '') || null),
      id: plain(element.id), type: plain(element.getAttribute('type')),
      hidden: element.closest('[hidden], [aria-hidden=true]') !== null || undefined,
      editable: element.isContentEditable || undefined,
      box: [Math.round(box.x), Math.round(box.y), Math.round(box.width), Math.round(box.height)],
      attributes: element.getAttributeNames().filter((name) => name.startsWith('data-')).slice(0, 12),
    });
  }
  return {view: [innerWidth, innerHeight], language: document.documentElement.lang, elements: seen};
})()
"""


async def page_structure(tab: Tab) -> dict[str, Any] | None:
    """The page's structure without any text; None when it cannot be looked at now."""
    try:
        return await tab.eye.ask(STRUCTURE, reply=dict[str, Any], timeout=10)
    except CDPError:
        return None


async def role_not_found(tab: Tab, role: str) -> ImageError:
    """The error for a role that no locator finds, naming each and what it matched."""
    try:
        tried: list[dict[str, Any]] = await tab.eye.ask(f"witness.explain({quoted(role)})", reply=list[dict[str, Any]])
    except CDPError:
        tried = []
    listed = "; ".join(f"{one['css']} {_result(one)}" for one in tried)
    return ImageError(
        "site_changed",
        f"The page's {role.replace('_', ' ')} was not found, or not just one of it. Tried: {listed or 'nothing'}.",
        details={"role": role, "tried": tried, "page_structure": await page_structure(tab)},
    )


def _result(tried: dict[str, Any]) -> str:
    if tried.get("unread"):
        return "is no selector that this browser can read (is it in CHATGPT_SITE_FILE?)"
    return f"matched {tried['found']}"


async def probe_roles(tab: Tab) -> list[tuple[str, bool, str]]:
    """(role, found or not to be expected here, how) for each role of the way through."""
    await tab.eye.until(f"{list(AT_REST)}.every((role) => witness.has(role))", ALIVE_SECONDS)
    rows: list[tuple[str, bool, str]] = []
    for role in (*AT_REST, *ELSEWHERE):
        tried: list[dict[str, Any]] = await tab.eye.ask(f"witness.explain('{role}')", reply=list[dict[str, Any]])
        hit = next((one for one in tried if one["found"]), None)
        if hit is not None:
            unique = "" if hit["found"] == 1 else f" ({hit['found']} of them)"
            rows.append((role, True, f"by {hit['css']}{unique}"))
        elif role in AT_REST:
            rows.append((role, False, f"none of {len(tried)} locators finds it"))
        else:
            rows.append((role, True, f"not on this page; expected only {ELSEWHERE[role]}"))
    rows += [(f"{one.role} locator", False, str(one)) for one in tab.eye.unread]
    return rows
