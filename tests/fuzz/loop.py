"""One target under a coverage-guided fuzzer, in a process of its own.

Every branch of the product is instrumented, and what reaches a new one is kept and changed further
(libFuzzer, through atheris). A finding is written down once for the place where it arose, and the
fuzzing goes on; a hang or a flood of memory ends the process, and its input is written down too.
"""

from __future__ import annotations

import gc
import sys
import traceback
from hashlib import sha256
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["analyzers", "collector", "pipeline"]):
    from tests.fuzz.targets import TARGETS

# An input may take so long: a hundred times what the slowest sound one takes while instrumented.
TIMEOUT_S = 20
MEMORY_MB = 2_500


def place_of(error: BaseException) -> str:
    """Where an error arose, as a short name."""
    frames = traceback.extract_tb(error.__traceback__)
    spot = frames[-1]
    text = f"{type(error).__name__}:{spot.filename}:{spot.lineno}"
    return f"{type(error).__name__}-{sha256(text.encode()).hexdigest()[:8]}"


def main(target: str, seconds: int, corpus: str, findings: str) -> None:
    """Fuzzes for so many seconds; findings go into their folder."""
    found: set[str] = set()
    run = TARGETS[target]

    def once(data: bytes) -> None:
        try:
            run(data)
        except Exception as error:  # noqa: BLE001 - any of them is a finding
            name = f"{target}-{place_of(error)}"
            if name not in found:
                found.add(name)
                Path(findings, f"{name}.bin").write_bytes(data)
                Path(findings, f"{name}.txt").write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            gc.collect(0)

    words = str(Path(findings, "words.dict"))
    atheris.Setup(
        [
            "fuzz", corpus, f"-dict={words}", f"-max_total_time={seconds}", "-max_len=6000",
            f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1",
            f"-artifact_prefix={findings}/{target}-", "-len_control=20", "-use_value_profile=1",
        ],
        once,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
