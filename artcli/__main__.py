"""`artgen` and `python -m artcli`."""

import atexit
import errno
import os
import signal
import sys
from types import FrameType


class _Exit:
    """Ends the process once Python has done all it wants to do at the end, but before libraries are taken down.

    To take torch's down costs about 0.5 s and 100 MB, more than some commands need themselves.
    """

    def __init__(self) -> None:
        self.code = 1
        atexit.register(self._end)  # the first to be registered is the last to be called

    def _end(self) -> None:
        if "torch" in sys.modules:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM as Ctrl-C: one line, and nothing half written, also while libraries and models are loaded."""
    raise KeyboardInterrupt


def main() -> None:
    end = _Exit()
    signal.signal(signal.SIGTERM, _interrupt)
    from artcli import device
    from artcli.cli import app

    device.yield_cores()

    try:
        app()
    except SystemExit as error:
        end.code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be flushed would fail once more
        sys.exit(f"error: nothing more can be written: {error.strerror}")
    end.code = 0


if __name__ == "__main__":
    main()
