"""A run directory has one owner, for as long as its process lives."""

import errno
import subprocess
import sys

import pytest

from vbot_train.config.composition import ConfigError
from vbot_train.training.run_directory import CHECKPOINTS, has_owner, own_run_directory, state_path

OWNER = """
import sys
from pathlib import Path
from vbot_train.training.run_directory import take_run_directory
lock = take_run_directory(Path(sys.argv[1]))
print("mine", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def owner(tmp_path):
    """A process that owns tmp_path."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"mine\n"
    yield process
    process.kill()
    process.communicate()


def test_a_directory_has_its_owner_until_that_is_killed(tmp_path, owner):
    assert has_owner(tmp_path)
    with pytest.raises(ConfigError, match="another run trains there"), own_run_directory(tmp_path):
        pass
    owner.kill()
    owner.wait()
    assert not has_owner(tmp_path)
    with own_run_directory(tmp_path):
        assert has_owner(tmp_path)


def test_the_owner_may_take_its_directory_once_more(tmp_path):
    with own_run_directory(tmp_path / "new"):
        with own_run_directory(tmp_path / "new"):
            pass
        assert has_owner(tmp_path / "new")
    assert not has_owner(tmp_path / "new")


@pytest.mark.parametrize("name", ["result.yaml", f"{CHECKPOINTS}/best.pt"])
def test_a_directory_that_holds_a_run_is_not_used_again(tmp_path, name):
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"already holds (the )?{name.split('/')[0]}"), own_run_directory(tmp_path):
        pass
    assert not has_owner(tmp_path)


@pytest.mark.parametrize("left", [(), (".0a1b2c3d.state.pt",)])
def test_a_training_that_was_killed_before_its_first_state_is_begun_anew(tmp_path, left):
    (tmp_path / CHECKPOINTS).mkdir()
    for name in left:
        (tmp_path / CHECKPOINTS / name).touch()
    with own_run_directory(tmp_path):
        assert has_owner(tmp_path)


def test_a_directory_whose_training_can_be_continued_may_be_taken(tmp_path):
    state_path(tmp_path).parent.mkdir()
    state_path(tmp_path).touch()
    with own_run_directory(tmp_path):
        assert has_owner(tmp_path)


def test_a_directory_that_cannot_be_written_is_refused_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/run: cannot be written \(Not a directory\)"):
        own_run_directory(tmp_path / "file" / "run").__enter__()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # whoever is root may write everywhere
    with pytest.raises(ConfigError, match="cannot be written; give another"), own_run_directory(tmp_path):
        pass
    assert not has_owner(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_a_file_system_without_locks_is_refused_in_a_line(tmp_path, monkeypatch):
    def unknown(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with pytest.raises(ConfigError, match=r"has no locks \(Function not implemented\)"), own_run_directory(tmp_path):
        pass
