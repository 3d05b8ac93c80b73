"""What a measurement is made of: sides that are run in turn, and checks, each of the figures of one round."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Side:
    """One thing that is measured. `run` is given the bench and what this round has measured so far."""

    label: str
    run: Callable


@dataclass(frozen=True)
class Check:
    """A figure of a round. Without a goal it is shown beside."""

    what: str
    value: Callable
    goal: float | None = None
    is_least: bool = True
    unit: str = "×"

    def holds(self, value):
        return self.goal is None or (value >= self.goal if self.is_least else value <= self.goal)


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    sides: list[Side]
    checks: list[Check] = field(default_factory=list)
    # What has to be fetched, by the names of fetch.KINDS.
    needs: tuple[str, ...] = ()
    # Entered once before the rounds.
    prepare: Callable = contextlib.nullcontext
    # Where not as many as are asked for are needed.
    rounds_max: int = 1000


def rate(label):
    return lambda figures: figures[label]["rate"]


def ratio(what, one, other, goal=None):
    """How many times as fast `one` is as `other`."""
    return Check(what, lambda figures: figures[one]["rate"] / figures[other]["rate"], goal)
