"""Where a study lives, what it takes over from another; broken databases, full disks."""

import sqlite3
import subprocess
import sys

import pytest
from searches import RANDOM, RATES, UNCONFIRMED, Searches, study_of


@pytest.mark.slow
def test_a_new_study_takes_over_what_still_holds_and_trains_the_rest(searches):
    searches.run("ppo.learning_rate=1e-5,1e-3,3e-3")
    same_settings = ["ppo.learning_rate=1e-5,1e-3,3e-4", "search.enqueue=['multirun/s:all']"]
    output = searches.run(*same_settings, "study=t")
    assert "not tried first: trial 2 of multirun/s: ppo.learning_rate=0.003 lies outside" in output
    new = Searches(searches.cwd)
    new.study = searches.cwd / "multirun" / "t"
    assert new.rates() == [1e-5, 3e-4, 1e-3]
    logs = [path.parent.name for path in sorted(new.study.glob("trials/*/train.log"))]
    assert logs == ["002"]  # the only one that was trained
    assert [result.trial for result in new.results()] == [0, 1, 2]
    for name, changed in (("u", "ppo.gae_lambda=0.9"), ("v", "seed=43")):
        searches.run(*same_settings, changed, f"study={name}")
        assert len(list((searches.cwd / "multirun" / name).glob("trials/*/train.log"))) == 3


@pytest.mark.slow
def test_a_study_does_not_move_to_another_storage(searches):
    searches.run(*RANDOM, "search.max_trials=1")
    output = searches.run(*RANDOM, "search.max_trials=2", "storage=sqlite:///elsewhere.db", code=1)
    assert "elsewhere.db: study=s lives in" in output and "leave storage= out to continue it" in output
    assert not (searches.cwd / "elsewhere.db").exists()
    searches.run(*RANDOM, "search.max_trials=2", f"storage=sqlite:///{searches.study / 'study.db'}", code=1)
    searches.run(*RANDOM, "search.max_trials=2")
    assert searches.statuses() == ["completed"] * 2


@pytest.mark.slow
def test_a_password_stands_in_no_file_and_no_message(searches):
    output = searches.run(RATES, "storage=nodb://me:secret@host/base", code=1)
    assert "storage=nodb://me:***@host/base" in output and "secret" not in output
    storage = "storage='sqlite:///file:elsewhere.db?uri=true&password=secret'"
    searches.run(RATES, storage, "search.max_trials=1")
    assert "give storage= with the password" in searches.run(RATES, "search.max_trials=2", code=1)
    searches.run(RATES, storage, "search.max_trials=2")
    assert searches.statuses() == ["completed"] * 2
    assert not [path for path in searches.study.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


@pytest.mark.slow
def test_a_database_that_is_none_is_missing_or_locked_is_refused_in_a_line(searches):
    searches.run(RATES, "search.max_trials=1")
    database = searches.study / "study.db"
    with sqlite3.connect(database) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert "study.db: cannot be used (database is locked)" in searches.run(RATES, code=1).replace("\n", " ")
    content = database.read_bytes()
    database.write_text("nothing of the kind", encoding="utf-8")
    assert "file is not a database" in searches.run(RATES, code=1)
    database.unlink()
    assert "study.db is missing" in searches.run(RATES, code=1)
    database.write_bytes(content)
    searches.run(RATES, "search.max_trials=2")
    assert searches.statuses() == ["completed"] * 2


@pytest.mark.slow
def test_trials_of_several_seeds_and_replicates_are_taken_over(searches):
    arguments = ["ppo.learning_rate=1e-4,1e-3", "training=smoke", "search.seeds_per_configuration=2", UNCONFIRMED]
    line = [sys.executable, "-m", "vbot_train", "-m", *arguments]  # these train: not idle.py
    subprocess.run([*line, "study=s"], cwd=searches.cwd, check=True, stdout=subprocess.DEVNULL, timeout=200)
    new = [*line, "study=t", "search.enqueue=['multirun/s:all']", "+search.constraints.mine='seed == 1'"]
    subprocess.run(new, cwd=searches.cwd, check=True, stdout=subprocess.DEVNULL, timeout=200)
    before, searches.study = searches.results(), searches.cwd / "multirun" / "t"
    assert sorted(r.metrics["episode_reward_mean"] for r in searches.results()) == sorted(
        r.metrics["episode_reward_mean"] for r in before
    )
    assert len(before) == 4 and not list(searches.study.glob("trials/*/train.log"))
    assert [row["seeds"] for row in searches.analysis()["replicates"]] == [[42, 43], [42, 43]]


@pytest.mark.slow
def test_a_full_disk_is_told_in_a_line_and_the_study_goes_on_when_there_is_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=420k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        searches, line = Searches(disk), [RATES, "ppo.rollouts=16,24,48", "workers=2"]
        output = searches.run(*line, code=1)
        assert "disk is full" in output or "No space left on device" in output
        assert 0 < len(study_of(searches).trials) <= 18
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        searches.run(*line)
        assert searches.statuses().count("completed") == 18
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # SQLite still holds a file
