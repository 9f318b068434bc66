"""The record that every output carries, and running it again."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from artcli import __version__
from artcli.errors import UsageError

# Where and how a run was shown, not what it made: left out of the record.
_NOT_RECORDED = {
    "out", "force", "skip_existing", "quiet", "as_json", "dry_run", "from_file", "no_metadata", "weights_dirs",
    "offline", "device", "preview", "show", "resume", "time_limit", "save_every", "best_of", "prompts_file", "story",
    "seed", "gif", "mp4", "webm", "svg", "each_layer", "strokes_out", "recursive",
}  # fmt: skip


def make(command: str, parameters: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """version, command, the parameters that shape the result, and facts such as seed and weight hashes."""
    kept = {k: _plain(v) for k, v in parameters.items() if k not in _NOT_RECORDED and v is not None}
    return {"version": __version__, "command": command, "parameters": kept, **facts}


def of_job(
    fixed: Mapping[str, Any] | None, weights: Mapping[str, str], *, seed: int | str | None = None, **changes: Any
) -> dict[str, Any] | None:
    """The record of one job; None where none is wanted.  Call it before any compute: one that is too long is refused.

    fixed: as `make` gives it.  changes: parameters that are the job's own; None leaves one out.
    """
    from artcli.media import recipe_text

    if fixed is None:
        return None
    kept = {k: v for k, v in {**fixed["parameters"], **changes}.items() if v is not None}
    seeded = {} if seed is None else {"seed": seed}
    made = {**fixed, "parameters": kept, **seeded, "weights": dict(weights)}
    recipe_text.to_text(made)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def parameters_of(file: Path, command: str, known: Iterable[str]) -> dict[str, Any]:
    """The parameters recorded in a file, as defaults for the same command.

    known: the command's own.  A record never decides where a run writes or what it replaces: files come from anywhere.
    Raises UsageError when the file has no whole record, another command made it, or it asks for what is not known.
    """
    from artcli.media import record

    return parameters_in(record.read(file), file, command, known)


def parameters_in(found: Mapping[str, Any], file: Path, command: str, known: Iterable[str]) -> dict[str, Any]:
    """As `parameters_of`, of a record that was read from the file already."""
    if found.get("command") != command:
        raise UsageError(f"{file} was made by `artgen {found.get('command')}`, not by `artgen {command}`")
    parameters, seed = found.get("parameters"), found.get("seed")
    seeded = "seed" in (known := list(known))
    if not isinstance(parameters, dict) or (seeded and seed is None):
        raise UsageError(f"{file} carries only a part of a recipe, without parameters or seed")
    for name in parameters:
        if name not in known or name in _NOT_RECORDED:
            maker = f"artgen {found.get('version')}"
            raise UsageError(f"the recipe in {file} (of {maker}) sets '{name}', which --from does not accept")
    return {**parameters, "seed": str(seed)} if seeded else parameters


def tell_other_weights(now: Mapping[str, str], recorded: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Warn where today's fingerprints, by name, are not those that made a file."""
    for name, fingerprint in recorded.items():
        if now.get(name, fingerprint) != fingerprint:
            warn(f"{name} is not the one that the record names, so the picture will differ")


def weights_of(file: Path) -> dict[str, str]:
    """Fingerprints of the weights that made a file, by name; to notice that today's are others."""
    from artcli.media import record

    found = record.read(file).get("weights")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
