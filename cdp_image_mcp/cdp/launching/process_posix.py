"""Starting the browser on Linux and macOS.

posix_spawn places the pipe on descriptors 3 and 4, where Chrome looks for it, without running Python between fork and
exec.
"""

import contextlib
import errno
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("for Linux and macOS; Windows has process_windows")

PIPE_IN, PIPE_OUT = 3, 4
HELD = 9
"""Where the browser has the file that says that it lives; its helpers do not get it (Chromium closes what it does not
know before it starts one)."""
LEASH = "--remote-debugging-pipe"
NAMED = "leash-"
# Ends the group when its standard input does: the leash of a browser that may have no debugging switch.
# An undriven browser has no other orderly end than SIGTERM, and leaves its socket's folder behind then.
_GUARD = """
read -r _
socket=$(readlink "$2/SingletonSocket")
kill -s TERM -- "-$1"
sleep 2
kill -s KILL -- "-$1"
case "$socket" in
  /*/SingletonSocket) rm -f "$socket" "${socket%/*}/SingletonCookie"; rmdir "${socket%/*}" ;;
esac
"""

Spawned = tuple[int, int, Callable[[], int], list[int]]


def spawn(
    program: str, arguments: Sequence[str], environment: Mapping[str, str], leash: Path | None, held: int | None
) -> Spawned:
    """The pid, a descriptor with its output, a function that waits for its exit, the ends of the leash to keep.

    ``leash`` is the folder where the leash gets a name, so that others may hold it too. The browser inherits the open
    file ``held``.
    """
    kept: list[int] = []
    named: Path | None = None
    with ExitStack() as theirs, ExitStack() as failed:

        def shared(ours: int, its: int) -> None:
            kept.append(ours)
            failed.callback(os.close, ours)
            theirs.callback(os.close, its)

        output, output_writer = _pipe()
        shared(output, output_writer)
        actions: list[tuple[object, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output_writer, 1),
            (os.POSIX_SPAWN_DUP2, output_writer, 2),
        ]
        switches = list(arguments)
        if leash is not None:
            into, leash_end, named = _named_pipe(leash)
            shared(leash_end, into)
            if named is not None:
                failed.callback(named.unlink, missing_ok=True)
            answers, out_of = _pipe()
            shared(answers, out_of)
            actions += [(os.POSIX_SPAWN_DUP2, into, PIPE_IN), (os.POSIX_SPAWN_DUP2, out_of, PIPE_OUT)]
            switches.insert(0, LEASH)
        if held is not None:
            actions.append((os.POSIX_SPAWN_DUP2, held, HELD))
        # Python ignores both signals; the browser must not inherit that.
        heard = (signal.SIGPIPE, signal.SIGXFSZ)
        pid = _spawn(program, [program, *switches], environment, actions, heard)
        if named is not None:
            named.rename(leash_of(named.parent, pid))
        failed.pop_all()
    return pid, output, lambda: _wait(pid), kept[1:]


def leash_of(profile: Path, pid: int) -> Path:
    """Where the leash of that browser has its name."""
    return profile / f"{NAMED}{pid}"


def hold_leash(profile: Path, pid: int) -> int | None:
    """Hold the leash of a browser that another process started: it ends with the last who does; close what this gives
    to let go. None without one: it ends with whoever started it."""
    try:
        return os.open(leash_of(profile, pid), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # nobody is at its other end, or it has no name


def is_held(profile: Path, pid: int) -> bool:
    """Whether anybody holds the leash of that browser: whoever reads a pipe is told when nobody could write to it."""
    try:
        end = os.open(leash_of(profile, pid), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # it has no name: nobody but its starter can
    try:
        os.read(end, 1)
    except BlockingIOError:
        return True
    finally:
        os.close(end)
    return False


def drop_dead_leashes(profile: Path) -> None:
    """Remove names of leashes at whose other end nobody is."""
    for path in profile.glob(f"{NAMED}*"):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.ENXIO:
                path.unlink(missing_ok=True)


def _named_pipe(folder: Path) -> tuple[int, int, Path | None]:
    """A pipe with a name in that folder; without one where the file system has no such names."""
    path = folder / f"{NAMED}{os.getpid()}-{secrets.token_hex(4)}"
    ends: list[int] = []
    try:
        os.mkfifo(path, 0o600)
        ends.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        ends.append(os.open(path, os.O_WRONLY))
        os.set_blocking(ends[0], True)  # the browser waits for what comes
    except OSError:
        for end in ends:
            os.close(end)
        return *_pipe(), None
    return *_out_of_the_way(ends), path


def _spawn(
    program: str,
    arguments: list[str],
    environment: Mapping[str, str],
    actions: Sequence[tuple[object, ...]],
    heard: Sequence[signal.Signals],
) -> int:
    _keep_what_was_given()
    return os.posix_spawn(
        program,
        arguments,
        environment,
        file_actions=actions,
        setpgroup=0,  # so that Ctrl-C in our terminal is ours alone, and the whole tree can be ended
        setsigmask=(),
        setsigdef=heard,
    )


def guard(pid: int, profile: Path) -> Callable[[], None]:
    """A leash without a switch: a small process that ends the group of ``pid`` when this one dies, however suddenly;
    what ends it, for when the browser has ended: before it could mistake another group for it."""
    watched, end = _pipe()
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_DUP2, watched, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    command = ["sh", "-c", _GUARD, "sh", str(pid), str(profile)]
    heard = (signal.SIGPIPE, signal.SIGTERM)
    try:
        number = _spawn("/bin/sh", command, {"PATH": os.defpath}, actions, heard)
    except BaseException:
        os.close(end)
        raise
    finally:
        os.close(watched)

    def end_it() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        _wait(number)
        os.close(end)

    return end_it


def _pipe() -> tuple[int, int]:
    """A pipe whose ends no child inherits, above the numbers that are given out on purpose."""
    return _out_of_the_way(os.pipe())


def _out_of_the_way(ends: Sequence[int]) -> tuple[int, int]:
    import fcntl

    moved: list[int] = []
    try:
        for number in ends:
            moved.append(fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10))  # noqa: PERF401 - the first goes if the second fails
    except OSError:
        for number in moved:
            os.close(number)
        raise
    finally:
        for number in ends:
            os.close(number)
    return moved[0], moved[1]


def _keep_what_was_given() -> None:
    """Descriptors that this process was given by its own parent in a way that children would get them too stay here."""
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) > 2:
                os.set_inheritable(int(entry.name), False)


def _wait(pid: int) -> int:
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return -1  # somebody else in this process collected it
    return os.waitstatus_to_exitcode(status)
