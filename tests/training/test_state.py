"""Training state on disk: whole or not there, readable without pickle, bounded in number."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from domainclip.errors import UsageError
from domainclip.training import random_state, state
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.state import TrainingState, find_checkpoint, load_checkpoint, read_tensors, save_checkpoint


@pytest.fixture
def engine(tiny):
    config = tiny.run_config("torch")
    with processes(config.training) as p:
        model = tiny.build("resnet")
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        yield engine
        engine.close()


def save(engine, root, step, keep=2, **fields):
    return save_checkpoint(root, engine, TrainingState(step=step, **fields), keep=keep)


def test_old_checkpoints_go_and_the_best_stays(engine, tmp_path):
    for step in (10, 20, 30, 40):
        save(engine, tmp_path, step, best_step=10, best_value=0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000030", "step-00000040"]
    found, notes = find_checkpoint(tmp_path)
    assert found.name == "step-00000040" and notes == []
    assert sorted(path.suffix for path in found.iterdir()) == [".json"] + [".safetensors"] * 5


def test_half_written_and_damaged_ones_are_passed_over(engine, tmp_path):
    save(engine, tmp_path, 10, keep=9)
    for step, damage in ((20, "parameters.safetensors"), (30, "state.json"), (40, "random.safetensors")):
        path = save(engine, tmp_path, step, keep=9)
        file = path / damage
        if step == 40:
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    part = tmp_path / "step-00000050.part"
    part.mkdir()
    (part / "parameters.safetensors").write_bytes(b"half")
    found, notes = find_checkpoint(tmp_path)
    assert found.name == "step-00000010" and not part.exists()
    assert len(notes) == 4 and "step-00000050.part" in notes[0] and "another size" in notes[3] and "damaged" in notes[2]
    assert find_checkpoint(tmp_path / "nowhere") == (None, [])


def test_same_size_but_unreadable_is_passed_over(engine, tmp_path):
    path = save(engine, tmp_path, 10)
    file = path / "exp_avg.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)
    found, notes = find_checkpoint(tmp_path)
    assert found is None and "exp_avg.safetensors cannot be read" in notes[0]
    with pytest.raises(UsageError, match="cannot be read"):
        read_tensors(path)


def test_state_of_another_model_is_refused(engine, tiny, tmp_path):
    path = save(engine, tmp_path, 10)
    config = tiny.run_config("torch")
    with processes(config.training) as p:
        other = tiny.build("vit")
        another = make_engine(config.training, config.optimizer, other, tiny.groups_of(other), p)
        with pytest.raises(UsageError, match="of another model"):
            load_checkpoint(path, another)


def test_parameters_that_are_not_finite_are_not_saved(engine, tmp_path):
    save(engine, tmp_path, 10)
    with torch.no_grad():
        engine.module.clip.logit_scale.fill_(float("nan"))
    with pytest.raises(UsageError, match=r"not finite, the first is clip\.logit_scale"):
        save(engine, tmp_path, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


def test_full_disk_keeps_the_last_good_checkpoint(engine, tmp_path):
    """Files may not grow beyond 100 kB: what a quota does, and the kernel's error reaches us as on a full disk."""
    save(engine, tmp_path, 10)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UsageError, match="Earlier checkpoints are untouched"):
            save(engine, tmp_path, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]
    assert find_checkpoint(tmp_path)[0].name == "step-00000010"


def test_dev_full_gives_the_same_message(engine, tmp_path, monkeypatch):
    """The error of a really full device, by way of /dev/full."""

    def full(path, tensors):
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"x" * 10_000)

    monkeypatch.setattr(state, "write_tensors", full)
    with pytest.raises(UsageError, match="No space left on device"):
        save(engine, tmp_path, 20)
    assert list(tmp_path.iterdir()) == []


def test_random_generators_go_on(engine):
    processes_ = engine.processes
    random_state.seed_all(3, 0)
    random.gauss(0, 1)  # leaves a second number behind, part of the state
    np.random.standard_normal()
    captured = random_state.capture(processes_)

    def draw():
        return [random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.rand(), torch.rand(1).item()]

    expected = draw()
    random_state.seed_all(4, 0)
    assert random_state.reinstate(captured, processes_, 3) is True
    assert draw() == expected
    assert random_state.reinstate({}, processes_, 3) is False
    random_state.seed_all(3, 1)
    other = draw()
    random_state.seed_all(3, 0)
    assert draw() != other


def test_files_need_only_safetensors_and_json(engine, tmp_path):
    path = save(engine, tmp_path, 10, samples_seen=320, best_step=None)
    script = (
        "import json, sys; from safetensors import safe_open\n"
        "p = sys.argv[1]; s = json.load(open(p + '/state.json')); f = safe_open(p + '/parameters.safetensors', 'numpy')\n"
        "assert 'torch' not in sys.modules; print(json.dumps([s['step'], s['samples_seen'], sorted(f.keys())]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [10, 320, sorted(name for name, _ in engine.module.named_parameters())]
