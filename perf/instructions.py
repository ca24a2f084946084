#!/usr/bin/env python3
"""Instructions a packet of the path, counted by callgrind on fixed bursts, compared with perf/baseline.json.

    perf/instructions.py --build DIR [--json FILE] [--record]

Counts do not depend on the machine or on what else it does, only on code and compiler: a case that grew by more than
TOLERANCE fails, one that shrank by more asks for --record, which writes the baseline anew. A baseline that another
compiler made is not compared.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

BASELINE = pathlib.Path(__file__).parent / "baseline.json"
PACKETS = 21 * 64  # perf/path_instructions.cpp
TOLERANCE = 0.02


def output_of(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True)


def count(program, case):
    """Instructions in walk_path for each packet of the case."""
    run = output_of("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                    "--toggle-collect=sekisho::dataplane::walk_path*", program, case)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if not found or int(found[1]) == 0:
        sys.exit(f"{case}: callgrind counted nothing:\n{run.stderr}")
    return round(int(found[1]) / PACKETS, 1)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--build", required=True)
    options.add_argument("--json")
    options.add_argument("--record", action="store_true")
    chosen = options.parse_args()
    program = f"{chosen.build}/perf/path_instructions"
    compiler = output_of("c++", "--version").stdout.splitlines()[0]
    cases = output_of(program, "--list-test-names-only", check=False)  # its status is how many there are
    counts = {case: count(program, case) for case in cases.stdout.splitlines() if case}

    if chosen.record:
        BASELINE.write_text(json.dumps({"compiler": compiler, "instructions": counts}, indent=2) + "\n")
    baseline = json.loads(BASELINE.read_text())
    comparable = baseline["compiler"] == compiler
    if not comparable:
        print(f"the baseline is of {baseline['compiler']}, this is {compiler}: not compared", file=sys.stderr)
    report, grown, shrunk = [], [], []
    print(f"{'instructions a packet':32}{'now':>8}{'baseline':>10}")
    for case, value in counts.items():
        before = baseline["instructions"].get(case)
        print(f"{case:32}{value:8}{before if before is not None else '-':>10}")
        if comparable and (before is None or value > before * (1 + TOLERANCE)):
            grown.append(case)
        if comparable and before is not None and value < before * (1 - TOLERANCE):
            shrunk.append(case)
        report.append({"bench": "instructions", "case": case, "value": value, "unit": "instructions/packet",
                       "peer": "baseline", "peer_value": before, "ratio": round(value / before, 3) if before else None,
                       "goal": before, "met": case not in grown, "runs": 1, "spread": [value, value]})
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(report, indent=2) + "\n")
    if shrunk:
        print(f"fewer than the baseline: {', '.join(shrunk)}; --record keeps it", file=sys.stderr)
    if grown:
        sys.exit(f"more than the baseline: {', '.join(grown)}")


if __name__ == "__main__":
    main()
