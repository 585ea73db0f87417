"""Another process of the same program, which does what it is told and says what came of it."""

import json
import subprocess
import sys
import textwrap

#: What a process of its own runs: it evaluates or executes each line, with what earlier lines have left.
_LOOP = """
import json, sys
scope = {"__name__": "__main__"}
for line in sys.stdin:
    source, is_expression = json.loads(line)
    try:
        if is_expression:
            answer = [True, eval(source, scope)]
        else:
            exec(source, scope)
            answer = [True, None]
    except BaseException as error:
        answer = [False, f"{type(error).__name__}: {error}"]
    print(json.dumps(answer), flush=True)
"""


class Other:
    """A process that runs until it is ended or killed; its standard error goes where ours goes."""

    def __init__(self, place, *settings, cwd=None):
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd
        )
        self.pid = self._process.pid
        url = place if "://" in str(place) else f"lmdb://{place}"
        options = ", ".join([f"storage_url={url!r}", *settings])
        self.run(f"import zoocache; from zoocache import *; configure({options})")

    def run(self, source):
        """Run statements."""
        self._tell(textwrap.dedent(source), is_expression=False)

    def __call__(self, source):
        """Return the value of an expression, as JSON knows it."""
        return self._tell(source, is_expression=True)

    def _tell(self, source, *, is_expression):
        self.begin(source, is_expression=is_expression)
        return self.answer()

    def begin(self, source, *, is_expression=True):
        """Let it begin with something, of which `answer` tells the end."""
        self._process.stdin.write(json.dumps([source, is_expression]) + "\n")
        self._process.stdin.flush()

    def answer(self):
        """Wait for the end of what was begun."""
        line = self._process.stdout.readline()
        assert line, "the other process has ended"
        done, value = json.loads(line)
        assert done, value
        return value

    def end(self):
        """Let it end by itself, and return its exit code."""
        self._process.stdin.close()
        code = self._process.wait(30)
        self._process.stdout.close()
        return code

    def kill(self):
        """Kill it with SIGKILL."""
        self._process.kill()
        self._process.wait(30)
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self._process.returncode is None:
            self.kill()
