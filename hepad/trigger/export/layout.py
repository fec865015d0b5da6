"""In which shape and order a file takes the numbers of an event.

As the representation gives them, but for Athena: there an event is one vector, and the objects of a matrix stand in the
order of TrigADComboHypoTool, jets | electrons | muons | photons | MET, where hepad has the muons before the electrons.
"""

import math

from torch import Tensor

from hepad.representations import Space
from hepad.trigger.export import athena
from hepad.trigger.export.contracts import TARGETS


class Layout:
    """shape: of an event in the file; columns: names of its entries that are not pixels, in the file's order; tool: the
    properties with which Athena's tool fills them, {} for other targets.

    Raises InputError for what Athena's tool does not fill.
    """

    def __init__(self, space: Space, target: str):
        flat, self.space = TARGETS[target].flat, space
        self.shape = (math.prod(space.shape),) if flat else space.shape
        self.order = list(range(math.prod(space.shape)))  # the file's entry i is the representation's order[i]
        if flat and space.objects:
            self.order.sort(key=lambda i: athena.place(space.columns[i]))
        self.columns = [space.columns[i - space.pixels] for i in self.order if i >= space.pixels]
        self.tool = athena.properties(self.columns, space.pixels) if flat else {}
        self.back = sorted(self.order, key=self.order.__getitem__)

    def to_file(self, x: Tensor) -> Tensor:
        """Events (N, *shape of the representation) as the file takes them."""
        return self._arranged(x, self.order, self.shape)

    def to_model(self, x: Tensor) -> Tensor:
        """Events (N, *shape of the file) as the detector takes them."""
        return self._arranged(x, self.back, self.space.shape)

    def _arranged(self, x: Tensor, order: list[int], shape: tuple[int, ...]) -> Tensor:
        if self.order != self.back:
            x = x.flatten(1)[:, order]
        return x if tuple(x.shape[1:]) == shape else x.reshape(-1, *shape)
