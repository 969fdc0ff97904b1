"""What the table of clients must hold, by what was seen of them."""

from cdp_image_mcp.config import READ
from cdp_image_mcp.mcp_server.client.table import BY_NAME, CLIENTS


def entry(name: str) -> dict[str, object]:
    client = BY_NAME.get(name)
    assert client is not None
    return client.entry("cdp-image-mcp", [], client.env)


def test_codex_waits_for_the_server_and_lets_display_settings_and_way_out_through() -> None:
    """Without ``required`` 0.171.0 begins after one second without our tools; it hands on seven variables by itself: a
    relay's key went to OpenAI without the relay's address, and a limit of the day was not in force."""
    block = entry("codex")
    assert block["required"] is True
    passed: list[str] = block["env_vars"]  # type: ignore[assignment]
    assert set(passed) >= READ.keys()
    assert set(passed) >= {"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}
    assert set(passed) >= {"XDG_DATA_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    proxies = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    assert set(passed) >= proxies | {name.lower() for name in proxies}
    assert len(passed) == len(set(passed))


def test_a_client_that_keeps_keys_back_gets_the_shells_key_by_its_name() -> None:
    for name in ("gemini-cli", "copilot-cli"):
        assert entry(name)["env"]["OPENAI_API_KEY"] == "$OPENAI_API_KEY"  # type: ignore[index]


def test_a_client_that_is_treated_in_its_own_way_is_known_by_name_and_says_what_was_seen_of_it() -> None:
    for client in CLIENTS:
        if client.unseen or not client.takes_interim:
            assert client.announces, client.name
            assert client.seen, client.name
