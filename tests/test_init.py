"""``init`` copies conf/ as a whole, and never over anything."""

import filecmp
import shlex
import sys
from pathlib import Path

import pytest

from vbot_train import init
from vbot_train.config.composition import CONF_DIR


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder. Returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["/bin/vbot-train", *arguments])
        init.main()
        return capsys.readouterr().out

    return run


def assert_same(found):
    assert not (found.left_only or found.right_only or found.diff_files)
    for inner in found.subdirs.values():
        assert_same(inner)


@pytest.mark.parametrize(("folder", "path"), [([], "conf"), (["my/own folder"], "my/own folder/conf")])
def test_it_copies_every_option_and_says_what_to_type(call, folder, path):
    assert f"vbot-train --config-path {shlex.quote(path)} -m search=quick" in call(*folder)
    assert_same(filecmp.dircmp(CONF_DIR, path))
    assert [each.name for each in Path(path).parent.iterdir()] == ["conf"]  # nothing temporary is left


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_exists_is_not_overwritten(call, make):
    make(Path("conf"))
    with pytest.raises(SystemExit, match=r"^conf: exists, and is not overwritten$"):
        call()
    assert not Path("conf").is_dir() or not any(Path("conf").iterdir())


def test_a_file_is_no_folder(call):
    Path("file").write_text("", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^file: is not a folder$"):
        call("file")


def test_a_copy_that_fails_leaves_nothing(call, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(init.shutil, "copytree", fail)
    with pytest.raises(SystemExit, match=r"^conf: cannot be written \(No space left on device\)$"):
        call()
    assert not any(Path().iterdir())
