"""The options that verbs share, as dataclasses to inherit from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from artcli.commands.shared import options, recipe
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import files


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """Of every verb that works for a while."""

    dry_run: options.DryRun = False
    quiet: options.Quiet = False
    as_json: options.Json = False

    show = False  # a field of the verbs that can

    def console(self) -> Console:
        return Console(quiet=self.quiet, json_lines=self.as_json, show=self.show)


@dataclass(frozen=True, kw_only=True)
class Making(Quiet):
    """Of every verb that makes pictures."""

    out: options.Out = None
    from_file: options.FromFile = None
    device: options.Device = "auto"
    offline: options.Offline = False
    force: options.Force = False
    skip_existing: options.SkipExisting = False
    no_metadata: options.NoMetadata = False

    resume = False  # a field of the verbs that can

    def record(self, ctx: typer.Context, command: str, **settled: Any) -> dict[str, Any] | None:
        """The fixed part of the recipe that outputs carry, None for none.  settled: in place of what was asked."""
        return None if self.no_metadata else recipe.make(command, {**options.given(ctx), **settled})

    def recorded_weights(self) -> dict[str, str]:
        """Fingerprints of the weights that made the file of --from, by name."""
        return {} if self.from_file is None else recipe.weights_of(self.from_file)


@dataclass(frozen=True, kw_only=True)
class Common(Making):
    """Of every verb that searches for weights to make them with."""

    weights_dirs: options.WeightsDirs = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where weights are looked for first."""
        return tuple(self.weights_dirs or ())


class Inputs:
    """Of verbs that work on each of several inputs."""

    inputs: tuple[str, ...]
    recursive: bool
    out: Path | None

    def sources(self, needed: str) -> list[Path | files.Stdio]:
        """The inputs, folders expanded.  Raises UsageError: there are none; needed: what to name."""
        found = files.expand_inputs(list(self.inputs), self.recursive, self.out)
        if not found:
            raise UsageError(f"name {needed}")
        return found

    @property
    def mirrored(self) -> list[str]:
        """Folders whose tree is kept below --out."""
        return list(self.inputs) if self.recursive else []


@dataclass(frozen=True, kw_only=True)
class Enlarging:
    """Of verbs whose pictures can be enlarged."""

    upscale: options.Upscale = None
    upscaler: options.Upscaler = None
