#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo: a playground, the operator, a cluster of three that loses a member for good and heals, then grows
# to five. Called by ./dev demo, which has built and found the tools. --once: cleans up, exit code 0 or 1.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

once=no
[ "${1:-}" = --once ] && once=yes
bin=${QUORATE_BIN:-$root/build/bin}
kubectl=${KUBECTL_NEW:-${KUBECTL_OLD:-kubectl}}
etcdctl=${DEBIAN_ETCDCTL:-etcdctl}
port=${QUORATE_DEMO_PORT:-0} # 0: any free one
keys=1000 batch=100          # keys in all, and in one transaction
cluster=demo
export ETCDCTL_API=3

dir=$(mktemp -d "${TMPDIR:-/tmp}/quorate-demo.XXXXXX")
export KUBECONFIG=$dir/kubeconfig
playground=$bin/quorate-playground
endpoint=http://$cluster-client.default.svc:2379
playground_pid='' operator_pid='' writer_pid=''

if [ -t 1 ]; then bold=$'\033[1m' dim=$'\033[2m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'
else bold='' dim='' green='' red='' plain=''; fi

now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }
began=$(now_ms)
since() { awk -v ms=$(($(now_ms) - ${1:-$began})) 'BEGIN { printf "%.1f", ms / 1000 }'; }
say() { printf '%s%6ss%s  %s\n' "$dim" "$(since)" "$plain" "$*"; }
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

clean_up() {
    local pid
    for pid in $writer_pid $operator_pid $playground_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}

fail() {
    printf '\n%sFAILED after %s s: %s%s\n' "$red" "$(since)" "$*" "$plain"
    k get etcdclusters,etcdmembers,pods,pvc -o wide 2>&1 || true
    local log
    for log in operator playground; do
        printf '\nthe end of the log of the %s:\n' "$log"
        tail -n 15 "$dir/$log.log" || true
    done
    exit 1
}

k() { "$kubectl" --request-timeout=10s "$@"; }
inside() { "$playground" exec-env --dir "$dir/playground" -- "$@"; }
etcd() { inside "$etcdctl" --endpoints="$endpoint" --dial-timeout=2s --command-timeout=10s "$@"; }

# Prints what is new since the last call: events of the cluster, and members whose row has changed.
declare -A told=()
news() {
    local key text name row
    while IFS=$'\t' read -r key text; do
        [ -n "$key" ] && [ -z "${told[$key]:-}" ] || continue
        told[$key]=1
        say "$text"
    done < <(k get events --field-selector "involvedObject.kind=EtcdCluster" --sort-by=.metadata.creationTimestamp \
        -o jsonpath='{range .items[*]}{.metadata.name}{"\t"}{.message}{"\n"}{end}' 2>/dev/null)
    while read -r name row; do
        [ -n "$name" ] && [ "${told[$name]:-}" != "$row" ] || continue
        told[$name]=$row
        say "$dim  $name: $row$plain"
    done < <(k get etcdmembers --no-headers \
        -o custom-columns='N:.metadata.name,R:.spec.role,P:.status.phase,O:.status.nodeName,E:.status.evidence[0]' \
        2>/dev/null | awk '{ printf "%s %s", $1, tolower($2); if ($3 != "<none>" && $3 != $2) printf ", %s", tolower($3);
                             if ($4 != "<none>") printf ", on %s", $4; if ($5 != "<none>") printf " (%s)", $5; print "" }')
}

status() { k get etcdcluster "$cluster" -o jsonpath="{.status$1}" 2>/dev/null || true; }

is_settled() { # count
    [ "$(status .ready)" = "$1/$1" ] && [ -z "$(status .operation.type)" ] &&
        [ "$(k get pods -l "quorate.dev/cluster=$cluster" \
            -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' |
            grep -c True)" = "$1" ]
}

has_left() { ! k get etcdmembers "$1" >/dev/null 2>&1; }

wait_for() { # seconds, what, condition...
    local end=$(($(now_ms) + $1 * 1000)) what=$2
    shift 2
    while news; ! "$@"; do
        kill -0 "$playground_pid" 2>/dev/null || fail "the playground has ended"
        kill -0 "$operator_pid" 2>/dev/null || fail "the operator has ended"
        [ "$(now_ms)" -lt "$end" ] || fail "not in time: $what"
        sleep 0.3
    done
    news
}

members() {
    printf '\n'
    k get etcdmembers | sed 's/^/    /'
    printf '\n'
}

start() {
    title "A playground: Kubernetes API, five nodes, no containers"
    "$playground" up --dir "$dir/playground" --kubeconfig "$KUBECONFIG" --port "$port" --nodes 5 \
        >"$dir/playground.log" 2>&1 &
    playground_pid=$!
    local end=$(($(now_ms) + 20000))
    until grep -q 'is ready' "$dir/playground.log"; do
        kill -0 "$playground_pid" 2>/dev/null || { cat "$dir/playground.log"; exit 1; }
        [ "$(now_ms)" -lt "$end" ] || { cat "$dir/playground.log"; exit 1; }
        sleep 0.1
    done
    say "$(k get nodes --no-headers | awk '{ print $1 }' | paste -sd' ')"
    k apply -f "$root/crd/etcdclusters.yaml" -f "$root/crd/etcdmembers.yaml" >/dev/null
    k wait --for=condition=Established --timeout=20s crd/etcdclusters.quorate.dev crd/etcdmembers.quorate.dev \
        >/dev/null
    # Not by the function: the process in the background must be the operator itself.
    "$playground" exec-env --dir "$dir/playground" -- \
        "$bin/quorate-operator" --kubeconfig "$KUBECONFIG" --metrics-address 0 --log-format console \
        >"$dir/operator.log" 2>&1 &
    operator_pid=$!
    say "the operator runs"
}

make_cluster() {
    title "kubectl apply -f crd/samples/demo.yaml: three members"
    k apply -f "$root/crd/samples/demo.yaml" >/dev/null
    wait_for 120 "three members are ready" is_settled 3
    members
}

acknowledged=0
write_keys() {
    title "$keys keys by etcdctl"
    local from answer count
    for ((from = 1; from <= keys; from += batch)); do
        answer=$({
            echo
            awk -v from="$from" -v count=$batch \
                'BEGIN { for (i = from; i < from + count; i++) printf "put demo/%04d value-%d\n", i, i; print "\n" }'
        } | etcd txn) || fail "etcdctl txn: $answer"
        count=$(grep -c '^OK$' <<<"$answer" || true)
        acknowledged=$((acknowledged + count))
    done
    say "$acknowledged acknowledged"
    [ "$acknowledged" = "$keys" ] || fail "only $acknowledged of $keys writes were acknowledged"
}

found=0
read_keys() {
    found=$(etcd get demo/ --prefix | paste - - |
        awk -F'\t' '{ n = substr($1, 6) + 0; if ($2 == "value-" n) good++ } END { print good + 0 }')
    say "$found of $acknowledged keys found, each with its value"
    [ "$found" = "$acknowledged" ] || fail "$((acknowledged - found)) acknowledged keys are lost"
}

# Tries to write until it works: how long clients see no leader.
write_again() { # since when
    local end=$(($1 + 30000))
    until etcd --command-timeout=500ms put demo-after-the-loss yes >/dev/null 2>&1; do
        [ "$(now_ms)" -lt $end ] || return 1
    done
    since "$1" >"$dir/serving"
    say "writes go on: $(cat "$dir/serving") s after the loss"
}

victim='' replaced_s='' serving_s=''
lose_member() {
    victim=$(status .leader)
    [ -n "$victim" ] || fail "no leader is known"
    title "$victim, the leader, is lost for good: process and volume"
    local killed
    killed=$(now_ms)
    say "$("$playground" pod destroy "$victim" --dir "$dir/playground")"
    write_again "$killed" &
    writer_pid=$!
    wait_for 180 "$victim is removed" has_left "$victim"
    wait_for 180 "three members are ready again" is_settled 3
    replaced_s=$(since "$killed")
    wait "$writer_pid" || fail "no write after the loss"
    writer_pid=''
    serving_s=$(cat "$dir/serving")
    members
    read_keys
}

grow() {
    title "kubectl scale etcdcluster $cluster --replicas=5"
    k scale "etcdcluster/$cluster" --replicas=5 >/dev/null
    wait_for 180 "five members are ready" is_settled 5
    members
    read_keys
}

summary() {
    title "Summary"
    printf '    writes acknowledged      %5d\n' "$acknowledged"
    printf '    found after all that     %5d\n' "$found"
    printf '    writes went on after     %5s s\n' "$serving_s"
    printf '    %s replaced after    %5s s\n' "$victim" "$replaced_s"
    printf '    all took                 %5s s\n' "$(since)"
    printf '\n%s    Every acknowledged write is there.%s\n' "$green" "$plain"
}

stay() {
    title "It stays up until Ctrl-C. Try, in another terminal:"
    cat <<END
    export KUBECONFIG=$KUBECONFIG
    alias playground='$playground'
    kubectl get etcdclusters,etcdmembers,pods
    kubectl describe etcdcluster $cluster
    kubectl logs $(status .leader)
    playground node lose node-2 --dir $dir/playground
    playground node back node-2 --dir $dir/playground
    playground pod destroy $(status .leader) --dir $dir/playground
    playground exec-env --dir $dir/playground -- \\
        env ETCDCTL_API=3 $etcdctl --endpoints=$endpoint member list
    kubectl delete etcdcluster $cluster
END
    wait "$playground_pid" || true
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
command -v "$kubectl" >/dev/null || { echo "demo: no kubectl (set KUBECTL_NEW)" >&2; exit 1; }
start
make_cluster
write_keys
lose_member
grow
summary
[ $once = yes ] || stay
