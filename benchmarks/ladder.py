"""Are all checks of ``tests/laws.py`` green, whatever the seed?

Prints ``check, seeds, seconds, smallest p`` with tabs between (no p where a check draws nothing), then how many
p-values there were in all, the smallest, and the one below which a check is red. Ends with 1 if any check was red.
"""

import argparse
import importlib
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
laws = importlib.import_module("laws")


def main() -> int:
    """Climb the ladder with each seed."""
    parser = argparse.ArgumentParser(description="Are all checks of tests/laws.py green, whatever the seed?")
    parser.add_argument("--seeds", type=int, default=20, help="how many, from 0")
    parser.add_argument("--only", default="", help="climb only checks whose name has this text, e.g. hmc")
    options = parser.parse_args()
    seeds, checks = options.seeds, {name: check for name, check in laws.CHECKS.items() if options.only in name}
    if seeds < 1:
        parser.error(f"--seeds is {seeds}; wanted 1 or more")
    red = 0
    for name, check in checks.items():
        first, start = len(laws.p_values), time.perf_counter()
        for seed in range(seeds):
            try:
                check(laws.NAMES, seed)
            except AssertionError as error:
                red += 1
                print(f"# RED {name}, seed {seed}: {str(error).splitlines()[0]}", flush=True)
        smallest = min(laws.p_values[first:], default=None)
        seconds = f"{time.perf_counter() - start:.2f}"
        print(name, seeds, seconds, "" if smallest is None else f"{smallest:.2g}", sep="\t", flush=True)
    bound = laws.ALPHA / laws.COUNT
    smallest = min(laws.p_values, default=math.nan)
    print(f"# {len(laws.p_values)} p-values, the smallest {smallest:.2g}; red below {bound:.2g}: {red} red")
    return int(red > 0)


if __name__ == "__main__":
    sys.exit(main())
