"""What the detectors of a configuration are built from; in the place of names of others, what those are built from:
the members of a combination, and the autoencoder that an energy starts from (``pretraining: ae_image``)."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from hepad import representations
from hepad.config.loading import detector_spec, generated_jets
from hepad.detectors.autoencoder import started_from
from hepad.detectors.survival import LEAST, too_few
from hepad.errors import InputError, check_choice

COMBINATION = "Combination"


def members_of(entry: Mapping) -> list[str]:
    """Names of the detectors that an entry combines; [] for all but combinations."""
    return list(entry.get("members") or ()) if entry.get("type") == COMBINATION else []


def start_of(entry: Mapping) -> str | None:
    """Name of the AE that a training starts from; None if it has none, or trains its own."""
    start = entry.get("pretraining")
    return start if isinstance(start, str) else None


def before(entry: Mapping) -> list[str]:
    """Names of the detectors that are trained before one, since it is made of them."""
    start = start_of(entry)
    return members_of(entry) if start is None else [start]


def spec_of(config: Mapping, name: str) -> dict:
    """A detector as :func:`hepad.detectors.build` takes it.

    InputError: a member of a combination is missing, sees what the combination does not, or is a combination itself;
    the start of a training is no AE of the same representation, or is described a second time
    """
    entry = config["detectors"][name]
    spec = detector_spec(entry)
    if entry["type"] == COMBINATION and "members" in entry:
        spec["arguments"]["members"] = list(_members(config, entry))
    if (start := start_of(entry)) is not None:
        spec["arguments"] |= _started(config, entry, start)
    return spec


def _started(config: Mapping, entry: Mapping, start: str) -> dict:
    """The arguments that a detector has from the AE that it starts from."""
    known = config["detectors"]
    if start not in known:
        check_choice("pretraining", start, [name for name in known if known[name].get("type") == "AE"])
    autoencoder = known[start]
    if autoencoder["type"] != "AE":
        raise InputError(
            f"pretraining: '{start}' is a {autoencoder['type']}. Name an AE, or give a schedule: {{steps: 1000}}."
        )
    if autoencoder["representation"] != entry["representation"]:
        raise InputError(
            f"pretraining: '{start}' sees '{autoencoder['representation']}', not '{entry['representation']}'. Name an "
            "AE of the same representation."
        )
    if "latent_chain" in entry and not autoencoder.get("autoencoder", {}).get("sphere", True):
        raise InputError(
            f"pretraining: the codes of '{start}' are not on the sphere, where 'latent_chain' runs. Name an AE without "
            "'sphere: false'."
        )
    return started_from(detector_spec(autoencoder)["arguments"], f"'{start}'", entry)


def _members(config: Mapping, entry: Mapping) -> Iterator[dict]:
    names, known = entry["members"], config["detectors"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"members: {names!r} is no list of names of other detectors. Give e.g. [ae_image, vae_vector]."
        )
    seen = representations.build(config["representations"][entry["representation"]])
    for name in names:
        member = known[check_choice("members", name, known)]
        if member["type"] == COMBINATION:
            raise InputError(f"members: '{name}' is a combination itself. List its members in its place.")
        own = representations.build(
            config["representations"][
                check_choice("representation", member["representation"], config["representations"])
            ]
        )
        if not seen.contains(own):
            raise InputError(
                f"members: '{name}' sees '{member['representation']}', which is no part of what the combination sees, "
                f"'{entry['representation']}'. Give it a representation of all inputs: {{type: Joined, parts: [...]}}."
            )
        space = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(own.space).items()}
        yield {"name": name, **spec_of(config, name), "space": space}  # as JSON has it


def check_task(key: str, task: Mapping, config: Mapping) -> None:
    """InputError unless every combination of a task has its members there, and background to be calibrated on."""
    for name in task["detectors"]:
        for member in members_of(config["detectors"][name]):
            if member not in task["detectors"]:
                raise InputError(
                    f"{key}.detectors: '{name}' combines '{member}', which is no detector of this task. Add it to the "
                    f"list, or take '{name}' out."
                )
    sample = config["samples"][task["background"]]
    if jets := generated_jets(sample["source"]):  # those of files are counted when they are read
        check_calibration(key, task, config, int(sample["split"][1] * jets))


def check_calibration(key: str, task: Mapping, config: Mapping, events: int) -> None:
    """InputError unless so many validation events of its background can calibrate every combination of a task."""
    for name in task["detectors"]:
        entry, sample = config["detectors"][name], task["background"]
        tail = entry.get("tail", 0.1)
        if members_of(entry) and events * tail < LEAST:
            raise InputError(
                f"{key}.detectors: '{name}': {too_few(events, tail)} They are those of samples.{sample}.split, "
                f"{config['samples'][sample]['split']}."
            )
