#!/usr/bin/env bash
# dvc 3.67.1
#
# A DVC matrix of two axes, two values each, as one has them where names of models and of data hold dashes.
#
# Expected: four stages, or an error if two of them cannot be told apart.
#
# Seen: a stage's name is its values joined by dashes. Two cells come to the same name, the later takes the
# place of the earlier, and DVC says nothing: the cell of 'pets' and 'small-vit' is never run.
# | stages: train@pets-small-small-vit train@pets-small-vit train@pets-vit
# | ran:
# | pets vit
# | pets-small small-vit
# | pets-small vit

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" dvc==3.67.1
cd "$work"

export DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$work/site" PATH="$venv/bin:$PATH"
dvc init --quiet --no-scm
dvc config core.check_update false
cat >dvc.yaml <<'YAML'
stages:
  train:
    matrix:
      data: [pets, pets-small]
      model: [vit, small-vit]
    cmd: echo ${item.data} ${item.model} >>ran
YAML
dvc repro --quiet
{
  echo "stages: $(dvc stage list --name-only | sort | paste -sd ' ')"
  echo "ran:"
  sort ran
} >seen

cat seen
diff <(sed -n 's/^# | //p' "$here") seen
