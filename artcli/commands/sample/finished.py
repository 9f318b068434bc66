"""Models without a run: a bundled name, `RUN/model`, a VQGAN checkpoint of any origin, a diffusion model's file."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from artcli import weights
from artcli.errors import UsageError
from artcli.models import diffusion, prior
from artcli.models.first_stage import FirstStage
from artcli.nn.inference import inference
from artcli.nn.latents import lerp
from artcli.nn.vqgan import VQGAN
from artcli.pretrained import diffusion as diffusion_files
from artcli.pretrained import find, net2net
from artcli.pretrained import vqgan as vqgan_files
from artcli.training import runs
from artcli.training.runs import Loaded
from artcli.training.spec import DataSpec, RunSpec

SIDE, LARGEST = 256, 1024  # pixels that a VQGAN works at: it takes any size, and its file names none
_FILES = (vqgan_files.FILE, diffusion_files.FILE)


def load(run: Path, device: torch.device, *, size: tuple[int, int] | None = None, **chosen: Any) -> Loaded:
    """What `artgen sample RUN` draws with, in evaluation mode: a run's model, or one without a run.

    size: (width, height) of what is asked for, which models that take any size work at.  chosen: of a run, for
    `runs.load_generator`.  Raises UsageError for what is neither, WeightsError for what is missing or damaged.
    """
    path = _file(run)
    if path is None:
        loaded = runs.load_generator(run, device, **chosen)
        if isinstance(loaded.model, prior.Model):
            loaded.model.check_codebook()
        return loaded
    if chosen:
        raise UsageError(f"--checkpoint chooses within a run, and {run} is a finished model: leave it out")
    if diffusion_files.is_one(path):
        drawing = diffusion.finished(path, device)
        return _loaded(drawing, "diffusion", run)
    state = vqgan_files.read(path)
    net = vqgan_files.assemble(path, state, device, encodes=True)
    if net2net.is_one(state):
        return _two_stages(net, net2net.second(path, state, net.sizes.codes), run, device)
    return _loaded(Coder(net, max(size or (SIDE, SIDE))), "vqgan", run)


def _loaded(model: Any, name: str, run: Path, classes: Sequence[str] = ()) -> Loaded:
    spec = RunSpec(name, data=DataSpec(found={"classes": list(classes)}))
    return Loaded(model.eval(), model.config, spec, None, weights.fingerprint(model), run)


def _two_stages(net: VQGAN, second: net2net.Second, run: Path, device: torch.device) -> Loaded:
    """Where nothing says how many classes there are, every token can be named as one."""
    known = len(second.gpt.tok_emb.weight) if second.classes is None else second.classes
    model = prior.of_parts(FirstStage(net), second.gpt.to(device), second.side, known, usual=second.classes is None)
    return _loaded(model, "prior", run, [str(number) for number in range(known)])


def _file(run: Path) -> Path | None:
    """The file of a finished model; None for a run, and for all that is for its loader to judge."""
    if not run.exists():
        found = find.own(str(run), diffusion_files.NAME)
        return _file(found)
    if run.is_dir():
        if any((run / name).exists() for name in (runs.RUN, runs.WEIGHTS)):
            return None
        places = (folder / name for folder in (run, run / "model") for name in _FILES)
        return next((path for path in places if path.is_file()), None)
    if run.suffix != ".safetensors" or diffusion_files.is_one(run):
        return run
    return run if vqgan_files.is_one(run) else None


class Coder(nn.Module):
    """A finished VQGAN, as `artgen sample` asks for it: square pictures of about `side` pixels to codes and back."""

    def __init__(self, net: VQGAN, side: int):
        super().__init__()
        factor = net.sizes.factor
        side = min(LARGEST, max(1, round(side / factor)) * factor)
        self.net, self.config = net, SimpleNamespace(size=side, channels=net.sizes.channels)

    @inference
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, S, S) in 0..1 to latents (N, D): the features before they become codes."""
        return self.net.encode(images).flatten(1)

    @inference
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, D), which become codes, to (N, C, S, S) in 0..1."""
        side, book = self.config.size // self.net.sizes.factor, self.net.quantize
        features = latents.view(len(latents), -1, side, side)
        return self.net.decode(book.look_up(book.choose(features))).clamp(0, 1)

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(images))

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The straight way between features."""
        return lerp(start, end, part)
