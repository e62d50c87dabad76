"""Training through the script: real tiny models, real signals, real processes."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

import tune_transformer
from hugging_captions import dataset, models
from hugging_captions.options import HardwareOptions, TrainOptions
from hugging_captions.storage import Store, write_captions
from hugging_captions.text import hash64
from hugging_captions.trainer import recipe
from hugging_captions.trainer.callbacks import CaptionTrainer, evaluate
from hugging_captions.trainer.checkpoints import COMPLETE

REPOSITORY = Path(__file__).resolve().parent.parent.parent
WHO = ["The elk", "Our tent", "A marmot", "The old trail", "My coffee", "Every peak", "The river", "This lake"]
WHAT = ["waits for", "wakes up before", "looks at", "walks under", "smells like", "belongs to", "dreams of"]
WHERE = ["the first snow", "a golden morning ☀️", "the stars", "nobody\nbut us", "the storm", "home"]
CAPTIONS = [f"{who} {what} {where}" for who in WHO for what in WHAT for where in WHERE]
Tune = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_base(folder: Path, dropout: float = 0.0) -> Path:
    models.quiet_transformers()
    tokenizer = models.train_tokenizer(CAPTIONS, 400)
    eos = tokenizer.eos_token_id
    shape = GPT2Config(
        vocab_size=len(tokenizer), n_positions=48, n_embd=32, n_layer=2, n_head=2, bos_token_id=eos, eos_token_id=eos,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
    )  # fmt: skip
    torch.manual_seed(0)
    GPT2LMHeadModel(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with captions of two tags, and two base models: one without dropout and one with."""
    root = tmp_path_factory.mktemp("world")
    write_captions(root / "text/lake/captions.txt", CAPTIONS[:200])
    write_captions(root / "text/peak/captions.txt", CAPTIONS[180:])
    make_base(root / "base")
    make_base(root / "dropout", 0.1)
    return root


@pytest.fixture
def tune(world: Path, tmp_path: Path) -> Tune:
    """Return a call of the script on a root of its own that shares the captions."""

    def call(*options: str, root: str = "root", base: str = "base", tags: tuple[str, ...] = ("lake", "peak")) -> int:
        (tmp_path / root).mkdir(exist_ok=True)
        if not (tmp_path / root / "text").exists():
            (tmp_path / root / "text").symlink_to(world / "text")
        return tune_transformer.main(arguments(tmp_path / root, world / base, tags) + list(options))

    return call


def arguments(root: Path, base: Path, tags: tuple[str, ...]) -> list[str]:
    settings = ["--epochs", "2", "--batch-tokens", "256", "--lora", "0", "--learning-rate", "3e-3", "--device", "cpu"]
    return ["--root", str(root), "--tag", *tags, "--train", "--base-model", str(base), *settings]


@pytest.fixture(scope="module")
def trained(world: Path) -> Path:
    """Return the folder of a model trained without dropout, which several tests compare with."""
    assert tune_transformer.main(arguments(world, world / "base", ("lake", "peak"))) == 0
    return world / "trained_models/lake+peak"


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of an uninterrupted training with dropout, which depends on random numbers."""
    root = tmp_path_factory.mktemp("whole")
    (root / "text").symlink_to(world / "text")
    assert tune_transformer.main(arguments(root, world / "dropout", ("lake", "peak"))) == 0
    return root


def weights(root: Path, name: str = "lake+peak") -> dict[str, torch.Tensor]:
    return load_file(root / "trained_models" / name / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float = 0.0) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[key], other[key], rtol=0, atol=tolerance) for key in one)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


# -- results


def test_the_folder_is_plain_and_complete(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "README.md", "config.json", "generation_config.json", "history.jsonl", "loss.png", "model.safetensors", "run.json",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert json.loads((trained / "config.json").read_text())["use_cache"] is True
    assert not list(trained.parent.glob("*.training"))
    assert len({path.stat().st_mode for path in trained.iterdir()}) == 1


def test_training_changes_every_parameter_and_lowers_both_losses(trained: Path, world: Path) -> None:
    before, after = load_file(world / "base/model.safetensors"), load_file(trained / "model.safetensors")
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    losses = [line["val_loss"] for line in lines(trained) if "val_loss" in line]
    steps = [line["train_loss"] for line in lines(trained) if "train_loss" in line]
    assert len(losses) == 5  # before the first step, and twice in each epoch
    assert losses[-1] < losses[0] - 1
    assert steps[-1] < steps[0] - 0.5


def test_run_json_reruns_the_training(trained: Path) -> None:
    run = json.loads((trained / "run.json").read_text())
    assert run["tags"] == ["lake", "peak"]
    assert run["captions"] == len(CAPTIONS)
    assert run["options"] | {"epochs": 2, "batch_tokens": 256, "learning_rate": 3e-3, "seed": 0, "patience": 3} == run["options"]
    assert {"torch", "transformers", "hugging_captions"} <= set(run["versions"])
    assert list(run["seconds"]) == ["load", "train", "evaluate", "save", "sample"]
    metrics = run["metrics"]
    assert metrics["train_captions"] + metrics["val_captions"] == len(CAPTIONS)
    assert set(metrics["val_loss_by_tag"]) == {"lake", "peak"}
    assert min(metrics["val_loss_by_tag"].values()) <= metrics["val_loss"] <= max(metrics["val_loss_by_tag"].values())
    assert metrics["tokens_per_second"] > 0
    hashes = {f"{hash64(caption):016x}" for caption in CAPTIONS}
    assert len(run["held_out"]) == metrics["val_captions"] == len(hashes.intersection(run["held_out"]))
    assert not any(caption in (trained / "run.json").read_text() for caption in CAPTIONS)
    card = (trained / "README.md").read_text()
    assert f"| loss (nats per token) | {metrics['val_loss_before']:.4f} | {metrics['val_loss']:.4f} |" in card


def test_the_saved_weights_are_the_best_ones(world: Path, tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_at(15, monkeypatch, lambda weight: weight.add_(torch.randn_like(weight)))
    assert tune("--epochs", "4") == 0
    folder = tmp_path / "root/trained_models/lake+peak"
    losses = [line["val_loss"] for line in lines(folder) if "val_loss" in line]
    best = json.loads((folder / "run.json").read_text())["metrics"]["val_loss"]
    assert best == min(losses) < losses[-1]
    assert held_out_loss(folder, world) == pytest.approx(best, abs=1e-5)


def held_out_loss(folder: Path, world: Path) -> float:
    loaded = models.load_base(str(folder), (), 0)
    held_out = dataset.encode(dataset.load(["lake", "peak"], Store(world), 0.1, 0), loaded).held_out
    return float(evaluate(loaded.model, held_out, 256)["val_loss"])


def spoil_at(step: int, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[torch.Tensor], Any]) -> None:
    """Make the model worse in the middle of ``step``."""
    plain, calls = CaptionTrainer.training_step, []

    def training_step(self: Any, model: Any, *inputs: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            spoil(next(model.parameters()).data)
        return plain(self, model, *inputs, **more)

    monkeypatch.setattr(CaptionTrainer, "training_step", training_step)


def record_steps(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, ...]]]:
    """Return a list that gets the rows of each step, without their padding."""
    plain, steps = CaptionTrainer.training_step, []

    def training_step(self: Any, model: Any, inputs: Any, *more: Any, **settings: Any) -> Any:
        steps.append(
            [tuple(row[: int(used.nonzero().max()) + 1].tolist()) for row, used in zip(inputs["input_ids"], inputs["labels"] >= 0)]
        )
        return plain(self, model, inputs, *more, **settings)

    monkeypatch.setattr(CaptionTrainer, "training_step", training_step)
    return steps


def test_each_epoch_trains_every_caption_once_in_batches_of_its_own(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = record_steps(monkeypatch)
    assert tune("--epochs", "4") == 0
    size = len(steps) // 4
    epochs = [steps[i * size : (i + 1) * size] for i in range(4)]
    assert [sorted(row for batch in epoch for row in batch) for epoch in epochs] == [
        sorted(row for batch in epochs[0] for row in batch)
    ] * 4
    assert len({str(sorted(map(sorted, epoch))) for epoch in epochs}) == 4  # different batches, not only a different order


def test_early_stopping(tune: Tune, tmp_path: Path) -> None:
    assert tune("--epochs", "30", "--learning-rate", "0.5", "--patience", "2") == 0
    evaluations = [line for line in lines(tmp_path / "root/trained_models/lake+peak") if "val_loss" in line]
    best = min(range(len(evaluations)), key=lambda i: evaluations[i]["val_loss"])
    assert len(evaluations) == best + 3 < 31


# -- settings with and without an effect


@pytest.mark.parametrize(
    ("options", "tolerance", "is_same"),
    [
        ((), 0.0, True),
        (("--gradient-accumulation-steps", "4"), 1e-4, True),
        (("--gradient-checkpointing",), 1e-5, True),
        (("--seed", "1"), 1e-2, False),
        (("--batch-tokens", "128"), 1e-2, False),
    ],
    ids=["again", "1x4 accumulated", "checkpointing", "another seed", "smaller steps"],
)
def test_weights_against_those_of_the_plain_run(
    trained: Path, world: Path, tune: Tune, tmp_path: Path, options: tuple[str, ...], tolerance: float, is_same: bool
) -> None:
    assert tune(*options) == 0
    assert same(weights(world), weights(tmp_path / "root"), tolerance) is is_same


def test_out_of_memory_halves_the_batch_and_changes_nothing(
    trained: Path, world: Path, tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = transformers.Trainer.training_step

    def with_little_memory(self: Any, model: Any, inputs: Any, *rest: Any) -> Any:
        loss = plain(self, model, inputs, *rest)
        if len(inputs["labels"]) > 9:
            raise torch.OutOfMemoryError("CUDA out of memory (forced)")  # after the backward pass: its gradients must not stay
        return loss

    monkeypatch.setattr(transformers.Trainer, "training_step", with_little_memory)
    assert tune() == 0
    assert same(weights(world), weights(tmp_path / "root"), 1e-4)
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert (
        said
        == [f"warning: out of memory: from now on each step is computed in {n} parts, with the same number of tokens" for n in (2, 4)][
            : len(said)
        ]
    )
    assert said


#: Run the script in processes with a fault in one step.
DISTURBED = """
import os, runpy, torch, transformers
plain, steps = transformers.Trainer.training_step, []
def training_step(self, model, inputs, *rest):
    steps.append(1)
    {disturb}
    return loss
transformers.Trainer.training_step = training_step
runpy.run_path("tune_transformer.py", run_name="__main__")
"""
SHORT_OF_MEMORY = """loss = plain(self, model, inputs, *rest)
    if os.environ["RANK"] == "1" and inputs["labels"].numel() > 100:
        raise torch.OutOfMemoryError("out of memory (forced)")"""
SPOILED = """if len(steps) == 15:
        next(model.parameters()).data.fill_(float("nan"))
    loss = plain(self, model, inputs, *rest)"""


def two_processes(disturb: str, root: Path, world: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (root / "text").symlink_to(world / "text")
    (root / "disturbed.py").write_text(DISTURBED.format(disturb=disturb))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(root / "disturbed.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [*command, *arguments(root, world / "base", ("lake", "peak")), *options],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=170,
    )  # fmt: skip


@pytest.mark.timeout(180)  # two more processes, perhaps on a busy machine
@pytest.mark.parametrize("disturb", ["loss = plain(self, model, inputs, *rest)", SHORT_OF_MEMORY], ids=["plain", "short of memory"])
def test_two_processes_learn_the_same_as_one_and_sample_once(trained: Path, world: Path, tmp_path: Path, disturb: str) -> None:
    done = two_processes(disturb, tmp_path, world, "--sample-every-epoch")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained ") == 1
    assert ("out of memory: from now on each step is computed in" in done.stderr) is (disturb == SHORT_OF_MEMORY)
    metrics = [json.loads((root / "trained_models/lake+peak/run.json").read_text())["metrics"] for root in (world, tmp_path)]
    assert metrics[0]["val_loss"] == pytest.approx(metrics[1]["val_loss"], abs=1e-3)
    assert metrics[0]["steps"] == metrics[1]["steps"]
    assert same(weights(world), weights(tmp_path), 1e-3)
    assert done.stderr.count("epoch 1 writes: My day") == 3
    assert sum("samples" in line for line in lines(tmp_path / "trained_models/lake+peak")) == 2


@pytest.mark.timeout(180)
def test_a_loss_that_is_not_finite_in_two_processes_keeps_the_best_weights(world: Path, tmp_path: Path) -> None:
    done = two_processes(SPOILED, tmp_path, world)
    assert done.returncode == 0, done.stderr
    assert "loss is nan; the best weights so far are kept" in done.stderr
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path).values())


# -- interrupted, killed, out of disk


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this process a SIGTERM in the middle of ``step``."""
    plain, calls = CaptionTrainer.training_step, []

    def training_step(self: Any, *inputs: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *inputs, **more)

    monkeypatch.setattr(CaptionTrainer, "training_step", training_step)


def test_a_resumed_training_takes_the_same_steps(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        steps = record_steps(patch)
        assert tune("--epochs", "3", root="whole") == 0
    size = len(steps) // 3
    for stop in (2, size, size + 2, 2 * size + 1):
        with monkeypatch.context() as patch:
            again = record_steps(patch)
            interrupt_at(stop, patch)
            assert tune("--epochs", "3", root=f"root{stop}") == 130
        with monkeypatch.context() as patch:
            rest = record_steps(patch)
            assert tune("--epochs", "3", root=f"root{stop}") == 0
        assert again + rest == steps


@pytest.mark.parametrize("where", ["in an epoch", "at its end"])
def test_resume_equals_uninterrupted(whole: Path, tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    steps = [line["step"] for line in lines(whole / "trained_models/lake+peak") if "val_loss" in line]
    with monkeypatch.context() as patch:
        interrupt_at(steps[1] if where == "at its end" else steps[1] + 3, patch)
        assert tune(base="dropout") == 130
    (checkpoint,) = (tmp_path / "root/trained_models/lake+peak.training/checkpoints").glob("checkpoint-*")
    assert (checkpoint / COMPLETE).exists()
    assert not (checkpoint / "training_args.bin").exists()
    assert tune("--resume", "always", base="dropout") == 0
    assert same(weights(whole), weights(tmp_path / "root"))
    folders = [root / "trained_models/lake+peak" for root in (whole, tmp_path / "root")]
    histories = [[line | {"seconds": 0} for line in lines(folder) if "val_loss" in line] for folder in folders]
    assert histories[0] == histories[1]


def test_killed_in_the_middle_of_a_save(whole: Path, world: Path, tune: Tune, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "text").symlink_to(world / "text")
    script = """
import os, signal, sys, torch, tune_transformer
torch.set_num_threads(1)
plain, saves = torch.save, []
def save(value, path, *rest, **more):
    saves.append(path)
    if len(saves) == 9:
        open(path, "wb").write(b"torn")
        os.kill(os.getpid(), signal.SIGKILL)
    plain(value, path, *rest, **more)
torch.save = save
sys.exit(tune_transformer.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", script, *arguments(root, world / "dropout", ("lake", "peak")), "--save-minutes", "0"]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=55).returncode == -signal.SIGKILL
    checkpoints = root / "trained_models/lake+peak.training/checkpoints"
    assert {(path / COMPLETE).exists() for path in checkpoints.glob("checkpoint-*")} == {True, False}
    assert tune("--resume", "always", base="dropout") == 0
    assert same(weights(whole), weights(root))


def test_a_full_disk_keeps_the_previous_checkpoint(
    whole: Path, tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(5, patch)
        assert tune(base="dropout") == 130
    checkpoints = tmp_path / "root/trained_models/lake+peak.training/checkpoints"
    before = sorted(path.name for path in checkpoints.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        assert tune("--save-minutes", "0", base="dropout") == 6
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in checkpoints.iterdir()) == before
    assert f"cannot write {checkpoints}" in capsys.readouterr().err
    assert tune(base="dropout") == 0
    assert same(weights(whole), weights(tmp_path / "root"))


def test_an_unfinished_training_with_other_options_is_not_lost(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune("--resume", "always") == 2
    assert "there is none" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        interrupt_at(2, patch)
        assert tune() == 130
    assert tune("--seed", "3") == 2
    assert "holds an unfinished training with other options or captions" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        interrupt_at(2, patch)
        assert tune("--seed", "3", "--overwrite") == 130
    assert "root/trained_models/lake+peak.training is deleted: this one starts again" in capsys.readouterr().err
    assert tune("--seed", "4", "--resume", "never") == 0
    assert "is deleted: this one starts again" in capsys.readouterr().err


def test_a_training_that_improves_nothing_ends_with_a_warning(tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(root="good") == 0
    assert "no step improved" not in capsys.readouterr().err
    assert tune("--base-model", str(tmp_path / "good/trained_models/lake+peak"), "--learning-rate", "0.9") == 0
    assert "warning: no step improved the held-out loss: the model is the base model" in capsys.readouterr().err
    assert same(weights(tmp_path / "good"), weights(tmp_path / "root"))


@pytest.mark.parametrize(("step", "code"), [(2, 3), (15, 0)], ids=["before an evaluation", "after one"])
def test_a_loss_that_is_not_finite(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: int, code: int
) -> None:
    spoil_at(step, monkeypatch, lambda weight: weight.fill_(float("nan")))
    assert tune() == code
    said = capsys.readouterr().err
    assert "loss is nan" in said
    if code == 0:
        assert "the best weights so far are kept" in said
        assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "root").values())
    else:
        assert "hint: lower --learning-rate" in said


# -- other ways to train


def test_a_small_corpus_trains_without_a_split(tune: Tune, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_captions(world / "text/few/captions.txt", ["a " * 200, *CAPTIONS[:30]])
    assert tune(tags=("few",)) == 0
    said = capsys.readouterr()
    assert "31 captions: none is held out" in said.err
    assert "1 caption cut at a word: longer than the model's 48 positions" in said.err
    assert "no held-out figures" in said.out
    metrics = json.loads((tmp_path / "root/trained_models/few/run.json").read_text())["metrics"]
    assert (metrics["val_loss"], metrics["cut_captions"], metrics["train_captions"]) == (None, 1, 31)
    history = lines(tmp_path / "root/trained_models/few")
    assert [line["epoch"] for line in history] == pytest.approx([1 / 3, 1, 4 / 3, 2], abs=1e-3)
    assert all(line["train_loss"] > 0 for line in history)


def test_the_classic_recipe(tune: Tune, tmp_path: Path) -> None:
    assert tune("--recipe", "classic", "--batch-tokens", "1024") == 0
    written = json.loads((tmp_path / "root/trained_models/lake+peak/run.json").read_text())["recipe"]
    assert (written["warmup"], written["weight_decay"]) == (0.0, 0.0)


def test_adapters_are_merged_into_a_plain_folder(world: Path, tune: Tune, tmp_path: Path) -> None:
    assert tune("--lora", "4") == 0
    folder = tmp_path / "root/trained_models/lake+peak"
    assert not list(folder.glob("adapter*"))
    metrics = json.loads((folder / "run.json").read_text())["metrics"]
    assert metrics["val_loss"] < metrics["val_loss_before"]
    assert held_out_loss(folder, world) == pytest.approx(metrics["val_loss"], abs=1e-4)  # the merged weights give the same loss
    assert weights(tmp_path / "root").keys() == load_file(world / "base/model.safetensors").keys()


# -- the sample for the model card


def live_optimizers() -> int:
    return sum(issubclass(type(found), torch.optim.Optimizer) for found in gc.get_objects())


def test_the_optimizer_is_freed_before_captions_are_sampled(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    before, found = live_optimizers(), []
    monkeypatch.setattr("tune_transformer.print_generation", lambda *_: found.append(live_optimizers()))
    monkeypatch.setattr("hugging_captions.generator.sample", lambda *_: found.append(live_optimizers()))
    assert tune("--generate") == 0
    assert found == [before, before]


def test_the_sample_goes_into_the_history_and_the_card(tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(model: models.LoadedModel, training: list[str], held_out: list[str], hardware: HardwareOptions) -> models.Sample:
        assert len(training) + len(held_out) == len(CAPTIONS) == len({*training, *held_out})
        assert all(torch.isfinite(parameter).all() for parameter in model.model.parameters())
        return models.Sample({"sampled": 2, "ended_share": 0.5, "novelty_3": 0.25, "held_out_novelty_3": 0.75}, ("An elk\nagain",))

    monkeypatch.setattr("hugging_captions.generator.sample", sample)
    assert tune() == 0
    folder = tmp_path / "root/trained_models/lake+peak"
    metrics = json.loads((folder / "run.json").read_text())["metrics"]
    place = {"step": metrics["best_step"], "epoch": metrics["best_epoch"], "of_val_loss": metrics["val_loss"]}
    assert lines(folder)[-1] == place | {"sampled": 2, "ended_share": 0.5, "novelty_3": 0.25, "held_out_novelty_3": 0.75}
    card = (folder / "README.md").read_text()
    assert "Of 2 captions written unprompted, 50% ended by themselves." in card
    assert "| novelty_3 | 0.25 | 0.75 |" in card
    assert "    An elk\n    again\n" in card


@pytest.mark.parametrize(("error", "code"), [(torch.OutOfMemoryError("CUDA out of memory"), 0), (KeyboardInterrupt("stopped"), 130)])
def test_a_sample_that_fails_loses_no_model(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def sample(*_: object) -> None:
        raise error

    monkeypatch.setattr("hugging_captions.generator.sample", sample)
    assert tune() == code
    assert ("warning: the model card has no sample: CUDA out of memory" in capsys.readouterr().err) == (code == 0)
    assert (tmp_path / "root/trained_models/lake+peak/run.json").exists()
    assert not (tmp_path / "root/trained_models/lake+peak/checkpoints").exists()
    assert not (tmp_path / "root/trained_models/lake+peak.training").exists()


@pytest.mark.parametrize("extra", [[], ["--lora", "4"]], ids=["all weights", "adapters"])
def test_samples_of_every_epoch_change_nothing(extra: list[str], tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*extra, "--epochs", "2"]
    assert tune(*argv, root="plain", base="dropout") == 0
    assert tune(*argv, "--sample-every-epoch", "--prompt", "The elk", "--prompt", "Our tent", root="root", base="dropout") == 0
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "root"))
    written = [line for line in lines(tmp_path / "root/trained_models/lake+peak") if "samples" in line]
    assert [line["epoch"] for line in written] == [1.0, 2.0]
    assert [len(line["samples"]) for line in written] == [3, 3]
    assert all(caption.startswith("The elk") for line in written for caption in line["samples"])
    assert capsys.readouterr().err.count("epoch 2 writes: The elk") == 3


def test_a_prompt_that_is_too_long_does_not_stop_training(tune: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune("--epochs", "1", "--sample-every-epoch", "--prompt", "The elk " * 60) == 0
    assert "warning: no captions are sampled after this epoch: the prompt 'The elk" in capsys.readouterr().err


# -- choices before the first step


@pytest.mark.parametrize(
    ("device", "capability", "asked", "chosen"),
    [
        ("cuda", (8, 0), "auto", "bf16"), ("cuda", (7, 5), "auto", "fp16"), ("cuda", (7, 5), "fp32", "fp32"),
        ("mps", None, "auto", "fp32"), ("cpu", None, "bf16", "bf16"),
    ],
)  # fmt: skip
def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch, device: str, capability: Any, asked: str, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert models.choose_precision(device, asked) == chosen


@pytest.mark.parametrize(
    ("options", "width", "tokens", "expected"),
    [
        (TrainOptions(), 768, 200_000, (2, 2e-3, 1024, 16)),
        (TrainOptions(), 384, 12_000, (2, 2e-3, 256, 16)),
        (TrainOptions(lora=8), 768, 200_000, (2, 2e-3, 1024, 8)),
        (TrainOptions(lora=0), 768, 200_000, (2, 1.5e-4, 1024, 0)),
        (TrainOptions(lora=0, base_model="smollm2"), 576, 12_000, (2, 2e-4, 512, 0)),
        (TrainOptions(base_model="scratch"), 256, 12_000_000, (60, 2e-3, 4096, 0)),
        (TrainOptions(recipe="classic"), 128, 12_000_000, (8, 1e-4, 1024, 0)),
        (TrainOptions(epochs=1, learning_rate=0.1, batch_tokens=99), 384, 200_000, (1, 0.1, 99, 16)),
    ],
)
def test_defaults_fit_the_model_and_the_corpus(
    options: TrainOptions, width: int, tokens: int, expected: tuple[int, float, int, int]
) -> None:
    fitted = recipe.fit(recipe.choose(options), width, tokens)
    assert (fitted.epochs, fitted.learning_rate, fitted.batch_tokens, fitted.lora) == pytest.approx(expected)


def test_fp16_needs_a_gpu(tune: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune("--precision", "fp16") == 2
    assert "--precision fp16 needs a CUDA device, not cpu" in capsys.readouterr().err
