"""What is refused before anything runs, and what the message says: keys, classes, names, phase space, cards, files."""

import copy
import re

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
import yaml
from command_line import GENERATED, ROOT
from schema import SCHEMA, validate
from snakemake.exceptions import WorkflowError

from hepad.config import loading, plain_yaml, preflight, sweeps, validation
from hepad.errors import InputError, report_errors
from hepad.samples.root_output import write_root


def admit(config, *, values=False):
    """What the workflow does with a configuration when it starts; returns it with its defaults."""
    config = copy.deepcopy(config)
    try:
        validate(config)
    except WorkflowError as error:
        validation.raise_schema_error(error.__context__)
    config = sweeps.expand(config)
    loading.cut_to_size(config)
    validation.check(config)
    preflight.check_inputs(config, ROOT, {})
    for name in loading.used_samples(config) if values else ():
        if "files" in config["samples"][name]["source"]:
            preflight.admit_sample(config, name)
    return config


def test_the_entries_in_the_reference_are_admitted(test_config):
    entries = {}
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "config" / "README.md").read_text(), re.DOTALL):
        entries |= {k: v for k, v in yaml.safe_load(block).items() if v.get("representation") == "vector"}
    assert set(entries) == {"wnae", "drl"}
    test_config["detectors"] |= entries
    admit(test_config)


@pytest.fixture
def test_config():
    return yaml.safe_load((ROOT / "config" / "test.yaml").read_text())


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_shipped_configurations_are_admitted_and_filled_with_defaults(path):
    config = admit(plain_yaml.load(path))
    assert config["style"]["sqrt_s_tev"] in (None, 14)
    for name in config["samples"]:
        for source in loading.sources_of(config, name).values():
            assert source["response"] is True
            assert "reader" not in source, "a generated sample takes no settings of a reader"


def rename(mapping, old, new):
    mapping[new] = mapping.pop(old)


# change of config/test.yaml, and parts of the message
MISTAKES = {
    "top key": (lambda c: rename(c, "evaluation", "evaluations"), ["'evaluations'", "'evaluation'", "representations"]),
    "missing top key": (lambda c: c.pop("evaluation"), ["'evaluation' is a required property"]),
    "whole number of a detector": (
        lambda c: c["detectors"]["mass"].update(seeds=[1, 2.0]),
        ["detectors.mass.seeds: 2.0 is no whole number. Write 2."],
    ),
    "whole number of a task": (
        lambda c: c["tasks"]["qcd"].update(seeds=[1.0]),
        ["tasks.qcd.seeds: 1.0 is no whole number. Write 1."],
    ),
    "GPUs": (lambda c: c["detectors"]["mass"].update(gpus=2.0), ["detectors.mass.gpus: 2.0 is no", "Write 2."]),
    "events of a job": (
        lambda c: c.update(chunk_events={"generation": 4e3}),
        ["chunk_events.generation: 4000.0 is no", "Write 4000."],
    ),
    "whole number of a source": (
        lambda c: c["samples"]["qcd"]["source"].update(seed=3.0),
        ["samples.qcd.source.seed: 3.0 is no", "Write 3."],
    ),
    "sample key": (lambda c: rename(c["samples"]["qcd"], "label", "lable"), ["samples.qcd", "'lable'", "'label'"]),
    "source key": (
        lambda c: rename(c["samples"]["qcd"]["source"], "leading", "leeding"),
        ["samples.qcd.source", "'leeding'", "'leading'"],
    ),
    "key of another source": (
        lambda c: c["samples"]["qcd"]["source"].update(tree="events"),
        ["samples.qcd.source", "'tree'", "matching"],
    ),
    "neither card nor files": (
        lambda c: rename(c["samples"]["qcd"]["source"], "card", "crad"),
        ["samples.qcd.source", "'card'", "'files'", "crad"],
    ),
    "card and files": (
        lambda c: c["samples"]["qcd"]["source"].update(files=["a.root"]),
        ["samples.qcd.source", "'card'", "'files'"],
    ),
    "missing number of jets": (lambda c: c["samples"]["qcd"]["source"].pop("jets"), ["samples.qcd.source", "'jets'"]),
    "selection key": (
        lambda c: rename(c["samples"]["qcd"]["selection"], "abs_eta", "abseta"),
        ["samples.qcd.selection", "'abseta'", "'abs_eta'"],
    ),
    "capital letters": (
        lambda c: rename(c["samples"]["qcd"]["selection"], "pt", "pT"),
        ["samples.qcd.selection", "'pT' is unknown. Did you mean 'pt'?"],
    ),
    "selection": (lambda c: c["samples"]["qcd"].update(selection="all"), ["samples.qcd.selection", "'all'", "'any'"]),
    "empty window": (
        lambda c: c["samples"]["qcd"]["selection"].update(pt=[650, 550]),
        ["samples.qcd.selection: pt [650, 550] is not [low, high] in GeV"],
    ),
    "split": (lambda c: c["samples"]["qcd"].update(split=[0.6, 0.1, 0.1]), ["samples.qcd.split", "sum to 1"]),
    "split in time of generated events": (
        lambda c: c["samples"]["qcd"].update(split={"train_until": [1, 2], "valid_until": [1, 3]}),
        ["samples.qcd.split: generated events have no run and section", "Give fractions"],
    ),
    "split in time without a boundary": (
        lambda c: c["samples"]["qcd"].update(split={"train_until": [1, 2]}),
        ["samples.qcd.split", "'valid_until' is a required property"],
    ),
    "split in time of half a section": (
        lambda c: c["samples"]["qcd"].update(split={"train_until": [1, 2.5], "valid_until": [1, 3]}),
        ["samples.qcd.split.train_until", "2.5"],
    ),
    "no validation events": (lambda c: c["samples"]["qcd"].update(split=[0.6, 0, 0.4]), ["samples.qcd.split", "valid"]),
    "no test events": (lambda c: c["samples"]["top"].update(split=[1, 0, 0]), ["samples.top.split", "test"]),
    "name": (lambda c: rename(c["samples"], "top", "top-quark"), ["samples", "top-quark", "underscores"]),
    "type of a value": (
        lambda c: c["samples"]["qcd"]["source"].update(jets="many"),
        ["samples.qcd.source.jets", "'many'", "number of probe jets"],
    ),
    "more chunks than jets": (
        lambda c: c["samples"]["qcd"]["source"].update(jets=1),
        ["samples.qcd.source", "2 chunks", "1 jets"],
    ),
    "reader": (
        lambda c: c["samples"]["qcd"].update(source={"files": ["a.root"], "reader": "Root"}),
        ["samples.qcd.source.reader", "'Root'", "Allowed: ADC2021", "Mapped"],
    ),
    "representation class": (
        lambda c: c["representations"]["image"].update(type="JetImages"),
        ["representations.image", "'JetImages'", "'JetImage'", "EventVector"],
    ),
    "representation argument": (
        lambda c: rename(c["representations"]["image"], "sigma", "sigmaa"),
        ["representations.image", "'sigmaa'", "'sigma'", "power"],
    ),
    "representation value": (
        lambda c: c["representations"]["image"].update(sigma=-1),
        ["representations.image", "sigma", "-1"],
    ),
    "variable": (
        lambda c: c["representations"]["vector"].update(variables=["mas"]),
        ["representations.vector", "'mas'", "'mass'"],
    ),
    "detector class": (
        lambda c: c["detectors"]["nae_image"].update(type="NEA"),
        ["detectors.nae_image", "'NEA'", "MPDR"],
    ),
    "detector argument": (
        lambda c: c["detectors"]["nae_image"].update(objectiv={"gamma": 1.0}),
        ["detectors.nae_image", "'objectiv'", "'objective'"],
    ),
    "missing detector argument": (
        lambda c: c["detectors"]["ae_image"].pop("training"),
        ["detectors.ae_image", "'training'"],
    ),
    "schedule key": (
        lambda c: rename(c["detectors"]["ae_image"]["training"], "steps", "step"),
        ["detectors.ae_image", "training: argument of Schedule 'step'", "'steps'", "learning_rate"],
    ),
    "schedule value": (
        lambda c: c["detectors"]["ae_image"]["training"].update(learning_rate=-1.0),
        ["detectors.ae_image", "learning_rate", "-1.0"],
    ),
    "type of a schedule value": (
        lambda c: c["detectors"]["ae_image"]["training"].update(steps="many"),
        ["detectors.ae_image", "training"],
    ),
    "list for one value": (
        lambda c: c["detectors"]["ae_image"]["training"].update(steps=[10, 20]),
        ["detectors.ae_image", "training: steps: [10, 20]", "a whole number", "'sweep'", "hepad config migrate"],
    ),
    "argument of a sweep": (
        lambda c: c["detectors"]["ae_image"].update(sweep={"training.step": [10, 20]}),
        ["detectors.ae_image.sweep", "'training.step'", "Did you mean 'training.steps'"],
    ),
    "value of a sweep": (
        lambda c: c["detectors"]["ae_image"].update(sweep={"training.steps": [10, "many"]}),
        ["detectors.ae_image_steps_many", "training: steps: 'many'", "a whole number"],
    ),
    "sweep": (lambda c: c["detectors"]["ae_image"].update(sweep=[1]), ["detectors.ae_image.sweep", "arguments"]),
    "chain key": (
        lambda c: rename(c["detectors"]["nae_image"]["latent_chain"], "noise_std", "noise_sdt"),
        ["detectors.nae_image", "'noise_sdt'", "'noise_std'"],
    ),
    "representation of a detector": (
        lambda c: c["detectors"]["mass"].update(representation="vektor"),
        ["detectors.mass", "'vektor'", "'vector'"],
    ),
    "detector named as a sample": (lambda c: rename(c["detectors"], "mass", "top"), ["detectors.top", "Rename"]),
    "start that is no AE": (
        lambda c: c["detectors"]["nae_image"].update(pretraining="vae_vector"),
        ["detectors.nae_image: pretraining: 'vae_vector' is a ConvVAE", "Name an AE"],
    ),
    "start that is unknown": (
        lambda c: c["detectors"]["nae_image"].update(pretraining="ae_imag"),
        ["detectors.nae_image: pretraining 'ae_imag' is unknown", "Did you mean 'ae_image'"],
    ),
    "start without a sphere": (
        lambda c: c["detectors"]["ae_image"].update(autoencoder={"sphere": False}),
        ["detectors.nae_image: pretraining: the codes of 'ae_image' are not on the sphere", "Name an AE"],
    ),
    "start of no name": (
        lambda c: c["detectors"]["nae_image"].update(pretraining=""),
        ["detectors.nae_image: pretraining '' is unknown", "ae_image"],
    ),
    "start of other inputs": (
        lambda c: c["detectors"]["ae_image"].update(representation="vector"),
        ["detectors.nae_image: pretraining: 'ae_image' sees 'vector', not 'image'", "same representation"],
    ),
    "start that is described again": (
        lambda c: c["detectors"]["nae_image"].update(autoencoder={"latent_dim": 4}),
        ["detectors.nae_image: autoencoder: it is that of 'ae_image'", "Leave it out"],
    ),
    "start with a schedule of its own": (
        lambda c: c["detectors"]["nae_image"].update(sweep={"pretraining.steps": [10, 20]}),
        ["detectors.nae_image.sweep.pretraining.steps: 'pretraining' is 'ae_image'", "arguments of that detector"],
    ),
    "member that is missing": (
        lambda c: c["detectors"]["fisher"].update(members=["nae_imag", "vae_vector"]),
        ["detectors.fisher: members 'nae_imag' is unknown", "Did you mean 'nae_image'"],
    ),
    "member of other inputs": (
        lambda c: c["detectors"]["fisher"].update(representation="vector"),
        ["detectors.fisher: members: 'nae_image' sees 'image', which is no part of", "'vector'", "Joined"],
    ),
    "member whose input is unknown": (
        lambda c: c["detectors"]["nae_image"].update(representation="imag"),
        ["detectors.nae_image: representation 'imag' is unknown", "'image'"],
    ),
    "member of another task": (
        lambda c: c["tasks"]["qcd"]["detectors"].remove("nae_image"),
        ["tasks.qcd.detectors: 'fisher' combines 'nae_image', which is no detector of this task", "Add it"],
    ),
    "member that is a combination": (
        lambda c: c["detectors"]["fisher"].update(members=["fisher", "vae_vector"]),
        ["detectors.fisher: members: 'fisher' is a combination itself"],
    ),
    "members that are no names": (
        lambda c: c["detectors"]["fisher"].update(members=[{"type": "AE"}, "vae_vector"]),
        ["detectors.fisher: members:", "is no list of names of other detectors"],
    ),
    "no members": (lambda c: c["detectors"]["fisher"].pop("members"), ["detectors.fisher", "'members'", "missing"]),
    "one member": (
        lambda c: c["detectors"]["fisher"].update(members=["vae_vector"]),
        ["detectors.fisher", "two or more of different names"],
    ),
    "given what is no column": (
        lambda c: c["detectors"]["fisher"].update(given=["masss"]),
        ["detectors.fisher: Combination: given 'masss' is unknown", "Did you mean 'mass'"],
    ),
    "weights of other members": (
        lambda c: c["detectors"]["fisher"].update(weights=[1.0, 1.0, 1.0]),
        ["detectors.fisher", "weights", "2 numbers above zero"],
    ),
    "method": (
        lambda c: c["detectors"]["fisher"].update(method="cauchi"),
        ["detectors.fisher", "Did you mean 'cauchy'"],
    ),
    "too few events to calibrate": (
        lambda c: c["samples"]["qcd"].update(split=[0.6, 0.05, 0.35]),
        ["tasks.qcd.detectors: 'fisher': 80 calibration events are too few", "100 are needed", "samples.qcd.split"],
    ),
    "background": (lambda c: c["tasks"]["qcd"].update(background="qdc"), ["tasks.qcd.background", "'qdc'", "'qcd'"]),
    "signal": (lambda c: c["tasks"]["qcd"].update(signals=["tpo"]), ["tasks.qcd.signals", "'tpo'", "'top'"]),
    "signal is background": (lambda c: c["tasks"]["qcd"].update(signals=["qcd"]), ["tasks.qcd.signals", "'qcd'"]),
    "detector of a task": (lambda c: c["tasks"]["qcd"]["detectors"].append("maas"), ["tasks.qcd.detectors", "'mass'"]),
    "window of a signal": (
        lambda c: c["samples"]["top"].update(selection={"pt": [300, 400], "abs_eta": 2.0}),
        ["tasks.qcd", "'top'", "300 < pt < 400", "'qcd'", "550 < pt < 650", "tasks.qcd.any_window: true"],
    ),
    "equal labels": (lambda c: c["samples"]["top"].update(label="QCD"), ["tasks.qcd", "'qcd'", "'top'", "'QCD'"]),
    "supervised": (
        lambda c: c["evaluation"].update(supervised="images"),
        ["evaluation.supervised", "'images'", "'image'"],
    ),
    "fraction": (lambda c: c["evaluation"].update(eps_b=[2.0]), ["evaluation.eps_b.0", "2.0"]),
    "experiment": (lambda c: c.update(style={"experiment": "cms"}), ["style.experiment", "'cms'", "'CMS'"]),
    "published": (
        lambda c: c["tasks"]["qcd"].update(
            published=[{"detector": "ae_imgae", "signal": "top", "auc": 0.9, "source": "arXiv:1"}]
        ),
        ["tasks.qcd.published: detector", "'ae_imgae'", "Did you mean 'ae_image'"],
    ),
    "card": (
        lambda c: c["samples"]["qcd"]["source"].update(card="config/cards/qdc.cmnd"),
        ["samples.qcd", "config/cards/qdc.cmnd", "Check the path"],
    ),
    "file": (
        lambda c: c["samples"]["top"].update(source={"files": ["nowhere/*.root"]}),
        ["samples.top", "nowhere/*.root", "matches no file"],
    ),
    "option of Mapped": (
        lambda c: c["samples"]["top"].update(source={"files": [str(SCHEMA)], "reader": "NanoAOD", "units": "MeV"}),
        ["samples.top", "NanoAOD option 'units' is unknown: the dialect fixes it", "Mapped"],
    ),
    "option of another reader": (
        lambda c: c["samples"]["top"].update(source={"files": [str(SCHEMA)], "reader": "Mapped", "is_signal": 1}),
        ["samples.top", "'is_signal'", "branches"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_its_path_and_what_is_allowed(test_config, mistake):
    change, words = MISTAKES[mistake]
    for entry in test_config["samples"].values():
        entry["selection"] = dict(entry["selection"])  # one object, by an anchor of the YAML file, until copied
    change(test_config)
    with pytest.raises(InputError) as caught:
        admit(test_config)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert len(message) < 500
    assert "\n" not in message


def test_windows_may_differ_where_the_task_says_so(test_config):
    test_config["samples"]["top"]["selection"] = {"pt": [300, 400], "abs_eta": 2.0}
    test_config["tasks"]["qcd"]["any_window"] = True
    admit(test_config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("samples:\n  on: 1\n", ["line 2", "'samples.on'", "Quote it"]),
        ("samples:\n  ~: 1\n", ["line 2", "Quote it"]),
        ("samples:\n  a: 1\n  b: 2\n  a: 3\n", ["line 4", "'samples.a'", "defined twice"]),
        ("tasks: {x: [\n", ["not valid YAML"]),
        ("just words\n", ["mapping"]),
    ],
)
def test_yaml_files_are_refused_with_file_and_line(tmp_path, text, words):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        plain_yaml.check_duplicate_keys(tmp_path / "c.yaml")
    assert [word for word in ["c.yaml", *words] if word not in str(caught.value)] == []


def test_merge_keys_may_repeat(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, z: 3}\nd: {<<: *b, x: 1}\n")
    plain_yaml.check_duplicate_keys(tmp_path / "c.yaml")


@pytest.fixture
def top_file(make_events, tmp_path):
    write_root(make_events(300, 1), tmp_path / "top.root")
    return tmp_path / "top.root"


@pytest.fixture
def user_config(test_config, top_file):
    test_config["samples"]["top"]["source"] = {"files": [str(top_file)]}
    return test_config


def rewrite(path, change):
    """The user's file, with its columns changed."""
    with uproot.open(path) as file:
        names = ("constituent_pt", "constituent_eta", "constituent_phi", "constituent_mass")
        columns = file["events"].arrays(names, library="ak")
    columns = change({name: columns[name] for name in columns.fields})
    with uproot.recreate(path) as file:
        file.mktree("events", {name: column.type for name, column in columns.items()})
        file["events"].extend(columns)


def with_value(name, value):
    """Put ``value`` into thirteen entries of a column, from the 8th on."""

    def change(columns):
        flat, counts = ak.to_numpy(ak.flatten(columns[name])).copy(), ak.to_numpy(ak.num(columns[name]))
        flat[np.cumsum(counts)[6:19]] = value
        return {**columns, name: ak.unflatten(flat, counts)}

    return change


def with_negative_energy(columns):
    energy = columns["constituent_pt"] * np.cosh(columns["constituent_eta"])
    columns = {k: v for k, v in columns.items() if k != "constituent_mass"} | {"constituent_energy": energy}
    return with_value("constituent_energy", -5.0)(columns)


def test_an_option_of_a_reader_may_have_the_name_of_a_number_of_jets(user_config):
    user_config["samples"]["top"]["source"] |= {"reader": "Delphes", "jets": "Jet"}
    with pytest.raises(InputError, match=r"samples\.top: .*top\.root: there is no TTree or RNTuple 'Delphes'"):
        admit(user_config)


def test_a_good_file_is_admitted(user_config):
    assert "reader" not in admit(user_config, values=True)["samples"]["top"]["source"]


def test_cut_file(user_config, top_file):
    top_file.write_bytes(top_file.read_bytes()[:20_000])
    with pytest.raises(InputError, match=rf"samples\.top: {top_file}: not a readable ROOT file .* truncated"):
        admit(user_config)


def test_missing_branch_is_named_beside_those_present(user_config, top_file):
    rewrite(top_file, lambda columns: {k.replace("_eta", "_rapidity"): v for k, v in columns.items()})
    with pytest.raises(InputError, match=rf"samples\.top: {top_file}: .*Mapped, but it lacks 'constituent_eta'"):
        admit(user_config)
    user_config["samples"]["top"]["source"]["branches"] = {"constituent_eta": "constituent_y"}
    with pytest.raises(
        InputError, match=r"for 'constituent_eta': 'constituent_y': branch 'constituent_y' is missing; present: .*_pt"
    ):
        admit(user_config)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_value("constituent_pt", np.nan), ["constituent_pt", "not finite", "entry 7"]),
        (with_value("constituent_eta", np.inf), ["constituent_eta", "not finite", "entry 7"]),
        (with_value("constituent_pt", -1.0), ["constituent_pt", "negative", "entry 7"]),
        (with_negative_energy, ["constituent_energy", "negative", "entry 7"]),
    ],
)
def test_bad_values_are_found_when_files_are_read(user_config, top_file, change, words):
    rewrite(top_file, change)
    admit(user_config)
    with pytest.raises(InputError) as caught:
        admit(user_config, values=True)
    assert [word for word in ["samples.top", str(top_file), *words] if word not in str(caught.value)] == []


def test_a_single_bad_value_is_refused_and_counted(user_config, top_file):
    change = with_value("constituent_pt", np.nan)

    def once(columns):
        pt = ak.to_list(change(columns)["constituent_pt"])
        bad = [i for i, values in enumerate(pt) if np.isnan(values).any()]
        good = ak.to_list(columns["constituent_pt"])
        good[bad[0]] = pt[bad[0]]
        return {**columns, "constituent_pt": ak.Array(good)}

    rewrite(top_file, once)
    admit(user_config, values=True)


def test_nothing_passes_the_selection(user_config):
    for entry in user_config["samples"].values():
        entry["selection"] = {"pt": [2000, 3000], "abs_eta": 2.0}
    with pytest.raises(InputError, match=r"samples\.top: .*nothing passes .*2000.*refused: pt 300.*median jet pt is"):
        admit(user_config, values=True)


def test_cut_and_foreign_hdf5(user_config, tmp_path):
    path = tmp_path / "top.h5"
    user_config["samples"]["top"]["source"] = {"files": [str(path)], "reader": "TopTagging", "is_signal": 1}
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(10_000)
    with pytest.raises(InputError, match=rf"samples\.top: {path}: there is no pandas table; present: x"):
        admit(user_config)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(InputError, match=rf"samples\.top: {path}: not a readable HDF5 file .* truncated"):
        admit(user_config)


def test_told_plainly_says_it_once_and_logs_it(tmp_path):
    with pytest.raises(SystemExit) as caught, report_errors(tmp_path / "log"):
        raise InputError("file: what is wrong")
    assert caught.value.code == "ERROR: file: what is wrong"
    assert re.fullmatch("ERROR: file: what is wrong\n", (tmp_path / "log").read_text())
    with pytest.raises(SystemExit), report_errors():
        raise InputError("without a log")
