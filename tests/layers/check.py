#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the layering table (layers.txt), the purity of the pure archives, sizes and banned calls."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("QUORATE_BUILD", os.path.join(ROOT, "build"))
FILE_LINES_MAX = 1000
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|atof|alloca|system|tmpnam|mktemp)\s*\(")
# What a pure archive may leave undefined besides base and its fellow pure archives.
LIBC = set("""memcpy memcmp memmove memset memchr strlen strcmp strncmp strchr strrchr strstr strnlen strspn
strcspn qsort bsearch snprintf vsnprintf abort strtol strtoul strtoll strtoull strtod sscanf isfinite
__stack_chk_fail __ctype_b_loc __snprintf_chk __vsnprintf_chk __memcpy_chk __memset_chk __memmove_chk
__isoc99_sscanf __errno_location _GLOBAL_OFFSET_TABLE_ pow log2 floor ceil fmod
gmtime_r timegm""".split())
PROTOBUF = re.compile(r"^protobuf_c_")


def table():
    allowed, pure = {}, []
    for line in open(os.path.join(ROOT, "tests/layers/layers.txt")):
        line = line.split("#")[0].strip()
        if line:
            left, right = line.split(":")
            words = left.split()
            allowed[words[0]] = set(right.split())
            if "pure" in words[1:]:
                pure.append(words[0])
    return allowed, pure


def sources():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout
    return [f for f in out.split() if os.path.exists(os.path.join(ROOT, f))]


def check_includes(files, allowed):
    for name in files:
        folder = os.path.dirname(name)
        text = open(os.path.join(ROOT, name), encoding="utf-8").read()
        if text.count("\n") > FILE_LINES_MAX:
            yield f"{name}: longer than {FILE_LINES_MAX} lines"
        if not text.startswith("/* SPDX-License-Identifier: Apache-2.0 */"):
            yield f"{name}: the first line must be the licence line"
        for number, line in enumerate(text.split("\n"), 1):
            if BANNED.search(re.sub(r'"[^"]*"|/\*.*?\*/', "", line)):
                yield f"{name}:{number}: banned call: {line.strip()}"
        if folder.startswith(("tests", "bench")):
            continue
        if folder not in allowed:
            yield f"{name}: folder {folder} is not in tests/layers/layers.txt"
            continue
        for number, line in enumerate(text.split("\n"), 1):
            match = re.match(r'#include "([^"]+)"', line)
            if match is None:
                continue
            target = os.path.dirname(match.group(1))
            if target == "" and match.group(1).endswith(".pb-c.h"):
                target = "engine/proto"
            if target != folder and target not in allowed[folder]:
                yield f"{name}:{number}: {folder} may not include {match.group(1)}"


def symbols(archive, option):
    out = subprocess.run(["nm", option, archive], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in out.split("\n") if len(line.split()) >= 2}


def check_purity(pure):
    def archive(folder):
        return os.path.join(BUILD, folder, f"lib{os.path.basename(folder)}.a")
    folders = [f for f in pure if os.path.exists(archive(f))]
    known = symbols(os.path.join(BUILD, "base/libbase.a"), "--defined-only")
    for folder in folders:
        known |= symbols(archive(folder), "--defined-only")
    for folder in folders:
        for symbol in sorted(symbols(archive(folder), "--undefined-only") - known - LIBC):
            if not PROTOBUF.match(symbol):
                yield f"{folder}: a pure archive calls {symbol}"


def main():
    allowed, pure = table()
    files = sources()
    problems = list(check_includes(files, allowed)) + list(check_purity(pure))
    for problem in problems:
        print(problem)
    print(f"layers: {len(files)} files, {len(pure)} pure archives, {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
