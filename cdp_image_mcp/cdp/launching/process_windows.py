"""Starting the browser on Windows: the pipe as chromedriver and choreographer use it; not yet seen by us.

Chrome takes the two handles of its debugging pipe by number (``--remote-debugging-io-pipes=<read>,<write>``); only
handles on the list are inherited, so the leash stays with this one child.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

LEASH = "--remote-debugging-pipe"

Spawned = tuple[int, int, Callable[[], int], list[int]]


def spawn(program: str, arguments: Sequence[str], environment: Mapping[str, str], leash: bool) -> Spawned:
    """The pid, a descriptor with its output, a function that waits for its exit, the ends of the leash to keep."""
    if sys.platform != "win32":
        raise RuntimeError("for Windows only")
    import msvcrt

    output, output_writer = os.pipe()
    theirs = [output_writer]
    ours = [output]
    switches = list(arguments)
    handles: list[int] = []
    try:
        if leash:
            into, leash_end = os.pipe()
            theirs.append(into)
            ours.append(leash_end)
            answers, out_of = os.pipe()
            theirs.append(out_of)
            ours.append(answers)
            handles = [msvcrt.get_osfhandle(into), msvcrt.get_osfhandle(out_of)]
            for handle in handles:
                os.set_handle_inheritable(handle, True)
            switches = [LEASH, f"--remote-debugging-io-pipes={handles[0]},{handles[1]}", *switches]
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles})
        process = subprocess.Popen(  # noqa: S603 - the program is the browser that discovery found or the user named
            [program, *switches],
            stdin=subprocess.DEVNULL,
            stdout=output_writer,
            stderr=output_writer,
            env=dict(environment),
            startupinfo=startup,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
    except BaseException:
        for number in ours:
            os.close(number)
        raise
    finally:
        for number in theirs:
            os.close(number)
    return process.pid, output, process.wait, ours[1:]
