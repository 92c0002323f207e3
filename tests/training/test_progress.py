"""What is read of a run's progress."""

from vbot_train.training.progress import read_held_out_values

ROWS = """number,env_steps,selection_episode_reward_mean,selection_time_to_goal_s
1,100,,
2,200,1.5,
3,300,,
4,400,2.5,3.25
5,500,3.5"""


def test_the_held_out_values_are_those_of_the_updates_after_which_there_was_an_evaluation(tmp_path):
    (tmp_path / "progress.csv").write_text(ROWS, encoding="utf-8")
    assert read_held_out_values(tmp_path, "episode_reward_mean") == [1.5, 2.5]
    assert read_held_out_values(tmp_path, "time_to_goal_s") == [None, 3.25]
    assert read_held_out_values(tmp_path, "fall_rate") == [None, None]


def test_a_run_without_progress_has_no_values(tmp_path):
    assert read_held_out_values(tmp_path, "episode_reward_mean") == []
