"""Drafting: what a file that no reader takes could give, as lines to paste into a configuration."""
