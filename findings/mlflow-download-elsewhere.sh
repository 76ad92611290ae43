#!/usr/bin/env bash
# mlflow 3.17.2
#
# A model is registered in a store, and its artifacts are downloaded by download_artifacts, which takes the address of the
# store, as tracking_uri and as registry_uri. The environment names no store.
#
# Expected: models:/flowers@champion is looked for in the store that is given.
#
# Seen: it is looked for in MLflow's default store, which is made for that in the working directory. The address of the
# artifacts, asked of a client of the same store, downloads.
# | by its name: Registered Model with name=flowers not found
# | made in the working directory: ['mlflow.db']
# | by the address that the store tells: ['weights.txt']

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" mlflow==3.17.2
mkdir "$work/here" "$work/store" "$work/model"
echo 1 >"$work/model/weights.txt"
cd "$work/here"

env -u MLFLOW_TRACKING_URI -u MLFLOW_REGISTRY_URI MLFLOW_DISABLE_TELEMETRY=true \
  "$venv/bin/python" - "$work" >"$work/seen" 2>"$work/log" <<'PY'
import os
import sys

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

work = sys.argv[1]
uri = f"sqlite:///{work}/store/mlflow.db"
client = MlflowClient(tracking_uri=uri, registry_uri=uri)
client.create_registered_model("flowers")
version = client.create_model_version("flowers", source=f"file://{work}/model").version
client.set_registered_model_alias("flowers", "champion", version)

try:
    found = download_artifacts("models:/flowers@champion", tracking_uri=uri, registry_uri=uri)
    print("by its name:", sorted(name for name in os.listdir(found) if name.startswith("weights")))
except MlflowException as error:
    print("by its name:", error.message)
print("made in the working directory:", os.listdir())
source = client.get_model_version_download_uri("flowers", version)
found = download_artifacts(source, tracking_uri=uri, dst_path=f"{work}/out")
print("by the address that the store tells:", sorted(os.listdir(found)))
PY

cat "$work/seen"
diff <(sed -n 's/^# | //p' "$here") "$work/seen"
