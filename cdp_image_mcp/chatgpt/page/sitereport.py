"""When the page is not understood: which role was looked for, what was tried, and the page's bare structure.

The report holds tags, roles, test ids and sizes. No text, no names, no addresses: it may be shown to anybody.
"""

from typing import Any

from cdp_image_mcp.cdp.errors import CDPError
from cdp_image_mcp.chatgpt.page.eye import DocumentLeft, quoted
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import Fact, ImageError

__all__ = ["page_structure", "role_not_found"]

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
    except (DocumentLeft, CDPError):
        return None


async def role_not_found(tab: Tab, role: str, *, submitted: Fact = False, spent: Fact | None = None) -> ImageError:
    """The error for a role that no locator finds, naming each and what it matched."""
    try:
        tried = await tab.eye.ask(f"witness.explain({quoted(role)})", reply=list[dict[str, Any]])
    except (DocumentLeft, CDPError):
        tried = []
    listed = "; ".join(f"{one['css']} matched {one['found']}" for one in tried)
    return ImageError(
        "site_changed",
        f"The page's {role.replace('_', ' ')} was not found, or not just one of it. Tried: {listed or 'nothing'}.",
        submitted=submitted,
        spent=spent,
        details={"role": role, "tried": tried, "page_structure": await page_structure(tab)},
    )
