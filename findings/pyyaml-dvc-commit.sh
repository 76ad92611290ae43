#!/usr/bin/env bash
# pyyaml 6.0.3, dvc 3.67.1 (ruamel.yaml 0.19.1)
#
# A short git hash is written to params.yaml as text with PyYAML, and a DVC stage that downloads weights by it
# reads it. About one short hash in fifty is, like 7e12345, digits around one e.
#
# Expected: text written by one YAML library is the same text for another. A new hash makes the stage stale.
#
# Seen: PyYAML writes 7e12345 without quotes, since YAML 1.1 wants a dot in a number. DVC reads by YAML 1.2,
# where it is a number beyond all floats: infinity. Any other such hash is infinity too, so DVC calls the
# stage up to date after the hash changed.
# | PyYAML reads back: {'commit': '7e12345'}
# | DVC ran the stage: weights of inf
# | status after another hash: Data and pipelines are up to date.

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" pyyaml==6.0.3 dvc==3.67.1 ruamel.yaml==0.19.1
cd "$work"

export DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$work/site" PATH="$venv/bin:$PATH"
dvc init --quiet --no-scm
dvc config core.check_update false
cat >dvc.yaml <<'YAML'
stages:
  download:
    cmd: echo weights of ${commit} >weights.txt
    params: [commit]
    outs: [weights.txt]
YAML
write() { python -c 'import sys, yaml; yaml.safe_dump({"commit": sys.argv[1]}, open("params.yaml", "w"))' "$1"; }
write 7e12345
echo "PyYAML reads back: $(python -c 'import yaml; print(yaml.safe_load(open("params.yaml")))')" >seen
dvc repro --quiet
echo "DVC ran the stage: $(cat weights.txt)" >>seen
write 8e98765
echo "status after another hash: $(dvc status)" >>seen

cat seen
diff <(sed -n 's/^# | //p' "$here") seen
