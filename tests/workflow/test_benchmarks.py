"""The benchmarks' runner and table, the l1 error of the eight Gaussians, and a small run of each script."""

import csv
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hepad.detectors.training.checkpoint import Stopped
from hepad.errors import InputError
from hepad.storage.files import read_json, write_json, write_rows

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import adbench  # noqa: E402
import eight_gaussians as gaussians  # noqa: E402
import flow_comparison  # noqa: E402
import gpu  # noqa: E402
import mnist_holdout as mnist  # noqa: E402
import records  # noqa: E402
import sensitivity  # noqa: E402
import throughput  # noqa: E402
import workflow_tables  # noqa: E402

with_data = pytest.mark.skipif(not os.environ.get("HEPAD_DATA"), reason="HEPAD_DATA is not set")


def counted():
    """A job's work, and the list of the runs that it did."""
    done = []

    def work_on(run, settings):
        done.append(run)
        return {"value": settings["size"] * run["seed"]}

    return work_on, done


def jobs(size, seeds=(0, 1, 2)):
    return [({"detector": "a", "seed": seed}, {"size": size}) for seed in seeds]


def test_records_are_made_once_and_again_with_other_settings(tmp_path):
    work_on, done = counted()
    records.make(tmp_path, jobs(2, (0, 1)), work_on)
    records.make(tmp_path, jobs(2), work_on)
    assert [run["seed"] for run in done] == [0, 1, 2]
    assert [r["result"]["value"] for r in records.finished(tmp_path, jobs(2))] == [0, 2, 4]
    assert records.finished(tmp_path, jobs(3)) == []
    records.make(tmp_path, jobs(3), work_on)
    assert len(done) == 6
    assert [r["result"]["value"] for r in records.finished(tmp_path, jobs(3))] == [0, 3, 6]


def test_a_stop_loses_only_the_run_in_progress(tmp_path):
    work_on, done = counted()

    def interrupted(run, settings):
        if run["seed"] == 1:
            raise KeyboardInterrupt
        return work_on(run, settings)

    with pytest.raises(KeyboardInterrupt):
        records.make(tmp_path, jobs(1), interrupted)
    assert len(records.finished(tmp_path, jobs(1))) == 1
    records.make(tmp_path, jobs(1), work_on)
    assert [run["seed"] for run in done] == [0, 1, 2]


def test_a_failed_training_is_a_result_and_a_bug_is_not(tmp_path):
    def diverges(run, settings):
        raise InputError("ran away")

    def broken(run, settings):
        raise ZeroDivisionError

    records.make(tmp_path, jobs(1, (0,)), diverges)
    (record,) = records.finished(tmp_path, jobs(1, (0,)))
    assert (record["error"], record["result"]) == ("ran away", {})
    with pytest.raises(ZeroDivisionError):
        records.make(tmp_path, jobs(1, (1,)), broken)
    assert records.finished(tmp_path, jobs(1, (1,))) == []


def test_a_stopped_training_leaves_a_checkpoint_and_no_record(tmp_path):
    job = jobs(1, (0,))
    path = records.checkpoint_of(tmp_path, *job[0]).path

    def stopped(run, settings):
        path.write_text("half of it")
        raise Stopped("by SIGTERM")

    def goes_on(run, settings):
        assert path.exists()
        return {"value": 1}

    with pytest.raises(Stopped):
        records.make(tmp_path, job, stopped)
    assert records.finished(tmp_path, job) == []
    records.make(tmp_path, job, goes_on)
    assert len(records.finished(tmp_path, job)) == 1
    assert not path.exists()


def test_a_benchmark_is_asked_for_no_scale_but_its_own(tmp_path):
    work_on, _ = counted()
    sizes = {"smoke": 1, "laptop": 2, "paper": 3}
    for options, scales in (([], tuple(sizes)), (["--scale", "paper"], ("smoke", "paper"))):
        args = records.arguments("", ["--runs", str(tmp_path), *options], scales=scales)
        found = records.carry_out("b", args, lambda scale: jobs(sizes[scale], (1,)), work_on)
        assert [(r["scale"], r["result"]["value"]) for r in found] == [(args.scale, sizes[args.scale])]
    with pytest.raises(SystemExit):
        records.arguments("", ["--scale", "gpu"])


def test_a_run_that_another_process_has_is_left_to_it(tmp_path):
    work_on, done = counted()
    ((run, _),) = jobs(1, (0,))
    with records.claimed(records._path(tmp_path, run)) as mine:
        assert mine
        records.make(tmp_path, jobs(1, (0, 1)), work_on)
    assert [run["seed"] for run in done] == [1]


def test_only_selects_runs_and_names_what_is_unknown():
    all_jobs = [({"detector": d, "digit": n}, {}) for d in ("ae", "nae") for n in (1, 9)]
    assert [run for run, _ in records.chosen(all_jobs, "detector=nae,digit=9")] == [{"detector": "nae", "digit": 9}]
    assert len(records.chosen(all_jobs, "detector=nae,detector=ae")) == 4
    for wrong in ("digits=9", "digit=3"):
        with pytest.raises(InputError, match="Allowed"):
            records.chosen(all_jobs, wrong)


def test_table_has_mean_deviation_and_published_figure_of_each_group(tmp_path):
    rows = [{"detector": "a", "seed": s, "auroc": v, "scale": "x"} for s, v in enumerate((0.5, 0.7, 0.9))]
    rows += [{"detector": "b", "seed": 0, "auroc": 0.25, "scale": "x"}, {"detector": "b", "seed": 1, "scale": "x"}]
    published = [{"detector": d, "auroc": 0.8, "scale": "paper"} for d in ("a", "c")]
    path = tmp_path / "t.csv"
    columns = ["detector", "seed", "auroc", "scale"]
    records.write_table(path, columns, rows, over="seed", measures=["auroc"], published=published)
    found = list(csv.reader(path.open()))
    assert found == [
        columns,
        ["a", "0", "0.5000", "x"],
        ["a", "1", "0.7000", "x"],
        ["a", "2", "0.9000", "x"],
        ["a", "mean", "0.7000", "x"],
        ["a", "std", "0.2000", "x"],  # squared deviations 0.04 + 0 + 0.04 over n - 1 = 2
        ["a", "published", "0.8000", "paper"],
        ["b", "0", "0.2500", "x"],
        ["b", "1", "", "x"],
        ["b", "mean", "0.2500", "x"],
        ["b", "std", "", "x"],
    ]


def test_a_table_keeps_the_runs_of_other_machines_and_takes_new_figures(tmp_path):
    path, columns, how = tmp_path / "t.csv", ["detector", "seed", "auroc"], {"over": "seed", "measures": ["auroc"]}
    first = [{"detector": "a", "seed": s, "auroc": v} for s, v in enumerate((0.5, None, 0.9))]
    published = [{"detector": "a", "auroc": 0.8}]
    records.write_table(path, columns, first, **how, published=published, last=[{"detector": "a", "seed": "rank"}])
    new = [{"detector": "a", "seed": 1, "auroc": 0.4}, {"detector": "b", "seed": 0, "auroc": 0.1}]
    found = records.with_kept(path, new, **how)
    assert found == [*new, first[0], first[2]]
    assert records.with_kept(path, [], **how) == first  # a failed run stays one
    assert records.with_kept(tmp_path / "none.csv", new, **how) == new


def test_l1_of_the_truth_is_zero_of_disjoint_densities_two_and_of_a_shift_known():
    x = gaussians.grid()
    p = gaussians.truth(x)
    assert gaussians.l1(p, 3 * p) == pytest.approx(0, abs=1e-12)
    left, right = (x[:, 0] < 0).double().numpy(), (x[:, 0] > 0).double().numpy()
    assert gaussians.l1(left, right) == pytest.approx(2)
    # a normal density of width s shifted by d: integral of |p - q| = 2 (2 Phi(d / 2s) - 1) = 2 erf(d / (2 sqrt(2) s))
    s, d = 0.6, 0.5

    def normal(shift):
        return np.exp(-((x[:, 0].numpy() - shift) ** 2 + x[:, 1].numpy() ** 2) / (2 * s**2))

    assert gaussians.l1(normal(0), normal(d)) == pytest.approx(2 * math.erf(d / (2 * math.sqrt(2) * s)), rel=2e-3)
    ring = x.norm(dim=1).numpy() > 2
    assert gaussians.l1(np.where(ring, p, 0), p, ring) == pytest.approx(0, abs=1e-12)


def test_truth_is_normalised_and_is_what_events_are_drawn_from():
    x, area = gaussians.grid(), (2 * gaussians.LIMIT / (gaussians.POINTS - 1)) ** 2
    p = gaussians.truth(x)
    inside = p.sum() * area  # a little of the outer tails lies beyond the grid
    assert 0.995 < inside < 1
    events = gaussians.sample(200_000, 0).numpy()
    edges = np.linspace(-4, 4, 9)
    found = np.histogram2d(*events.T, bins=[edges, edges])[0] / len(events)
    line = (np.arange(400) + 0.5) / 50 - 4
    fine = gaussians.truth(torch.cartesian_prod(*[torch.from_numpy(line)] * 2)).reshape(8, 50, 8, 50)
    expected = fine.sum((1, 3)) * 0.02**2
    assert np.abs(found - expected).max() < 4 * math.sqrt(expected.max() / len(events))


def test_the_exact_energy_read_at_the_right_temperature_gives_the_truth():
    p = gaussians.truth(gaussians.grid())
    energy = -0.07 * np.log(p)
    assert gaussians.l1(p, gaussians.boltzmann(energy, 0.07)) < 1e-9
    assert gaussians.l1(p, gaussians.boltzmann(energy, 0.14)) > 0.3
    events = -0.07 * np.log(gaussians.truth(gaussians.sample(5000, 1)))
    best = max(gaussians.TEMPERATURES, key=lambda t: gaussians.log_likelihood(energy, events, t))
    assert best == pytest.approx(0.07, rel=0.13)


def test_separation_of_known_scores():
    auroc, aupr = mnist.separation(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([3.0, 4.0]))
    assert (auroc, aupr) == (1.0, 1.0)
    auroc, _ = mnist.separation(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0]))
    assert auroc == 0.75


def test_mean_rank_puts_a_failure_last():
    names = (*adbench.OURS, *adbench.BASELINES)
    rows = [
        {"dataset": table, "detector": name, "split": 0, "auroc": None if name == "lof" else 0.5 + 0.01 * i}
        for table in ("1_a", "2_b")
        for i, name in enumerate(names)
    ]
    ranks = {row["detector"]: row["auroc"] for row in adbench.summary(rows, "x", names) if row["split"] == "rank"}
    assert ranks["lof"] == len(names)
    assert ranks[names[-1]] == 1


def test_mean_ranks_are_over_what_all_have_been_run_on():
    def row(table, name, split, auroc):
        return {"dataset": table, "detector": name, "split": split, "auroc": auroc}

    rows = [row("1_a", "ae", split, 0.9) for split in (0, 1)] + [row("1_a", "dagmm", 0, 0.8)]
    rows += [row("1_a", "dagmm", 2, 1.0), row("2_b", "ae", 0, 0.7)]
    found = adbench.summary(rows, "x", ("ae", "dagmm"))
    assert {of["dataset"] for of in found} == {"mean of 1 tables and 1 splits among 2"}
    assert [of["auroc"] for of in found] == [1, 2, 0.9, 0.8]
    rows += [row("2_b", "dagmm", 0, 0.9), row("1_a", "dagmm", 1, 0.8)]
    found = adbench.summary(rows, "x", ("ae", "dagmm"))
    assert {of["dataset"] for of in found} == {"mean of 2 tables and 1 to 2 splits among 2"}
    assert [of["auroc"] for of in found] == pytest.approx([1.5, 1.5, 0.8, 0.85])
    assert adbench.summary(rows, "x", ("ae", "knn")) == []


def smoke(script, only, folder):
    script.main(["--scale", "smoke", "--only", only, "--runs", str(folder)])


@pytest.mark.slow
def test_eight_gaussians_runs_and_resumes(tmp_path, capsys):
    smoke(gaussians, "detector=mpdr_r", tmp_path)
    assert "mpdr_r" in capsys.readouterr().out
    table = list(csv.DictReader((tmp_path / "eight_gaussians.csv").open()))
    assert [row["seed"] for row in table] == ["0", "mean", "std", "published"]
    assert 0 < float(table[0]["l1_grid"]) <= 2
    assert (tmp_path / "eight_gaussians.png").stat().st_size > 1000
    smoke(gaussians, "detector=mpdr_r", tmp_path)
    assert capsys.readouterr().out == ""


@with_data
@pytest.mark.slow
def test_mnist_holds_the_digit_out_and_shares_the_autoencoder(tmp_path):
    x = mnist.load_images(9, {"train": 2000, "test": 1000})
    assert x["train"].shape[1:] == (1, 28, 28)
    assert 0 <= x["train"].min() < x["train"].max() <= 1
    assert 1600 < len(x["train"]) < 1700  # nine digits of 1800 images
    assert len(x["inlier"]) + len(x["outlier"]) == 1000
    smoke(mnist, "digit=9,detector=ae,detector=mpdr_r,detector=glow,detector=pixelcnn,detector=dagmm", tmp_path)
    folder = tmp_path / "mnist_holdout-smoke"
    assert len(list(folder.glob("autoencoder-*.safetensors"))) == 1
    mpdr = read_json(folder / "detector_mpdr_r-digit_9-seed_0.json")
    assert mpdr["error"] is None
    assert mpdr["result"]["candidates"][-1]["step"] == mnist.SCALES["smoke"]["steps"]["mpdr"]
    rows = list(csv.DictReader((tmp_path / "mnist_holdout.csv").open()))
    theirs = {row["detector"]: row["auroc"] for row in rows if row["seed"] == "published" and row["auroc"]}
    assert [float(theirs[name]) for name in ("glow", "pixelcnn", "dagmm")] == [0.426, 0.497, 0.42]  # of digit 9


@pytest.mark.parametrize("name", ["dae", "vae_r"])
def test_autoencoders_of_mnist_start_at_the_mean_pixel_at_one_scale(name):
    x = 0.26 * torch.rand(50, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for scale, pixel in (("laptop", 0.13), ("half", 0.5)):
        settings = {run["detector"]: of for run, of in mnist.jobs_at(scale) if run["digit"] == 9 and not run["seed"]}
        detector = mnist.built(settings[name]["spec"], 0, settings[name].get("he_start", False))
        detector.normalise.fit(x, torch.Generator())
        assert detector.reconstruct(x).mean().item() == pytest.approx(pixel, abs=0.04)
        assert "he_start" not in settings["igebm"]
        assert ("he_start" in settings["mpdr_r"]) == (scale == "laptop")  # it starts from that autoencoder


@with_data
def test_adbench_trains_on_normal_rows_alone(tmp_path):
    train, test, label = adbench.load_table("2_annthyroid", 0, None)
    normal, odd = 7200 - 534, 534
    assert (len(train), len(test), label.sum()) == (round(0.7 * normal), normal - round(0.7 * normal) + odd, odd)
    assert np.abs(train.mean(0)).max() < 1e-9
    smoke(adbench, "dataset=42_WBC", tmp_path)
    rows = list(csv.DictReader((tmp_path / "adbench.csv").open()))
    assert {row["detector"] for row in rows} == {*adbench.TRAINED, *adbench.BASELINES}
    assert {row["dataset"] for row in rows if row["split"] == "rank"} == {
        f"mean of 1 tables and 1 splits among {count}" for count in (9, 13, 14)
    }


def test_updates_of_the_published_setup_are_timed_on_a_device(tmp_path):
    """Half the difference of two trainings is an update; every schedule of it has a row, energies one in bfloat16."""
    smoke(gpu, "detector=vae_vector", tmp_path)
    (row,) = csv.DictReader((tmp_path / "gpu.csv").open())
    assert float(row["hours"]) == pytest.approx(float(row["seconds_per_update"]) * int(row["updates"]) / 3600, rel=1e-3)
    assert (row["device"], float(row["largest_difference"])) == ("cpu", 0)
    config = yaml.safe_load((BENCHMARKS.parent / "config" / "paper.yaml").read_text())
    made = {tuple(run.values()) for run, _ in gpu.runs(config, "laptop")}
    assert {("nae_image", "pretraining", "single"), ("nae_image", "training", "bfloat16")} <= made
    assert ("ae_image", "training", "bfloat16") not in made
    assert not {name for name, *_ in made} & {"mass", "gmm_both", "pixels"}


@pytest.mark.parametrize(("gain", "verdict"), [(0.1, "yes"), (0.02, "no")])
def test_a_flow_improves_if_it_gains_more_than_the_spread_of_the_trainings(tmp_path, gain, verdict):
    # planar has the smallest validation loss and is the one that is judged, whatever iaf gains
    known = {"vae_image": (9.0, 0.2), "vae_planar_image": (5.0, 0.2 + gain), "vae_iaf_image": (7.0, 0.9)}
    auc, efficiency = [], []
    for detector, (loss, eps_s) in known.items():
        for seed, shift in ((1, -0.02), (2, 0.02)):  # standard deviation 0.028, twice: spread 0.04
            key = {"task": "qcd", "signal": "top", "detector": detector, "seed": seed}
            history = [{"valid_loss": loss + 3}, {"valid_loss": loss}, {"valid_loss": loss + 1}]
            write_json(tmp_path / "models" / "qcd" / detector / f"{seed}.json", {"history": history})
            auc.append(key | {"auc": 0.9})
            for eps_b, value in ((0.01, eps_s + shift), (0.0001, None)):
                point = {"eps_b": eps_b, "n_background_passed": 80, "eps_s": value}
                efficiency.append(key | point | {"eps_s_low": value, "eps_s_high": value})
    for name, rows in (("auc", auc), ("efficiency", efficiency)):
        write_rows(tmp_path / f"{name}.csv", list(rows[0]), rows)
    (row,) = flow_comparison.verdicts(tmp_path, workflow_tables.joined(tmp_path))
    assert (row["flow"], row["representation"], row["improves"]) == ("planar", "image", verdict)
    assert row["spread"] == pytest.approx(0.04, rel=1e-3)
    assert row["objective"] == 5


def test_sensitivity_joins_the_three_sweeps(tmp_path):
    for name, auc in (("sigma", 0.9), ("latent", 0.8), ("gamma", 0.7)):
        key = {"task": "qcd", "signal": "top", "detector": f"mpdr_s_{name}_1", "seed": 1}
        point = {"eps_b": 0.01, "n_background_passed": 80, "eps_s": 0.2, "eps_s_low": 0.1, "eps_s_high": 0.3}
        write_rows(tmp_path / name / "results" / "auc.csv", [*key, "auc"], [key | {"auc": auc}])
        write_rows(tmp_path / name / "results" / "efficiency.csv", [*key, *point], [key | point])
    sensitivity.main(["--sweeps", str(tmp_path), "--tables", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "sensitivity.csv").open()))
    assert [(row["sweep"], row["detector"], float(row["auc"]), float(row["eps_s"])) for row in rows] == [
        ("sigma", "mpdr_s_sigma_1", 0.9, 0.2),
        ("latent", "mpdr_s_latent_1", 0.8, 0.2),
        ("gamma", "mpdr_s_gamma_1", 0.7, 0.2),
    ]
    with pytest.raises(InputError, match=r"sigma/results/auc\.csv"):
        sensitivity.main(["--sweeps", str(tmp_path / "none")])


def test_throughput_compares_what_agrees_and_writes_its_table(tmp_path):
    throughput.main(
        ["--scale", "smoke", "--only", "throughput", "--tables", str(tmp_path)]
    )  # checks that results agree
    table = list(csv.DictReader((tmp_path / "throughput.csv").open()))
    assert [row["stage"].rpartition(" ")[2] for row in table] == ["events", "events", "images", "vectors"]
    for row in table:
        ours, loop = float(row["events_per_second"]), float(row["loop_events_per_second"])
        assert float(row["gain"]) == pytest.approx(ours / loop, rel=0.05, abs=0.06)
        if bare := row["bare_and_conversion_events_per_second"]:
            assert 0 < float(row["cost"]) == pytest.approx(float(bare) / ours, rel=0.01, abs=0.01)


def test_a_loop_that_disagrees_stops_the_comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "padded_one_by_one", lambda chunk: throughput.padded(chunk)[:, ::-1])
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        throughput.throughput(throughput.SCALES["smoke"], tmp_path)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_file(tmp_path):
    # held as a whole, 9000 more events would take 29 MB, their images 58 MB
    short, long = (throughput.peak_mb(n, "images", tmp_path, rows=1000) for n in (3000, 12_000))
    assert long < 1.1 * short
