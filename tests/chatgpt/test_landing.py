"""Which documents are a check, or may be one, before any script looks at them."""

from types import SimpleNamespace
from typing import cast

import pytest

from cdp_image_mcp.cdp.bodies import Request
from cdp_image_mcp.chatgpt.landing import landing
from tests.chatgpt.talk import site_at

CHECK = {"cf-mitigated": "challenge"}


@pytest.mark.parametrize(
    ("status", "headers", "challenged", "check"),
    [
        (403, CHECK, True, True),
        (503, CHECK, True, True),
        (403, {}, False, True),
        (503, {}, False, False),
        (200, {}, False, False),
    ],
)
def test_a_check_has_its_header_and_only_a_bare_403_may_be_one_too(
    status: int, headers: dict[str, str], challenged: bool, check: bool
) -> None:
    document = SimpleNamespace(status=status, headers=headers, url="https://chatgpt.com/")
    landed = landing(cast("Request", document), site_at("https://chatgpt.com/"))
    assert (landed.challenged, landed.check) == (challenged, check)
