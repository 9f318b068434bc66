"""Under torchrun every process takes its own share of a batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcli import device


@given(jobs=st.integers(0, 40), world=st.integers(1, 7))
def test_the_shares_of_all_processes_are_the_batch(jobs, world):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", str(world))
        taken = []
        for rank in range(world):
            patch.setenv("RANK", str(rank))
            taken += device.my_share(range(jobs))
    assert sorted(taken) == list(range(jobs))


def test_alone_a_process_takes_everything(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert device.my_share([3, 1, 2]) == [3, 1, 2]
