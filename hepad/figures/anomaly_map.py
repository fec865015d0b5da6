"""The page of a map: its events as points, a display of the one that is pointed at, and a table of clusters.

:func:`render` is a function of its argument alone; the page draws itself from the numbers of
:func:`hepad.config.anomaly_map.map_of`.
"""

from hepad.figures import pages

# of clusters: the scheme of M. Okabe and K. Ito, without what samples look like
CYCLE = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2", "#8b5a2b", "#000000")
NUMBERS = ("places", "clusters", "summaries", "detector", "colors", "shares")


def render(found: dict) -> str:
    """The page of what :func:`hepad.config.anomaly_map.map_of` has found."""
    numbers = {name: found[name] for name in NUMBERS}
    return pages.of_events("anomaly_map.html", found, cycle=CYCLE, **numbers)


def letters(cluster: int) -> str:
    """What the page calls a cluster: A, B, ..., Z, AA, ...

    >>> letters(0), letters(26)
    ('A', 'AA')
    """
    return chr(65 + cluster) if cluster < 26 else letters(cluster // 26 - 1) + letters(cluster % 26)
