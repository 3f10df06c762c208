"""What is done to the server, round by round: drawn from the seed alone, so that a failure can be played again.

Each round is drawn from random numbers of its own, and so are who is hit by its troubles (`chance`), the people, what
they say, and each device. A round is therefore the same whichever one is first.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from . import disk, launch

_LONGEST: Final = 1.0  # seconds
_COUNTS: Final = {"bytes": 1500, "write": 150, "sync": 25}
"""Up to which passage a point is waited for, by a word in its name; for the others `_COUNT`."""
_COUNT: Final = 30


@dataclass(frozen=True)
class Trouble:
    """Something beside the end of the server, which begins and goes on for so many seconds."""

    kind: str
    at: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:.2f} for {self.seconds:.2f}"


@dataclass(frozen=True)
class Round:
    """The server runs, and ends at a point when it is passed for the `count`-th time, or after so many seconds: killed,
    or stopped. `loss`: which of the writes that were not synced are gone then."""

    number: int
    point: str
    count: int
    seconds: float
    stops: bool
    loss: str
    troubles: tuple[Trouble, ...]

    @property
    def kind(self) -> str:
        """What ends the server."""
        return self.point or ("stop" if self.stops else "kill")

    def __str__(self) -> str:
        end = f"{self.point} for the {self.count}." if self.point else f"{self.kind} after {self.seconds:.2f}"
        loss = f", {self.loss} that is not synced is lost" if self.loss else ""
        return f"round {self.number}: {end}{loss}" + "".join(f"; {trouble}" for trouble in self.troubles)


@dataclass(frozen=True)
class Plan:
    """Everything that is drawn from a seed for one database."""

    seed: str
    database: str
    archive: bool

    def chance(self, *of: object) -> random.Random:
        """The random numbers of one thing."""
        return random.Random(" ".join(map(str, (self.seed, self.database, self.archive, *of))))

    def round(self, number: int) -> Round:
        """What happens in this round, from 1."""
        chance = self.chance("round", number)
        sqlite = self.database == "sqlite"
        points = (*launch.POINTS, *disk.POINTS) if sqlite else launch.POINTS
        point = chance.choice(points) if chance.random() < 0.7 else ""
        most = next((most for word, most in _COUNTS.items() if word in point), _COUNT)
        kinds = ("cut", "vanish", "stall", "leave", "forget", "full", *(() if sqlite else ("database",)))
        troubles = [
            Trouble(chance.choice(kinds), chance.random() * _LONGEST, chance.random() * _LONGEST)
            for _ in range(chance.randint(0, 2))
        ]
        return Round(
            number,
            point,
            chance.randint(1, most),
            chance.random() * _LONGEST,
            not point and chance.random() < 0.2,
            chance.choice(("all", "some")) if sqlite else "",
            tuple(troubles),
        )
