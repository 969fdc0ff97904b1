"""Starting the browser on Windows: the pipe as chromedriver and choreographer use it; not yet seen by us.

Chrome takes the two handles of its debugging pipe by number (``--remote-debugging-io-pipes=<read>,<write>``); only
handles on the list are inherited, so the leash stays with this one child.
"""

import ctypes
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from ctypes import wintypes
from pathlib import Path

if sys.platform != "win32":
    raise ImportError("for Windows; Linux and macOS have process_posix")

import msvcrt

log = logging.getLogger(__name__)

LEASH = "--remote-debugging-pipe"
WM_CLOSE = 0x0010
EXTENDED_LIMIT_INFORMATION = 9
EXTENDED_LIMITS = "2qI2NIN2I6Q4N"
"""JOBOBJECT_EXTENDED_LIMIT_INFORMATION (winnt.h): the third number are the flags."""
KILL_ON_JOB_CLOSE = 0x2000
SET_QUOTA_AND_TERMINATE = 0x0100 | 0x0001

Spawned = tuple[int, int, Callable[[], int], list[int]]


def spawn(
    program: str, arguments: Sequence[str], environment: Mapping[str, str], leash: Path | None, _held: int | None
) -> Spawned:
    """The pid, a descriptor with its output, a function that waits for its exit, the ends of the leash to keep. A leash
    has no name here, so nobody else can hold it."""
    output, output_writer = os.pipe()
    theirs = [output_writer]
    ours = [output]
    switches = list(arguments)
    handles: list[int] = []
    try:
        if leash is not None:
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


def close_windows(pid: int) -> bool:
    """Ask each window of the process to close, as the person's click on the cross does; whether there was any.

    The only orderly end of an undriven browser there: TerminateProcess loses the cookies of its last 30 s.
    """
    user32 = ctypes.WinDLL("user32", use_last_error=True)
    found: list[int] = []

    def look(window: int, _more: int) -> bool:
        owner = wintypes.DWORD()
        user32.GetWindowThreadProcessId(wintypes.HWND(window), ctypes.byref(owner))
        if owner.value == pid and user32.IsWindowVisible(wintypes.HWND(window)):
            found.append(window)
        return True

    user32.EnumWindows(ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.HWND, wintypes.LPARAM)(look), 0)
    for window in found:
        user32.PostMessageW(wintypes.HWND(window), WM_CLOSE, 0, 0)
    return bool(found)


def hold_leash(_profile: Path, _pid: int) -> int | None:
    """None: a leash has no name here, and such a browser ends with whoever started it."""
    return None


def is_held(_profile: Path, _pid: int) -> bool:
    """False: a leash has no name here, so nobody but its starter can hold it."""
    return False


def guard(pid: int, _profile: Path) -> Callable[[], None]:
    """Put the process, and what it starts from now on, into a job that ends with this process; what closes the job,
    for when the browser has ended: whatever of it still runs ends.

    Nested jobs, as the browser's own sandbox makes them, are allowed since Windows 8.
    """
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.CreateJobObjectW.restype = kernel32.OpenProcess.restype = wintypes.HANDLE
    job = wintypes.HANDLE(kernel32.CreateJobObjectW(None, None))
    limits = struct.pack(EXTENDED_LIMITS, 0, 0, KILL_ON_JOB_CLOSE, *16 * [0])
    kernel32.SetInformationJobObject(job, EXTENDED_LIMIT_INFORMATION, limits, len(limits))
    process = wintypes.HANDLE(kernel32.OpenProcess(SET_QUOTA_AND_TERMINATE, False, pid))
    if not kernel32.AssignProcessToJobObject(job, process):
        error = ctypes.WinError(ctypes.get_last_error())
        log.warning("the window would stay if this program were killed: %s", error)
    kernel32.CloseHandle(process)
    return lambda: kernel32.CloseHandle(job)
