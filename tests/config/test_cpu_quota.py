"""What a container may use, in file systems written by hand."""

import os

import pytest

from vbot_train.config.composition import count_cores
from vbot_train.config.cpu_quota import read_cpu_quota


@pytest.fixture
def system(tmp_path):
    """``system("0::/", {"cpu.max": "max 100000"})``: a root whose /proc and /sys/fs/cgroup hold this."""

    def write(groups, limits):
        files = {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": text for name, text in limits.items()}}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
        return tmp_path

    return write


V1 = "4:memory:/\n2:cpuset:/\n1:{}:{}\n0::/"


@pytest.mark.parametrize(
    ("groups", "limits", "cores"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {}, None),  # the root of a machine has no such file
        ("0::/a/b", {"cpu.max": "400000 100000", "a/b/cpu.max": "100000 50000"}, 2.0),
        ("0::/a/b", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1.0),  # one above limits it too
        ("0::/docker/4f2", {"cpu.max": "200000 100000"}, 2.0),  # the host's name for what is the root in here
        ("0::/../../x", {"cpu.max": "200000 100000"}, 2.0),
        (V1.format("cpu", "/"), {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        (V1.format("cpu", "/"), {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 2.5),
        (V1.format("cpu,cpuacct", "/a"), {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"}, 0.5),
        (V1.format("cpuacct", "/"), {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_smallest_limit_on_the_way_to_the_root_counts(system, groups, limits, cores):
    assert read_cpu_quota(system(groups, limits)) == cores


def test_where_there_are_no_groups_nothing_is_limited(tmp_path):
    assert read_cpu_quota(tmp_path) is None


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_all_cores_are_used(monkeypatch, platform):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr("vbot_train.config.composition.read_cpu_quota", lambda: 1.5)
    assert count_cores() == 8


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (1.5, 1), (0.5, 1), (3.0, 3), (3.99, 3), (64.0, 8)])
def test_of_eight_cores_as_many_are_used_as_the_container_may(monkeypatch, quota, cores):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr("vbot_train.config.composition.read_cpu_quota", lambda: quota)
    assert count_cores() == cores
