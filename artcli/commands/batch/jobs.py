"""Jobs as they are written become single ones: lists and ranges of seeds are gone through, {names} filled in."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from artcli.commands.batch import sheet
from artcli.commands.batch.sheet import Sheet
from artcli.commands.shared import call, naming
from artcli.commands.shared import options as texts
from artcli.commands.shared.verb import takes_several
from artcli.errors import UsageError, did_you_mean
from artcli.media import files

MOST = 10_000  # that one job can become
_ONE_FILE = ("sample",)  # verbs whose seeds are pictures of one file
_READ = ("inputs", "init", "reconstruct", "complete")  # what takes - for standard input
_PLACES = ("out", "strokes_out")  # options in which a value has to be fit for a file's name
# How a job is carried out, which does not make it another one.
_HOW = ("force", "skip_existing", "device", "offline", "preview", "show", "resume", "weights_dirs", "time_limit")


@dataclass(frozen=True)
class Task:
    """A single job.  number: as it is told, 3 or 3.2.  values, defaults: by parameter, as a request takes them.

    mark: tells its output from those that come of the same table, "" where they differ anyway.  problem: why it cannot
    be done, "" if nothing is known against it.
    """

    number: str
    verb: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    mark: str = ""
    problem: str = ""

    @property
    def key(self) -> str:
        """The same for the same job, wherever it stands."""
        said = {**self.defaults, **self.values}
        shaping = {name: value for name, value in said.items() if name not in _HOW}
        return _hash([self.verb, self.mark, shaping])

    @property
    def title(self) -> str:
        """What a user knows it by: `dream 'red car', seed 3`."""
        shown = [repr(value) for name, value in self.values.items() if name in ("prompt", "inputs", "run", "model")]
        seed = [f"seed {self.values['seed']}"] if "seed" in self.values else []
        return " ".join([self.verb, ", ".join(shown + seed)]).strip()


def expand(found: Sheet, settings: Mapping[str, Mapping[str, Any]]) -> list[Task]:
    """settings: defaults by verb and parameter, from settings files."""
    tasks: list[Task] = []
    for number, job in enumerate(found.jobs, 1):
        try:
            if isinstance(job, str):
                raise UsageError(job)
            tasks += _tasks(str(number), job, found, settings)
        except UsageError as error:
            tasks.append(Task(str(number), problem=str(error)))
    return _each_once(tasks)


def _each_once(tasks: Sequence[Task]) -> list[Task]:
    """The tasks, one that stands twice with that as its problem: both would write the same files."""
    first: dict[str, str] = {}
    return [
        task
        if task.problem or (before := first.setdefault(task.key, task.number)) == task.number
        else replace(task, problem=f"it is the same as job {before}: leave one of them out, or change its seed and out")
        for task in tasks
    ]


def _tasks(number: str, job: Mapping[str, Any], found: Sheet, settings: Mapping[str, Mapping[str, Any]]) -> list[Task]:
    said = dict(job)
    if "verb" not in said:
        raise UsageError(f'no verb: write verb = "dream", or another of {", ".join(call.VERBS)}')
    verb = texts.one_of("verb", str(said.pop("verb")), call.VERBS)
    variables = said.pop("variables", {})
    if not isinstance(variables, dict):
        raise UsageError("variables is a table of names and what they stand for")
    own = {sheet.parameter(verb, key): value for key, value in said.items()}
    usual = {name: value for name, value in found.defaults[verb].items() if name not in own}
    known = {name: value for name, value in settings.get(verb, {}).items() if name in sheet.parameters(verb)}
    axes = {name: _choices(verb, name, value) for name, value in {**usual, **own}.items()}
    stand_ins = {f"{{{name}}}": _listed(value) for name, value in {**found.variables, **variables}.items()}
    for name, choices in (axes | stand_ins).items():
        if not choices:
            raise UsageError(f"{name.strip('{}')} = [] is an empty list")
    combined = list(itertools.islice(_combinations(axes, stand_ins), MOST + 1))
    if len(combined) > MOST:
        raise UsageError(f"stands for more than {MOST} jobs")
    varied = [name for name, choices in (stand_ins | axes).items() if len(choices) > 1]
    tasks = []
    for place, chosen in enumerate(combined, 1):
        filled = _filled(verb, chosen, known)
        said_now = {name for name in filled if name in own or (name == "seed" and verb not in _ONE_FILE)}
        values = {name: value for name, value in filled.items() if name in said_now}
        defaults = known | {name: value for name, value in filled.items() if name not in said_now}
        label = number if len(combined) == 1 else f"{number}.{place}"
        tasks.append(Task(label, verb, values, defaults, _mark(verb, chosen, varied)))
    return tasks


def _choices(verb: str, name: str, value: Any) -> list[Any]:
    """What an option is in turn; one that takes several values has them all at once, but for a list of lists."""
    if takes_several(sheet.parameters(verb)[name]):
        nested = isinstance(value, list) and any(isinstance(one, list) for one in value)
        return value if nested else [value]
    if name == "seed" and verb not in _ONE_FILE and isinstance(value, str):
        return texts.seeds(value)
    return _listed(value)


def _combinations(axes: Mapping[str, list[Any]], stand_ins: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Every choice of options with every one of the {variables} that they name, these in front."""
    for values in itertools.product(*axes.values()):
        options = dict(zip(axes, values, strict=True))
        used = {f"{{{name}}}" for value in options.values() for name in named(value)}
        mine = {name: choices for name, choices in stand_ins.items() if name in used}
        for others in itertools.product(*mine.values()):
            yield {**dict(zip(mine, others, strict=True)), **options}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _filled(verb: str, chosen: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one job.  chosen: options, and {variables}.  known: what settings files say."""
    names = {name.strip("{}"): value for name, value in chosen.items()}
    options = {name: value for name, value in chosen.items() if not name.startswith("{")}
    filled = {name: _fill(value, names, place=name in _PLACES) for name, value in options.items()}
    for name in (*_PLACES, *_READ):
        if "-" in _listed(filled.get(name)):
            raise UsageError(f"{name} = '-': the jobs of a batch read and write files")
    said = {**known, **filled}
    wanted = "seed" in sheet.parameters(verb) and "seed" not in said and "from_file" not in said  # which has its own
    if wanted and call.request_of(verb).draws_a_seed(said):
        filled["seed"] = str(int(_hash([verb, filled])[:8], 16) % texts.MAX_SEED)  # so that it can be gone on with
    return filled


def _mark(verb: str, chosen: Mapping[str, Any], varied: Sequence[str]) -> str:
    """What of the varied options and {variables} does not show in the name of the output."""
    shown = set(named(chosen.get("out")))
    shown |= {name for one in shown for name in named(chosen.get(one))}
    if _follows_the_input(verb, chosen.get("out")):
        arguments = [name for name, one in sheet.parameters(verb).items() if one.param_type_name == "argument"]
        shown |= {*arguments, *(name for argument in arguments for name in named(chosen.get(argument)))}
    names = {name.strip("{}"): value for name, value in chosen.items()}
    differ = [name for name in varied if name in chosen and name.strip("{}") not in shown]
    return "-".join(_for_a_name(_fill(chosen[name], names)) for name in differ)


def _follows_the_input(verb: str, out: Any) -> bool:
    """Whether the name of the output is made of the input's."""
    if out is None:
        return True
    target = files.output(str(out))
    return verb != "train" and (naming.is_folder(target, 1) or naming.STEM in target.name)


# --- {names} ---------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"\{\{|\}\}|\{(\w+)\}")


def named(value: Any) -> Iterator[str]:
    """The names that texts in a value mention."""
    if isinstance(value, list):
        for one in value:
            yield from named(one)
    elif isinstance(value, str):
        yield from (found[1] for found in _NAME.finditer(value) if found[1])


def _fill(value: Any, names: Mapping[str, Any], *, place: bool = False) -> Any:
    """The value with what {names} stand for, {{ and }} for braces.  place: as part of a file's name."""
    if isinstance(value, list):
        return [_fill(one, names, place=place) for one in value]
    if not isinstance(value, str):
        return value

    def stand_in(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0][0]
        if found[1] not in names:
            known = sorted(names)
            raise UsageError(
                f"'{value}' names {{{found[1]}}}, which is neither a variable nor an option of the job"
                f".{did_you_mean(found[1], known)}"
            )
        other = _fill(names[found[1]], {name: one for name, one in names.items() if name != found[1]})
        return _for_a_name(other) if place else str(other)

    return _NAME.sub(stand_in, value)


def _for_a_name(value: Any) -> str:
    if not isinstance(value, str):
        return "-".join(map(_for_a_name, value)) if isinstance(value, list) else str(value).lower()
    path = Path(value)
    known = path.suffix.lower() in (*files.IMAGE_SUFFIXES, *files.FILM_SUFFIXES)
    return files.slug(path.stem if known else value)


def _hash(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
