"""Trigger: from a score to rates, thresholds and models that a trigger runs."""
