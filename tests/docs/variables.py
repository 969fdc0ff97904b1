"""What is written of each variable in the README and in what registries and installers read."""

import msgspec

from cdp_image_mcp.config import API, MODEL, SITE


class Variable(msgspec.Struct, frozen=True):
    """One line of the reference: name, default as text, what it takes."""

    name: str
    default: str
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "GPT_IMAGE_BACKEND", "auto", "`api`, `chatgpt-web` or `auto` (API first when a key is there or none is needed)."
    ),
    Variable("GPT_IMAGE_MODEL", MODEL, "Model of the API back end."),
    Variable(
        "GPT_IMAGE_MODERATION", "none", "`auto` or `low`: how strictly the API filters; with edits as a form not sent."
    ),
    Variable(
        "GPT_IMAGE_SAFETY_IDENTIFIER",
        "none",
        "Whose pictures these are, for the API's abuse reports; only its hash is sent.",
    ),
    Variable("GPT_IMAGE_OUTPUT_DIR", "per-user data folder", "Absolute path of the output root."),
    Variable("GPT_IMAGE_WAIT_SECONDS", "45", "How long a call waits before it answers `working`, 0 to 1800."),
    Variable("GPT_IMAGE_INLINE", "preview", "Pictures in answers: `preview`, `full` or `none`."),
    Variable("GPT_IMAGE_OPEN", "0", "`1` opens a finished picture in the system's viewer, of an SVG its folder."),
    Variable(
        "GPT_IMAGE_INPUT_ROOTS",
        "Pictures, Downloads, Desktop, output root, working folder",
        "Folders that reference pictures may come from, separated as in PATH.",
    ),
    Variable("GPT_IMAGE_FALLBACK", "before-submit", "Whether `auto` may change back end: `before-submit` or `never`."),
    Variable(
        "GPT_IMAGE_DAILY_LIMIT",
        "none",
        "Most pictures a day on the web. All in the output root count, deleted too; it binds programs that set it.",
    ),
    Variable(
        "GPT_IMAGE_BUDGET_USD",
        "none",
        "Most dollars a day at the API. All in the output root count, deleted too; it binds programs that set it.",
    ),
    Variable("GPT_IMAGE_LOG", "warning", "Log level on stderr: `debug`, `info`, `warning` or `error`."),
    Variable(
        "OPENAI_API_KEY",
        "none",
        "Key of the API back end, or `Bearer TOKEN` for a token from elsewhere (Azure with Entra ID).",
    ),
    Variable("OPENAI_BASE_URL", API, "Address of the API or of a compatible server."),
    Variable("OPENAI_ORG_ID", "none", "Organization the API is billed to."),
    Variable("OPENAI_PROJECT_ID", "none", "Project the API is billed to."),
    Variable("OPENAI_COMPAT", "by host", "Profile of a compatible server."),
    Variable("OPENAI_API_VERSION", "none", "`api-version` for Azure."),
    Variable(
        "OPENAI_RESEND_UNCLEAR",
        "0",
        "`1` sends an API request again after a read timeout or a dropped answer. It can pay for one picture twice.",
    ),
    Variable("CHATGPT_WEB_URL", SITE, "Address of the site; others only https or on this machine."),
    Variable("CHATGPT_WEB_PROFILE_DIR", "per-user data folder", "Absolute path of the browser profile."),
    Variable(
        "CHATGPT_WEB_LOGIN_TIMEOUT_SECONDS", "900", "How long a generation and `login` wait for a person, 1 to 86400."
    ),
    Variable("CHATGPT_HIDE_WINDOW", "1", "`0` keeps the window visible (as CHATGPT_WINDOW_MODE=visible)."),
    Variable("CHATGPT_WINDOW_MODE", "auto", "`auto`, `headless`, `hidden` or `visible`."),
    Variable("CHATGPT_CHROME_ARGS", "none", "Extra switches for the browser, quoted as in a shell."),
    Variable("CHATGPT_DEBUG_PORT", "0", "Debugging port; 0 lets the browser choose (recommended)."),
    Variable("CHATGPT_SITE_FILE", "none", "JSON file that overrides locators, endpoints and wordings of the site."),
    Variable("CHROME_PATH", "found", "Program file of the browser; wins over discovery."),
)
