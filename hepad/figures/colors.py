"""One colour for every detector and every sample of a configuration, the same in all figures of all tasks.

A family of detectors, those of one class, has a hue, in the order in which the configuration names them; its members
are shades of it. Samples take the hues in their order. A name that is added at the end changes no other's colour.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

# P. Tol's "muted" scheme: nine colours that people with colour-blindness tell apart
CYCLE = ("#332288", "#cc6677", "#117733", "#44aaee", "#882255", "#ccaa44", "#44aa99", "#aa4499", "#999933")

SHADES = (0.0, 0.42, -0.45, 0.22, -0.7, 0.62)  # towards white, or black


def of_detectors(entries: Mapping[str, dict]) -> dict[str, str]:
    """Name -> colour of all detectors of a configuration, by their classes; after 54 of them, colours come again.

    >>> of_detectors({"a": {"type": "AE"}, "b": {"type": "NAE"}, "c": {"type": "AE"}})
    {'a': '#332288', 'b': '#cc6677', 'c': '#9990c4'}
    """
    families = list(dict.fromkeys(entry["type"] for entry in entries.values()))
    seen, found = Counter(), {}
    for name, entry in entries.items():
        own = CYCLE[families.index(entry["type"]) % len(CYCLE)]
        # a large family goes on with the hues that come last
        hue = next((hue for hue in (own, *reversed(CYCLE)) if seen[hue] < len(SHADES)), own)
        found[name] = shade(hue, SHADES[seen[hue] % len(SHADES)])
        seen[hue] += 1
    return found


def of_samples(names: Iterable[str]) -> dict[str, str]:
    """Name -> colour of all samples of a configuration; after the hues their shades, after 54 they come again."""
    laps = len(CYCLE), len(SHADES)
    return {name: shade(CYCLE[i % laps[0]], SHADES[i // laps[0] % laps[1]]) for i, name in enumerate(names)}


def shade(color: str, amount: float) -> str:
    """A colour '#rrggbb' moved by ``amount`` of the way to white, or to black where it is negative."""
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    end = 255 if amount > 0 else 0
    return "#" + "".join(f"{round(x + (end - x) * abs(amount)):02x}" for x in channels)


OF = {"detectors": of_detectors, "samples": of_samples}
