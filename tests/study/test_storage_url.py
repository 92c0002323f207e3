"""URLs of storages mean the same wherever they are read."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from vbot_train.study.storage_url import build_file_url, find_sqlite_file, is_in_memory, make_url_absolute


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        ("sqlite:///x.db", "here/x.db"),
        ("sqlite:///deeper/../x.db", "here/x.db"),
        ("sqlite+pysqlite:///x.db?timeout=5", "here/x.db"),
        ("sqlite:///file:x.db?uri=true&password=***", "here/x.db"),
        ("sqlite:///file:x.db", "here/file:x.db"),  # without uri=true it is a name like any other
        ("sqlite:////far/x.db", "/far/x.db"),
        ("sqlite:///file:///far/x.db?uri=true", "/far/x.db"),
        ("sqlite:///file://localhost/far/x.db?uri=true", "/far/x.db"),
    ],
)
def test_a_relative_file_is_the_one_in_the_directory_where_its_url_was_typed(tmp_path, monkeypatch, typed, file):
    (here := tmp_path / "here 1%41").mkdir()
    monkeypatch.chdir(here)
    url = make_url_absolute(typed)
    monkeypatch.chdir(tmp_path)
    assert find_sqlite_file(url) == Path(file.replace("here", str(here)))
    assert make_url_absolute(url) == url
    assert dict(make_url(url).query) == dict(make_url(typed).query) and ("***" in url) == ("***" in typed)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?cache=shared&uri=true"])
def test_a_database_in_memory_has_no_file(url):
    assert is_in_memory(url) and find_sqlite_file(url) is None and make_url_absolute(url) == url


def test_the_url_of_a_server_stays_as_it_is():
    url = "postgresql://me:p%2Aw@host/base?sslmode=require"
    assert make_url_absolute(url) == url and find_sqlite_file(url) is None and not is_in_memory(url)


def test_a_file_has_a_url_whatever_its_name_holds():
    file = Path("/a%41 b?c#d/Läufe.db")
    assert make_url(build_file_url(file)).database == str(file)
