"""Download one file: resumable, locked, checked against its hash, from the first mirror that serves it."""

import hashlib
import shutil
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError

from filelock import FileLock, Timeout

from artcli import __version__, network
from artcli.errors import WeightsError

BytesDone = Callable[[int, int | None], None]  # (bytes so far, bytes in all or None)

_BLOCK = 1 << 18
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class _Retry(Exception):
    """The connection failed in a way that may pass."""


class _Refused(Exception):
    """This mirror does not have the file."""


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None = None,
    sha256_prefix: str | None = None,
    size: int | None = None,
    progress: BytesDone | None = None,
    timeout: float = 30.0,
    attempts: int = 4,
    backoff: float = 0.5,
    force: bool = False,
) -> Path:
    """Fetch `target` from the first of `urls` that serves it; what is there already is kept, unless `force`.

    The bytes collect in `<target>.part`, which a later call continues (HTTP Range), and take the final name only
    when their hash is right.  A second process waits for the first and then finds the file.  A silent server is
    given up after `timeout` seconds, a failing one after `attempts` tries in a row that brought nothing new, with
    pauses of `backoff` seconds, doubled each time.  Proxies come from the environment, as urllib reads them.

    Raises WeightsError: no mirror works (each with its reason), the disk is full, the folder is not writable, or the
    network is forbidden.
    """
    if network.is_forbidden():
        raise WeightsError(f"{target.name} is not at {target}, and --offline forbids to download it.")
    part = target.with_name(target.name + ".part")
    job = _Job(part, sha256 or sha256_prefix or "", size, progress or _ignore, timeout, attempts, backoff)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target, job):
            if force or not _complete(target, size):
                job.run(urls, target)
    except (OSError, NotImplementedError) as error:  # of the disk: those of the network never leave the job
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(
            f"Cannot write {target}: {reason}. Free some space, or name another folder in $ARTGEN_CACHE_DIR."
        ) from error
    return target


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ignore(done: int, total: int | None) -> None:
    pass


def _complete(path: Path, size: int | None) -> bool:
    return path.is_file() and (size is None or path.stat().st_size == size)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _locked(target: Path, job: "_Job") -> Iterator[None]:
    """Hold the target's lock; while another process has it, report how far that one is."""
    lock = FileLock(target.with_name(target.name + ".lock"))
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            job.progress(_length(job.part), job.size)
    try:
        yield
    finally:
        lock.release()


@dataclass
class _Job:
    part: Path
    digest: str  # the whole SHA-256, its first digits, or nothing
    size: int | None
    progress: BytesDone
    timeout: float
    attempts: int
    backoff: float

    def run(self, urls: Sequence[str], target: Path) -> None:
        reasons = []
        for url in urls:
            try:
                self._from_mirror(url)
            except _Refused as error:
                reasons.append(f"{url}: {error}")
                continue
            self.part.replace(target)
            return
        kept = f" The {_length(self.part)} bytes so far are kept." if self.part.exists() else ""
        why = "; ".join(reasons) or "it has no URL"
        raise WeightsError(f"{target.name} could not be downloaded: {why}.{kept} Try again, or put it at {target}.")

    def _from_mirror(self, url: str) -> None:
        continued = self.part.exists()
        self._fill(url)
        got = sha256_of(self.part) if self.digest else ""
        if got.startswith(self.digest):
            return
        self.part.unlink()
        if continued:  # the wrong bytes may be those of an earlier run or mirror: ask this one for all of them
            self._from_mirror(url)
        else:
            raise _Refused(f"serves another file (sha256 {got[:12]}... instead of {self.digest[:12]}...)")

    def _fill(self, url: str) -> None:
        """Receive until the part is whole; only tries that bring nothing new count as failures."""
        failures, best = 0, _length(self.part)
        while True:
            try:
                return self._receive(url)
            except _Retry as error:
                length = _length(self.part)
                failures = 1 if length > best else failures + 1
                best = max(best, length)
                if failures >= self.attempts:
                    raise _Refused(f"{error} ({failures} tries)") from error
                time.sleep(self.backoff * 2 ** (failures - 1))

    def _receive(self, url: str) -> None:
        have = _length(self.part)
        if have and have == self.size:
            return  # stopped between the last byte and the hash
        with self._open(url, have) as response:
            resumed, total = self._agree(response, have)
            have = have if resumed else 0
            self._check_space(total, have)
            with self.part.open("ab" if resumed else "wb") as file:
                for block in self._blocks(response):
                    file.write(block)
                    have += len(block)
                    self.progress(have, total)
        if total is not None and have < total:
            raise _Retry(f"the connection was cut after {have} of {total} bytes")

    def _blocks(self, response: HTTPResponse) -> Iterator[bytes]:
        """What arrives, as it arrives, so that a connection which breaks loses nothing that came before."""
        while True:
            try:
                block = response.read1(_BLOCK)
            except (OSError, HTTPException) as error:
                raise _Retry(self._explain(error)) from error
            if not block:
                return
            yield block

    def _open(self, url: str, have: int) -> HTTPResponse:
        headers = {"User-Agent": f"artgen/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            request = urllib.request.Request(url, headers=headers)
            return urllib.request.build_opener().open(request, timeout=self.timeout)
        except HTTPError as error:
            error.close()
            if have and error.code == 416:  # the part is as long as the file or longer, so it cannot be continued
                self.part.unlink()
                raise _Retry("the part could not be continued") from error
            kind = _Retry if error.code in _TRY_AGAIN else _Refused
            raise kind(f"HTTP {error.code} {error.reason}") from error
        except ValueError as error:
            raise _Refused(str(error)) from error
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            kind = _Refused if isinstance(reason, ssl.SSLCertVerificationError) else _Retry
            raise kind(self._explain(reason)) from error

    def _agree(self, response: HTTPResponse, have: int) -> tuple[bool, int | None]:
        """Does the answer continue the part, and how long is the whole file?  Else the answer starts from nothing."""
        span, length = response.headers.get("Content-Range", ""), response.headers.get("Content-Length")
        resumed = response.status == 206
        if resumed and not span.startswith(f"bytes {have}-"):
            self.part.unlink(missing_ok=True)
            raise _Retry(f"the server sent another range ({span or 'unnamed'})")
        stated = span.rpartition("/")[2] if resumed else length
        total = int(stated) if stated and stated.isdigit() else None
        if self.size is not None and total is not None and total != self.size:
            raise _Refused(f"serves another file ({total} bytes instead of {self.size})")
        return resumed, self.size if total is None else total

    def _check_space(self, total: int | None, have: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - have > free:
            raise OSError(None, f"{total - have} bytes are needed and {free} are free on that disk")

    def _explain(self, reason: object) -> str:
        if isinstance(reason, TimeoutError):
            return f"no answer within {self.timeout:g} s"
        return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)
