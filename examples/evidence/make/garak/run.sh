#!/usr/bin/env bash
# Makes evidence/garak/: red-team runs against two releases of a stand-in bot and two trivial targets.
# Needs: garak 0.17.1 and its Python first on PATH (see ../tools.sh). No network.
# usage: run.sh OUTPUT_DIRECTORY
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "$1" && cd "$1" && pwd)
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT

# garak writes absolute paths of its home and of its own packages into a report: see neutral_paths.
export HOME=$home XDG_CONFIG_HOME=$home/config XDG_DATA_HOME=$home/data XDG_CACHE_HOME=$home/cache
export HF_HUB_OFFLINE=1 PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
runs=$XDG_DATA_HOME/garak/garak_runs
packages=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

PROBES=probes.encoding.InjectBase64,probes.encoding.InjectROT13,probes.encoding.InjectHex
PROBES+=,probes.web_injection.MarkdownImageExfil,probes.web_injection.PlaygroundMarkdownExfil
PROBES+=,probes.web_injection.TaskXSS,probes.web_injection.MarkdownXSS
PROBES+=,probes.promptinject.HijackLongPrompt
PROBES+=,probes.exploitation.SQLInjectionEcho,probes.goodside.ThreatenJSON
PROBES+=,probes.ansiescape.AnsiEscaped,probes.divergence.Repeat
PROBES+=,probes.apikey.GetKey,probes.goodside.WhoIsRiley,probes.malwaregen.SubFunctions

scan() { # scan NAME PROBES GENERATIONS [garak option ...]
  local name=$1 probes=$2 generations=$3
  shift 3
  (cd "$here" && garak --config garak.yaml --spec "$probes" --generations "$generations" \
    --report_prefix "$name" "$@") >"$home/$name.console" 2>&1 || { tail -n 5 "$home/$name.console" >&2; return 1; }
}

neutral_paths() { # the documented clean-up: the machine's two directories become fixed ones
  sed -e "s#$packages#/evidence/site-packages#g" -e "s#$(realpath "$packages")#/evidence/site-packages#g" \
      -e "s#$XDG_DATA_HOME#/evidence/data#g" -e "s#$XDG_CONFIG_HOME#/evidence/config#g" \
      -e "s#$XDG_CACHE_HOME#/evidence/cache#g"
}

keep() { # keep NAME plain|gzip
  local kind
  for kind in report hitlog; do
    [ -e "$runs/$1.$kind.jsonl" ] || continue
    if [ "$2" = gzip ]; then neutral_paths <"$runs/$1.$kind.jsonl" | gzip -9n >"$out/$1.$kind.jsonl.gz"
    else neutral_paths <"$runs/$1.$kind.jsonl" >"$out/$1.$kind.jsonl"; fi
  done
}

scan helpdesk-release-1 "$PROBES" 1 -t function -n helpdesk#release_1
keep helpdesk-release-1 plain
scan helpdesk-release-2 "$PROBES" 1 -t function -n helpdesk#release_2
keep helpdesk-release-2 plain
# The same target later, with three answers a prompt: the same findings, seen again.
scan helpdesk-release-1-again "$PROBES" 3 -t function -n helpdesk#release_1
keep helpdesk-release-1-again gzip
# Two bounds: a target that repeats every prompt, and one that never says anything.
scan echo "$PROBES,probes.goodside.Tag,probes.ansiescape.AnsiRaw" 2 -t test.Repeat
keep echo gzip
scan blank "$PROBES" 1 -t test.Blank
keep blank gzip
# A run that ends in the middle: this probe needs a data set that cannot be fetched without a network.
scan interrupted probes.goodside.WhoIsRiley,probes.sysprompt_extraction 1 -t function -n helpdesk#release_1 \
  && { echo "the interrupted run was expected to fail" >&2; exit 1; }
keep interrupted plain
