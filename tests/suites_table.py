#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of suites in README.md from tests/suites.txt; --check only says whether it is up to date."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
README = os.path.join(ROOT, "README.md")
TIERS = {"quick": "`./dev test`", "all": "`--all`", "side": "`--all`, beside the others", "go": "`--all`, needs Go"}


def table():
    lines = ["| suite | runs with | about | what it is |", "|---|---|---|---|"]
    what = ""
    for line in open(os.path.join(ROOT, "tests/suites.txt"), encoding="utf-8"):
        if line.startswith("#:"):
            what = line[2:].strip()
        elif line.strip() and not line.startswith("#"):
            name, tier, seconds, _ = line.split(None, 3)
            lines.append(f"| {name} | {TIERS[tier]} | {seconds} s | {what} |")
            what = ""
    return "\n".join(lines)


def main():
    text = open(README, encoding="utf-8").read()
    wanted = re.sub(r"(<!-- suites:begin -->\n).*(<!-- suites:end -->)",
                    lambda m: m.group(1) + table() + "\n" + m.group(2), text, flags=re.S)
    if "--check" in sys.argv:
        if wanted != text:
            print("README.md: the table of suites is not that of tests/suites.txt: run tests/suites_table.py")
            sys.exit(1)
        return
    open(README, "w", encoding="utf-8").write(wanted)


main()
