#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts of 256 bytes against our engine and Debian's etcd, in turns in one run (A B B A), on the same disk.
# Prints puts per second, server CPU per put and flushes per put, and the ratio of the medians.
# usage: bench/run.sh [SECONDS_PER_RUN]   (default 5)
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-5}
bin=${QUORATE_BIN:-$PWD/build/bin}
etcd=${DEBIAN_ETCD:-etcd}
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f", n }'; }
flushes() { curl -sf "http://127.0.0.1:$1/metrics" | awk '/^etcd_disk_wal_fsync_duration_seconds_count/ { print $2 }'; }

# one_run NAME PROGRAM STREAMS: appends "puts/s cpu-us/put flushes/put" to the file of NAME and STREAMS.
one_run() {
    local name=$1 program=$2 streams=$3 client peer url before after f0 f1 puts
    client=$(free_port)
    peer=$(free_port)
    url="http://127.0.0.1:$client"
    "$program" --name bench --data-dir "$dir/data" --listen-client-urls "$url" --advertise-client-urls "$url" \
        --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
        --initial-cluster "bench=http://127.0.0.1:$peer" >"$dir/server.log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do curl -sf "$url/health" 2>/dev/null | grep -q true && break; sleep 0.1; done
    before=$(cpu_ns $pid)
    f0=$(flushes "$client")
    "$bin/kvload" --endpoints "$url" --record "$dir/record" --streams "$streams" --keys 1000 --bytes 256 \
        --seconds "$seconds" >/dev/null
    after=$(cpu_ns $pid)
    f1=$(flushes "$client")
    puts=$(grep -c '^done' "$dir/record")
    kill $pid
    wait $pid 2>/dev/null || true
    pid=
    rm -rf "$dir/data" "$dir/record"
    awk -v p="$puts" -v s="$seconds" -v c=$((after - before)) -v f="$(awk "BEGIN { print $f1 - $f0 }")" \
        'BEGIN { printf "%.0f %.1f %.3f\n", p / s, c / 1000 / p, f / p }' | tee -a "$dir/$name-$streams" |
        awk -v n="$name" -v c="$streams" '{ printf "  %-8s %4d clients  %8d puts/s  %7.1f us CPU/put  %5.3f flushes/put\n", n, c, $1, $2, $3 }'
}

median() { sort -n "$1" | awk -v f="$2" '{ v[NR] = $f } END { print v[int((NR + 1) / 2)] }'; }

command -v "$etcd" >/dev/null || { echo "bench: etcd is not found (./dev bench fetches Debian's)"; exit 1; }
echo "puts of 256 bytes, $seconds s each, in turns; $(nproc) cores, load now $(cut -d' ' -f1 /proc/loadavg)"
for streams in 1 100; do
    for name in quorate etcd etcd quorate; do
        program="$bin/quorate"
        [ "$name" = quorate ] || program=$etcd
        one_run "$name" "$program" "$streams"
    done
    awk -v c="$streams" -v a="$(median "$dir/quorate-$streams" 1)" -v b="$(median "$dir/etcd-$streams" 1)" \
        -v x="$(median "$dir/quorate-$streams" 2)" -v y="$(median "$dir/etcd-$streams" 2)" \
        'BEGIN { printf "%d clients: %.1f times the puts per second, 1/%.1f of the CPU per put\n", c, a / b, y / x }'
done
