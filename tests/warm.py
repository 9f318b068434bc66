"""The executable as a process of its own that need not import torch: forked from one that has.

To import torch and what artgen does with it takes about four seconds of a processor, more than most of what tests then
have such a process do.  What is about the start of the executable itself uses conftest's EXECUTABLE.
"""

import atexit
import functools
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

ROOT = Path(__file__).parent.parent
PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL


class Process:
    """`artgen ARGUMENTS` in the current folder and environment; as much of subprocess.Popen as tests need.

    stdout, stderr: PIPE, DEVNULL, or a file's number.  stdin: DEVNULL, or a file's number.  code: to run instead of the
    executable, as `python -c` does.
    """

    def __init__(self, arguments, *, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, text=False, env=None, code=None):
        nothing = os.open(os.devnull, os.O_RDWR)
        self.returncode, ours, theirs = None, [], [nothing if stdin == DEVNULL else stdin]
        for wanted in (stdout, stderr):
            reading, writing = os.pipe() if wanted == PIPE else (None, nothing if wanted == DEVNULL else wanted)
            ours.append(None if reading is None else open(reading, "rb" if not text else "r"))  # noqa: PTH123, SIM115
            theirs.append(writing)
        self.stdout, self.stderr = ours
        request = {
            "arguments": [*map(str, arguments)],
            "code": code,
            "folder": str(Path.cwd()),
            "env": dict(env or os.environ),
        }
        self._state, state = socket.socketpair()
        with state:
            data = json.dumps(request).encode("utf-8", "surrogateescape")
            _server().send(len(data).to_bytes(8, "big"))
            socket.send_fds(_server(), [b"!"], [*theirs, state.fileno()])
            _server().sendall(data)
        mine = {file for file, wanted in zip(theirs[1:], (stdout, stderr), strict=True) if wanted == PIPE}
        for file in {nothing, *mine}:
            os.close(file)
        self.pid = self._told()

    def poll(self):
        """Its exit code, minus a signal's number; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._state], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("artgen", timeout)
            self.returncode = self._told()
        return self.returncode

    def _told(self):
        """The next number; byte by byte, so that none behind it is taken as well."""
        return int(b"".join(iter(lambda: self._state.recv(1), b"\n")))

    def communicate(self, timeout=None):
        """What it says until its end, of the pipes: (stdout, stderr)."""
        said = {}
        readers = [threading.Thread(target=lambda f=f: said.update({f: f.read()}), daemon=True) for f in self._pipes]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return said.get(self.stdout), said.get(self.stderr)

    @property
    def _pipes(self):
        return [pipe for pipe in (self.stdout, self.stderr) if pipe is not None]

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wait()
        for pipe in self._pipes:
            pipe.close()


@functools.cache
def _server():
    """The way to the process from which others are forked; it ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdin=DEVNULL, cwd=ROOT,
        )  # fmt: skip
    return ours


# --- in the other process --------------------------------------------------------------------------------------------


def _serve(way):
    gc.disable()
    for name in ("artcli.cli", "artcli.commands.train.run"):
        importlib.import_module(name)
    importlib.import_module("artcli.pretrained.clip").library()
    gc.freeze()  # no process searches what all of them have, and copies it by that
    gc.enable()
    os.fsync = lambda file: None  # as in conftest
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # of those that wait for the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while data := way.recv(8, socket.MSG_WAITALL):
        _, files, *_ = socket.recv_fds(way, 1, 8)
        length = int.from_bytes(data, "big")
        request = json.loads(way.recv(length, socket.MSG_WAITALL).decode("utf-8", "surrogateescape"))
        if os.fork() == 0:
            way.close()
            _watch(request, files)
        for file in files:
            os.close(file)


def _watch(request, files):
    """Fork the process itself, tell its number and, when it is over, its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process == 0:
        os._exit(_run(request, files))
    os.write(files[3], f"{process}\n".encode())
    _, status = os.waitpid(process, 0)
    os.write(files[3], f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(request, files):
    """What `python -m artcli`, or `python -c` with the code, does.  Returns the exit code."""
    from artcli.__main__ import main

    os.close(files[3])
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    sys.argv = ["artgen", *request["arguments"]]
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(os.fdopen(number, "wb", buffered), encoding="utf-8", write_through=True)
        for number, buffered in ((1, -1), (2, 0))
    )
    code = 0
    try:
        main() if request["code"] is None else exec(request["code"], {"__name__": "__main__"})
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
