"""Which events a map shows unless one says otherwise; without imports, so that the command can say it at once."""

SIGMAS = 3.0  # standard deviations of the background's score that events are beyond
MOST = 1500  # events of a map
SEEDS = 5  # maps that are made, to see what stays
