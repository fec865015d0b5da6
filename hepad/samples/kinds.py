"""Types of the columns of a table, for people."""

import h5py
import uproot

from hepad.files import hdf5, parquet, root
from hepad.io import open_hdf5


def kinds(path: str, kind: str, table: str | None) -> dict[str, str]:
    """Type by name of the branches of a tree, the columns of a Parquet file, the datasets of a group, sorted.

    ``kind``: 'ROOT', 'Parquet' or 'HDF5'; InputError if it is not one.
    """
    if kind == "ROOT":
        with root.open_root(path) as file:
            tree = root.open_tree(path, file, table)
            with root.reading(path):
                found = tree.typenames(full_paths=False) if isinstance(tree, uproot.TTree) else tree.typenames()
    elif kind == "Parquet":
        with parquet.open_parquet(path) as file, parquet.reading(path):
            found = {field.name: str(field.type) for field in file.schema_arrow}
    else:
        with open_hdf5(path) as file, hdf5.reading(path):
            items = (file[table] if table else file).items()
            found = {name: f"{x.dtype} {x.shape}" for name, x in items if isinstance(x, h5py.Dataset)}
    return dict(sorted((str(name), of_name) for name, of_name in found.items()))
