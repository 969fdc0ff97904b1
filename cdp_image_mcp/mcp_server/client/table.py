"""The clients that are known by name: what was seen of them, with version and date."""

from typing import Any

import msgspec

__all__ = ["CLIENTS", "Client", "known"]


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One client. What is not said is as the protocol has it."""

    name: str
    title: str
    announces: tuple[str, ...] = ()
    """``clientInfo.name``."""
    seen: str = ""
    """Version and date of what is said here."""
    unseen: str = ""
    """Why pictures in answers are left out unless the caller asks for them."""
    takes_interim: bool = True
    """Whether it can read an ``InputRequiredResult``, the question of 2026-07-28."""


CLIENTS = (
    Client(
        name="cline",
        title="Cline",
        announces=("@cline/core",),
        seen="CLI 3.0.65, 2026-11-26",
        unseen="Cline hands pictures to the model as text, cut to 8,000 characters (seen 2026-11-26), so they are left "
        "out; images: preview asks for them all the same.",
    ),
    Client(
        name="copilot-cli",
        title="Copilot CLI",
        announces=("github-copilot-developer",),
        seen="1.0.102, 2026-11-26",
        takes_interim=False,
    ),
    Client(
        name="continue",
        title="Continue",
        announces=("continue-cli-client",),
        seen="CLI 1.5.47, 2026-11-26",
        unseen="Continue puts pictures into the text of the conversation and then drops the whole answer (seen "
        "2026-11-26), so they are left out; images: preview asks for them all the same.",
    ),
)
BY_ANNOUNCEMENT = {announced: client for client in CLIENTS for announced in client.announces}


def known(session: Any) -> Client | None:
    """The client at the other end of an SDK session, if its name is known."""
    params = session.client_params
    return None if params is None else BY_ANNOUNCEMENT.get(params.client_info.name)
