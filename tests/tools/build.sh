#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the programs that the suites of tier "go" run against, from the Go modules that go.mod names.
# Each appears in the bin folder only when it is whole; what is there already is not built again.
# A new go.mod means a new folder. Exit 77: no usable Go here.
#   build.sh           builds what is missing, prints progress
#   build.sh --where   prints the bin folder
set -euo pipefail
cd "$(dirname "$0")"

BIN="${XDG_CACHE_HOME:-$HOME/.cache}/quorate/go-tools-$(cat go.mod go.sum | sha256sum | cut -c 1-12)/bin"
[ "${1:-}" = --where ] && { echo "$BIN"; exit 0; }

version_of() { awk -v m="$1" '$1 == m && $2 ~ /^v/ { print $2; exit }' go.mod; }
KUBERNETES=$(version_of k8s.io/kubernetes)
ETCD=$(version_of go.etcd.io/etcd/server/v3)
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
)

go_is_usable() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 21 ]
}

missing() {
    local tool name
    for tool in "${TOOLS[@]}"; do
        name=${tool%%|*}
        [ -x "$BIN/$name" ] || echo "$name"
    done
}

if [ -z "$(missing)" ]; then
    echo "tools: all in $BIN"
    exit 0
fi
if ! go_is_usable; then
    echo "skipped: these tools are built with Go 1.21 or newer, which is not on this machine"
    exit 77
fi

mkdir -p "$BIN"
exec 9>"$BIN/../lock"
flock 9
position=0
for tool in "${TOOLS[@]}"; do
    IFS='|' read -r name version package seconds flags <<<"$tool"
    position=$((position + 1))
    [ -x "$BIN/$name" ] && continue
    printf 'tools: [%d/%d] %s %s (about %s s with a cold cache)\n' \
        "$position" "${#TOOLS[@]}" "$name" "$version" "$seconds"
    start=$SECONDS
    # One after the other and two compilers at a time: the API server alone takes gigabytes otherwise.
    GOFLAGS=-mod=readonly CGO_ENABLED=0 nice go build -p 2 -trimpath -ldflags "-s -w $flags" \
        -o "$BIN/.$name.$$" "$package"
    mv "$BIN/.$name.$$" "$BIN/$name"
    printf 'tools: [%d/%d] %s built in %d s\n' "$position" "${#TOOLS[@]}" "$name" $((SECONDS - start))
done
echo "tools: all in $BIN"
