#!/usr/bin/env bash
# Makes all of evidence/ anew. Instants, run identifiers and serial numbers change; findings do not.
# usage: all.sh TOOLS_DIRECTORY            (the directory that tools.sh filled)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=$(cd "$1" && pwd)
out=$here/..
export PYTHONDONTWRITEBYTECODE=1

rm -rf "$out"/{garak,pyrit,trivy,syft,npm,osv-scanner,govulncheck,stix,git}
PATH=$tools/garak/bin:$PATH "$here/garak/run.sh" "$out/garak"

mkdir -p "$out"/pyrit/{1.1.0,0.9.0}
home=$(mktemp -d)
HOME=$home "$tools/pyrit/bin/python" "$here/pyrit/attack.py" "$out/pyrit/1.1.0"
HOME=$home "$tools/pyrit-0.9/bin/python" "$here/pyrit/attack_0_9.py" "$out/pyrit/0.9.0"
rm -rf "$home"
gzip -9n "$out/pyrit/1.1.0/memory.sqlite"

PATH=$tools/bin:$tools/python-tools/bin:$PATH "$here/scan.sh" "$out"
"$here/git_history.sh" "$out/git"
mkdir -p "$out/stix"
"$tools/python-tools/bin/python" "$here/stix/bundle.py" "$out" "$out/stix/helpdesk.json"
"$here/check.sh"
