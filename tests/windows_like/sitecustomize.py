"""What Windows lacks and refuses, on Linux: with this folder on PYTHONPATH, Python imports this file before all else.

- Modules of vbot_train get stand-ins for ``os``, ``signal``, ``subprocess``, ``sys`` and ``time``. There, what Windows
  lacks is missing, and ``sys.platform`` is win32. All other modules keep the real ones: they look at the platform
  themselves.
- In the folder in which the process was started, and below, a file that any process has open can be neither replaced
  nor removed, and a name that Windows does not allow can be neither opened nor made.

Processes that are started inherit the environment, and so all of this.
"""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

HERE = Path.cwd()
PREFIX = "windows_like_"
SIGBREAK, CTRL_C_EVENT, CTRL_BREAK_EVENT = 21, 0, 1  # numbers of Windows
CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW = 0x200, 0x8000000
SIGNALS = {signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGINT, signal.SIGSEGV, signal.SIGTERM, SIGBREAK}
NO_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NO_MODULES |= {"select", "selectors"}  # which are there for sockets, but not for pipes
REFUSED = {"pass_fds", "preexec_fn", "user", "group", "extra_groups"}  # options of Popen
IGNORED = {"process_group", "start_new_session", "umask"}
# By the stubs of mypy (2026-11): what Linux has and Windows has not. Most constants that go with it are left out.
NO_OS = """
chown chroot confstr copy_file_range ctermid environb eventfd fchdir fchmod fchown fdatasync fork forkpty fpathconf
fstatvfs fwalk get_blocking getegid getenvb geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp getpriority
getrandom getresgid getresuid getsid getuid getxattr initgroups killpg lchown listxattr lockf login_tty major makedev
memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise posix_fallocate posix_spawn
posix_spawnp pread preadv pwrite pwritev readv register_at_fork removexattr sched_getaffinity sched_getparam
sched_getscheduler sched_setaffinity sched_setparam sched_setscheduler sched_yield sendfile set_blocking setegid seteuid
setgid setgroups setpgid setpgrp setpriority setregid setresgid setresuid setreuid setsid setuid setxattr spawnlp
spawnlpe spawnvp spawnvpe splice statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname wait wait3 wait4 waitid writev
O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC O_TMPFILE WEXITSTATUS WIFEXITED WIFSIGNALED WNOHANG WTERMSIG
"""
NO_SIGNAL = """
ItimerError alarm getitimer pause pidfd_send_signal pthread_kill pthread_sigmask setitimer siginterrupt sigpending
sigtimedwait sigwait sigwaitinfo
"""
KEPT = {signal.Signals(number).name for number in SIGNALS - {SIGBREAK}} | {"SIG_DFL", "SIG_IGN"}
NO_NUMBERS = {name for name in dir(signal) if name.startswith(("SIG", "ITIMER_")) and name not in KEPT}


class StandIn(ModuleType):
    """A module without some of its names, and with others in their place or beside them. What is set, is set there."""

    def __init__(self, module: ModuleType, lacks: set[str], has: dict[str, Any]) -> None:
        super().__init__(PREFIX + module.__name__)
        self.__dict__.update(_module=module, _lacks=lacks, **has)

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks:
            raise AttributeError(f"module '{self._module.__name__}' has no attribute '{name}' on Windows")
        return getattr(self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


def handle(number: int, handler: Any) -> Any:
    """``signal.signal``"""
    if number not in SIGNALS:
        raise ValueError(f"signal number {number} is not one of Windows")
    return signal.signal(number, handler)


def kill(pid: int, number: int) -> None:
    """``os.kill``: all but the two events of a console ends the process at once."""
    events = {CTRL_C_EVENT: signal.SIGINT, CTRL_BREAK_EVENT: SIGBREAK}
    os.kill(pid, events.get(number, signal.SIGKILL))


def check_options(options: dict[str, Any]) -> None:
    """Do with the options of Popen what Windows does."""
    if wrong := [name for name in REFUSED if options.get(name)]:
        raise ValueError(f"{', '.join(wrong)}: not supported on Windows")
    for name in IGNORED & options.keys():
        del options[name]
    if options.pop("creationflags", 0) & CREATE_NEW_PROCESS_GROUP:  # no Ctrl-C of the console reaches it
        options["process_group"] = 0


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that starts a child, with the options that Windows knows."""

    def call(*arguments: Any, **options: Any) -> Any:
        check_options(options)
        return function(*arguments, **options)

    return call


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """A child as Windows starts and ends it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        check_options(options)
        super().__init__(*arguments, **options)

    def send_signal(self, number: int) -> None:
        """As Windows does."""
        if number == signal.SIGTERM:
            self.kill()
        elif number in (CTRL_C_EVENT, CTRL_BREAK_EVENT):
            kill(self.pid, number)
        else:
            raise ValueError(f"Unsupported signal: {number}")

    def terminate(self) -> None:
        """Kill it: Windows knows nothing gentler."""
        self.kill()

    def kill(self) -> None:
        """Kill it."""
        super().send_signal(signal.SIGKILL)

    def _handle_exitstatus(self, *arguments: Any) -> None:
        super()._handle_exitstatus(*arguments)  # type: ignore[misc]
        if self.returncode == -signal.SIGKILL:
            self.returncode = 1  # as TerminateProcess was told


STARTED_BY = os.getppid()  # on Windows the number stays when that process has died
STAND_INS = {
    "os": StandIn(os, set(NO_OS.split()), {"name": "nt", "kill": kill, "getppid": lambda: STARTED_BY}),
    "signal": StandIn(
        signal,
        NO_NUMBERS | set(NO_SIGNAL.split()),
        {
            "signal": handle,
            "SIGBREAK": SIGBREAK,
            "CTRL_C_EVENT": CTRL_C_EVENT,
            "CTRL_BREAK_EVENT": CTRL_BREAK_EVENT,
        },
    ),
    "subprocess": StandIn(
        subprocess,
        set(),
        {
            **{name: checked(getattr(subprocess, name)) for name in ("run", "call", "check_call", "check_output")},
            "Popen": Popen,
            "CREATE_NEW_PROCESS_GROUP": CREATE_NEW_PROCESS_GROUP,
            "CREATE_NO_WINDOW": CREATE_NO_WINDOW,
        },
    ),
    "time": StandIn(time, {"clock_gettime", "pthread_getcpuclockid", "tzset"}, {}),
    "sys": StandIn(sys, set(), {"platform": "win32"}),
}


class Imports(ast.NodeTransformer):
    """Has code import the stand-ins."""

    def visit_Import(self, node: ast.Import) -> ast.Import:
        """``import os``"""
        for each in node.names:
            if each.name in STAND_INS:
                each.asname = each.asname or each.name
            each.name = replaced(each.name)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """``from os import x``"""
        node.module = replaced(node.module or "")
        return node


def replaced(name: str) -> str:
    """The name under which a module is imported in the place of another; there is none of it where Windows has none."""
    return PREFIX + name if name in STAND_INS or name in NO_MODULES else name


class Loader(SourceFileLoader):
    """Loads our modules."""

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew each time: no other process may find this code in a cache."""
        path = self.get_filename(fullname)
        tree = ast.fix_missing_locations(Imports().visit(ast.parse(self.get_data(path))))
        return compile(tree, path, "exec", dont_inherit=True)


class Finder:
    """Finds our modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As importlib asks."""
        spec = PathFinder.find_spec(name, path, target) if name.partition(".")[0] == "vbot_train" else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


WRONG = re.compile(r'.*[<>:"|?*].*|.*[ .]|(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.IGNORECASE | re.DOTALL)


def names_below_here(path: Any) -> Sequence[str]:
    """The names of a path from the folder in which the process was started; none where it lies elsewhere."""
    if not isinstance(path, str | bytes | os.PathLike):
        return ()
    full = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - links stay as they are
    return full.relative_to(HERE).parts if full.is_relative_to(HERE) else ()


def check_names(path: Any, *_: Any) -> None:
    """Refuse a name that Windows does not allow."""
    if any(WRONG.fullmatch(name) for name in names_below_here(path)):
        raise OSError(22, "Invalid argument, as on Windows", path)


def check_free(path: Any, *_: Any) -> None:
    """Refuse to remove a file that is open."""
    if names_below_here(path) and os.path.abspath(os.fsdecode(path)) in open_files():  # noqa: PTH100
        raise PermissionError(13, "Another process has the file open, as on Windows", path)


def check_rename(source: Any, target: Any, *_: Any) -> None:
    """Refuse to rename a file that is open, or onto one."""
    check_names(target)
    check_free(source)
    check_free(target)


def open_files() -> Iterator[str]:
    """What any process has open."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            yield str(descriptor.readlink())
        except OSError:  # closed by now, or another user's
            continue


CHECKS: dict[str, Callable[..., None]] = {
    "open": check_names,
    "os.mkdir": check_names,
    "os.remove": check_free,
    "os.rename": check_rename,
}


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Called by Python before it does something of this kind."""
    if event in CHECKS:
        CHECKS[event](*arguments)


sys.modules.update({PREFIX + name: module for name, module in STAND_INS.items()})
sys.meta_path.insert(0, Finder)
sys.addaudithook(audit)
