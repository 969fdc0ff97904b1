"""What the environment may say: each bad value is named with what its variable takes, and no secret is repeated."""

import pytest

from cdp_image_mcp.config import SITE, load


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CHATGPT_WEB_URL", "http://example.org", "plain http is taken only for this machine"),
        ("CHATGPT_WEB_URL", "https://user:word@example.org", "without a user name"),
        ("CHATGPT_WEB_URL", "ftp://example.org", "not an http or https address"),
        ("CHATGPT_WEB_URL", "https://example.org:99999", "not a usable address"),
        ("CHATGPT_WEB_URL", "https://", "not an http or https address"),
        ("OPENAI_BASE_URL", "example.org/v1", "not an http or https address"),
        ("OPENAI_BASE_URL", "http://user@example.org", "without a user name"),
        ("OPENAI_BASE_URL", "http://[::1", "not a usable address"),
        ("GPT_IMAGE_BACKEND", "paint", "'paint' is not one of api, chatgpt-web, auto."),
        ("GPT_IMAGE_WAIT_SECONDS", "15m", "'15m' is not a number from 0 to 1800."),
        ("GPT_IMAGE_OUTPUT_DIR", "pictures", "'pictures' is not an absolute path."),
        ("CHATGPT_CHROME_ARGS", "--a 'b", "the quoting is not closed"),
        ("CHATGPT_CHROME_ARGS", "--user-data-dir=/x", "--user-data-dir is set by this program"),
    ],
)
def test_a_bad_value_is_named_with_what_is_taken(variable: str, value: str, told: str) -> None:
    (problem,) = load({variable: value}).problems
    assert problem.variable == variable
    assert told in problem.message
    assert "word" not in problem.message


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("CHATGPT_WEB_URL", "http://127.0.0.1:8000", "web_url", "http://127.0.0.1:8000/"),
        ("CHATGPT_WEB_URL", "http://[::1]:8000//", "web_url", "http://[::1]:8000/"),
        ("CHATGPT_WEB_URL", "https://mirror.example.org/chat", "web_url", "https://mirror.example.org/chat/"),
        ("CHATGPT_WEB_URL", " ", "web_url", SITE),
        ("OPENAI_BASE_URL", "http://192.168.0.7:8080/v1/", "base_url", "http://192.168.0.7:8080/v1"),
    ],
)
def test_addresses_are_read_as_they_are_used(variable: str, value: str, field: str, read: str) -> None:
    settings = load({variable: value})
    assert settings.problems == ()
    assert getattr(settings, field) == read


def test_a_key_with_a_line_break_is_not_repeated() -> None:
    (problem,) = load({"OPENAI_API_KEY": "sk-secret\nsk-more"}).problems
    assert "secret" not in problem.message
