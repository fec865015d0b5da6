"""The subcommands ``hepad export`` and ``hepad verify``."""

import argparse
from pathlib import Path

from hepad.config.results import background_features
from hepad.errors import InputError
from hepad.trigger.export import athena

MAX_EVENTS = 100_000  # of a file that are looked at
DIFFERENT = 3
EXPORT = """examples:
  hepad export results/models/qcd/ae_vector/1.safetensors --to ae.onnx
  hepad export results/models/qcd/ae_vector/1.safetensors --to ae.onnx --target cmssw --rates results/rates/qcd.json
  hepad export results/models/qcd/contrastive_image/1.safetensors --to encoder.onnx --encoder
"""
VERIFY = """examples:
  hepad verify ae.onnx --digest SHA256
  hepad verify ae.onnx --rates results/rates/level1.json
  hepad verify ae.onnx --menu L1Menu.xml --seed L1_AD_Loose=100kHz --seed L1_AD_Tight=10kHz --scale 16 --step 1

A menu is CMS's XML, or a CSV with the columns seed and threshold. If a threshold is another one, exit status 3.
"""


def add_command(subparsers) -> None:
    """Add ``export`` and ``verify`` to the subcommands of a parser."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "export", help="write a trained detector as one ONNX file and check it", epilog=EXPORT, formatter_class=plain
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="results/models/<task>/<detector>/<seed>.safetensors")
    parser.add_argument("--to", required=True, metavar="FILE.onnx", type=Path, help="the file to write")
    parser.add_argument("--target", default="generic", help="generic, cmssw or athena")
    parser.add_argument("--opset", type=int, default=13, help="13 to 17")
    parser.add_argument("--threshold", action="append", default=[], metavar="NAME=VALUE", help="stored; repeatable")
    parser.add_argument(
        "--rates", type=Path, metavar="RATES.json", help="results/rates/<task>.json: thresholds of the run"
    )
    parser.add_argument(
        "--budget", action="append", default=[], type=float, metavar="KHZ",
        help="which of them, in kHz, or as ε_B where no rate is declared; repeatable (default: all that are resolved)",
    )  # fmt: skip
    parser.add_argument(
        "--events", type=Path, metavar="FEATURES.h5",
        help="on which file and detector must agree, and out of which test vectors are taken (default: the test "
        "background of the run that the model is in)",
    )  # fmt: skip
    parser.add_argument(
        "--nan", default="keep", help="of events with numbers that are not finite, or no score: keep, accept or reject"
    )
    parser.add_argument(
        "--encoder", action="store_true",
        help="its encoder alone, without a score: the input of other detectors, 'type: Embedding'",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, help="its hash is stored")
    parser.add_argument("--training-data", type=Path, nargs="+", default=[], metavar="FILE", help="hashed and stored")
    parser.set_defaults(run=_export)
    parser = subparsers.add_parser(
        "verify", help="check that an exported file is as it was written, and what it asks", epilog=VERIFY,
        formatter_class=plain,
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE.onnx", type=Path)
    parser.add_argument("--target", help="generic, cmssw or athena (default: what it was exported for)")
    parser.add_argument("--digest", metavar="SHA256", help="what the export printed, from where you noted it")
    parser.add_argument("--rates", type=Path, metavar="RATES.json", help="are they of this model and these thresholds?")
    parser.add_argument("--menu", type=Path, metavar="MENU", help="do its seeds have these thresholds?")
    parser.add_argument(
        "--seed", action="append", default=[], metavar="SEED=NAME", help="which threshold a seed is to have; repeatable"
    )
    parser.add_argument("--scale", default="1", metavar="K", help="the menu's score is K times this one (%(default)s)")
    parser.add_argument("--step", metavar="D", help="of the menu's score, such as 1 or 1/256 (default: all digits)")
    parser.set_defaults(run=_verify)


def _export(args: argparse.Namespace) -> None:
    if args.to.suffix != ".onnx":
        raise InputError(f"--to {args.to}: an ONNX file is written. Give it the ending .onnx.")
    if args.encoder:
        _export_encoder(args)
    else:
        _export_score(args)


def _export_encoder(args: argparse.Namespace) -> None:
    from hepad.trigger.export.encoder_export import export_encoder  # torch and onnx take seconds

    of_scores = {"target": "generic", "nan": "keep", "threshold": [], "rates": None, "budget": []}
    of_scores |= {"config": None, "training_data": []}
    if idle := [name for name, usual in of_scores.items() if getattr(args, name) != usual]:
        raise InputError(f"--{idle[0].replace('_', '-')}: an encoder gives no score. Leave it out, or --encoder.")
    found = export_encoder(args.model, args.to, opset=args.opset, events=_events(args)[0])
    print(f"{args.to}: events {list(found.shape)} to {found.width} numbers, opset {args.opset}")
    print(f"agrees with torch: largest difference {found.difference:.1e} of the largest number")
    print(f"SHA-256 {found.digest}")
    print("as a representation: {type: Embedding, input: the representation of the detector, encoder: this file}")


def _events(args: argparse.Namespace):
    """Those to compare on, None to draw some, and where they are from."""
    from hepad.representations.features import Features  # torch takes seconds

    features = args.events or background_features(args.model)
    return (Features.read(features, slice(MAX_EVENTS)).x, features) if features else (None, None)


def _export_score(args: argparse.Namespace) -> None:
    from hepad.trigger.export.onnx_export import export, sha256  # torch and onnx take seconds
    from hepad.trigger.export.thresholds import thresholds_of  # likewise
    from hepad.trigger.export.vectors import write_vectors  # likewise

    hashes = {"config": sha256(args.config)} if args.config else {}
    if args.training_data:
        hashes["training_data"] = sha256(*args.training_data)
    if args.rates:
        hashes["rates"] = sha256(args.rates)
    elif args.budget:
        raise InputError("--budget: the rates that it chooses from are missing. Add --rates results/rates/<task>.json.")
    of_rates = thresholds_of(args.rates, args.model, args.budget) if args.rates else {}
    given = _pairs(args.threshold)
    if twice := sorted(given.keys() & of_rates.keys()):
        raise InputError(f"--threshold {twice[0]}: the rates have a threshold of that name. Give yours another one.")
    thresholds = {name: found.value for name, found in of_rates.items()} | given
    events, features = _events(args)
    how = {"target": args.target, "opset": args.opset, "thresholds": thresholds, "hashes": hashes, "events": events}
    found = export(args.model, args.to, **how, nan=args.nan)
    vectors = args.to.with_suffix(".vectors.csv")
    try:
        written = write_vectors(vectors, args.model, args.to, events)
    except InputError:
        args.to.unlink()
        raise
    print(f"{args.to}: {args.target}, opset {args.opset}")
    whose = features or "that were drawn"
    print(f"agrees with torch on {found.events} events ({whose}): largest relative difference {found.difference:.1e}")
    print(f"{vectors}: {written}")
    for name, value in found.thresholds.items():
        moved = "" if value == thresholds[name] else f" (given: {thresholds[name]!r})"
        print(f"threshold {name}: score > {value!r}{moved}")
        if name in of_rates and of_rates[name].remark:
            print(f"  {of_rates[name].remark}")
    if args.rates and not of_rates:
        print("no threshold: the background sample resolves none of the rates'; choose some with --budget")
    if of_rates and events is None:
        print("  compared on events that were drawn: add --events with those of the rates, on whose scores they lie")
    _tell(args.to)


def _verify(args: argparse.Namespace) -> None:
    from hepad.trigger.export.contracts import check_contract  # onnx takes a second
    from hepad.trigger.export.inference import about  # onnx takes a second

    found = about(args.file)
    target = args.target or found["target"]
    check_contract(args.file, target)
    if args.digest and args.digest.strip().lower() != found["digest"]:
        raise InputError(
            f"{args.file}: its digest is {found['digest']}, not {args.digest}: it is another export, or was changed. "
            "Use the file that was noted, or export again and note the new digest."
        )
    print(f"{args.file}: as it was written, and keeps to the contract of '{target}'")
    for name, value in found["thresholds"].items():
        print(f"threshold {name}: score > {value!r}")
    _tell(args.file)
    if [*_rates(args, found), *_menu(args, found)]:
        raise SystemExit(DIFFERENT)


def _rates(args: argparse.Namespace, notes: dict) -> list[str]:
    """Names of the thresholds that were exported with another value than the rates have; all are told."""
    from hepad.trigger.export.thresholds import of_rates  # onnx takes a second

    if not args.rates:
        return []
    print(f"{args.rates}: made with this model")
    wrong = []
    for name, (given, value) in of_rates(args.rates, notes).items():
        moved = "" if notes["thresholds"][name] == given else f", stored as {notes['thresholds'][name]!r}"
        said = "your own" if value is None else "equal" if value == given else f"DIFFERENT: {value!r}"
        print(f"  {name:<16}exported with {given!r}{moved}; rates: {said}")
        wrong += [name] * (value not in (None, given))
    return wrong


def _menu(args: argparse.Namespace, notes: dict) -> list[str]:
    """Names of the seeds that have another threshold than the file; all are told, and which models the menu names."""
    from hepad.trigger.export.seeds import check_seeds, read_seeds  # onnx takes a second

    if bool(args.menu) != bool(args.seed):
        raise InputError("--menu and --seed: give both, the menu and for each seed SEED=NAME of a stored threshold.")
    if not args.menu:
        return []
    pairs = _split("--seed", args.seed)
    checked = check_seeds(args.menu, pairs, notes["thresholds"], args.scale, args.step)
    print(f"{args.menu}:")
    for seed in checked:
        model = f", model {seed.model}" if seed.model else ""
        said = "equal" if seed.equal else f"DIFFERENT: {seed.expected} is expected"
        print(f"  {seed.seed:<24}{seed.name:<16}{seed.found}{model}; {said}")
    models = {seed.model for seed in checked}
    if len(models) > 1:
        print(f"  DIFFERENT: the seeds name {len(models)} models: {', '.join(sorted(m or 'none' for m in models))}")
    if others := [name for name, seed in read_seeds(args.menu).items() if name not in pairs and seed.model in models]:
        print(f"  not compared, of the same model: {', '.join(others)}")
    return [seed.seed for seed in checked if not seed.equal] + sorted(models) * (len(models) > 1)


def _tell(path: Path) -> None:
    """What a file has to be given, does with what it cannot score, and is known by."""
    from hepad.trigger.export.inference import about  # onnx takes a second

    found = about(path)
    pixels, columns = found["space"]["pixels"], ", ".join(found["columns"])
    print("input, in this order: " + "; ".join(filter(None, [f"{pixels} pixels, row by row" * bool(pixels), columns])))
    if encoders := found["space"].get("encoders"):
        print(f"its input is an embedding: run the encoder of SHA-256 {', '.join(encoders)} before it")
    if found["tool"]:
        needed = athena.properties(found["columns"], pixels)
        print("TrigADComboHypoTool needs " + ", ".join(f"{name}={count}" for name, count in needed.items()))
    if found["nan"] == "keep":
        print("NaN in the input gives the score NaN, which passes no threshold; --nan accept or reject decides itself")
    print(f"digest {found['digest']}")


def _pairs(texts: list[str]) -> dict[str, float]:
    """{name: value} of texts name=value; InputError for others and for a name that comes twice."""
    numbers = {}
    for name, value in _split("--threshold", texts).items():
        try:
            numbers[name] = float(value)
        except ValueError:
            raise InputError(f"--threshold '{name}={value}': NAME=VALUE with a number is needed: 1kHz=3.2.") from None
    return numbers


def _split(option: str, texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value or name in pairs:
            raise InputError(f"{option} '{text}': NAME=VALUE is needed, each name once.")
        pairs[name] = value
    return pairs
