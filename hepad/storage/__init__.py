"""Storage: files that are whole or absent, HDF5 with checksums, and tables in chunks."""
