"""Energy-based detectors: energies, the chains that sample them, and where negatives come from."""
