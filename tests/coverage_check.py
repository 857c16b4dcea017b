#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: coverage_check.py PLAIN.json PLANTED.json (llvm-cov export). Judges the coverage of engine/raft.

A branch or condition counts when the plain runs took it. Whether a planted bug is on is a condition
that its own run may take; what only that run executes is not the product's. Macros (BASE_MAX and the
like) count at each place where they stand; ASSERT does not, as its failure is not there to be taken.
Exit 1 below the limits; what is missing is named.
"""
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "engine/raft") + os.sep
BRANCH_PERCENT_MIN = 100.0
MCDC_PERCENT_MIN = 95.0


def files(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)["data"][0]
    return {f["filename"]: f for f in data["files"] if os.path.abspath(f["filename"]).startswith(FOLDER)}


def planted_lines(name):
    """The lines of statements that mention PLANT, with their blocks."""
    lines, found = open(name, encoding="utf-8").read().split("\n"), set()
    for start, line in enumerate(lines, 1):
        if "PLANT(" not in line:
            continue
        first = start
        while first > 1 and not lines[first - 2].rstrip().endswith((";", "{", "}", "*/", ":")):
            first -= 1
        depth, last, seen = 0, first, False
        while last <= len(lines):
            text = lines[last - 1]
            depth += text.count("{") - text.count("}")
            seen = seen or "{" in text
            if depth <= 0 and (seen or text.rstrip().endswith(";")):
                break
            last += 1
        # Of a real block only its head belongs to the plant.
        alone = lines[first - 1].lstrip().startswith(("if (PLANT(", "if ((PLANT(")) or "PLANT(" in lines[first - 1] and \
            lines[first - 1].lstrip().startswith("for (")
        if not alone:
            last = start
            while not lines[last - 1].rstrip().endswith((";", "{")):
                last += 1
        found.update(range(first, last + 1))
    return found


def branches(file):
    """(line, column) and which macro: [times true, times false]"""
    out = {}
    for b in file["branches"]:
        out[(b[0], b[1], "")] = [b[4], b[5]]
    for expansion in file["expansions"]:
        line, column = expansion["source_region"][:2]
        for b in expansion["branches"]:
            name = os.path.basename(expansion["filenames"][b[6]])
            if name == "assert.h":
                continue
            counts = out.setdefault((line, column, f"{name}:{b[0]}:{b[1]}"), [0, 0])
            counts[0] += b[4]
            counts[1] += b[5]
    return out


def conditions(file):
    return {(m[0], m[1], i): covered for m in file["mcdc_records"] for i, covered in enumerate(m[-1])}


def percent(covered, total):
    return 100.0 * covered / total if total else 100.0


def main():
    plain, planted = files(sys.argv[1]), files(sys.argv[2])
    total = {"branches": 0, "conditions": 0}
    good = dict(total)
    missing = []
    for path in sorted(plain):
        name = os.path.relpath(path, ROOT)
        lines = open(path, encoding="utf-8").read().split("\n")
        plants = planted_lines(path)
        also = branches(planted.get(path, plain[path]))
        for place, counts in sorted(branches(plain[path]).items()):
            if place[0] in plants:
                if counts == [0, 0]:
                    continue  # only a planted bug gets here: it is not the product's
                counts = [a + b for a, b in zip(counts, also.get(place, [0, 0]))]
            for way, count in zip(("true", "false"), counts):
                total["branches"] += 1
                good["branches"] += count > 0
                if count == 0:
                    missing.append(f"{name}:{place[0]}:{place[1]}: never {way} {place[2]}: {lines[place[0] - 1].strip()}")
        also = conditions(planted.get(path, plain[path]))
        for place, covered in sorted(conditions(plain[path]).items()):
            total["conditions"] += 1
            covered = covered or (place[0] in plants and also.get(place, False))
            good["conditions"] += bool(covered)
            if not covered:
                missing.append(f"{name}:{place[0]}:{place[1]}: condition {place[2] + 1} never decides alone: "
                               f"{lines[place[0] - 1].strip()}")
    for line in missing:
        print(line)
    branch, mcdc = percent(good["branches"], total["branches"]), percent(good["conditions"], total["conditions"])
    print(f"engine/raft: branches {branch:.2f} % ({good['branches']} of {total['branches']}, at least {BRANCH_PERCENT_MIN:g}), "
          f"MC/DC {mcdc:.2f} % ({good['conditions']} of {total['conditions']}, at least {MCDC_PERCENT_MIN:g})")
    sys.exit(branch < BRANCH_PERCENT_MIN or mcdc < MCDC_PERCENT_MIN)


main()
