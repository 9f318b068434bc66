"""Downloads against a server in a thread that misbehaves on request."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artcli.errors import WeightsError
from artcli.fetch import download, sha256_of

CONTENT = bytes(range(256)) * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()
QUICK = {"timeout": 5.0, "attempts": 3, "backoff": 0.0}


@dataclass
class Site:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    status: int = 200
    ranges: bool = True
    lengths: bool = True
    cuts: list[int] = field(default_factory=list)  # the n-th answer stops after so many bytes
    hang: threading.Event | None = None
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers["Range"]
        self.asked.append(wanted)
        if self.hang:
            self.hang.wait(10)
            return
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        if self.status != 200 or start >= len(self.content) > 0:
            handler.send_error(416 if self.status == 200 else self.status)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.lengths:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@contextmanager
def serving(**options) -> Iterator[Site]:
    site = Site(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_port}/model.bin"
    try:
        yield site
    finally:
        if site.hang:
            site.hang.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "model.bin"


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def test_normal(target):
    seen = []
    with serving() as site:
        progress = lambda done, total: seen.append((done, total))  # noqa: E731
        assert download([site.url], target, sha256=SHA, size=len(CONTENT), progress=progress) == target
    assert target.read_bytes() == CONTENT
    assert not part(target).exists()
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_there_is_kept_unless_forced(target):
    with serving() as site:
        for force, requests in ((False, 1), (False, 1), (True, 2)):
            download([site.url], target, sha256=SHA, size=len(CONTENT), force=force)
            assert len(site.asked) == requests


def test_a_file_of_the_wrong_size_is_replaced(target):
    target.parent.mkdir()
    target.write_bytes(b"cut")
    with serving() as site:
        download([site.url], target, sha256=SHA, size=len(CONTENT))
    assert target.read_bytes() == CONTENT


def test_resumes_where_the_connection_was_cut(target):
    half = len(CONTENT) // 2
    with serving(cuts=[half]) as site:
        download([site.url], target, sha256=SHA, **QUICK)
    assert target.read_bytes() == CONTENT
    assert site.asked == [None, f"bytes={half}-"]


def test_a_connection_that_keeps_breaking_still_gets_there(target):
    with serving(cuts=[1000] * 20) as site:  # far more cuts than attempts, but each brings something
        download([site.url], target, sha256=SHA, **QUICK)
    assert target.read_bytes() == CONTENT
    assert len(site.asked) == 21


def test_a_later_run_resumes(target):
    with serving(cuts=[5000, 0, 0, 0]) as site:
        with pytest.raises(
            WeightsError, match=r"cut after 5000 of 1024000 bytes.*5000 bytes so far are kept.*put it at"
        ):
            download([site.url], target, sha256=SHA, **QUICK)
        assert not target.exists()
        download([site.url], target, sha256=SHA, **QUICK)
    assert site.asked[-1] == "bytes=5000-"
    assert target.read_bytes() == CONTENT


def test_killed_between_the_last_byte_and_the_hash(target):
    target.parent.mkdir()
    part(target).write_bytes(CONTENT)
    with serving() as site:
        download([site.url], target, sha256=SHA, size=len(CONTENT), **QUICK)
    assert site.asked == []


@pytest.mark.parametrize("left", [CONTENT + b"more", b"other bytes"])
def test_a_foreign_part_is_thrown_away(target, left):
    target.parent.mkdir()
    part(target).write_bytes(left)
    with serving() as site:
        download([site.url], target, sha256=SHA, **QUICK)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
def test_a_server_without_ranges(target, lengths):
    with serving(ranges=False, lengths=lengths, cuts=[300_000]) as site:
        download([site.url], target, sha256=SHA, size=len(CONTENT), **QUICK)
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_breaks_is_given_up(target):
    with serving(ranges=False, cuts=[1000] * 50) as site:
        with pytest.raises(WeightsError, match="3 tries"):
            download([site.url], target, sha256=SHA, **QUICK)
        assert len(site.asked) == 3


@pytest.mark.parametrize("wrong", [b"x" * len(CONTENT), b"<html>sign in</html>"])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_wrong_file_then_good_mirror(target, wrong, size):
    with serving(content=wrong) as bad, serving() as good:
        download([bad.url, good.url], target, sha256=SHA, size=size, **QUICK)
    assert target.read_bytes() == CONTENT


def test_a_good_mirror_after_half_of_a_wrong_one(target):
    with serving(content=b"x" * len(CONTENT), cuts=[500, 0, 0, 0]) as bad, serving() as good:
        download([bad.url, good.url], target, sha256=SHA, **QUICK)
    assert good.asked == ["bytes=500-", None]
    assert target.read_bytes() == CONTENT


def test_wrong_hash_leaves_nothing(target):
    with (
        serving(content=b"x" * len(CONTENT)) as site,
        pytest.raises(WeightsError, match=r"serves another file \(sha256 .* instead of"),
    ):
        download([site.url], target, sha256=SHA, **QUICK)
    assert [path.name for path in target.parent.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize(("prefix", "good"), [(SHA[:8], True), ("0" * 8, False)])
def test_hash_prefix(target, prefix, good):
    with serving() as site:
        if good:
            download([site.url], target, sha256_prefix=prefix, **QUICK)
        else:
            with pytest.raises(WeightsError, match="another file"):
                download([site.url], target, sha256_prefix=prefix, **QUICK)
    assert target.exists() == good


def test_hanging_server_then_good_mirror(target):
    with serving(hang=threading.Event()) as bad, serving() as good:
        download([bad.url, good.url], target, sha256=SHA, timeout=0.2, attempts=1)
    assert target.read_bytes() == CONTENT


def test_every_mirror_fails_and_every_reason_is_named(target):
    nobody = "http://127.0.0.1:1/model.bin"
    with serving(status=404) as gone, serving(status=503) as busy, serving(hang=threading.Event()) as silent:
        urls = [gone.url, busy.url, silent.url, nobody, "nonsense"]
        with pytest.raises(WeightsError) as caught:
            download(urls, target, sha256=SHA, timeout=0.2, attempts=2, backoff=0.0)
        assert len(gone.asked) == 1  # there is no point in asking again
        assert len(busy.asked) == 2
    message = str(caught.value)
    assert "\n" not in message
    for url, reason in zip(
        urls, ("HTTP 404", "HTTP 503", "no answer within 0.2 s", "refused", "unknown url"), strict=True
    ):
        assert f"{url}: " in message
        assert reason in message.split(f"{url}: ")[1]


def test_full_disk_is_told_before_the_download(target, monkeypatch):
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr("artcli.fetch.shutil.disk_usage", lambda folder: usage)
    with serving() as site, pytest.raises(WeightsError, match=r"1024000 bytes are needed and 10 are free.*CACHE_DIR"):
        download([site.url], target, sha256=SHA, **QUICK)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="Cannot write"):
        download(["http://127.0.0.1:1/x"], tmp_path / "file" / "model.bin")


def test_proxy_from_the_environment(target, monkeypatch):
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.rpartition("/")[0])
        monkeypatch.delenv("no_proxy")
        download(["http://weights.invalid/model.bin"], target, sha256=SHA, **QUICK)
    assert len(proxy.asked) == 1


def test_two_processes_download_once(target):
    code = "import sys, pathlib; from artcli.fetch import download; download([sys.argv[1]], pathlib.Path(sys.argv[2]))"
    with serving() as site:
        command = [sys.executable, "-c", code, site.url, str(target)]
        processes = [subprocess.Popen(command) for _ in range(2)]
        assert [process.wait(20) for process in processes] == [0, 0]
    assert len(site.asked) == 1
    assert sha256_of(target) == SHA


def test_who_waits_sees_the_progress_of_the_other(target):
    seen = []
    with serving(hang=threading.Event()) as slow, serving() as fast:
        first = threading.Thread(target=download, args=([slow.url, fast.url], target), kwargs={"attempts": 1})
        first.start()
        while not slow.asked:
            pass
        part(target).write_bytes(CONTENT[:7])
        release = threading.Timer(0.7, slow.hang.set)
        release.start()
        download([fast.url], target, sha256=SHA, size=len(CONTENT), progress=lambda *facts: seen.append(facts))
        first.join()
    assert seen[0] == (7, len(CONTENT))
    assert len(fast.asked) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=2), ranges=st.booleans())
def test_any_cut_gives_the_same_bytes(tmp_path, cuts, ranges):
    target = tmp_path / "model.bin"
    target.unlink(missing_ok=True)
    with serving(cuts=list(cuts), ranges=ranges) as site:
        download([site.url], target, sha256=SHA, size=len(CONTENT), **QUICK)
    assert target.read_bytes() == CONTENT
    assert not part(target).exists()
