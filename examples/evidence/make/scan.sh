#!/usr/bin/env bash
# Makes evidence/{trivy,syft,npm,osv-scanner,govulncheck}/: scans of both releases of the
# sample application, and of the Custody repository itself.
# Needs the scanners of tools.sh on PATH, Node, npm, Go and git. Only Go looks at its module proxy.
# usage: scan.sh OUTPUT_DIRECTORY
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(git -C "$here" rev-parse --show-toplevel)
out=$(mkdir -p "$1" && cd "$1" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$out"/{trivy,syft,npm,osv-scanner,govulncheck}

GOPATH=$(go env GOPATH) GOCACHE=$(go env GOCACHE)
export GOPATH GOCACHE HOME=$stage/account
export TRIVY_CACHE_DIR=$stage/trivy TRIVY_QUIET=true TRIVY_OFFLINE_SCAN=true TRIVY_SKIP_CHECK_UPDATE=true
export TRIVY_SKIP_VERSION_CHECK=true TRIVY_DISABLE_TELEMETRY=true SYFT_CHECK_FOR_APP_UPDATE=false
export OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY=$stage/advisories NPM_CONFIG_UPDATE_NOTIFIER=false
mkdir -p "$HOME"

# Every scan runs on a copy, so that reports name "helpdesk" and "custody" and nothing of this machine;
# the absolute paths that a tool still writes begin with the stage or with GOPATH: see neutral_paths.
mkdir -p "$stage"/{1.0.0,1.1.0}
cp -R "$here/../sample-app" "$stage/1.0.0/helpdesk"
cp -R "$here/../sample-app" "$stage/1.1.0/helpdesk"
patch -s -d "$stage/1.1.0/helpdesk" -p1 <"$here/helpdesk-1.1.0.patch"
mkdir "$stage/custody"
git -C "$repository" ls-files -coz --exclude-standard -- . ':!examples/evidence' \
  | tar -C "$repository" --null --ignore-failed-read -T - -cf - | tar -C "$stage/custody" -xf -
python3 "$here/advisories/local_database.py" "$stage/advisories"

neutral_paths() { sed -e "s#$stage#/evidence#g" -e "s#$GOPATH#/evidence/go#g"; }
keep() { # keep FILE: standard input becomes $out/FILE, compressed when the name says so
  case $1 in
    *.gz) neutral_paths | gzip -9n >"$out/$1" ;;
    *) neutral_paths >"$out/$1" ;;
  esac
}
found() { "$@" || [ $? -eq 1 ]; } # osv-scanner answers 1 when it found something

for version in 1.0.0 1.1.0; do
  cd "$stage/$version"
  name=helpdesk-$version
  trivy fs --scanners secret,misconfig,license --list-all-pkgs --include-dev-deps --format json helpdesk \
    | keep "trivy/$name.json"
  trivy fs --scanners secret,misconfig --format sarif helpdesk | keep "trivy/$name.sarif"
  syft scan -q dir:helpdesk --source-version "$version" -o cyclonedx-json | keep "syft/$name.cdx.json"
  found osv-scanner scan source --verbosity error --offline --all-packages --all-vulns -r --format json helpdesk \
    | keep "osv-scanner/$name.json"
done

cd "$stage/1.0.0"
trivy fs --format cyclonedx --include-dev-deps helpdesk | keep trivy/helpdesk-1.0.0.cdx.json
trivy fs --format spdx-json --include-dev-deps helpdesk | keep trivy/helpdesk-1.0.0.spdx.json
for format in cyclonedx-xml:cdx.xml spdx-json:spdx.json spdx-tag-value:spdx; do
  syft scan -q dir:helpdesk --source-version 1.0.0 -o "${format%%:*}" | keep "syft/helpdesk-1.0.0.${format##*:}"
done
for format in sarif:sarif cyclonedx-1-6:cdx.json; do
  found osv-scanner scan source --verbosity error --offline --all-packages --all-vulns -r \
    --format "${format%%:*}" helpdesk | keep "osv-scanner/helpdesk-1.0.0.${format##*:}"
done
cd "$stage/1.0.0/helpdesk"
(cd gateway && for format in json sarif openvex; do
  govulncheck -db "file://$stage/advisories/govulncheck" -format "$format" ./... | keep "govulncheck/gateway-1.0.0.$format"
done)
(cd web && npm sbom --package-lock-only --sbom-format cyclonedx) | keep npm/web-1.0.0.cdx.json
(cd web && npm sbom --package-lock-only --sbom-format spdx) | keep npm/web-1.0.0.spdx.json

cd "$stage"
syft scan -q dir:custody -o cyclonedx-json | keep syft/custody.cdx.json.gz
syft scan -q dir:custody -o spdx-json | keep syft/custody.spdx.json.gz
trivy fs --scanners secret,misconfig --list-all-pkgs --include-dev-deps --format json custody | keep trivy/custody.json.gz
trivy fs --format cyclonedx --include-dev-deps custody | keep trivy/custody.cdx.json.gz
(cd custody && npm sbom --package-lock-only --sbom-format cyclonedx) | keep npm/custody.cdx.json.gz
# Licences are read from the installed packages.
cp -R "$repository/node_modules" custody/node_modules
trivy fs --scanners license --include-dev-deps --format json custody | keep trivy/custody.licenses.json.gz
