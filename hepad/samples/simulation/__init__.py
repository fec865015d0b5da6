"""Simulation: Pythia events, pile-up, a detector response, jets and trigger objects."""
