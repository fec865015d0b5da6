"""Keys of earlier versions: the error that names today's, and files rewritten without a change of anything else."""

import subprocess
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, planned

from hepad.cli.main import main
from hepad.config import loading, migration, sweeps
from hepad.errors import InputError
from hepad.registry import FORMER

BEFORE = "e5501f3"  # the last version with the old keys, and with lists for sweeps
SWEPT = {"gamma": 2, "latent": 3, "sigma": 2}  # configurations of then, and how many detectors of theirs were swept
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
  igebm: {type: IGEBM, hidden_dims: [64, 32], latent_dim: [4, 8], sweep: {hidden_dims: [[64, 32], [8]]}}
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
    new = sweep.replace("{latent: [4, 8]}}", "{latent_dim: 4}, sweep: {autoencoder.latent_dim: [4, 8]}}")
    new = new.replace("ae_latent_4", "ae_latent_dim_4")
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
        for name, entry in old["detectors"].items():
            own = {"compress": "n_components", "hidden": "hidden_dims", "latent": "latent_dim"}
            if entry["type"] in ("Mixture", "LatentMixture", "Contrastive"):
                own = own | {"components": "n_gaussians"}
            if "of" in entry:
                entry["of"] = of_today(entry["of"], own)
            old["detectors"][name] = of_today(entry, own)
        assert sum("sweep" in entry for entry in found["detectors"].values()) == SWEPT.get(Path(path).stem, 0)
        for entry in found["detectors"].values():
            for argument, values in entry.pop("sweep", {}).items():
                outer, key = argument.split(".")
                assert entry[outer][key] in (values, values[0])  # a mapping that two entries share is put back once
                entry[outer][key] = values
        old["evaluation"]["supervised"] = old["evaluation"].pop("ceiling")
        assert found == old, path
        assert list(found["detectors"]) == list(old["detectors"])
        migration.check_keys(found)


LISTS = """\
detectors:
  # two of them
  ae:
    type: AE   # plain
    autoencoder: &net {hidden_dims: [8], latent_dim: &sizes [4, 8]}  # small and large
    training:
      steps: 10
      learning_rate:
        - 1.0e-3
        - 1e-4

  nae: {type: NAE, autoencoder: *net, training: {steps: [10, 20], batch: 64}}
  # [lowest, highest]
  drl:
    type: DRL
    hidden_dims: [[8, 8], []]
    sigma: [[0.1, 0.1], [0.05, 0.3]]   # two
    weight: [1, 2
      # and a half
      , 2.5]
  pca: {type: PCAReconstruction, components: [2, 3]}
  mix: {type: Mixture, components: [1, 5], variables: [mass]}
  both: {type: LatentMixture, of: {type: AE, noise: [0, 1]}, components: [1, 5]}
tasks: {t: {detectors: [ae, mix_components_5]}}
"""
SWEEPS = """\
detectors:
  # two of them
  ae:
    type: AE   # plain
    autoencoder: &net {hidden_dims: [8], latent_dim: 4}  # small and large
    training:
      steps: 10
      learning_rate: 1.0e-3
    sweep: {autoencoder.latent_dim: [4, 8], training.learning_rate: [1.0e-3, 1e-4]}

  nae: {type: NAE, autoencoder: *net, training: {steps: 10, batch: 64}, sweep: {autoencoder.latent_dim: [4, 8], training.steps: [10, 20]}}
  # [lowest, highest]
  drl:
    type: DRL
    hidden_dims: [8, 8]
    sigma: [0.1, 0.1]   # two
    weight: 1
    sweep: {hidden_dims: [[8, 8], []], sigma: [[0.1, 0.1], [0.05, 0.3]], weight: [1, 2
      # and a half
      , 2.5]}
  pca: {type: PCAReconstruction, components: 2, sweep: {components: [2, 3]}}
  mix: {type: Mixture, n_gaussians: 1, variables: [mass], sweep: {n_gaussians: [1, 5]}}
  both: {type: LatentMixture, of: {type: AE, noise: 0}, n_gaussians: [1, 5], sweep: {of.noise: [0, 1]}}
tasks: {t: {detectors: [ae, mix_n_gaussians_5]}}
"""  # noqa: E501  one line, as it is rewritten


def test_lists_for_one_value_become_sweeps_with_comments_and_layout_kept(tmp_path):
    assert rewritten(tmp_path, LISTS) == SWEEPS
    assert rewritten(tmp_path, SWEEPS) == SWEEPS
    assert rewritten(tmp_path, LISTS.replace("\n", "\r\n")) == SWEEPS.replace("\n", "\r\n")
    assert rewritten(tmp_path, "detectors: {a: {type: AE, noise: [0, 1]}}") == (
        "detectors: {a: {type: AE, noise: 0, sweep: {noise: [0, 1]}}}"
    )
    ordered = "detectors: {a: {type: AE, training: {steps: [1, 2]}, autoencoder: {latent_dim: [3, 4]}, noise: [0, 1]}}"
    assert rewritten(tmp_path, ordered).endswith(
        "sweep: {training.steps: [1, 2], autoencoder.latent_dim: [3, 4], noise: [0, 1]}}}"
    ), "the last argument of the entry runs fastest, as before"
    for broken in (
        "{a: 3, b: [1]}",
        "{a: {type: [AE], noise: [0, 1]}}",
        "{a: {noise: [0, 1]}}",
        "{a: {type: Ae, noise: [0, 1]}}",
    ):
        assert rewritten(tmp_path, f"detectors: {broken}") == f"detectors: {broken}"
    no_end = "detectors:\n  a:\n    type: AE\n    noise: [0, 1]"
    assert rewritten(tmp_path, no_end) == no_end.replace("[0, 1]", "0\n    sweep: {noise: [0, 1]}")


def test_entries_that_are_merged_into_others_sweep_as_before(tmp_path):
    text = "detectors:\n  a: &a {type: AE, noise: [0, 1]}\n  b: {<<: *a, label: B}\ntasks: {}\n"
    new = rewritten(tmp_path, text)
    assert list(sweeps.expand(yaml.safe_load(new))["detectors"]) == ["a_noise_0", "a_noise_1", "b_noise_0", "b_noise_1"]
    with pytest.raises(InputError, match=r"by anchors\. Write them out: list of noise -> sweep"):
        rewritten(tmp_path, text.replace("label: B", "noise: 0.5"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: {type: AE, noise: &n [0, 1]}}\nextra: *n\n", "an anchor of a list is used elsewhere"),
        ("\n  a:\n    type: AE\n    noise:\n    - 0  # none\n    - 1\n", "'noise' has comments between its values"),
    ],
)
def test_lists_that_cannot_be_moved_are_refused(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        rewritten(tmp_path, f"detectors: {text}")


@pytest.mark.parametrize(
    ("entry", "where", "name"),
    [
        ({"detectors": {"nae": {"training": {"rate": 1}}}}, "detectors.nae.training.rate", "learning_rate"),
        ({"detectors": {"nae": {"training": {"steps": 1, "clip": 1}}}}, "detectors.nae.training.clip", "grad_clip"),
        ({"detectors": {"nae": {"visible_chain": {"steps": [1, 2]}}}}, "detectors.nae.visible_chain.steps", "n_steps"),
        ({"detectors": {"m": {"of": {"compress": 3}}}}, "detectors.m.of.compress", "n_components"),
        ({"detectors": {"m": {"type": "Mixture", "components": 3}}}, "detectors.m.components", "n_gaussians"),
        ({"detectors": {"c": {"type": "Contrastive", "components": 3}}}, "detectors.c.components", "n_gaussians"),
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
    migration.check_keys({"detectors": {"pca": {"type": "PCAReconstruction", "components": 3}}})
    migration.check_keys({"samples": {"s": {"rate": {"kind": "zero_bias"}}}, "detectors": {"ae": {"noise": 0.1}}})


def test_no_name_of_today_is_an_old_one_of_the_same_place():
    for names in FORMER.values():
        assert not set(names) & set(names.values())


@pytest.mark.slow
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
