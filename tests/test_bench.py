"""The benches in one table."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent / "bench"
SHARED = {"all", "pictures", "plain_gans"}  # no benches themselves


@pytest.fixture
def together(monkeypatch):
    """bench/all.py as a module."""
    spec = importlib.util.spec_from_file_location("bench_all", HERE / "all.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_all", module)
    spec.loader.exec_module(module)
    return module


def test_every_bench_runs_or_is_left_out_with_a_reason(together):
    scripts = {path.stem for path in HERE.glob("*.py")} - SHARED
    assert scripts == {bench.script for bench in together.BENCHES.values()} | {n.split()[0] for n in together.LEFT_OUT}
    done = subprocess.run([sys.executable, HERE / "all.py", "--list"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(together.BENCHES) + len(together.LEFT_OUT)


@pytest.mark.parametrize("works", [True, False])
def test_the_table(together, tmp_path, monkeypatch, capsys, works):
    work = "print('a 0.5 s\\nratio   2.50 times faster')" if works else "import sys; sys.exit('no such thing')"
    (tmp_path / "one.py").write_text(work)
    examples = tmp_path / "examples"
    monkeypatch.setattr(together, "HERE", tmp_path)
    monkeypatch.setattr(together, "PICTURES", ())
    monkeypatch.setattr(together, "BENCHES", {"one": together.Bench("one", "{pictures}", "old to new")})
    monkeypatch.setattr(together, "machine", lambda: {"processor": "some"})
    monkeypatch.setattr(sys, "argv", ["all.py", "--out", str(tmp_path / "t.md"), "--json", str(tmp_path / "t.json")])
    with pytest.raises(SystemExit) as end:
        together.main()
    assert bool(end.value.code) is not works and not examples.exists()
    table, facts = (tmp_path / "t.md").read_text(), json.loads((tmp_path / "t.json").read_text())
    assert "processor: some" in table and table.strip() in capsys.readouterr().out
    row = facts["benches"][0]
    assert row["ratio"] == ([2.5] if works else []) and row["seconds"] >= 0 and row["memory_gb"] > 0
    assert "| one | 2.5 |" in table if works else "| one | failed: no such thing |" in table


def test_a_row_for_every_call(together, tmp_path, monkeypatch):
    """As bench/start.py prints them."""
    lines = ["             processor   clock   memory   to import torch"]
    lines += [
        "import torch    1.81 s   1.75 s  0.21 GB    1.00  1.00",
        "paint 1024      9.01 s   6.60 s  0.75 GB    4.98  3.77",
    ]
    (tmp_path / "one.py").write_text(f"print({chr(10).join([*lines, 'ratio        1.70, paint to import torch'])!r})")
    monkeypatch.setattr(together, "HERE", tmp_path)
    monkeypatch.setattr(together, "BENCHES", {"start": together.Bench("one", "", "times", together._CALL)})
    found = [(row.name, row.ratio, row.seconds, row.memory_gb, row.failed) for row in together.run("start", tmp_path)]
    assert found == [("start: import torch", [1.0], 1.75, 0.21, ""), ("start: paint 1024", [3.77], 6.6, 0.75, "")]
