"""The page of a gallery: displays of events that can be chosen, searched and looked into; one HTML file.

:func:`render` is a function of its argument alone. The displays are drawn by the page itself, from the numbers of
:func:`hepad.config.gallery.gallery`, which stand in it as JSON.
"""

from hepad.figures import pages


def render(gallery: dict) -> str:
    """The page of what :func:`hepad.config.gallery.gallery` has found."""
    return pages.of_events("gallery.html", gallery, top=gallery["top"], random=gallery["random"])
