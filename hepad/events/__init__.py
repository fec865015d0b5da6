"""Events: what every reader produces and every representation consumes."""

from hepad.events.events import (
    ARRAYS,
    FACTS,
    FIRST_IDS,
    FOUR_VECTOR,
    GROUPS,
    MEASURES,
    NUMBERS,
    SPLITS,
    Events,
    acceptance_of,
    concatenate,
    of_kind,
    write_blocks,
)
from hepad.events.splits import split_of

__all__ = [
    "ARRAYS",
    "FACTS",
    "FIRST_IDS",
    "FOUR_VECTOR",
    "GROUPS",
    "MEASURES",
    "NUMBERS",
    "SPLITS",
    "Events",
    "acceptance_of",
    "concatenate",
    "of_kind",
    "split_of",
    "write_blocks",
]
