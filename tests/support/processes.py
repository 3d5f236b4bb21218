"""Processes that tests start: what they draw on a terminal, and waiting for what they do."""

import os
import pty
import re
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

PATIENCE = 1800  # seconds after which a test gives up, however busy the machine is: a guard, which no test waits for


def wait_for(what: Callable[[], object]) -> None:
    """Return once `what` holds; raises TimeoutError where it never does."""
    until = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)


def on_terminal(command: Sequence[object], interrupt: Callable[[str], bool] = lambda screen: False) -> tuple[int, str]:
    """Run a command on a pseudo-terminal; its code and what it drew, as text.

    Ctrl-C is typed once, when `interrupt` says so of what was drawn so far; it is asked whenever something is drawn.
    """
    words = [str(word) for word in command]
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background may ignore it
        os.environ |= {"TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
        os.execv(words[0], words)  # noqa: S606
    drawn, pressed, ended = b"", False, False
    try:
        while select.select([terminal], [], [], PATIENCE)[0]:
            try:
                new = os.read(terminal, 65536)
            except OSError:  # Linux' way to say that nobody writes any more
                new = b""
            if not new:
                ended = True
                break
            drawn += new
            if not pressed and interrupt(_text(drawn)):
                os.write(terminal, b"\x03")
                pressed = True
    finally:
        os.close(terminal)
        if not ended:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    assert ended, f"nothing was drawn for {PATIENCE} seconds after {_text(drawn)[-500:]}"
    return os.waitstatus_to_exitcode(status), _text(drawn)


def _text(drawn: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode(errors="replace")).replace("\r", "\n")
