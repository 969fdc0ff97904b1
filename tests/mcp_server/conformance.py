"""The checks of the official conformance suite that our server cannot meet, each with its reason.

Nearly all ask for a diagnostic tool of the suite's own reference server, which a product does not have. Everything
that is not listed here must be met. Scenarios of extensions that we do not offer (tasks, skills) are not run.
Source: @modelcontextprotocol/conformance 0.2.0-alpha.12 (2026-10-01), ``server --suite all``.
"""

ERAS = ("2025-11-25", "2026-07-28")

MET: dict[str, frozenset[str]] = {
    "2025-11-25": frozenset(
        (
            *("server-initialize", "server-session-lifecycle", "ping", "tools-list", "resources-list"),
            *("server-sse-multiple-streams", "dns-rebinding-protection"),
        )
    ),
    "2026-07-28": frozenset(
        (
            *("tools-list", "resources-list", "sep-2164-resource-not-found", "server-sse-multiple-streams"),
            *("dns-rebinding-protection", "http-header-validation", "input-required-result-unsupported-methods"),
            "input-required-result-validate-input",
        )
    ),
}
"""Scenarios that are met as a whole. A suite that quietly ran fewer of them would prove nothing."""

NOT_OURS: dict[str, tuple[str, ...]] = {
    "It calls a tool of the suite's reference server (test_simple_text and the like); our five tools have tests of "
    "their own for pictures, errors and progress.": (
        *("tools-call-simple-text", "tools-call-image", "tools-call-audio", "tools-call-embedded-resource"),
        *("tools-call-mixed-content", "tools-call-error", "tools-call-with-progress", "json-schema-2020-12-tool-found"),
    ),
    "It reads test://… of the reference server; ours are cdp-image://generation/….": (
        *("resources-read-text", "resources-read-binary", "resources-templates-read"),
    ),
    "It asks for prompts; we declare none.": (
        *("prompts-list", "prompts-get-simple", "prompts-get-with-args", "prompts-get-embedded-resource"),
        *("prompts-get-with-image", "sep-2549-prompts-list-caching-hints", "sep-2322-non-tool-incomplete"),
    ),
    "It asks for completion, logging, subscriptions or sampling; we declare none of them (logging and sampling are "
    "deprecated since SEP-2577).": (
        *("completion-complete", "logging-set-level", "tools-call-with-logging", "tools-call-sampling"),
        *("resources-subscribe", "resources-unsubscribe", "sep-2575-server-no-log-without-loglevel"),
        *("sep-2575-server-sends-subscription-ack", "sep-2575-server-tags-subscription-id"),
        *("sep-2575-server-honors-notification-filter", "sep-2575-server-sends-prompts-list-changed-on-subscription"),
        "sep-2575-server-sends-tools-list-changed-on-subscription",
    ),
    "It lets a reference tool ask a person; we ask where a picture needs one, which test_server.py and "
    "test_node_clients.py prove with clients that can be asked.": (
        *("tools-call-elicitation", "elicitation-sep1034-general", "elicitation-sep1330-general"),
        *("sep-2322-elicitation-incomplete", "sep-2322-list-roots-incomplete", "sep-2322-sampling-incomplete"),
        *("sep-2322-respect-client-capabilities", "sep-2322-ignore-unexpected-params", "sep-2322-multi-round-r1"),
        *("sep-2322-missing-response-rerequests", "sep-2322-multiple-inputs-incomplete"),
        *("sep-2322-request-state-incomplete", "sep-2322-result-type-included", "sep-2322-reject-tampered-state"),
        *("sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"),
        "sep-2575-http-server-no-independent-requests-on-stream",
    ),
    "It is about HTTP alone, which the product does not speak (headers of tools, streams that go on later).": (
        *("sep-2243-server-no-xmcp-tool", "sep-2243-server-decode-base64", "sep-2243-server-validate-param-match"),
        *("sep-2243-server-reject-invalid-param-chars", "sep-2243-server-reject-param-mismatch"),
        *("server-sse-priming-event", "server-sse-retry-field"),
    ),
}
