"""Files are written whole or not at all, also where a system refuses to replace one that somebody has open."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vbot_train.training import files
from vbot_train.training.files import remove_file, replace_atomically, replace_file, write_atomically


@pytest.fixture
def hold(monkeypatch):
    """``hold("replace", "file", 3)``: like Windows, refuse to do so with a file of this name, three times."""

    def refuse(act, name, times):
        do, left = getattr(Path, act), [times]

        def refused(path, *arguments, **options):
            if name in path.name and left[0]:
                left[0] -= 1
                raise PermissionError(13, "The process cannot access the file because it is being used by another")
            return do(path, *arguments, **options)

        monkeypatch.setattr(Path, act, refused)

    return refuse


def test_writers_with_the_same_process_number_do_not_meet(tmp_path):
    with (
        replace_atomically(tmp_path / "file") as ours,
        replace_atomically(tmp_path / "file") as theirs,
    ):  # as in two containers
        assert ours != theirs
        ours.write_text("ours", encoding="utf-8")
        theirs.write_text("theirs", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    (tmp_path / "file").write_text("before", encoding="utf-8")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", b"after")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"file": "before"}


def test_what_is_written_is_utf_8_whatever_the_locale(tmp_path):
    code = (
        "import sys, locale; from pathlib import Path\n"
        "from vbot_train.training.files import read_yaml, write_atomically\n"
        "path = Path(sys.argv[1]); write_atomically(path, 'gr\\xf6\\xdfe: 3')\n"
        "print(locale.getencoding(), read_yaml(path) == {'gr\\xf6\\xdfe': 3})"
    )
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    said = subprocess.run(command, env=ascii_only, capture_output=True, encoding="utf-8")
    assert said.stdout.split()[-1] == "True", said.stderr
    assert (tmp_path / "file").read_bytes() == "größe: 3".encode()


def test_a_file_is_replaced_as_soon_as_its_reader_closes_it(tmp_path, hold):
    (tmp_path / "file").write_text("before", encoding="utf-8")
    hold("replace", "file", 3)
    write_atomically(tmp_path / "file", "after")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"file": "after"}


def test_a_file_whose_reader_keeps_it_open_stays_as_it_is_and_that_is_told(tmp_path, hold, monkeypatch):
    monkeypatch.setattr(files, "HELD_S", 0.1)
    (tmp_path / "file").write_text("before", encoding="utf-8")
    hold("replace", "file", 1000)
    with pytest.raises(PermissionError, match="being used by another"):
        write_atomically(tmp_path / "file", "after")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"file": "before"}


def test_a_temporary_file_that_cannot_be_removed_does_not_hide_why_writing_failed(tmp_path, hold, monkeypatch):
    monkeypatch.setattr(files, "HELD_S", 0.1)
    hold("unlink", "file", 1000)
    with pytest.raises(OSError, match="No space left"), replace_atomically(tmp_path / "file") as temporary:
        temporary.touch()
        raise OSError(28, "No space left on device")


def test_a_file_is_removed_as_soon_as_its_reader_closes_it(tmp_path, hold):
    (tmp_path / "file").touch()
    hold("unlink", "file", 3)
    remove_file(tmp_path / "file")
    remove_file(tmp_path / "file")  # and one that is not there needs no removing
    assert list(tmp_path.iterdir()) == []


def test_a_file_takes_the_place_of_an_older_one_with_its_new_name(tmp_path):  # which Windows refuses to rename
    for name in ("broken", "older"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    replace_file(tmp_path / "broken", tmp_path / "older")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"older": "broken"}
