"""5,000 malformed and random messages over real pipes, a fifth of them in the quick part: nothing falls over, nothing
hangs, every request is answered."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Generator
from typing import Any, TypeAlias

import mcp_types as types
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdp_image_mcp.mcp_server.tools import TOOLS
from tests.browser import is_quick, left_out_if_quick
from tests.mcp_server.pipes import HELLO, READY, Process

BATCHES, BATCH = 20 if is_quick() else 100, 50
ANSWER_SECONDS = 20.0

Strategy: TypeAlias = st.SearchStrategy[Any]

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | words
)
junk: Strategy = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4)
)


def fields(required: dict[str, Strategy], optional: dict[str, Strategy]) -> Strategy:
    return st.fixed_dictionaries(required, optional=optional)


def value_for(schema: dict[str, Any]) -> Strategy:
    """Values the schema takes, more or less."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "string" if "pattern" in schema and "0-9a-f" in schema["pattern"]:
            return st.from_regex(r"\A[0-9a-f]{31,33}\Z")
        case "string":
            return words | st.sampled_from(
                ["a fox", "16:9", "1024x1024", "0:0", "/etc/passwd", "../../x", "\x00", "auto"]
            )
        case "integer":
            return st.integers(-5, 2000)
        case "number":
            return st.floats(0, 5) | st.integers(-5, 5)
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(value_for(schema["items"]), max_size=20)
        case _:
            return junk


def arguments_for(tool: types.Tool) -> Strategy:
    known: dict[str, Any] = tool.input_schema.get("properties", {})
    plain = fields({}, {name: value_for(schema) | junk for name, schema in known.items()})
    return plain | st.tuples(plain, st.dictionaries(words, junk, max_size=2)).map(lambda both: both[0] | both[1]) | junk


def call_of(tool: types.Tool) -> Strategy:
    return fields({"name": st.just(tool.name) | words, "arguments": arguments_for(tool)}, {"_meta": junk})


calls: Strategy = st.sampled_from(TOOLS).flatmap(call_of)
METHODS = [
    *("ping", "tools/list", "tools/call", "resources/list", "resources/read", "resources/templates/list"),
    *("prompts/list", "initialize", "server/discover", "logging/setLevel", "completion/complete", "tasks/get", "x"),
]
requests: Strategy = fields({"method": st.just("tools/call"), "params": calls}, {}) | fields(
    {"method": st.sampled_from(METHODS) | words}, {"params": st.dictionaries(words, junk, max_size=4)}
)
rubbish: Strategy = st.one_of(
    junk.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200).map(lambda raw: raw.replace(b"\n", b"")),
    st.fixed_dictionaries(
        {}, optional={"jsonrpc": junk, "id": junk, "method": junk, "params": junk, "result": junk}
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[]}}',
            b'{"jsonrpc":"2.0","method":"notifications/progress"}',
            b'{"jsonrpc":"2.0","id":99999,"result":{}}',
            b"[" * 5000,
            b'{"a":' * 2000,
        ]
    ),
)


class Talk:
    """A server process, a thread that reads its answers, and what they answered."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.number = 1_000_000
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._drain, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(json.loads(line))

    def _drain(self) -> None:
        assert self.process.stderr is not None
        for _ in self.process.stderr:
            pass

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")

    def request(self, message: dict[str, Any]) -> int:
        self.number += 1
        self.write(json.dumps({"jsonrpc": "2.0", "id": self.number, **message}).encode())
        return self.number

    def settle(self, expected: dict[int, Any]) -> None:
        """Until each of ``expected`` is answered, once."""
        assert self.process.stdin is not None
        self.process.stdin.flush()
        while expected:
            try:
                answer = self.answers.get(timeout=ANSWER_SECONDS)
            except queue.Empty:
                pytest.fail(f"not answered: {expected}; the process: {self.process.poll()}")
            assert ("result" in answer) != ("error" in answer), answer
            number = answer.get("id")
            # What is no request is answered under whatever number it names.
            if isinstance(number, int) and 1_000_000 < number <= self.number:
                del expected[number]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Talk]:
    left_out_if_quick("a while")
    command = [sys.executable, "-m", "tests.mcp_server.served", str(tmp_path_factory.mktemp("fuzz")), "quick"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            talk = Talk(process)
            talk.write(json.dumps(HELLO).encode())
            talk.write(json.dumps(READY).encode())
            yield talk
        finally:
            process.kill()


@settings(
    max_examples=BATCHES,
    deadline=None,
    database=None,
    derandomize=True,
    # One that is not answered is told at once: finding the smallest would take minutes of waiting.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(batch=st.lists(requests | rubbish, min_size=BATCH, max_size=BATCH))
def test_no_message_brings_the_server_down(talk: Talk, batch: list[dict[str, Any] | bytes]) -> None:
    expected: dict[int, Any] = {}
    for message in batch:
        if isinstance(message, bytes):
            talk.write(message)
        else:
            expected[talk.request(message)] = message
    expected[talk.request({"method": "ping"})] = "ping"
    talk.settle(expected)
    assert talk.process.poll() is None
