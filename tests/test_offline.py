"""--offline: no verb and no kind of model asks the network, and what is missing is said at once."""

import os
import socket
import sys

import pytest

from artcli import fetch, network
from artcli.errors import WeightsError
from tests.conftest import one_error_line, photograph


@pytest.fixture
def no_sockets(folder, monkeypatch):
    """Nothing is in the caches, and whoever looks up a host or connects fails the test, also where it is caught."""
    asked = []

    def ask(*args, **kwargs):
        asked.append(args)
        raise OSError("the network was asked")

    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(socket.socket, "connect", ask)
    monkeypatch.setattr(socket.socket, "connect_ex", ask)
    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.setattr(socket, "create_connection", ask)
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(folder / "hub"))
    yield
    assert not asked


PHOTO, QUIETING = "photo.png", ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "WANDB_MODE")
CALLS = {
    "dream, open_clip's name": ["dream", "x", "--clip", "ViT-B-32-quickgelu/openai"],
    "dream, open_clip's name of a plain address": ["dream", "x", "--clip", "RN50/yfcc15m"],
    "dream, a hub": ["dream", "x", "--clip", "hf-hub:nobody/nothing"],
    "dream, the table's CLIP": ["dream", "x", "--clip", "clip-rn50-quickgelu-openai"],
    "dream, a VQGAN": ["dream", "x", "--vqgan", "vqgan-imagenet-f16-1024"],
    "dream, a diffusion model": ["dream", "x", "--drawer", "diffusers", "--model", "nobody/nothing"],
    "dream, an upscaler": ["dream", "x", "--upscale", "2", "--upscaler", "vq-f4"],
    "paint": ["paint", PHOTO, "--model", "vgg19"],
    "stylize": ["stylize", PHOTO, PHOTO, "--preset", "modern"],
    "stylize, a net": ["stylize", PHOTO, PHOTO, "--net", "squeezenet1_1"],
    "stylize --fast": ["stylize", PHOTO, PHOTO, "--fast", "--model", "vq-f8"],
    "cyclegan": ["cyclegan", PHOTO, "--model", "mobilenet_v2"],
    "cyclegan, an upscaler": ["cyclegan", PHOTO, "--upscale", "2", "--upscaler", "vq-f4"],
    "sample": ["sample", "vq-f8", "--reconstruct", PHOTO],
    "train adain": ["train", "adain", ".", "--set", "net=vgg19", "--set", "styles=."],
    "train vgg-slim": ["train", "vgg-slim", "."],
    "train cyclegan": ["train", "cyclegan", "a", "b", "--preset", "mini-128"],
    "train vqgan": ["train", "vqgan", ".", "--set", "net=squeezenet1_1", "--preset", "mini"],
    "train upscaler": ["train", "upscaler", ".", "--set", "net=squeezenet1_1"],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_not_here_is_missing_at_once(invoke, no_sockets, folder, call):
    photograph(folder / PHOTO)
    for number in range(4):
        for inside in (".", "a", "b"):
            (folder / inside).mkdir(exist_ok=True)
            photograph(folder / inside / f"{number}.png", (160 + number, 160))
    before = {name: os.environ.get(name) for name in QUIETING}
    result = invoke(*call, "--offline", "-q", *(["-o", "run"] if call[0] == "train" else ["-o", "out.png"]))
    assert result.exit_code == 3, result.stderr
    assert "offline" in one_error_line(result.stderr)
    assert {name: os.environ.get(name) for name in QUIETING} == before and not network.is_forbidden()


def test_the_names_that_are_here_still_work(invoke, no_sockets, folder):
    photograph(folder / PHOTO)
    assert invoke("cyclegan", PHOTO, "--offline").exit_code == 0
    assert invoke("dream", "x", "--offline", "-n").exit_code == 0


def test_within_the_block_libraries_know_it_too(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub = sys.modules.get("huggingface_hub.constants")
    with network.forbidden(False):
        assert not network.is_forbidden() and "HF_HUB_OFFLINE" not in os.environ
    with network.forbidden():
        with network.forbidden():
            assert os.environ["HF_HUB_OFFLINE"] == "1" and (hub is None or hub.HF_HUB_OFFLINE)
        assert network.is_forbidden() and os.environ["HF_HUB_OFFLINE"] == "1"
        with pytest.raises(WeightsError, match=r"x\.pth is not at .*offline"):
            fetch.download(("https://example.invalid/x.pth",), tmp_path / "x.pth")
    assert not network.is_forbidden() and "HF_HUB_OFFLINE" not in os.environ
