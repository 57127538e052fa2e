"""A Dockerfile as the tests read it: its stages, and the instructions of each."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One stage. ``base`` is as it is written; ``instructions`` are pairs of name and text, lines joined."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def texts(self, name: str) -> list[str]:
        """What all instructions of a name say."""
        return [text for instruction, text in self.instructions if instruction == name]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        pairs = [pair for text in self.texts("ENV") for pair in shlex.split(text)]
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def labels(self) -> dict[str, str]:
        """What its LABEL instructions set."""
        return dict(pair.split("=", 1) for text in self.texts("LABEL") for pair in shlex.split(text))

    def command(self, name: str) -> list[str]:
        """The words of its ENTRYPOINT, CMD or HEALTHCHECK. ValueError where it is no JSON, which a shell would run."""
        text = self.texts(name)[-1]
        return list(json.loads(text[text.index("[") :]))


@dataclass
class Dockerfile:
    """The stages in their order, and the ARGs before the first."""

    arguments: dict[str, str]
    stages: list[Stage]

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


def read(path: Path) -> Dockerfile:
    """Read a Dockerfile; comments are left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    found = Dockerfile({}, [])
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, text = line.strip().partition(" ")
        if name == "FROM":
            base, _, alias = text.partition(" AS ")
            found.stages.append(Stage(alias, base))
        elif found.stages:
            found.stages[-1].instructions.append((name, text.strip()))
        else:
            argument, _, default = text.partition("=")
            found.arguments[argument] = default
    return found
