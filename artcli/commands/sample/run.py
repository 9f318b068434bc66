"""Refuse what could not be written, then load the models and do what `artgen sample` was asked for."""

from artcli import device
from artcli.commands.sample import foreseen
from artcli.commands.sample.request import Request
from artcli.console import Console


def run(request: Request, console: Console) -> None:
    """Raises UsageError for what the model cannot do, ArtgenError for what fails, Interrupted after Ctrl-C."""
    if request.outputs_known:
        request.check_outputs(request.named, console)
        if _all_there(request, console):
            return
    if foreseen.can_foresee(request):
        return foreseen.tell(request, console)
    device.import_torch()
    from artcli.commands.sample import session

    session.run(request, console)


def _all_there(request: Request, console: Console) -> bool:
    """Whether --skip-existing leaves nothing to do, which saves loading the model."""
    outputs = request.outputs(request.named)
    if not request.options.skip_existing or not all(path.exists() for path in outputs):
        return False
    console.info(f"sample: {len(outputs)} of {len(outputs)} exist already")
    return True
