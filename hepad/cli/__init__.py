"""The command ``hepad``."""
