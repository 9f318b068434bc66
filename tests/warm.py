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
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
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
        self._state = _asked(_server(), [*map(str, arguments)], code, dict(env or os.environ), theirs)
        mine = {file for file, wanted in zip(theirs[1:], (stdout, stderr), strict=True) if wanted == PIPE}
        for file in {nothing, *mine}:
            os.close(file)
        self.pid = _told(self._state)

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
            self.returncode = _told(self._state)
        return self.returncode

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


def program(path):
    """Write a program that is the executable to a shell, and such a process in truth.  Returns its path."""
    _server()
    words = shlex.join([sys.executable, "-I", "-S", __file__, "stand in", _door()])
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return path


def _asked(way, arguments, code, env, files):
    """Ask for a process with these files as its first three.  Returns where its number and its exit code will come."""
    request = {"arguments": arguments, "code": code, "folder": str(Path.cwd()), "env": env}
    data = json.dumps(request).encode("utf-8", "surrogateescape")
    state, theirs = socket.socketpair()
    with theirs:
        way.send(len(data).to_bytes(8, "big"))
        socket.send_fds(way, [b"!"], [*files, theirs.fileno()])
        way.sendall(data)
    return state


def _told(state):
    """The next number; byte by byte, so that none behind it is taken as well."""
    return int(b"".join(iter(lambda: state.recv(1), b"\n")))


@functools.cache
def _server():
    """The way to the process from which others are forked; it ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs, socket.socket(socket.AF_UNIX) as door:
        door.bind(_door())
        door.listen()
        files = theirs.fileno(), door.fileno()
        subprocess.Popen(
            [sys.executable, "-m", "tests.warm", *map(str, files)], pass_fds=files, stdin=DEVNULL, cwd=ROOT,
        )  # fmt: skip
    return ours


@functools.cache
def _door():
    """Where programs come to that are no processes of this one's."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"{folder}/door"


def _stand_in(door, *arguments):
    """What a written program does: have another process do it, and pass signals on to that."""
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(door)
        state = _asked(way, arguments, None, dict(os.environ), [0, 1, 2])
    process = _told(state)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))
    code = _told(state)
    return code if code >= 0 else 128 - code


# --- in the other process --------------------------------------------------------------------------------------------


def _serve(way, door):
    gc.disable()
    for name in ("artcli.cli", "artcli.commands.train.run"):
        importlib.import_module(name)
    importlib.import_module("artcli.pretrained.clip").library()
    gc.freeze()  # no process searches what all of them have, and copies it by that
    gc.enable()
    os.fsync = lambda file: None  # as in conftest
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # of those that wait for the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        for ready in select.select([way, door], [], [])[0]:
            if ready is door:
                with door.accept()[0] as other:
                    _fork(other, [way, door])
            elif not _fork(way, [door]):
                return  # what has started it is over


def _fork(way, others):
    """Start what the way asks for, if it does, in a process that has no use for the others."""
    data = way.recv(8, socket.MSG_WAITALL)
    if data:
        _, files, *_ = socket.recv_fds(way, 1, 8)
        length = int.from_bytes(data, "big")
        request = json.loads(way.recv(length, socket.MSG_WAITALL).decode("utf-8", "surrogateescape"))
        if os.fork() == 0:
            for each in (way, *others):
                each.close()
            _watch(request, files)
        for file in files:
            os.close(file)
    return bool(data)


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
    if sys.argv[1] == "stand in":
        sys.exit(_stand_in(*sys.argv[2:]))
    _serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
