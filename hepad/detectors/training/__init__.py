"""Training: the only optimisation loop, its checkpoints, processes and devices."""
