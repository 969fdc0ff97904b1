"""Whether the picture that a prompt goes on from is shown to the site once more.

The site goes on from what stands last in the page that sends the prompt, and anybody may have asked for something there
meanwhile: another generation, whose folder may be gone, or the person at the site. So nothing is shown only where what
was arrived at tells that this very picture stands last; where that cannot be told, it is shown.
"""

import msgspec

from cdp_image_mcp.cdp.errors import DocumentLeft
from cdp_image_mcp.chatgpt.address import Site
from cdp_image_mcp.chatgpt.network.conversations import read_conversations
from cdp_image_mcp.chatgpt.page.eye import quoted
from cdp_image_mcp.chatgpt.window.tab import Tab
from cdp_image_mcp.errors import refusal
from cdp_image_mcp.request import MOST_REFERENCES, AtSite, ImageRequest


def at_site(site: Site, request: ImageRequest) -> ImageRequest:
    """The request with the address of its conversation at this site. The one in the record may be another site's, or
    others' work and lead to any page: only what it names is taken. Raises ImageError ``invalid_input``."""
    if request.continue_url is None:
        return request
    known = site.conversation_id(request.continue_url)
    if known is None:
        told = f"continue_from: what its record names is no conversation at {site.origin}."
        raise refusal("continue_from", told, next_step="Call again without continue_from and conversation_mode.")
    return msgspec.structs.replace(request, continue_url=site.conversation(known))


async def with_picture(tab: Tab, request: ImageRequest) -> ImageRequest:
    """The request as it is made in the page that was arrived at. Raises ImageError ``invalid_input`` when the picture
    is to be shown and cannot be."""
    if request.continue_number is None or await _stands_last(tab, request.continue_url, request.continue_at):
        return request
    if request.continue_image is None:
        told = "continue_from: its picture is gone from its folder and is not seen to stand last in its conversation."
        raise refusal("continue_from", told)
    references = (request.continue_image, *request.reference_images)
    if len(references) > MOST_REFERENCES:
        told = f"reference_images: with the picture that is gone on from there are more than {MOST_REFERENCES}."
        raise refusal("reference_images", told)
    return msgspec.structs.replace(request, reference_images=references)


async def _stands_last(tab: Tab, url: str | None, at: AtSite | None) -> bool:
    if at is None:
        return False
    if tab.stood:
        # It was not read since; it shows what it has heard of meanwhile, and goes on from that.
        try:
            return await tab.eye.ask(
                f"witness.standsLast({quoted({'user': at.message_id, 'file': at.file_id})})", reply=bool
            )
        except DocumentLeft:
            return False
    # What it shows may be a part of what it was told, and not yet the newest.
    conversation = tab.site.conversation_id(url or "")
    for asked in reversed(tab.here):
        if asked.status == 200 and asked.ended and tab.site.reads_conversation(asked):
            body = await tab.answer(asked)
            if body is None:
                return False
            for reading in read_conversations(body, conversation=tab.site.asked_about(asked)):
                if reading.conversation_id == conversation and reading.current:
                    return reading.ends_with(at.message_id, at.file_id)
    return False
