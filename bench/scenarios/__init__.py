"""All that can be measured, in the order in which it is."""

from . import cost, curves, due, itself, peers

ALL = [*peers.SCENARIOS, *itself.SCENARIOS, *due.SCENARIOS, *cost.SCENARIOS, *curves.SCENARIOS]
