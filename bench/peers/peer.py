# SPDX-License-Identifier: Apache-2.0
"""The common shape of a peer: how it is had, which rows it does, how its process is started. worker.py has the protocol."""
import dataclasses
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Unavailable(Exception):
    """A peer can't be had here; the text says why and what to do."""


def quietly(command, what, **options):
    """Runs a command; of what it printed, one line is shown if it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    except OSError as error:
        raise Unavailable(f"{what}: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"{what}: {telling(done.stdout)}")
    return done.stdout


def telling(log):
    """The line of a log that says most: the last that speaks of an error, or the last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["no output"]
    return ([line for line in lines if re.search("rror|assert|abort", line, re.I)] or lines)[-1][:200]


def cache_folder(*names):
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.path.join(os.environ.get("MQA_CACHE") or os.path.join(base, "mqa", "peers"), *names)
    os.makedirs(path, exist_ok=True)
    return os.path.abspath(path)


def venv(name, *packages):
    """The Python of a virtual environment in the cache that has these packages."""
    folder = os.path.join(cache_folder(), name)
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        quietly([sys.executable, "-m", "venv", folder], f"python3 -m venv {folder}")
    have = quietly([python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"], "pip list").lower()
    have = {line.split("==")[0].replace("_", "-") for line in have.split()} | set(have.split())
    missing = [p for p in packages if p.lower() not in have]
    if missing:
        print(f"  pip install {' '.join(missing)}", file=sys.stderr, flush=True)
        quietly([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *missing],
                "pip install " + " ".join(missing))
    return python


class Peer:
    """name: as --peers has it. title: for tables. Measured beside ours in `variants` spellings, of which the best counts."""
    name = title = ""

    def install(self, options, rows):
        """Brings it into the cache, for these rows; Unavailable where that fails."""

    def command(self, row, out, threads):
        """The process that does a row; None where it has no such shape."""
        raise NotImplementedError

    def environment(self, row):
        return {}


class PythonPeer(Peer):
    """A peer whose module here has variants(row, threads, *own)."""

    def __init__(self, name, title, module, packages):
        self.name, self.title, self.module, self.packages = name, title, module, packages
        self.python, self.own, self._environment = None, (), lambda row: {}

    def install(self, options, rows):
        self.python = venv("python", *self.packages)

    def command(self, row, out, threads):
        return [self.python, os.path.join(HERE, "worker.py"), self.module, json.dumps(dataclasses.asdict(row)), out,
                str(threads), *self.own]

    def environment(self, row):
        return self._environment(row)


class Process:
    """A peer's process for one row."""
    SECONDS = 900  # after which it counts as hung

    def __init__(self, command, environment):
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                      bufsize=1, env={**os.environ, **environment})

    def _answer(self):
        end = time.monotonic() + self.SECONDS
        while time.monotonic() < end:
            if select.select([self.child.stdout], [], [], 1)[0]:
                line = self.child.stdout.readline()
                if not line:
                    break
                try:
                    return json.loads(line)
                except ValueError:
                    self.close()
                    raise Unavailable(f"gave no answer but '{line.strip()[:100]}'") from None
        self.close()
        self.log.seek(0)
        raise Unavailable(f"ended with code {self.child.returncode}: {telling(self.log.read())}")

    ready = _answer

    def ask(self, line):
        try:
            self.child.stdin.write(line + "\n")
        except BrokenPipeError:
            pass  # the answer tells
        return self._answer()

    def last(self):
        """Ends its input; what it says to that."""
        self.child.stdin.close()
        return self._answer()

    def close(self):
        if not self.child.stdin.closed:
            try:
                self.child.stdin.close()
            except BrokenPipeError:
                pass
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
