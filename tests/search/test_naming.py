"""A study has the name that was typed, and one that nobody typed is nobody else's."""

import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from omegaconf import OmegaConf, open_dict

from vbot_train.config.composition import CONF_DIR, ConfigError
from vbot_train.search import run
from vbot_train.search.naming import (
    check_name,
    drop_name,
    find_free_directory,
    format_as_argument,
    reserve,
    set_name,
)

NOON = "sweep-2026-05-04_12-00-00"
DEFAULT = r"sweep-\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"


@pytest.fixture(scope="module")
def plain():
    setup_globals()
    with initialize_config_dir(str(CONF_DIR)):
        return compose("config", return_hydra_config=True)


@pytest.fixture
def composed(plain):
    """``composed("study=x", ...)``: the config of a search, as Hydra hands it to its sweeper."""

    def make(*arguments):
        config = deepcopy(plain)
        for override in OverridesParser.create().parse_overrides(list(arguments)):
            with open_dict(config):
                config.pop("study") if override.is_delete() else config.update({"study": override.value()})
        return config

    return make


def settled(config, *arguments):
    """Name, directory, and whether it is the default."""
    is_default = set_name(config, arguments)
    return config.study, config.hydra.sweep.dir, is_default


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("study=4513e17", "4513e17"),
        ("study=1e5", "1e5"),
        ("study=1_000", "1_000"),
        ("study=007", "007"),
        ("study=true", "true"),
        ("study=nan", "nan"),
        ("++study=1e5", "1e5"),
        ("study='1e5'", "1e5"),
        ("study='null'", "null"),
        ("study=my.study-1", "my.study-1"),
        ("study='Läufe'", "Läufe"),
        ("study=run-${seed}", "run-42"),
    ],
)
def test_a_study_is_called_as_it_was_typed(composed, argument, name):
    assert settled(composed(argument), argument) == (name, f"multirun/{name}", False)
    again = format_as_argument(name)  # of the line that goes on
    (argument,) = shlex.split(shlex.quote(again))
    assert settled(composed(argument), argument) == (name, f"multirun/{name}", False)


@pytest.mark.parametrize("arguments", [[], ["study=null"], ["study=x", "study=null"], ["~study"]])
def test_a_study_that_has_no_name_is_called_after_its_search_and_the_time(composed, arguments):
    name, directory, is_default = settled(composed(*arguments), *arguments)
    assert re.fullmatch(DEFAULT, name) and directory == f"multirun/{name}" and is_default


@pytest.mark.parametrize("text", ["4513e17", "1_000", "true", "[a]", "{a: b}"])
def test_a_name_that_a_file_gives_as_something_else_must_be_quoted_there(composed, text):
    config = composed()
    config.study = OmegaConf.create(f"study: {text}").study
    with pytest.raises(ConfigError, match=r"^study=.*: a name must be text, not \w+; in a file, quote it") as error:
        set_name(config, [])
    assert len(str(error.value).splitlines()) == 1
    config.study = OmegaConf.create(f"study: '{text}'").study
    if text.isalnum():
        assert settled(config) == (text, f"multirun/{text}", False)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "-a", "a b", "a\nb", "a'b", "x" * 241, "ä" * 121])
def test_what_cannot_be_a_directorys_name_is_refused(name):
    with pytest.raises(ConfigError, match=r"^study="):
        check_name(name)


@pytest.mark.parametrize("name", ["con", "NUL.txt", "com1", "LPT9.a.b", "a."])
def test_what_cannot_be_a_directorys_name_on_windows_is_refused_there_only(monkeypatch, name):
    for platform in ("linux", "darwin"):
        monkeypatch.setattr("sys.platform", platform)
        check_name(name)
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigError, match=r"Windows has no directory of this name"):
        check_name(name)
    check_name(f"sweep-{name}".rstrip("."))


@pytest.mark.parametrize("argument", ["study=", "study=[a]", "study=a,b", "study=int(3.7)", "study=" + "x" * 300])
def test_an_argument_that_gives_no_name_is_refused_in_a_line(composed, argument):
    config = composed(*([] if "," in argument else [argument]))
    with pytest.raises(ConfigError, match=r"^study=") as error:
        set_name(config, [argument])
    assert len(str(error.value)) < 120


def test_the_longest_name_is_that_of_a_directory(tmp_path):
    check_name("x" * 240)
    (tmp_path / ("x" * 240)).mkdir()


def test_every_way_to_name_a_study_is_left_out_of_a_line():
    line = ["-m", "study=a", "++study=b", "~study", "study.x=1", "mystudy=2", "search=full"]
    assert drop_name(line) == ["-m", "study.x=1", "mystudy=2", "search=full"]


def test_of_many_searches_that_want_one_name_each_gets_its_own(tmp_path):
    def take(_):
        while not reserve(directory := find_free_directory(tmp_path / "multirun" / "sweep-now")):
            pass
        return directory.name

    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(take, range(8)))
    assert sorted(names) == sorted(["sweep-now", *(f"sweep-now-{number}" for number in range(2, 9))])
    assert Path(tmp_path / "multirun").exists()


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """``begin("search.dry_run=true", ...)``: a search, but for what it does in its directory. Gives its place there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "detach_from_terminal", lambda: None)
    monkeypatch.setattr(run, "ShutdownRequest", lambda: SimpleNamespace())
    noon = SimpleNamespace(now=lambda: datetime(2026, 5, 4, 12))  # all of this in one second
    monkeypatch.setattr("hydra.core.utils.datetime", noon)

    def make(*arguments):
        begun = []

        def note(spec, directory, hydra, trial_module):
            begun.append((spec, directory))
            return SimpleNamespace(run=lambda stop: None)

        monkeypatch.setattr(run, "Search", note)
        with initialize_config_dir(str(CONF_DIR)):
            GlobalHydra.instance().hydra.multirun(
                "config", lambda config: None, ["ppo.rollouts=16,24", *arguments], with_log_configuration=False
            )
        return begun[0] if begun else None

    return make


def names_of(spec, directory):
    """Of a search: in its directory, its record, and what its trials are recorded with."""
    candidate = spec.space.compose_candidate({"ppo.rollouts": 16})
    return directory.name, spec.record().study, candidate.config["study"]


@pytest.mark.filterwarnings("ignore:hydra.utils.instantiate")  # the commands themselves pass a whitelist
def test_searches_without_a_name_that_begin_in_the_same_second_are_several_studies(begin, tmp_path, monkeypatch):
    begin("search.dry_run=true")
    with pytest.raises(SystemExit):
        begin("workers=0")
    assert not (tmp_path / "multirun").exists()
    assert names_of(*begin()) == (NOON,) * 3
    assert names_of(*begin("study=null")) == (f"{NOON}-2",) * 3

    (_, one), (_, other) = begin("storage=sqlite:///x.db"), begin("storage=sqlite:///x.db")
    assert one.name != other.name and one.name.startswith(NOON)  # others use the storage from elsewhere

    def lose(directory):
        monkeypatch.setattr(run, "reserve", reserve)
        reserve(directory)  # another search is faster
        return reserve(directory)

    monkeypatch.setattr(run, "reserve", lose)
    assert names_of(*begin()) == (f"{NOON}-4",) * 3


@pytest.mark.filterwarnings("ignore:hydra.utils.instantiate")
def test_a_name_that_was_given_is_continued_and_so_is_a_directory(begin, tmp_path):
    for there in ("multirun/1_000", "mine"):
        (tmp_path / there).mkdir(parents=True)
    assert names_of(*begin("study=1_000")) == ("1_000",) * 3
    assert names_of(*begin("hydra.sweep.dir=mine")) == ("mine", NOON, NOON)
