"""Whether fuzzing would find a bug: each is put into the framer, and must be found within a minute.

python -m tests.fuzz.planted
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

PLANTS = ("processing-instructions", "depth")
SECONDS = 60


def found(plant: str, seed: int) -> bool:
    """Whether the fuzzer stops at an input that shows the bug."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz.fuzz_framing", "--plant", plant, folder]
        options = [f"-max_total_time={SECONDS}", f"-seed={seed}", f"-artifact_prefix={folder}/"]
        ended = subprocess.run([*command, *options], capture_output=True, text=True)
    return ended.returncode != 0 and "AssertionError" in ended.stdout + ended.stderr


def main() -> None:
    """Print what was found; the exit status is 1 if one was not."""
    missed = 0
    for seed, plant in enumerate(PLANTS, 1):
        start = time.monotonic()
        if found(plant, seed):
            sys.stdout.write(f"{plant}: found after {time.monotonic() - start:.0f} s\n")
        else:
            missed += 1
            sys.stdout.write(f"{plant}: not found in {SECONDS} s\n")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
