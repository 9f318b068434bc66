"""Options of the verbs, as `artcli.dream(...)` takes them.

Written by `python tests/api_options.py` from the settings of artcli/commands/; change those instead.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

Text = str | float | Path  # a number or a path is as good as its text


class Cyclegan(TypedDict, total=False):
    as_json: bool
    detail: float
    device: Text
    direction: Text | None
    dropout_seed: int
    dry_run: bool
    evaluated: bool
    force: bool
    from_file: Text | None
    keep_color: bool
    model: Text
    no_dropout: bool
    no_metadata: bool
    offline: bool
    out: Text | None
    quiet: bool
    recursive: bool
    show: bool
    size: int | None
    skip_existing: bool
    strength: float
    tile: int
    upscale: Text | None
    upscaler: Text | None
    weights_dirs: Sequence[Text] | None


class Dream(TypedDict, total=False):
    as_json: bool
    augment: Text
    best_of: int
    candidates: int
    chunk: int
    clip: Text
    clip_guidance: float
    cut_power: float
    cutouts: int
    device: Text
    drawer: Literal["vqgan", "fft", "diffusers"] | None
    dry_run: bool
    duration: float | None
    feather: float
    force: bool
    fps: float | None
    frame_steps: int
    from_file: Text | None
    gif: bool
    guidance: float
    image_prompt: Sequence[Text] | None
    init: Text | None
    init_decay: float
    init_weight: float
    loss: Literal["contrast", "spherical", "cosine"]
    low_part: float | None
    low_res: int
    lr: float | None
    mask: Text | None
    model: Text | None
    negative: Sequence[Text] | None
    no_metadata: bool
    noise_prompt: Sequence[Text] | None
    offline: bool
    optimizer: Literal["adam", "adamw", "radam"]
    out: Text | None
    paint: bool
    pan: Text | None
    preset: Text | None
    preview: bool
    prior: Text | None
    prior_strength: float
    prompts_file: Text | None
    quiet: bool
    resume: bool
    rotate: float | None
    save_every: int
    seed: Text | None
    shifts: int
    show: bool
    size: Text | None
    skip_existing: bool
    start: Literal["prior", "sketch", "codes", "range", "noise", "gradient"] | None
    steady: float
    steps: int | None
    story: Text | None
    strokes_out: Text | None
    stylize: Text | None
    svg: bool
    tileable: bool
    time_limit: Text | None
    upscale: Text | None
    upscale_first: bool
    upscaler: Text | None
    vqgan: Text | None
    weights_dirs: Sequence[Text] | None
    zoom: float | None


class Paint(TypedDict, total=False):
    as_json: bool
    background: Text | None
    brush: Text | None
    detail: float
    detail_mask: Text | None
    device: Text
    dry_run: bool
    duration: float
    each_layer: bool
    force: bool
    fps: float
    from_file: Text | None
    gif: bool
    layers: int | None
    lines: bool | None
    min_stroke: float
    mode: Literal["fast", "quality"]
    model: Text
    mp4: bool
    no_metadata: bool
    offline: bool
    opacity: float
    out: Text | None
    pace: Literal["change", "strokes"]
    palette: Text | None
    quiet: bool
    recursive: bool
    resume: bool
    show: bool
    size: int | None
    skip_existing: bool
    strokes: int | None
    strokes_out: Text | None
    svg: bool
    webm: bool
    weights_dirs: Sequence[Text] | None


class Sample(TypedDict, total=False):
    as_json: bool
    between: Sequence[Text] | None
    checkpoint: Text | None
    classes: Sequence[Text] | None
    color: Sequence[Text] | None
    columns: int | None
    compare: Sequence[Text] | None
    complete: Sequence[Text] | None
    count: int | None
    device: Text
    direction: Sequence[Text] | None
    direction_out: Text | None
    dry_run: bool
    duration: float | None
    force: bool
    fps: float
    from_file: Text | None
    guidance: float | None
    inception: Text | None
    interpolate: bool
    keep: Text | None
    loop: bool
    mix: Literal["coarse", "middle", "fine"] | None
    negative: Sequence[Text] | None
    neighbours: bool
    no_metadata: bool
    offline: bool
    out: Text | None
    project: Sequence[Text] | None
    prompts: Sequence[Text] | None
    quiet: bool
    rate: bool
    reconstruct: Sequence[Text] | None
    score: Text | None
    seed: Text | None
    separate: bool
    size: Text | None
    skip_existing: bool
    steps: int | None
    sweep: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    truncation: float | None
    upscale: Text | None
    upscaler: Text | None
    walk: bool
    where: Sequence[Text] | None


class Stylize(TypedDict, total=False):
    as_json: bool
    content_weight: float | None
    device: Text
    dry_run: bool
    duration: float | None
    fast: bool
    force: bool
    fps: float
    from_file: Text | None
    histogram: float
    init: Literal["content", "gray", "noise", "style"]
    keep_color: Literal["luminance", "coral"] | None
    lr: float | None
    mask: Sequence[Text] | None
    model: Text
    net: Text | None
    no_metadata: bool
    offline: bool
    optimizer: Literal["adam", "lbfgs"] | None
    out: Text | None
    pooling: Literal["max", "average", "l2"]
    preset: Literal["slim", "modern", "vgg19", "squeezenet"]
    preview: bool
    quiet: bool
    recursive: bool
    resume: bool
    save_every: int
    seed: Text | None
    show: bool
    size: int | None
    skip_existing: bool
    steady: float
    steps: int | None
    strength: float
    style: Sequence[Text] | None
    style_mask: Sequence[Text] | None
    style_scale: float
    style_weights: Text | None
    tile: int
    time_limit: Text | None
    tv: float | None
    upscale: Text | None
    upscaler: Text | None
    weights_dirs: Sequence[Text] | None


class Train(TypedDict, total=False):
    accept_changes: bool
    accumulate: int
    as_json: bool
    balanced: bool
    by_color: bool
    check: bool
    color: Literal["rgb", "ycbcr", "grey"]
    crop: Text
    cutout: Text | None
    device: Text
    dry_run: bool
    epochs: int | None
    export: Literal["onnx"] | None
    filter: Literal["lanczos", "box"]
    flip: bool
    inception: Text | None
    init_from: Text | None
    keep: int
    masks: Text | None
    metrics: Text
    metrics_every: int
    metrics_pictures: int
    offline: bool
    out: Text | None
    patience: int | None
    precision: Literal["fp32", "bf16", "fp16"]
    preset: Text | None
    quiet: bool
    rotate: float
    save_every: int
    seed: int
    settings: Sequence[Text] | None
    steps: int | None
    table: Text | None
    time_limit: Text | None
    track: Sequence[Text] | None
    val_fraction: float | None
    zoom: float
