"""The pictures of a call of `artgen dream`: every prompt line with every seed, and where each goes."""

from dataclasses import dataclass
from pathlib import Path

from artcli.backends.dream import prompts as prompt_syntax
from artcli.commands.dream.film import SourceFilm
from artcli.commands.dream.options import Options
from artcli.commands.shared import jobs, naming, options
from artcli.commands.shared.outputs import FILMS, PICTURES, film_suffix
from artcli.errors import UsageError
from artcli.media import files


@dataclass(frozen=True)
class PromptJob(jobs.Job):
    """One picture: its prompt line, its seed, its main output, and whether it comes of a film.

    gif, svg, strokes: what else is written of its painting.
    """

    prompt: str
    seed: int
    out: Path
    moving: bool = False
    gif: Path | None = None
    svg: Path | None = None
    strokes: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        return [*super().outputs, *(path for path in (self.gif, self.svg, self.strokes) if path is not None)]


def lines(asked: Options) -> list[str]:
    """The prompt lines of the batch, each checked; one empty line when only pictures or noise steer."""
    if asked.story is not None and (asked.prompt is not None or asked.prompts_file is not None):
        raise UsageError("--story goes without PROMPT and --prompts: its lines are the scenes")
    if asked.prompt is not None and asked.prompts_file is not None:
        raise UsageError("give either PROMPT or --prompts FILE, not both")
    prompt = asked.prompt if asked.story is None else " ^ ".join(_read_lines(asked.story))
    lines = [prompt or ""] if asked.prompts_file is None else _read_lines(asked.prompts_file)
    if prompt is not None or asked.prompts_file is not None or not (asked.image_prompt or asked.noise_prompt):
        for line in lines:
            prompt_syntax.parse_story(line)
    if lines == [""] and (asked.start == "prior" or asked.prior not in (None, "none")):
        raise UsageError("a prior draws from words: give a PROMPT, or leave out --prior and --start prior")
    return lines


def _read_lines(path: Path) -> list[str]:
    """What the lines of a file say, without comments."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise files.missing(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error
    if "\0" in text:
        raise UsageError(f"{path} cannot be read as text: it holds bytes that are no letters")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise UsageError(f"{path} has no prompts; write one per line")
    return lines


def jobs_of(lines: list[str], asked: Options, source: SourceFilm | None) -> list[PromptJob]:
    """Every line with every seed, and where it goes."""
    seeds = options.seeds(asked.seed)
    if asked.best_of > 1:
        seeds = seeds[:1]
    suffix = ".png" if source is None else film_suffix(source.path)
    count = len(lines) * len(seeds)
    slugs = [files.slug(line) for line in lines]
    jobs = []
    targets = naming.places(slugs, asked.out, lambda slug: f"{slug}{suffix}", count=count, what="prompts")
    strokes = _stroke_files(asked, slugs, count)
    for line, target, of_strokes in zip(lines, targets, strokes, strict=True):
        if str(target) != "-":
            files.check_extension(target, PICTURES + FILMS)
        for seed in seeds:
            name, beside = (
                files.numbered(path, seed) if path is not None and len(seeds) > 1 else path
                for path in (target, of_strokes)
            )
            assert name is not None
            jobs.append(_job(line, seed, name, beside, asked, source is not None))
    return jobs


def _job(line: str, seed: int, out: Path, strokes: Path | None, asked: Options, moving: bool) -> PromptJob:
    gif, svg = (out.with_suffix(suffix) for suffix in (".gif", ".svg"))
    grows = asked.paint and asked.gif and gif != out  # a GIF of the dream shows the painting growing at its end
    painted = asked.paint and asked.svg
    return PromptJob(line, seed, out, moving, gif if grows else None, svg if painted else None, strokes)


def _stroke_files(asked: Options, slugs: list[str], count: int) -> list[Path] | list[None]:
    if asked.strokes_out is None or not asked.paint:
        return [None] * len(slugs)
    name = lambda slug: f"{slug}-strokes.json"  # noqa: E731
    found = naming.places(slugs, asked.strokes_out, name, count=count, what="prompts", option="--strokes-out")
    for path in found:
        files.check_extension(path, (".json",))
    return found
