"""Servers that speak the images API, and where each differs. Chosen by host, or by ``OPENAI_COMPAT``."""

from importlib import resources
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from cdp_image_mcp.config import Problem, Settings
from cdp_image_mcp.errors import ImageError

EditForm: TypeAlias = Literal["json", "multipart", "image", "input_references", "ref_images"]
"""How reference pictures travel: ``images`` of data URLs; form parts as the vendor's client has them, or all in fields
called ``image``; the fields of OpenRouter and LocalAI."""
CHOICES: tuple[EditForm, ...] = ("json", "multipart", "image")


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one kind of server wants. ``source`` and ``seen`` name where that was read and when."""

    name: str
    hosts: tuple[str, ...] = ()
    """Host names, or endings of them when they begin with a dot."""
    base: str = ""
    """Path of the API at these hosts; people leave it out."""
    generations: str = "/images/generations"
    edits: str = "/images/edits"
    form: EditForm = "multipart"
    other_forms: tuple[EditForm, ...] = ()
    """Tried in order where the server turns the first away before drawing; which it takes nobody has written down."""
    masks: bool = True
    key_needed: bool = True
    encrypted: bool = False
    """Its own hosts are only ever asked over https."""
    streams: bool = False
    ask_for_base64: bool = False
    """Send ``response_format`` to models that are not of the vendor's family, which refuses it."""
    ratios: tuple[str, ...] = ()
    """What it takes as ``aspect_ratio``; for any other a size in pixels is sent."""
    formats: tuple[str, ...] = ("png", "jpeg", "webp", "gif", "svg")
    reference_formats: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp")
    auto_quality: str = "auto"
    """What it draws where no quality is sent, as far as that is known."""
    negative_after: str = ""
    """What follows this in a prompt is taken for what the picture must not show."""
    api_version: str | None = None
    """Sent as ``api-version`` when OPENAI_API_VERSION is not set."""
    azure: bool = False
    """The key goes in a header of its own, and paths carry a version."""
    cost: Literal["tokens", "told", "free"] = "tokens"
    """By the price table, by ``usage.cost`` in the answer, or nothing to pay."""
    note: str = ""
    """What is to be known beside that, for whoever reads the table."""
    source: str
    seen: str


ENDPOINTS = (
    "/images/generations",
    "/images/edits",
    "/images",
    "/chat/completions",
    "/completions",
    "/responses",
    "/models",
)
PROFILES = {
    profile.name: profile
    for profile in msgspec.json.decode(
        resources.files("cdp_image_mcp.openai").joinpath("servers.json").read_bytes(), type=list[Profile]
    )
}
"""The rows of ``servers.json``, with source and date."""


def _belongs(host: str, profile: Profile) -> bool:
    return any(host.endswith(known) if known.startswith(".") else host == known for known in profile.hosts)


def choose_profile(settings: Settings) -> Profile:
    """The profile for the settings. ``OPENAI_COMPAT`` is a name, or a name and how edits travel: ``litellm:json``.

    Raises ImageError ``configuration`` for a name that is not in the table.
    """
    if problem := profile_problem(settings):
        raise ImageError(
            "configuration", f"{problem.variable}: {problem.message}", details={"variables": [problem.variable]}
        )
    parts = urlsplit(settings.base_url)
    host = parts.hostname or ""
    name, _, form = (settings.compat or "").strip().lower().partition(":")
    by_host = next((profile for profile in PROFILES.values() if _belongs(host, profile)), PROFILES["generic"])
    profile = PROFILES[name] if name else by_host
    if profile.name == "azure" and "/deployments/" in parts.path:
        profile = PROFILES["azure-deployment"]
    chosen = next((choice for choice in CHOICES if choice == form), None)
    return msgspec.structs.replace(profile, form=chosen, other_forms=()) if chosen else profile


def key_missing(settings: Settings) -> bool:
    """Whether there is no key though the server wants one. Raises ImageError like :func:`choose_profile`."""
    return not settings.api_key and choose_profile(settings).key_needed


def profile_problem(settings: Settings) -> Problem | None:
    """What is wrong with ``OPENAI_COMPAT`` or with the base address for its host, None when nothing is."""
    name, colon, form = (settings.compat or "").strip().lower().partition(":")
    if (name and name not in PROFILES) or (colon and (not name or form not in CHOICES)):
        return Problem(
            "OPENAI_COMPAT",
            f"it takes one of {', '.join(PROFILES)}, with :json, :multipart or :image after it for edits.",
        )
    parts = urlsplit(settings.base_url)
    host = parts.hostname or ""
    if parts.scheme == "http" and any(_belongs(host, known) for known in PROFILES.values() if known.encrypted):
        return Problem("OPENAI_BASE_URL", f"{host} is only asked over https: the key travels there.")
    return None


def address(profile: Profile, settings: Settings, path: str) -> str:
    """The full address of ``path``, with ``api-version`` where the profile wants one."""
    parts = urlsplit(settings.base_url)
    base = parts.path.rstrip("/")
    for ending in ENDPOINTS:  # somebody copied the whole address
        base = base.removesuffix(ending)
    left_out = base in {"", "/openai"} if profile.name == "azure" else base == ""
    if left_out and (profile.name == "azure" or _belongs(parts.hostname or "", profile)):
        base = profile.base
    query = parse_qsl(parts.query, keep_blank_values=True)
    version = settings.api_version if profile.azure else None
    version = version or profile.api_version
    if version and not any(name == "api-version" for name, _ in query):
        query.append(("api-version", version))
    return urlunsplit((parts.scheme, parts.netloc, base + path, urlencode(query), ""))
