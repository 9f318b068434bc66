"""Random samples: a grid in one file, or a file each."""

from typing import TYPE_CHECKING

from artcli import device
from artcli.commands.sample import sheet, steer
from artcli.commands.sample.request import SampleJob
from artcli.commands.shared.jobs import tell_existing
from artcli.console import counted
from artcli.errors import ArtgenError

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session


def count(session: "Session") -> int:
    return len(session.request.jobs(session.classes))


def make(session: "Session") -> None:
    if session.request.separate:
        _files(session)
    else:
        _grid(session)


def _grid(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    jobs = request.jobs(session.classes)
    rows_of_classes = len(request.seeds) if len(session.classes) > 1 else None
    columns = request.options.columns or rows_of_classes or sheet.near_square(len(jobs))
    sheet.check(*sheet.size(len(jobs), columns, sampler.size))
    recipe = session.recipe()
    pictures = sampler.generate([j.seed for j in jobs], [j.class_name for j in jobs], request.options.truncation)
    drawn = [sampler.pixels(picture) for picture in session.watched(pictures, len(jobs))]
    facts = {"classes": session.classes} if session.classes else {}
    if rows_of_classes and columns == rows_of_classes:
        session.console.info(f"sample: rows, from above: {', '.join(session.classes)}")
    session.save(request.out, sheet.grid(drawn, columns), recipe, seeds=list(request.seeds), columns=columns, **facts)
    session.done(counted(len(jobs), "picture"))


def _files(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    jobs = device.my_share(request.jobs(session.classes))
    left = [job for job in jobs if not (request.options.skip_existing and job.path.exists())]
    tell_existing("sample", jobs, left, session.console)
    pictures = sampler.generate([j.seed for j in left], [j.class_name for j in left], request.options.truncation)
    failed = 0
    for job, picture in zip(left, session.watched(pictures, len(left)), strict=True):
        failed += not _saved(session, job, sampler.pixels(picture))
    if failed:
        raise ArtgenError(f"{failed} of {counted(len(left), 'picture')} failed; the others are done")
    session.done(counted(len(left), "picture"))


def _saved(session: "Session", job: SampleJob, pixels: sheet.Array) -> bool:
    """Whether the picture could be written; with a line that says why not."""
    of_class = {} if job.class_name is None else {"class": job.class_name}
    recipe = session.recipe(seed=f"{job.seed}-{job.seed}", **_named(session, job.class_name))
    try:
        session.save(job.path, pixels, recipe, seed=job.seed, **of_class)
    except ArtgenError as error:
        session.console.error(str(error))
        return False
    return True


def _named(session: "Session", name: str | None) -> dict[str, list[str]]:
    """The parameters of a call that draws only this."""
    if name is None:
        return {}
    if session.request.varied:
        return steer.alone(session.request.wanted, name)
    return {"prompts" if session.sampler.told_in_words else "classes": [name]}
