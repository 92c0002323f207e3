"""The command line of each step is one that a person could type."""

from pathlib import Path

from vbot_train.pipeline.lines import build_comparison_line, build_probe_line, build_search_line, build_training_line

BASE = "hp"


def test_a_search_starts_from_the_best_so_far_and_has_its_name_place_length_and_hours(make_chain):
    chain = make_chain("env=section001_far", "hp_trials=6")  # 3 M env steps
    fine = chain.find("fine-tune")
    folder = chain.directory.as_posix()
    line = build_search_line(chain, fine, BASE, hours=0.5, around=chain.find("hp"), taken_over=3)
    assert line[:3] == ["--config-dir", f"{folder}/candidates", "-m"]
    assert line[3] == "search=fine_tune"
    rest = {each.partition("=")[0]: each.partition("=")[2] for each in line[4:]}
    assert rest["experiment"] == "hp"
    assert rest["env"] == "section001_far"
    assert rest["search.around"] == f"{folder}/1-hp"
    assert rest["search.enqueue"] == f"['{folder}/1-hp:5']"  # their results are taken over
    assert rest["search.max_trials"] == "9"  # 6 new ones
    assert rest["training.env_steps"] == "1500000"  # 0.5 x 3 M
    assert (rest["study"], rest["hydra.sweep.dir"]) == ("n-5-fine-tune", f"{folder}/5-fine-tune")
    assert rest["budget_hours"] == "0.5000"


def test_what_was_typed_wins_over_the_stage_and_a_typed_recipe_gives_way_to_the_best(make_chain):
    chain = make_chain("experiment=far", "training=smoke")
    assert "experiment=far" in build_search_line(chain, chain.steps[0], None, 1.0)
    line = build_search_line(chain, chain.steps[1], BASE, 1.0)
    assert "experiment=far" not in line and "experiment=hp" in line
    assert [each for each in line if each.startswith("training=")] == ["training=smoke"]


def test_a_comparison_lists_its_recipes_and_keeps_the_typed_one_as_the_default(make_chain):
    chain = make_chain("experiment=far")
    line = build_comparison_line(chain, chain.find("compare"), ["default", "hp"], 1.0)
    assert line[:2] == ["--config-dir", (chain.directory / "candidates").as_posix()]
    assert "seed=43" in line  # the searches chose on 42
    assert line.index("experiment=far") < line.index("experiment=default,hp")


def test_a_comparison_trains_each_recipe_whole_whatever_the_searches_do(make_chain):
    chain = make_chain("method=random", "scheduler=halving")
    line = build_comparison_line(chain, chain.find("compare"), ["default", "hp"], 1.0)
    assert {"method=grid", "scheduler=none", "search.max_trials=2"} <= set(line)
    assert not {"method=random", "scheduler=halving"} & set(line)


def test_a_training_has_the_whole_length_and_every_thread(make_chain):
    chain = make_chain()
    line = build_training_line(chain, chain.find("final"), BASE, None)
    assert "training.env_steps=1250000" in line
    assert {"training.torch_threads=null", "simulation.threads=null"} <= set(line)
    assert f"hydra.run.dir={chain.directory.as_posix()}/{chain.steps[-1].name}" in line
    assert "-m" not in line


def test_a_typed_number_of_threads_is_kept(make_chain):
    chain = make_chain("simulation.threads=2")
    line = build_training_line(chain, chain.find("final"), BASE, None)
    assert "simulation.threads=2" in line and "simulation.threads=null" not in line


def test_a_ring_starts_from_the_training_before_it(make_chain):
    chain = make_chain("pipeline=rings")
    near, middle, _ = chain.steps
    line = build_training_line(chain, middle, None, chain.locate(near))
    assert f"init_from={chain.directory.as_posix()}/1-near" in line
    assert "training.env_steps=375000" in line  # 0.3 x 1.25 M


def test_the_speed_is_measured_by_one_short_training_per_worker(make_chain):
    line = build_probe_line(make_chain("workers=3", "seed=7"), Path("multirun/n/0-speed"))
    assert "seed=choice(7,8,9)" in line
    assert "training.env_steps=49152" in line  # 4 updates of 512 robots x 24 control steps
