"""`artgen weights`: what scripts see: stdout, exit codes, files."""

import json

import pytest
from typer.testing import CliRunner

from artcli.commands.weights import app
from artcli.errors import UsageError, WeightsError
from tests.test_weights import bundle, home, publish, put  # noqa: F401  (home is a fixture)
from tests.test_weights_fetch import CONTENT, serving


def run(*args: str):
    """The result of a command, with its expected failure raised, as the error boundary would see it."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_list(home, monkeypatch):  # noqa: F811
    publish(monkeypatch, "http://127.0.0.1:1/net.bin")
    bundle(home, one=b"1")
    lines = run("list").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["NAME", "KIND", "WHERE", "SIZE", "LICENCE"],
        ["mini", "clip", "bundled", "1", "B", "MIT"],
        ["net", "net", "missing", "1.0", "MB", "MIT"],
    ]
    put(home / "given" / "net.bin", b"cut")
    assert "explicit (damaged)" in run("list", "--weights", home / "given").stdout


def test_list_json(home, monkeypatch):  # noqa: F811
    publish(monkeypatch, "http://127.0.0.1:1/net.bin")
    path = put(home / "cache" / "weights" / "net.bin")
    (row,) = map(json.loads, run("list", "--json").stdout.splitlines())
    assert (row["name"], row["where"], row["path"], row["damaged"]) == ("net", "cache", str(path), False)
    assert row["bytes"] == len(CONTENT)


def test_get_prints_the_path_and_nothing_else_on_stdout(home, monkeypatch):  # noqa: F811
    with serving() as site:
        publish(monkeypatch, site.url)
        for force, requests in (([], 1), ([], 1), (["--force"], 2)):
            before = len(site.asked)
            result = run("get", "net", *force)
            assert result.stdout == f"{home / 'cache' / 'weights' / 'net.bin'}\n"
            assert len(site.asked) == requests
            assert ("licence MIT" in result.stderr) == (before != len(site.asked))


def test_get_quiet(home, monkeypatch):  # noqa: F811
    with serving() as site:
        publish(monkeypatch, site.url)
        assert run("get", "net", "-q").stderr == ""


def test_get_repairs_a_truncated_file(home, monkeypatch):  # noqa: F811
    path = put(home / "cache" / "weights" / "net.bin", b"cut")
    with serving() as site:
        publish(monkeypatch, site.url)
        run("get", "net")
    assert path.read_bytes() == CONTENT


def test_get_bundled(home):  # noqa: F811
    folder = bundle(home, one=b"1")
    assert run("get", "mini").stdout == f"{folder / 'one'}\n"
    with pytest.raises(UsageError, match="nothing to download"):
        run("get", "--force", "mini")


def test_get_checks_all_names_first(home, monkeypatch):  # noqa: F811
    with serving() as site:
        publish(monkeypatch, site.url)
        with pytest.raises(UsageError, match="Did you mean 'net'"):
            run("get", "net", "nett")
        assert site.asked == []


def test_get_fails(home, monkeypatch):  # noqa: F811
    with serving(status=404) as site:
        publish(monkeypatch, site.url)
        with pytest.raises(WeightsError, match="HTTP 404"):
            run("get", "net")


def test_verify(home, monkeypatch):  # noqa: F811
    publish(monkeypatch, "http://127.0.0.1:1/net.bin")
    path = bundle(home, one=b"right") / "one"
    assert run("verify").stdout == f"mini: ok  {path}\n"  # what was never downloaded is no failure
    with pytest.raises(WeightsError, match="1 of 2 weights are missing or damaged: net"):
        run("verify", "mini", "net")
    path.write_bytes(b"wrong")
    with pytest.raises(WeightsError, match=r"1 of 1 .*: mini"):
        run("verify")
    result = CliRunner().invoke(app, ["verify", "--json"])
    verdict = json.loads(result.stdout)
    assert not verdict["ok"]
    assert "sha256" in verdict["problem"]


def test_path(home, monkeypatch):  # noqa: F811
    publish(monkeypatch, "http://127.0.0.1:1/net.bin")
    with pytest.raises(WeightsError, match="artgen weights get net"):
        run("path", "net")
    path = put(home / "given" / "net.bin")
    assert run("path", "net", "--weights", home / "given").stdout == f"{path}\n"
