"""`keras-mixer train`, `evaluate` and `predict`."""

import csv
import json
import os
import re
import shutil
import sys

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from keras_mixer import data, training
from keras_mixer._runs import STATE
from keras_mixer.cli import main
from tests.pictures import class_folders

# test_every_recipe.py trains by recipes as they are; this is traced in a third of the time.
PLAIN = ("optimizer=sgd", "rand_augment_layers=0", "mixup=0", "cutmix=0")
TINY = [
    *("--model", "MlpMixer", "--recipe", "small_images"),
    *(f"--model-option={o}" for o in ("patch_size=4", "width=16", "depth=1")),
    *("--model-option", "token_mlp_dim=8", "--model-option", "channel_mlp_dim=32"),
    *(f"--set={s}" for s in (*PLAIN, "image_size=16", "batch_size=8", "epochs=2")),
]


@pytest.mark.slow
def test_a_folder_of_pictures_with_all_that_people_have_in_theirs(here, tmp_path):
    class_folders(tmp_path / "pets", count=15)
    if sys.platform == "linux":  # elsewhere names are UTF-8
        (tmp_path / "pets" / "cat" / os.fsdecode(b"caf\xe9.txt")).write_text("no picture")
    done = here("train", "--dataset", "pets", "--output", "run", *TINY, cwd=tmp_path)
    assert (
        "learns from 28 images in 3 classes in pets/, 0.9 of each class, chooses by 4"
        in done.stdout
    )
    assert "all in run/skipped.txt" in done.stdout.replace("\n", " ")
    assert len((tmp_path / "run" / "skipped.txt").read_text().splitlines()) >= 4
    for name in ("truncated.jpg", "text.jpg", "notes.txt", "empty: a class without pictures"):
        assert name in done.stdout
    assert "epoch 2: loss" in done.stdout
    assert re.search(r"held out .*% \(95% interval .*%\)", done.stdout)
    assert re.search(r"\nWorst classes: (cat|dog) .*% of 2", done.stdout)
    assert "\nDone. Of run predict, evaluate and export take last.keras" in done.stdout

    done = here("evaluate", "run", "--dataset", "pets", cwd=tmp_path)
    assert "images 4" in done.stdout  # those that were held out
    shutil.copytree(tmp_path / "pets", tmp_path / "others")
    done = here("evaluate", "run", "--dataset", "others", cwd=tmp_path)
    assert "images 32" in done.stdout
    done = here("evaluate", "run", "--dataset", "pets", "--confusion", "c.csv", cwd=tmp_path)
    assert (tmp_path / "c.csv").read_text() == (tmp_path / "run/confusion.csv").read_text()
    assert "worst first: " in done.stdout
    with (tmp_path / "c.csv").open() as file:
        _, *rows = csv.reader(file)
    right = sum(int(row[1 + i]) for i, row in enumerate(rows))
    assert f"accuracy {right / 4:.4f}, images 4" in done.stdout
    (tmp_path / "elsewhere").mkdir()
    done = here("evaluate", tmp_path / "run", "--dataset", "../pets", cwd=tmp_path / "elsewhere")
    assert "images 4" in done.stdout
    done = here("predict", "run", "pets/dog/3.PNG", "--top", "2", cwd=tmp_path)
    assert "dog" in done.stdout.replace("pets/dog/3.PNG", "")  # the class, not the path
    again = here("train", "--dataset", "pets", "--output", "run", *TINY, cwd=tmp_path, check=False)
    assert again.returncode == 1
    assert "--resume" in again.stderr


@pytest.mark.slow
def test_a_run_of_an_older_version_is_evaluated_and_resumed(here, tmp_path, monkeypatch):
    class_folders(tmp_path / "pets", count=15)
    monkeypatch.chdir(tmp_path)
    sources = data.hold_out(data.folder("pets"), every=10)
    recipe = training.recipe("small_images").set(
        *(o.split("=", 1)[1] for o in TINY if "--set" in o)
    )
    options = [option.split("=", 1)[1] for option in TINY if "--model-option=" in option]
    options += ["token_mlp_dim=8", "channel_mlp_dim=32"]
    build = training.starting_from("MlpMixer", None, *options)
    training.train(build, *sources, recipe=recipe, folder="run")
    without_origin(tmp_path / "run" / STATE)
    done = here("evaluate", "run", "--dataset", "pets", cwd=tmp_path)
    assert "images 3" in done.stdout
    again = here("train", "--dataset", "pets", "--output", "run", "--resume", *TINY, cwd=tmp_path)
    assert "is finished" in again.stdout


@pytest.mark.slow
def test_a_run_whose_test_images_chose_is_resumed_as_it_began(here, tmp_path):
    for split in ("train", "valid", "test"):
        class_folders(tmp_path / "pets" / split, count=8)
    arguments = ["train", "--dataset", "pets", "--output", "run", *TINY]
    done = here(*arguments, "--held-out", "test", cwd=tmp_path)
    assert "in train/, chooses by 18 in test/." in done.stdout
    again = here(*arguments, "--resume", cwd=tmp_path)
    assert "is finished" in again.stdout


def without_origin(path):
    """Makes a state as older versions wrote it: its record has the images as text only."""
    with safe_open(path, "numpy") as file:
        kept = file.metadata()
    del kept["checksum"]
    record = json.loads(kept["record"])
    assert record.pop("origin")["images"]["but_every"] == 10
    del record["fingerprint"]
    save_file(load_file(path), path, kept | {"record": json.dumps(record)})


@pytest.mark.slow
def test_a_data_set_by_name(command, here, tmp_path, tiny_cifar10):
    data = ["--dataset", "cifar10", "--data-dir", tiny_cifar10]
    done = command("train", *data, "--output", "run", "--split", "train[:50%]", *TINY, cwd=tmp_path)
    assert (
        "learns from 70 images in 10 classes in cifar10/3.0.2 train[:50%], chooses by 30 in "
        "cifar10/3.0.2 test." in done.stdout
    )
    done = here("evaluate", "run/last.keras", *data, "--split", "train[:13]", cwd=tmp_path)
    assert "images 13" in done.stdout
    assert "keras-mixer train --dataset cifar10" in (tmp_path / "run/README.md").read_text()

    arguments = ["evaluate", "MixerTi4", "--weights", "cifar10", *data]
    done = here(*arguments, cwd=tmp_path)
    assert "images 30" in done.stdout
    assert here(*arguments, "--crop", "resize", cwd=tmp_path).stdout == done.stdout  # its own


@pytest.mark.slow
def test_a_task_brings_its_splits_and_its_length(here, tmp_path, tiny_cifar10):
    arguments = ["--task", "cifar10", "--data-dir", tiny_cifar10, "--output", "run"]
    steps = ["--set", "steps=4", "--set", "warmup=1"]
    done = here("train", *arguments, *TINY[:-1], *steps, cwd=tmp_path)
    assert "140 images in 10 classes in cifar10/3.0.2 train," in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "learning_rate=-1"], "learning_rate must be a number above 0, not -1.0"),
        (["--set", "lr=1"], "A recipe has no 'lr'"),
        (["--recipe", "best"], "There is no recipe 'best'"),
        (["--task", "pet"], "There is no task 'pet'. Did you mean 'pets'?"),
        (["--task", "pets"], "either --dataset or --task; got both"),
        (["--output", "pets/dangling"], "pets/dangling is a link to nothing"),
        (["--model-option", "include_top=false"], "needs a model with a head"),
        (["--output", "pets/dog/notes.txt"], "pets/dog/notes.txt is a file"),
        (["--output", "pets/dog/notes.txt/run"], "pets/dog/notes.txt is a file"),
        (["--seed", "-1"], "seed to be a whole number of at least 0; got -1"),
        (["--set", "drop_path_rate=nan"], "drop_path_rate must be a number from 0 to below 1"),
        (["--set", "optimizer=optimizermap"], "optimizer must be one of adamw, lamb, sgd, muon"),
        (["--recipe", "small-image"], "Did you mean 'small_images'?"),
        (["--weights", "pets"], "pets holds no best.keras"),
        (["--model", "MixerB17"], "Did you mean 'MixerB16'?"),
        (["--device", "tpu"], "A TPU was asked for"),
        (["--validation", "1.5"], "validation (--validation) is a share from 0 to 1; got 1.5"),
        (["--output", "pets/runs"], "pets/runs is inside pets, among the images to train on"),
        (["--held-out", "dog"], "pets has no splits, and held_out='dog' (--held-out) is one"),
        (["--split", "train[:x]"], "no folder of images at 'pets/train[:x]'"),
        (["--model-option", "depth"], "written key=value; got 'depth'"),
        (["--model-option", "dept=2"], "Did you mean 'depth'?"),
        (["--model-option", "width=0"], "MlpMixer cannot be built with patch_size=4 width=16"),
        (["--set", "batch_size=64"], "one batch of 64. Choose a smaller one: --set batch_size=16"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, arguments, message, monkeypatch, capfd):
    class_folders(tmp_path / "pets", count=15)
    (tmp_path / "pets/dangling").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    common = ["train", "--dataset", "pets", "--output", "run", *TINY]
    monkeypatch.setattr("sys.argv", ["keras-mixer", *common, *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    errors = capfd.readouterr().err
    assert errors.startswith("Error: ")
    assert message in errors.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_recipes_and_tasks_are_listed(here, tmp_path):
    done = here("recipes", cwd=tmp_path)
    for name in ("mixer_imagenet1k", "small_images", "vtab/kitti"):
        assert name in done.stdout
