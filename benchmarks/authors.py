"""The code of the papers' authors, imported from work trees that the user gives by path, to measure against.

github.com/swyoon/normalized-autoencoders and github.com/swyoon/manifold-projection-diffusion-recovery-pytorch. What
they import beside torch and the classes in question do not need is replaced by stand-ins: torchvision, omegaconf and
their augmentations.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

from hepad.errors import InputError


def authors_module(repository: Path, name: str) -> ModuleType:
    """A module of the authors' package ``models``, 'models.nae' say; InputError if it is not in ``repository``."""
    needed = name.replace(".", "/") + ".py"
    if not (repository / needed).is_file():
        raise InputError(f"{repository}: no {needed} in there. Give the work tree of the authors' repository.")
    with _standing_in(repository):
        return importlib.import_module(name)


@contextlib.contextmanager
def _standing_in(repository: Path) -> Iterator[None]:
    """Inside the block ``models`` is the authors' package, without what its __init__ files import."""
    modules = {name: ModuleType(name) for name in ("torchvision.models", "torchvision.transforms", "augmentations")}
    modules["torchvision"] = SimpleNamespace(models=modules["torchvision.models"])
    modules["torchvision.utils"] = SimpleNamespace(make_grid=lambda images, **_: images)
    modules["torchvision.transforms.functional"] = SimpleNamespace(gaussian_blur=None)
    modules["omegaconf"] = SimpleNamespace(OmegaConf=SimpleNamespace(create=lambda text: text))
    modules["augmentations"].get_composed_augmentations = None
    for name in ("models", "models.mpdr"):
        modules[name] = ModuleType(name)
        modules[name].__path__ = [str(repository / name.replace(".", "/"))]
    before = dict(sys.modules)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] in {m.partition(".")[0] for m in modules}]:
            del sys.modules[name]
        sys.modules.update(before)
