"""All that can be measured, in the order in which it is."""

from . import curves, due, itself, peers

ALL = [*peers.SCENARIOS, *itself.SCENARIOS, *due.SCENARIOS, *curves.SCENARIOS]
