"""``python -m tests.fuzz --minutes 30 [--target decode] [--keep]``: fuzzes, and says what it found.

Needs atheris (``pip install "atheris>=2.3,<4"``); the tests that replay what it found do not.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.corpora import CORPUS, HERE, keep, kept
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, WORDS

_DONE = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_PEAK = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
_COVER = re.compile(r"\bcov: (\d+) ft: (\d+) corp: (\d+)")


def _begin(corpus: Path, target: str) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate([*seeds(target), *kept(CORPUS, target)]):
        (corpus / f"seed-{number}").write_bytes(one)


def _fuzz(target: str, seconds: int, corpus: Path, findings: Path) -> str:
    """One line about a run of one target."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.loop", target, str(seconds), str(corpus), str(findings)],
        cwd=HERE.parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    log = ran.stderr.decode(errors="replace")
    cover = _COVER.findall(log)
    done, peak = _DONE.search(log), _PEAK.search(log)
    first, last = (cover[0], cover[-1]) if cover else (("?",) * 3, ("?",) * 3)
    ended = "" if ran.returncode == 0 else f", ended with {ran.returncode}: {log[-600:]}"
    return (
        f"{target}: {done[1] if done else '?'} executions in {seconds} s, coverage {first[0]} to "
        f"{last[0]} edges, features {first[1]} to {last[1]}, corpus {last[2]}, "
        f"{peak[1] if peak else '?'} MB{ended}"
    )


def main() -> int:
    """0 if nothing was found."""
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    asked.add_argument("--minutes", type=float, default=30.0)
    asked.add_argument("--target", action="append", choices=sorted(TARGETS))
    asked.add_argument("--keep", action="store_true", help="keep the smallest inputs in the tree")
    asked.add_argument("--folder", type=Path, help="where corpora and findings go")
    given = asked.parse_args()
    targets = given.target or list(TARGETS)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    findings = folder / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    words = (f'"{word.encode("unicode_escape").decode()}"' for word in WORDS)
    escaped = "\n".join(word[0] + word[1:-1].replace('"', '\\"') + word[-1] for word in words)
    (findings / "words.dict").write_text(escaped + "\n", encoding="ascii")
    for target in targets:
        corpus = folder / target
        _begin(corpus, target)
        print(_fuzz(target, int(given.minutes * 60 / len(targets)), corpus, findings), flush=True)
        if given.keep:
            keep(CORPUS, target, [one.read_bytes() for one in corpus.iterdir()])
    found = sorted(path.name for path in findings.iterdir() if path.name != "words.dict")
    print(f"findings in {findings}: {', '.join(found) or 'none'}")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
