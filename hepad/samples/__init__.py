"""Samples: from files or a generator to Events, with the reader of each file found by looking at it."""
