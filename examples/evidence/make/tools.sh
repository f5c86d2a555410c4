#!/usr/bin/env bash
# Installs the tools that make the example evidence, each in the version that made it, from package
# registries through their ordinary clients. Needs Python 3.11, Go 1.26 and a quarter of an hour; 6 GB.
# usage: tools.sh TOOLS_DIRECTORY
set -euo pipefail
mkdir -p "$1/bin"
tools=$(cd "$1" && pwd)

environment() { # environment NAME PACKAGE...
  [ -e "$tools/$1/.done" ] && return
  "$tools/uv/bin/uv" venv -q --clear --python 3.11 "$tools/$1"
  "$tools/uv/bin/uv" pip install -q --python "$tools/$1/bin/python" "${@:2}"
  touch "$tools/$1/.done"
}
[ -x "$tools/uv/bin/uv" ] || { python3 -m venv "$tools/uv" && "$tools/uv/bin/pip" install -q uv; }
environment garak garak==0.17.1
environment pyrit pyrit==1.1.0
environment pyrit-0.9 pyrit==0.9.0
environment python-tools stix2==3.0.2

go_tool() { # go_tool PACKAGE@VERSION
  local name=${1%@*}
  [ -x "$tools/bin/${name##*/}" ] && return
  GOBIN=$tools/bin GOFLAGS=-buildvcs=false CGO_ENABLED=0 \
    go install -trimpath -ldflags "-s -w -X main.version=${1##*@v}" "$1"
}
go_tool github.com/anchore/syft/cmd/syft@v1.52.0
go_tool github.com/google/osv-scanner/v2/cmd/osv-scanner@v2.5.0
go_tool golang.org/x/vuln/cmd/govulncheck@v1.1.4
# Trivy's module has replace directives, which "go install" refuses: build a copy of its source.
if [ ! -x "$tools/bin/trivy" ]; then
  source=$(go mod download -json github.com/aquasecurity/trivy@v0.66.0 | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
  copy=$(mktemp -d)
  cp -R "$source/." "$copy" && chmod -R u+w "$copy"
  (cd "$copy" && GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -trimpath -o "$tools/bin/trivy" \
    -ldflags '-s -w -X github.com/aquasecurity/trivy/pkg/version/app.ver=0.66.0' ./cmd/trivy)
  rm -rf "$copy"
fi
