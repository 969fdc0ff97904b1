"""The tasks extension: a call that is answered at once with a task, asked after until the picture is there.

``io.modelcontextprotocol/tasks`` (SEP-2663, read 2026-11-26 at modelcontextprotocol/ext-tasks e434597). Only requests
of 2026-07-28 that declare it get a task; the older tasks inside the protocol (2025-11-25) are not answered. The
generation is the task, its id the task's id, and the library the store, also after a restart. Claude Code moves such
calls to the background and tells the result (2.1.319, 2026-11-06).
"""
