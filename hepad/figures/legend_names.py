"""What artists of a panel are called: as a reader of the figure finds out, from labels and legends."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

NONE = (None, "None", "none", "", " ")
UNCOLOURED = "#000000"  # tells nothing apart in a legend


def name_of(ax: Axes, artist: Artist, label: object) -> str:
    """Its own label, or the legend's entry of its look; with the gid where only the colour is the same.

    The legend of the panel comes before those of others. '' if there is nothing, not even a gid.
    """
    if str(label or "_")[0] != "_":
        return str(label)
    gid, look = artist.get_gid() or "", look_of(artist)
    legends = [[ax.get_legend(), *ax.figure.legends], [other.get_legend() for other in ax.figure.axes]]
    for some in legends if look[0] != UNCOLOURED else ():
        entries = [(look_of(handle), text.get_text()) for of in some if of
                   for handle, text in zip(of.legend_handles, of.get_texts(), strict=True)]  # fmt: skip
        if look in dict(entries):
            return dict(entries)[look]
        if same := [text for of, text in entries if of[0] == look[0]]:
            return f"{same[0]}, {gid}" if gid and gid != same[0] else same[0]
    return gid


def look_of(artist: Artist) -> tuple:
    """What tells an entry of a legend: colour, whether there is a line and a marker, and whether that is hollow."""
    if not isinstance(artist, Line2D):
        return (color_of(artist),)
    marker = artist.get_marker() not in NONE
    hollow = marker and to_hex(artist.get_markerfacecolor()) == "#ffffff"
    return color_of(artist), artist.get_linestyle() not in NONE, marker, hollow


def color_of(artist: Artist) -> str:
    """As #rrggbb, without opacity: of a line, of what is filled, or of an edge."""
    if isinstance(artist, Line2D):
        return to_hex(artist.get_color())
    filled = getattr(artist, "get_fill", lambda: True)() and len(artist.get_facecolor())
    return to_hex(np.atleast_2d(artist.get_facecolor() if filled else artist.get_edgecolor())[0])
