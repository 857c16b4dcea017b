#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the fuzzers, runs each for a while, then shows that each planted bug is found.

Usage: run.py [SECONDS [NAME...]]. SECONDS per fuzzer (default 60), NAMEs of fuzzers or plants. What
is learnt is kept in build-fuzz/corpus, a crashing input in build-fuzz/crashes. Exit 1 on any crash and
on any plant that is not found.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build-fuzz")
CRASHES = os.path.join(BUILD, "crashes")
PLANT_SECONDS = 60
SLACK_SECONDS = 60  # to start and to end, on a busy machine
INPUT_SECONDS = 10
RSS_MB = 1024
AT_ONCE = 2
MAX_LEN = {"bolt": 32768, "wal": 16384}  # others: 4096


def build():
    subprocess.run(["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Fuzz",
                    "-DCMAKE_C_COMPILER=clang-19"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["nice", "ninja", "-C", BUILD, f"-j{AT_ONCE}", "fuzz"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout[-4000:])


def fuzzers():
    return sorted(re.search(r"fuzz_(\w+)\.c$", f).group(1) for f in glob.glob(os.path.join(HERE, "fuzz_*.c")))


def plants():
    lines = open(os.path.join(HERE, "plants.txt"), encoding="utf-8").read().split("\n")
    return [line.split()[:2] for line in lines if line and line[0] != "#"]


def fuzz(program, name, corpus, seconds):
    """Runs one program; gives seconds, executions, its last words and the crashing input or None."""
    os.makedirs(corpus, exist_ok=True)
    prefix = os.path.join(CRASHES, program + "-")
    for old in glob.glob(glob.escape(prefix) + "*"):
        os.remove(old)
    command = ["nice", os.path.join(BUILD, "fuzz", program), corpus, os.path.join(HERE, "corpus", name),
               f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={RSS_MB}",
               f"-max_len={MAX_LEN.get(name, 4096)}", "-print_final_stats=1", f"-artifact_prefix={prefix}"]
    words = os.path.join(HERE, "words", name)
    if os.path.exists(words):
        command.append(f"-dict={words}")
    start = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds + SLACK_SECONDS)
        text, code = done.stderr.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        text, code = (late.stderr or b"").decode(errors="replace") + "\nit did not end", -1
    inputs = glob.glob(glob.escape(prefix) + "*")
    if code != 0:
        open(prefix + "log", "w", encoding="utf-8").write(text)
    counts = re.findall(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)", text, re.M)
    executions = int(counts[-1][0] or counts[-1][1]) if counts else 0
    reason = re.findall(r"broken invariant: .*|runtime error: .*|ERROR: (?!libFuzzer: deadly)\S.*", text)
    reason = re.sub(r" on (unknown )?address.*| \(pc .*|0x[0-9a-f]+", "", reason[0]) if reason else text[-300:]
    return time.monotonic() - start, executions, code, reason.strip(), inputs[0] if inputs else None


def run_fuzzer(name, seconds):
    took, executions, code, reason, crash = fuzz(f"fuzz_{name}", name, os.path.join(BUILD, "corpus", name), seconds)
    good = code == 0 and executions > 0
    print(f"{'passed' if good else 'FAILED'}  fuzz_{name}: {executions} executions in {took:.0f} s"
          + ("" if good else f": {reason}; input {crash}"), flush=True)
    return good


def run_plant(plant, name):
    """From the seeds alone. The input must kill the planted build and leave the true one alive."""
    corpus = os.path.join(BUILD, "corpus", "plant_" + plant)
    shutil.rmtree(corpus, ignore_errors=True)
    took, executions, code, reason, crash = fuzz(f"plant_{plant}", name, corpus, PLANT_SECONDS)
    if code == 0 or crash is None:
        print(f"FAILED  plant_{plant}: not found by fuzz_{name} in {took:.0f} s, {executions} executions", flush=True)
        return False
    true = subprocess.run([os.path.join(BUILD, "fuzz", f"fuzz_{name}"), crash], capture_output=True,
                          timeout=SLACK_SECONDS)
    good = true.returncode == 0
    print(f"{'passed' if good else 'FAILED'}  plant_{plant}: found by fuzz_{name} in {took:.1f} s, "
          f"{executions} executions: {reason}" + ("" if good else "; the true build fails too"), flush=True)
    return good


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    wanted = sys.argv[2:]
    build()
    os.makedirs(CRASHES, exist_ok=True)
    jobs = [(run_fuzzer, name, seconds) for name in fuzzers() if not wanted or name in wanted]
    jobs += [(run_plant, *plant) for plant in plants() if not wanted or plant[0] in wanted]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda job: job[0](*job[1:]), jobs))
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not results else 0)


if __name__ == "__main__":
    main()
