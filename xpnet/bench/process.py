"""A process for each candidate, so that no library's threads, memory or settings disturb another's."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import xpnet
from xpnet.bench.candidate import Candidate, CandidateRunner, DisagreementError
from xpnet.errors import XpnetError

_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NPROC",  # of XLA, and so of JAX
)  # fmt: skip


class FailedError(Exception):
    """A line with the error of another library, or with how the process ended."""


def environment(threads: int) -> dict[str, str]:
    """The environment variables of a candidate's process, which set its number of threads."""
    kept = dict(os.environ)
    flags = [kept.get("XLA_FLAGS", ""), *(["--xla_cpu_multi_thread_eigen=false"] if threads == 1 else [])]
    paths = [str(Path(xpnet.__file__).parents[1]), *filter(None, [kept.get("PYTHONPATH")])]
    return (
        kept
        | dict.fromkeys(_THREADS, str(threads))
        | {"XLA_FLAGS": " ".join(filter(None, flags)), "PYTHONPATH": os.pathsep.join(paths)}
        | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # else JAX takes most of a GPU's memory
    )


class Process:
    """Calls the methods of a `CandidateRunner` in a process, which starts at the first call and again after a crash."""

    def __init__(self, candidate: Candidate, threads: int) -> None:
        self.candidate, self.threads = candidate, threads
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, method: str, *arguments: Any) -> Any:
        """Return what the method returns, or raise what it raises.

        Errors of other libraries, and the end of the process, become a FailedError.
        """
        try:
            if self._process is None:
                self._start()
            answer = self._ask((method, arguments))
        except (EOFError, OSError) as error:
            raise FailedError(f"its process ended ({self._end()})") from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _start(self) -> None:
        # -P leaves out the working folder, whose files could have the names of modules.
        command = [sys.executable, "-P", "-c", "from xpnet.bench.process import serve; serve()"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(self.threads),
            start_new_session=True,  # Ctrl-C must reach only the parent, which then ends this process
        )  # fmt: skip
        answer = self._ask(self.candidate)
        if isinstance(answer, BaseException):
            self.close()
            raise answer

    def _ask(self, what: Any) -> Any:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump(what, process.stdin)
        process.stdin.flush()
        return pickle.load(process.stdout)

    def _end(self) -> str:
        """End the process and describe its end: ``status 1``, ``signal 9``."""
        process, self._process = self._process, None
        if process is None:
            return "it could not be started"
        assert process.stdin is not None
        with process, contextlib.suppress(BrokenPipeError):  # unread input
            process.stdin.close()  # tells the process to end
        return f"status {process.returncode}" if process.returncode >= 0 else f"signal {-process.returncode}"

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._end()


def serve() -> None:
    """Answer a `Process`: read calls from standard input and write their results to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # keeps what libraries print out of the answers
        runner: Any = None
        while True:
            try:
                asked = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            try:
                if runner is None:
                    runner, answer = CandidateRunner(asked), None
                else:
                    method, arguments = asked
                    answer = getattr(runner, method)(*arguments)
            except (XpnetError, DisagreementError) as error:
                answer = error
            except Exception as error:  # of any library, such as out of memory
                answer = FailedError(" ".join(str(error).split()) or type(error).__name__)
            pickle.dump(answer, answers)
            answers.flush()
