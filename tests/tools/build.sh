#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the programs that the suites of tier "go" run against, from the Go modules that go.mod and
# etcd35/go.mod name. Each appears in its bin folder only when it is whole; what is there already is not
# built again. A new go.mod means a new folder. Exit 77: no usable Go here.
#   build.sh              builds what is missing, prints progress
#   build.sh etcd etcd35  only these, as far as they are missing
#   build.sh --where      prints the bin folder of all but etcd 3.5
#   build.sh --where35    prints that of etcd 3.5
set -euo pipefail
cd "$(dirname "$0")"

# One folder for each pair of go.mod and go.sum: bin_of <module folder>
bin_of() {
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/quorate/go-tools-$(cat "$1/go.mod" "$1/go.sum" |
        sha256sum | cut -c 1-12)/bin"
}
BIN=$(bin_of .) BIN35=$(bin_of etcd35)
case "${1:-}" in
--where) echo "$BIN"; exit 0 ;;
--where35) echo "$BIN35"; exit 0 ;;
esac

version_of() { awk -v m="$1" '$1 == m && $2 ~ /^v/ { print $2; exit }' "${2:-.}/go.mod"; }
KUBERNETES=$(version_of k8s.io/kubernetes)
ETCD=$(version_of go.etcd.io/etcd/server/v3)
ETCD35=$(version_of go.etcd.io/etcd/api/v3 etcd35)
HELM=$(version_of helm.sh/helm/v3)
MINOR=$(cut -d . -f 2 <<<"$KUBERNETES")

# A server that calls itself v0.0.0-master fails version checks of kubectl and Helm.
kubernetes_flags() {
    local package
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s ' \
            "$package" "$KUBERNETES" "$package" "$package" "$MINOR"
        printf -- '-X %s.gitTreeState=clean -X %s.gitCommit=%s ' "$package" "$package" "$KUBERNETES"
    done
}
# Helm takes the capabilities of `helm template` from here; without them it believes in Kubernetes 1.20.
HELM_FLAGS="-X helm.sh/helm/v3/internal/version.version=$HELM"
for package in chartutil lint/rules; do
    HELM_FLAGS+=" -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1"
    HELM_FLAGS+=" -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=$MINOR"
done

TOOLS=( # name, version, package, seconds measured with nothing cached, linker flags
    "etcd|$ETCD|go.etcd.io/etcd/server/v3|45|"
    "etcdctl|$ETCD|go.etcd.io/etcd/etcdctl/v3|10|"
    "etcdutl|$ETCD|go.etcd.io/etcd/etcdutl/v3|5|"
    "kube-apiserver|$KUBERNETES|k8s.io/kubernetes/cmd/kube-apiserver|400|$(kubernetes_flags)"
    "kube-controller-manager|$KUBERNETES|k8s.io/kubernetes/cmd/kube-controller-manager|120|$(kubernetes_flags)"
    "kubectl|$KUBERNETES|k8s.io/kubernetes/cmd/kubectl|60|$(kubernetes_flags)"
    "helm|$HELM|helm.sh/helm/v3/cmd/helm|60|$HELM_FLAGS"
    "etcd35|$ETCD35|go.etcd.io/etcd/server/v3|30|"
)

go_is_usable() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 21 ]
}

# etcd 3.5 has a module folder and a bin folder of its own.
module_of() { if [ "$1" = etcd35 ]; then echo etcd35; else echo .; fi; }
path_of() { if [ "$1" = etcd35 ]; then echo "$BIN35/etcd"; else echo "$BIN/$1"; fi; }
WANTED=" $* "
is_missing() { # also: and wanted
    [ ! -x "$(path_of "$1")" ] && { [ "$WANTED" = "  " ] || [[ $WANTED == *" $1 "* ]]; }
}

missing() {
    local tool
    for tool in "${TOOLS[@]}"; do
        if is_missing "${tool%%|*}"; then echo "${tool%%|*}"; fi
    done
}

say_done() { [ -n "${QUIET:-}" ] || echo "tools: all in $BIN"; }

if [ -z "$(missing)" ]; then
    say_done
    exit 0
fi
if ! go_is_usable; then
    echo "skipped: these tools are built with Go 1.21 or newer, which is not on this machine"
    exit 77
fi

mkdir -p "$BIN" "$BIN35"
exec 9>"$BIN/../lock"
flock 9
position=0
for tool in "${TOOLS[@]}"; do
    IFS='|' read -r name version package seconds flags <<<"$tool"
    position=$((position + 1))
    is_missing "$name" || continue
    if ! (cd "$(module_of "$name")" && go env GOVERSION) >/dev/null 2>&1; then
        echo "tools: [$position/${#TOOLS[@]}] $name left out: its go.mod asks for a newer Go than is here"
        continue
    fi
    printf 'tools: [%d/%d] %s %s (about %s s with a cold cache)\n' \
        "$position" "${#TOOLS[@]}" "$name" "$version" "$seconds"
    start=$SECONDS
    # One after the other and two compilers at a time: the API server alone takes gigabytes otherwise.
    built=$(path_of "$name").$$
    (cd "$(module_of "$name")" &&
        GOFLAGS=-mod=readonly CGO_ENABLED=0 nice go build -p 2 -trimpath -ldflags "-s -w $flags" \
            -o "$built" "$package")
    mv "$built" "$(path_of "$name")"
    printf 'tools: [%d/%d] %s built in %d s\n' "$position" "${#TOOLS[@]}" "$name" $((SECONDS - start))
done
say_done
