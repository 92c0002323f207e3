"""What Linux lets the processes of a container use. Only there it is asked."""

from collections.abc import Iterator
from pathlib import Path


def read_cpu_quota(root: Path = Path("/")) -> float | None:
    """CPU time per time that this process may take, in cores; None where nothing limits it.

    A limit holds for all groups below its own: of the process's group and those above it, the smallest counts.

    Args:
        root: Of the file system; another one in tests.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return min((quota for line in groups for quota in _read_quotas(root / "sys/fs/cgroup", line)), default=None)


def _read_quotas(mount: Path, line: str) -> Iterator[float]:
    """The limits on the way from a group, which a line of /proc/self/cgroup names, to the root of its hierarchy.

    Inside a container the name may be the host's, whose upper part is not there: what is missing limits nothing.
    """
    _, controllers, name = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    files = ("cpu/{}/cpu.cfs_quota_us", "cpu/{}/cpu.cfs_period_us") if controllers else ("{}/cpu.max",)  # version 1, 2
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
