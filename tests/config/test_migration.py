"""Keys of earlier versions: the error that names today's, and files rewritten without a change of anything else."""

import subprocess

import pytest
import yaml
from command_line import ROOT, planned

from hepad.cli.main import main
from hepad.config import loading, migration
from hepad.errors import InputError
from hepad.registry import FORMER

BEFORE = "e5501f3"  # the last version with the old keys
SCHEDULE = {"rate": "learning_rate", "average": "ema_decay", "decay": "cosine_decay", "clip": "grad_clip"}
CHAIN = {"steps": "n_steps", "step": "step_size", "noise": "noise_std", "clip": "grad_clip"}
OLD = """\
# a run of before
tasks:
  t: {background: b, signals: [s], detectors: [nae, mix]}
detectors:   # all of them
  nae:
    type: NAE
    autoencoder: &net {hidden: [64, 32], "latent": 4}  # the network
    pretraining: &alone {steps: 300, rate: 0.001}
    training:
      <<: *alone
      rate: 1.0e-4   # slower
      average: 0.99
      decay: false
      clip: 1.0
    latent_chain: {steps: 2, step: 0.1, noise: 0.05, unit: true}
    visible_chain: {steps: 5, step: 10, noise: 0.02, clip: 0.1}
  mix:
    type: LatentMixture
    of: {type: AE, autoencoder: *net, compress: 4}
    noise: 1
  igebm: {type: IGEBM, hidden: [[64, 32], [8]], latent: [4, 8]}
students:
  s: {task: t, detector: mix, network: {hidden: [8]}, training: *alone}
evaluation: {ceiling: image}
"""
NEW = """\
# a run of before
tasks:
  t: {background: b, signals: [s], detectors: [nae, mix]}
detectors:   # all of them
  nae:
    type: NAE
    autoencoder: &net {hidden_dims: [64, 32], "latent_dim": 4}  # the network
    pretraining: &alone {steps: 300, learning_rate: 0.001}
    training:
      <<: *alone
      learning_rate: 1.0e-4   # slower
      ema_decay: 0.99
      cosine_decay: false
      grad_clip: 1.0
    latent_chain: {n_steps: 2, step_size: 0.1, noise_std: 0.05, unit: true}
    visible_chain: {n_steps: 5, step_size: 10, noise_std: 0.02, grad_clip: 0.1}
  mix:
    type: LatentMixture
    of: {type: AE, autoencoder: *net, n_components: 4}
    noise: 1
  igebm: {type: IGEBM, hidden_dims: [[64, 32], [8]], latent_dim: [4, 8]}
students:
  s: {task: t, detector: mix, network: {hidden_dims: [8]}, training: *alone}
evaluation: {supervised: image}
"""


def rewritten(tmp_path, text: str) -> str:
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode())
    migration.migrate(path)
    return path.read_bytes().decode()


def test_every_key_is_renamed_where_it_stands(tmp_path):
    assert rewritten(tmp_path, OLD) == NEW
    assert rewritten(tmp_path, NEW) == NEW
    assert rewritten(tmp_path, OLD.replace("\n", "\r\n")) == NEW.replace("\n", "\r\n")


def test_a_point_of_a_sweep_that_a_task_names_is_renamed_with_its_keys(tmp_path):
    sweep = "detectors:\n  ae: {type: AE, autoencoder: {latent: [4, 8]}}\ntasks:\n  t: {detectors: [ae_latent_4]}\n"
    new = sweep.replace("latent: [", "latent_dim: [").replace("ae_latent_4", "ae_latent_dim_4")
    assert rewritten(tmp_path, sweep) == new
    with pytest.raises(InputError, match=r"c\.yaml, line 4: 'ae_latent_5' is no detector"):
        rewritten(tmp_path, sweep.replace("ae_latent_4", "ae_latent_5"))


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ("{training: {rate: 1, learning_rate: 2}}", "line 2: 'rate' is called 'learning_rate' now, and both"),
        ("{training: &t {steps: 3, rate: 1}, visible_chain: *t}", "anchor .* two kinds.*training.rate"),
        (r'{training: {"r\x61te": 1}}', "line 2: 'rate' is written with escapes"),
        ("{training: {rate: 1, rate: 2}}", "line 2: 'detectors.a.training.rate' is defined twice"),
        ("[", "not valid YAML"),
    ],
)
def test_what_cannot_be_renamed_is_refused_and_the_file_stays(detector, message, tmp_path):
    text = f"detectors:\n  a: {detector}\n"
    with pytest.raises(InputError, match=f"c.yaml.*{message}"):
        rewritten(tmp_path, text)
    assert (tmp_path / "c.yaml").read_text() == text


def of_today(value, names: dict):
    """A mapping with other names, and what is inside it with those of ``NESTED``."""
    if not isinstance(value, dict):
        return value
    return {names.get(key, key): of_today(item, NESTED.get(key, {})) for key, item in value.items()}


NESTED = {"training": SCHEDULE, "pretraining": SCHEDULE, "encoding": SCHEDULE, "latent_chain": CHAIN}
NESTED |= {"visible_chain": CHAIN, "autoencoder": {"hidden": "hidden_dims", "latent": "latent_dim"}}


def test_configurations_of_before_become_those_of_today(tmp_path):
    listed = subprocess.run(["git", "ls-tree", "-r", "--name-only", BEFORE, "config"], cwd=ROOT, capture_output=True)
    paths = [path for path in listed.stdout.decode().split() if path.endswith(".yaml")]
    if not paths:
        pytest.skip(f"the repository does not hold {BEFORE}")
    for path in paths:
        text = subprocess.run(["git", "show", f"{BEFORE}:{path}"], cwd=ROOT, capture_output=True).stdout.decode()
        found, old = yaml.safe_load(rewritten(tmp_path, text)), yaml.safe_load(text)
        own = {"compress": "n_components", "hidden": "hidden_dims", "latent": "latent_dim"}
        for name, entry in old["detectors"].items():
            if "of" in entry:
                entry["of"] = of_today(entry["of"], own)
            old["detectors"][name] = of_today(entry, own)
        old["evaluation"]["supervised"] = old["evaluation"].pop("ceiling")
        assert found == old, path
        assert list(found["detectors"]) == list(old["detectors"])
        migration.check_keys(found)


@pytest.mark.parametrize(
    ("entry", "where", "name"),
    [
        ({"detectors": {"nae": {"training": {"rate": 1}}}}, "detectors.nae.training.rate", "learning_rate"),
        ({"detectors": {"nae": {"training": {"steps": 1, "clip": 1}}}}, "detectors.nae.training.clip", "grad_clip"),
        ({"detectors": {"nae": {"visible_chain": {"steps": [1, 2]}}}}, "detectors.nae.visible_chain.steps", "n_steps"),
        ({"detectors": {"m": {"of": {"compress": 3}}}}, "detectors.m.of.compress", "n_components"),
        ({"detectors": {"v": {"flow": {"hidden": [3]}}}}, "detectors.v.flow.hidden", "hidden_dims"),
        ({"students": {"s": {"network": {"hidden": [3]}}}}, "students.s.network.hidden", "hidden_dims"),
        ({"students": {"s": {"training": {"average": 0.9}}}}, "students.s.training.average", "ema_decay"),
        ({"evaluation": {"ceiling": "image"}}, "evaluation.ceiling", "supervised"),
    ],
)
def test_an_old_key_is_told_its_name_of_today(entry, where, name):
    with pytest.raises(InputError) as caught:
        migration.check_keys(entry)
    assert str(caught.value) == (
        f"{where}: this key is called '{name}' now; 'hepad config migrate FILE' rewrites the file."
    )


def test_names_of_today_and_broken_parts_pass():
    for config in (yaml.safe_load(NEW), {}, {"detectors": None}, {"detectors": {"a": 3}, "evaluation": [1]}):
        migration.check_keys(config)
    migration.check_keys({"samples": {"s": {"rate": {"kind": "zero_bias"}}}, "detectors": {"ae": {"noise": 0.1}}})


def test_no_name_of_today_is_an_old_one_of_the_same_place():
    for names in FORMER.values():
        assert not set(names) & set(names.values())


def test_the_command_and_the_workflow(tmp_path, capsys):
    text = (ROOT / "config" / "test.yaml").read_text().replace("ema_decay:", "average:")
    (tmp_path / "old.yaml").write_text(text)
    with pytest.raises(InputError, match="average: this key is called 'ema_decay' now"):
        loading.read_configuration(tmp_path / "old.yaml")
    main(["config", "migrate", str(tmp_path / "old.yaml"), "--output", str(tmp_path / "new.yaml")])
    assert "average -> ema_decay (3 times)" in capsys.readouterr().out
    assert (tmp_path / "old.yaml").read_text() == text
    assert (tmp_path / "new.yaml").read_text() == (ROOT / "config" / "test.yaml").read_text()
    assert planned(tmp_path / "run", tmp_path / "new.yaml")
    with pytest.raises(SystemExit) as ended:
        main(["config", "migrate", str(tmp_path / "none.yaml")])
    assert str(ended.value) == f"ERROR: {tmp_path / 'none.yaml'}: cannot be read (No such file or directory)."
