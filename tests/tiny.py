"""The smallest settings of every model that trains, by its name in the registry.

A new model needs an entry here: the tests of training, sampling and exporting run over all of them, and one test fails
where an entry is missing.
"""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artcli.training import checkpoint, finished
from artcli.training.registry import MODELS
from tests.batches import seeded
from tests.test_stylize_run import weights_file

TEACHER, STAGE = "teacher.safetensors", "stage"  # which `furnish` puts into the current folder

_TRANSLATORS = {"size": 36, "crop": 32, "width": 4, "discriminator_width": 4, "batch": 2}
TINY: dict[str, dict[str, Any]] = {
    "adain": {
        "size": 32, "crop": 32, "net": TEACHER, "styles": "data/B", "widths": (12, 12, 8, 8), "inversion": 0,
        "batch": 4,
    },
    "autoencoder": {"size": 16, "width": 4, "batch": 8},
    "clip": {
        "embed_dim": 16, "context_length": 16, "text_width": 48, "text_layers": 1, "trunk": "test_resnet", "size": 32,
        "first_size": 32, "text_steps": 2, "image_steps": 2, "text_batch": 8, "batch": 8,
    },
    "cyclegan": {**_TRANSLATORS, "blocks": 1, "pool": 3, "dropout": True},
    "dcgan": {"size": 16, "latent": 8, "width": 4, "discriminator_width": 4, "batch": 8},
    "diffusion": {
        "size": 16, "widths": (8, 16), "blocks": (1, 1), "attention": (False, True), "features": 16, "texts": 0,
        "rise": 1, "batch": 4,
    },
    "gan": {
        "size": 8, "channels": 3, "latent": 4, "widths": (16,), "discriminator_widths": (16,), "batch": 8,
    },
    "painter": {"width": 16, "ffn": 8, "layers": 1, "samples": 16, "held_out": 8, "batch": 8},
    "pix2pix": {**_TRANSLATORS, "blocks": 5, "direction": "BtoA"},
    "prior": {"first_stage": STAGE, "width": 16, "layers": 1, "heads": 2, "batch": 8},
    "stylegan": {"size": 16, "latent": 8, "layers": 2, "width": 64, "most": 8, "target": 0.3, "batch": 8},
    "upscaler": {"size": 32, "crop": 16, "width": 4, "blocks": 1, "perceptual": 0.0, "batch": 8},
    "vae": {"size": 32, "latent": 4, "width": 2, "batch": 8},
    "vgg-slim": {"size": 64, "crop": 64, "widths": (4, 4, 6, 6, 6), "teacher": TEACHER, "batch": 4},
    "vqgan": {
        "size": 32, "crop": 0, "widths": (8, 16), "groups": 4, "codes": 16, "code_width": 4, "perceptual": 0.0,
        "discriminator_width": 4, "discriminator_start": 1, "discriminator_ahead": 1, "batch": 8,
    },
    "vqvae": {
        "size": 16, "width": 8, "codes": 16, "code_width": 4, "prior_width": 16, "prior_layers": 1, "batch": 8,
    },
    "vqvae2": {
        "size": 16, "width": 8, "residual_width": 4, "codes": 16, "code_width": 4, "prior_width": 8, "prior_blocks": 1,
        "prior_residuals": 1, "prior_heads": 2, "codes_steps": 2, "prior_steps": 2, "batch": 8, "memory": 0.0,
    },
    "wgan-gp": {
        "size": 16, "latent": 8, "width": 4, "discriminator_width": 4, "critic_steps": 2, "batch": 8,
    },
}  # fmt: skip
OTHER_DATA = {
    "clip": ["lessons"],
    "cyclegan": ["data/A", "data/B"],
    "painter": ["none"],
    "pix2pix": ["data/A", "data/B"],
    "prior": [STAGE, "data"],
}  # all others learn from the pictures in data


def backend(name: str) -> Any:
    """The module of a model."""
    return importlib.import_module(MODELS[name])


def config(name: str, **changes: Any) -> Any:
    """The tiny settings of a model, with changes."""
    return backend(name).Config(**TINY[name] | changes)


def flags(name: str, *usual: str, **changes: Any) -> list[str]:
    """The same on the command line.  usual: settings that are left out."""
    settings = {key: value for key, value in (TINY[name] | changes).items() if key not in usual}
    return [part for key, value in settings.items() for part in ("--set", f"{key}={_written(value)}")]


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def length(name: str) -> int:
    """Steps of the run that `line` starts."""
    return getattr(config(name), "steps", 3)


def line(name: str, *more: Any, out: str = "run") -> list[Any]:
    """Arguments that train it, in a folder that `furnish` furnished; with checkpoints at step 2 and at the end."""
    steps = [] if hasattr(config(name), "steps") else ["--steps", length(name)]
    data = OTHER_DATA.get(name, ["data"])
    return ["train", name, *data, "--out", out, "--save-every", 2, *steps, *flags(name), *more]


# --- data -------------------------------------------------------------------------------------------------------------


def furnish(folder: Path) -> None:
    """What the tiny models learn from: data/ of two classes whose names match, lessons/ for clip, and a teacher."""
    write_pictures(folder / "data" / "A", 12)
    write_pictures(folder / "data" / "B", 12, seed=1)
    write_lessons(folder / "lessons")
    weights_file(folder / TEACHER, (8, 8, 12, 12, 12))
    write_stage(folder / STAGE)


def write_stage(run: Path, kind: str = "vqvae", **changes: Any) -> Path:
    """A run whose codes a prior can learn."""
    made = seeded(lambda: backend(kind).Model(config(kind, **changes)))
    if hasattr(made, "histogram"):
        made.histogram += 1  # as in its second stage
    told = {"model": kind, "config": dataclasses.asdict(made.config), "data": {}, "seed": 0, "step": 0}
    run.mkdir()
    checkpoint.export(run / "weights.safetensors", finished.state(made), told)
    return run


def write_pictures(folder: Path, count: int = 24, classes: list[str] | None = None, seed: int = 0) -> Path:
    """Blobs of colour at random places, in a folder or in a folder per class."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        y, x = np.mgrid[:20, :20]
        cx, cy = rng.integers(4, 16, 2)
        inside = ((x - cx) ** 2 + (y - cy) ** 2 < 20)[..., None]
        pixels = np.where(inside, rng.integers(150, 255, 3), rng.integers(0, 90, 3)).astype(np.uint8)
        place = folder / classes[number % len(classes)] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:03d}.png")
    return folder


def write_lessons(folder: Path, count: int = 100) -> Path:
    """Two classes told apart by brightness above and below, and texts with embeddings of a teacher, for clip."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = rng.integers(0, 60, (count, 32, 32, 3))
    images[labels == 0, :16] += 180
    images[labels == 1, 16:] += 180
    np.savez(
        folder / "things.npz", images=images.astype(np.uint8), labels=labels, names=["cat", "dog|hound"],
        kinds=["mammal", ""], share=1.0, attributes=True,
    )  # fmt: skip
    words = ("car", "house", "tree", "cat", "big", "old", "by the sea", "at night")
    texts = [f"{a} {b}" for a in words for b in words]
    np.savez(folder / "texts.npz", texts=texts, vectors=rng.normal(size=(len(texts), 24)).astype(np.float16))
    return folder
