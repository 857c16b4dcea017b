#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility-rpc.md has a row for each call of engine/proto/*.proto, and for no other; the suites that its rows
name are there. Exit 0 or 1."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "compatibility-rpc.md")
SUITES = os.path.join(ROOT, "tests", "suites.txt")
HEAD = "call"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def calls():
    """package.Service/Method of each call that the server could be asked."""
    out = set()
    for path in glob.glob(os.path.join(ROOT, "engine", "proto", "*.proto")):
        text = re.sub(r"//[^\n]*", "", read(path))
        package = re.search(r"^package\s+([\w.]+)\s*;", text, re.M)
        for service, body in re.findall(r"\bservice\s+(\w+)\s*\{(.*?)\n\}", text, re.S):
            out |= {f"{package.group(1)}.{service}/{method}" for method in re.findall(r"\brpc\s+(\w+)", body)}
    return out


def rows():
    """The same of each row, with its cells."""
    out, section = {}, None
    for number, line in enumerate(read(PAGE).splitlines(), 1):
        if line.startswith("## "):
            section = line[3:].strip()
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| ") else []
        if cells and cells[0] != HEAD:
            out.setdefault(f"{section}/{cells[0]}", []).append((number, cells))
    return out


def main():
    wanted, found, mistakes = calls(), rows(), []
    suites = {line.split()[0] for line in read(SUITES).splitlines() if line.strip() and not line.startswith("#")}
    mistakes += [f"{call} has no row" for call in sorted(wanted - set(found))]
    mistakes += [f"{call} is no call of engine/proto" for call in sorted(set(found) - wanted)]
    for call, entries in sorted(found.items()):
        mistakes += [f"{call} has {len(entries)} rows"] if len(entries) > 1 else []
        for number, cells in entries:
            if len(cells) != 4 or not cells[1]:
                mistakes.append(f"line {number}: four cells, please, and the second says something")
                continue
            named = [name for name in re.split(r",\s*", cells[3]) if name]
            mistakes += [f"{call}: there is no suite {name!r}" for name in named if name not in suites]
            mistakes += [f"{call}: no suite asks it"] if not named else []
    for mistake in mistakes:
        print(f"docs/compatibility-rpc.md: {mistake}")
    print(f"{len(wanted)} calls, {len(mistakes)} mistakes")
    return 1 if mistakes or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
