#!/usr/bin/env bash
# Makes evidence/git/: a small repository with the history of the sample application, and its log.
# The output is git's own; the history is made here, with invented people and instants, and has on
# purpose what a reader of logs stumbles over: a merge, a rename, a deletion, a binary file, names with
# spaces, quotes and newlines, letters outside ASCII, a message of many lines, a tag, an empty commit.
# usage: git_history.sh OUTPUT_DIRECTORY
#
# For any other repository: git_history.sh --log REPOSITORY >history.gitlog
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# One token ends with NUL. A commit is twelve tokens in the order of FIELDS, then one token a changed file:
# "added TAB deleted TAB path" ("-" for a binary file); after a rename the path is empty, and the old and the
# new path follow as two tokens. The first of those tokens begins with a newline. A token that is no such
# line is the hash of the next commit. Nothing is quoted, so paths and messages may hold anything but NUL.
FIELDS='%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%D%x00%s%x00%b'
log() {
  git -C "$1" log --all --topo-order --reverse -z --numstat --find-renames --date=iso-strict \
    --encoding=UTF-8 --no-show-signature --no-mailmap --pretty=tformat:"$FIELDS"
}
if [ "$1" = --log ]; then log "$2"; exit; fi

out=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work GIT_CONFIG_NOSYSTEM=1
repo=$work/helpdesk
git init -q -b main "$repo"
cd "$repo"

commit() { # commit NAME DATE MESSAGE [git option ...]
  local name=$1 date=$2 message=$3 mail
  shift 3
  mail=$(printf '%s' "$name" | tr 'A-Z ' 'a-z.' | tr -cd 'a-z.')@example.com
  git add -A
  GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$mail GIT_AUTHOR_DATE=$date \
    GIT_COMMITTER_NAME='Merge Bot' GIT_COMMITTER_EMAIL=bot@example.com GIT_COMMITTER_DATE=$date \
    git commit -q "$@" -m "$message"
}
app=$here/../sample-app

cp "$app/README.md" "$app/settings.ini" .
commit 'Ada Example' 2026-09-01T09:00:00+02:00 'Begin the help desk'
cp -R "$app/web" "$app/worker" .
commit 'Ada Example' 2026-09-03T11:30:00+02:00 'web, worker: first dependencies'
cp -R "$app/gateway" .
commit 'Grace Beispiel' 2026-09-08T16:45:10-05:00 'gateway: route by path

It reads routes.yaml, and it answers in the language of the visitor.
---
1	2	not/a/numstat/line
Co-authored-by: Ada Example <ada.example@example.com>'
git checkout -q -b deploy
cp -R "$app/Dockerfile" "$app/k8s" "$app/terraform" .
commit 'Jörg Ölmüller' 2026-09-10T08:05:00Z 'deploy: image, manifests, storage'
git checkout -q main
mkdir 'docs and notes'
printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR' >'docs and notes/logo "old".png'
printf 'Grüße\n' >'docs and notes/größe.txt'
printf 'odd\n' >"$(printf 'docs and notes/two\nlines\tand a tab.txt')"
commit 'Grace Beispiel' 2026-09-11T07:15:00-05:00 'docs: a logo and notes'
GIT_AUTHOR_NAME='Merge Bot' GIT_AUTHOR_EMAIL=bot@example.com GIT_AUTHOR_DATE=2026-09-12T10:00:00Z \
  GIT_COMMITTER_NAME='Merge Bot' GIT_COMMITTER_EMAIL=bot@example.com GIT_COMMITTER_DATE=2026-09-12T10:00:00Z \
  git merge -q --no-ff deploy -m 'Merge branch deploy'
git tag v1.0.0
git mv 'docs and notes' notes
git rm -qf "$(printf 'notes/two\nlines\tand a tab.txt')"
commit 'Ada Example' 2026-10-02T14:00:00+02:00 'docs: rename the folder, drop a note'
commit 'Merge Bot' 2026-10-05T00:00:00Z 'ci: run again' --allow-empty
patch -s -p1 <"$here/helpdesk-1.1.0.patch"
commit 'Jörg Ölmüller' 2026-10-20T12:00:00Z 'Fix what the scanners found in 1.0.0

CVE-2020-14343, CVE-2018-18074, CVE-2021-23337 and CVE-2020-8203; the container is no longer privileged.'
git tag v1.1.0

log . >"$out/helpdesk.gitlog"
git bundle create -q "$out/helpdesk.bundle" --all
