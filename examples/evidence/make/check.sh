#!/usr/bin/env bash
# Looks for what must not be in evidence/: paths of a machine, its name, e-mail addresses of people.
# Compressed files are opened. Also says how large the folder is.
set -euo pipefail
cd "$(dirname "$0")/.."
pattern='(^|[^a-z0-9_.-])/(root|home|Users|work|tmp|private|var/folders)/|\.pyenv|site-packages/[a-z]+\.egg-link'
pattern="$pattern|[A-Za-z0-9._%+-]+@(gmail|[a-z0-9-]+mail|outlook|126|163|21cn|qq|yahoo|proton)\.[a-z]{2,}"
name=$(hostname)
[ ${#name} -ge 4 ] && pattern="$pattern|\\b$name\\b"
bad=0
while IFS= read -r -d '' file; do
  case $file in *.gz) open=zcat ;; *) open=cat ;; esac
  if [ "$("$open" "$file" | grep -aEc "$pattern")" != 0 ]; then
    echo "names this machine: $file" >&2
    "$open" "$file" | grep -aEo ".{0,30}($pattern).{0,40}" | sed -n 1,3p >&2
    bad=1
  fi
done < <(find . -type f ! -path './make/check.sh' -print0)
du -sh . | sed 's/\t.*//'
exit $bad
