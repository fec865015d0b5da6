"""The beginning of a file in place of all of it: what a run would refuse is told before it, by the same checks."""

from collections.abc import Iterator

import numpy as np

from hepad.samples.readers.base import Block, Found, Reader

ROWS = 200


class Beginning:
    """A reader that looks no more than it has, and gives no more than the first ``rows`` entries.

    Single values that cannot be are for those who read the whole file to judge; a beginning without any sound row is
    handed on.
    """

    def __init__(self, reader: Reader, look: Found, rows: int):
        self.reader, self.found, self.rows = reader, look, rows

    def __getattr__(self, name: str):
        return getattr(self.reader, name)

    def look(self, path: str) -> Found:
        return self.found

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        for block in self.reader.blocks(path, self.rows) if self.rows else ():
            bad = np.any([np.zeros(len(block.entry), bool), *block.damaged.values()], axis=0)
            yield block if bad.all() else block.take(~bad, {})
            return
