"""Whether the process that works on something still lives."""

import msgspec

from cdp_image_mcp.system.owner import Owner, is_alive, is_elsewhere, this_process
from tests.library.making import DEAD, end, other_process

SAY = """
import msgspec
from cdp_image_mcp.system.owner import this_process
print(msgspec.json.encode(this_process()).decode(), flush=True)
input()
"""


def test_this_process_lives_and_is_here() -> None:
    assert is_alive(this_process())
    assert not is_elsewhere(this_process())


def test_a_process_lives_until_it_is_killed_even_before_it_is_reaped() -> None:
    process = other_process(SAY)
    try:
        assert process.stdout is not None
        owner = msgspec.json.decode(process.stdout.readline(), type=Owner)
        assert is_alive(owner)
        process.kill()
        # Reads to the end, which comes with the death; nobody has waited for the process yet.
        process.stdout.read()
        while is_alive(owner):
            pass
    finally:
        end(process)
    assert not is_alive(owner)


def test_a_reused_pid_is_somebody_else() -> None:
    me = this_process()

    assert not is_alive(Owner(me.pid, me.started - 60, me.host))
    assert not is_alive(Owner(me.pid, me.started, me.host, "another-boot:1"))
    assert not is_alive(DEAD)
    assert not is_alive(Owner(-1, 0.0, ""))
    assert not is_alive(Owner(10**30, 0.0, ""))


def test_a_clock_that_was_set_does_not_kill_anybody() -> None:
    me = this_process()
    if me.mark:
        assert is_alive(Owner(me.pid, me.started + 3600, me.host, me.mark))


def test_a_machine_that_changed_its_name_still_knows_its_processes() -> None:
    me = this_process()

    assert is_alive(Owner(me.pid, me.started, "the-name-of-yesterday", me.mark))
    assert is_elsewhere(Owner(me.pid, me.started, "the-name-of-yesterday", me.mark))
