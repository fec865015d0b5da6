"""Formats of files: opened, looked into and read in blocks, whatever a reader then makes of what is in them."""
