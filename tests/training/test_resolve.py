"""From the command line's words to one configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainclip.errors import UsageError
from domainclip.training.resolve import resolve_config


def test_without_data_the_domains_starter_file_is_the_base() -> None:
    config = resolve_config("pathology")
    assert (config.data.source, config.training.engine, config.training.max_seconds) == (None, "deepspeed", 170)


def test_a_card_with_a_file_of_its_own_takes_it_and_options_win(tmp_path: Path) -> None:
    config = resolve_config(
        "remote-sensing", data="ucm", root=tmp_path, overrides=["training.max_steps=7", "optimizer.lr=0.5"], output=tmp_path / "run"
    )
    assert config.training.augmentation == "aerial"
    assert (config.training.max_steps, config.optimizer.lr) == (7, 0.5)
    assert (config.data.source, config.data.root, config.output) == ("ucm", str(tmp_path), str(tmp_path / "run"))


def test_own_data_do_not_get_a_files_settings(tmp_path: Path) -> None:
    config = resolve_config("pathology", data=str(tmp_path / "slides"))
    assert config.training.max_seconds is None
    assert config.data.source == str(tmp_path / "slides")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"domain": "patology"}, "No domain is called"),
        ({"domain": "radiology", "path": "other.yaml"}, "is for pathology"),
        ({"domain": "pathology", "path": "missing.yaml"}, "no such file"),
        ({"domain": "pathology", "path": "list.yaml"}, "not a mapping"),
        ({"domain": "pathology", "path": "broken.yaml"}, "not valid YAML"),
        ({"domain": "pathology", "overrides": ["training.max_stps=3"]}, "no such field"),
        ({"domain": "pathology", "overrides": ["training.max_steps=many"]}, "valid integer"),
        ({"domain": "pathology", "overrides": ["nonsense"]}, "not of the form"),
        ({"domain": "pathology", "output": "full"}, "not empty"),
        ({"domain": "pathology", "resume": True}, "No --output"),
        ({"domain": "pathology", "resume": True, "output": "full"}, "no run in"),
        ({"domain": "pathology", "resume": True, "overwrite": True, "output": "full"}, "removes"),
    ],
)
def test_wrong_use_is_said(arguments: dict, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("")
    Path("other.yaml").write_text("domain: pathology")
    Path("list.yaml").write_text("- 1")
    Path("broken.yaml").write_text("a: [")
    arguments = {name: Path(value) if name in {"path", "output"} else value for name, value in arguments.items()}
    with pytest.raises(UsageError, match=found):
        resolve_config(**arguments)


def test_resume_keeps_the_run_and_refuses_what_would_change_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    config = resolve_config("pathology", overrides=["optimizer.lr=0.002"], output=run)
    (run / "config.yaml").write_text(config.to_yaml())
    same = resolve_config("pathology", output=run, resume=True, overrides=["training.zero_stage=0", "training.engine=torch"])
    assert (same.optimizer.lr, same.training.zero_stage, same.training.engine) == (0.002, 0, "torch")
    for override in ("optimizer.lr=0.1", "training.seed=9", "model.architecture=starter-vit", "training.max_steps=1"):
        with pytest.raises(UsageError, match=override.split("=")[0]):
            resolve_config("pathology", output=run, resume=True, overrides=[override])
    with pytest.raises(UsageError, match="domain"):
        resolve_config("radiology", output=run, resume=True)
