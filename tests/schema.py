"""The schema of configurations, kept as JSON: Snakemake reads it for every check, and as YAML that takes a while."""

import json
import tempfile
from functools import cache
from pathlib import Path

import snakemake.utils
import yaml
from command_line import ROOT

from hepad.config.loading import inherit

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
FOLDER = tempfile.TemporaryDirectory(prefix="hepad-schema-")


@cache
def _as_json() -> str:
    path = Path(FOLDER.name) / "config.schema.json"
    path.write_text(json.dumps(yaml.safe_load(SCHEMA.read_text())))
    return str(path)


def validate(config: dict) -> None:
    """What the workflow does first: complete the processes, check the schema, and fill in defaults, in place."""
    inherit(config)
    snakemake.utils.validate(config, _as_json())
