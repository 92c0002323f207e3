"""The CPU quota of a container, read from Linux control groups (cgroups, versions 1 and 2)."""

from collections.abc import Iterator
from pathlib import Path


def read_cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU quota of this process in cores (CPU time per wall time); None if there is no limit.

    A limit also applies to all subgroups, so the smallest limit of the process's group and its parent groups counts.

    Args:
        root: Root of the file system; tests pass another one.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return min((quota for line in groups for quota in _read_quotas(root / "sys/fs/cgroup", line)), default=None)


def _read_quotas(mount: Path, line: str) -> Iterator[float]:
    """Yield the limits of a group, named by a line of /proc/self/cgroup, and of its parents up to the root.

    Inside a container the name may be a path of the host, whose upper part does not exist there; missing groups are
    skipped.
    """
    _, controllers, name = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    files = ("cpu/{}/cpu.cfs_quota_us", "cpu/{}/cpu.cfs_period_us") if controllers else ("{}/cpu.max",)  # cgroup v1, v2
    group = Path(name.lstrip("/"))
    for place in (group, *group.parents):
        words = [word for file in files for word in _read(mount / file.format(place))]
        if len(words) == 2 and words[0] not in ("max", "-1"):
            yield int(words[0]) / int(words[1])


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
