"""A dry run of the bundled models, by what they were measured to cost.  No torch here."""

from artcli import device
from artcli.commands.sample.request import Request
from artcli.commands.shared import costs, finish
from artcli.commands.shared.studio import tell_cost
from artcli.console import Console, counted

_DRAWER, _CODER = "diffusion-mini", "vqgan-mini"
_SIDES = {_DRAWER: 32, _CODER: 256}  # pixels of what they draw
_AT_ONCE = {_DRAWER: 16, _CODER: 4}  # pictures of a batch, which is filled up
# What is refused by these models, or costs more.
_ELSE = (
    "size", "classes", "where", "color", "truncation", "checkpoint", "temperature", "top_k", "top_p", "direction",
    "negative",
)  # fmt: skip


def can_foresee(request: Request) -> bool:
    """Whether this is a dry run of which all is in the table of costs.  Raises WeightsError: a file is damaged."""
    asked, texts = request.options, request.prompts
    told = _tells(request) and costs.hears(texts) and all(map(str.strip, texts))
    if not (asked.dry_run and told) or request.recorded_weights or request.runs[0].exists():
        return False
    if any(getattr(asked, name) for name in _ELSE):
        return False
    return costs.known({str(asked.run), request.enlargement.net}, asked.device, ())


def _tells(request: Request) -> bool:
    """Whether the model does what is asked for: one draws what words say, one gives back what it is shown."""
    words = bool(request.prompts)
    if str(request.options.run) == _DRAWER:
        return request.mode == "samples" and words
    shown = str(request.options.run) == _CODER and request.mode == "reconstruct"
    return shown and not words and request.options.guidance is None


def tell(request: Request, console: Console) -> None:
    """Say what would run and what it would cost."""
    request.look_at_pictures(console)
    name, enlarging = str(request.options.run), finish.foreseen(request.finishing)
    side = _SIDES[name]
    where = device.describe_processor(device.threads())
    console.info(f"sample: {name.removesuffix('-mini')} of {name}, {side}x{side}{enlarging.note}, {where}")
    if request.seeds:
        alone = len(request.seeds) == 1
        console.info(f"sample: seed {request.seeds[0]}" if alone else f"sample: seeds {request.seeds_text}")
    count = len(request.jobs(request.named)) if name == _DRAWER else len(request.pictures)
    filled = -(-count // _AT_ONCE[name]) * _AT_ONCE[name]
    seconds = costs.seconds(name, filled) if name == _DRAWER else costs.seconds("vqgan-mini once", filled * side**2)
    seconds += count * enlarging.seconds(side, side)
    held = costs.memory("sample")
    tell_cost(console, request.outputs(request.named), counted(count, "picture"), seconds, held=held, pictures=count)
