#!/usr/bin/env bash
# mlflow 3.17.2, on a store of sqlite
#
# An experiment has twelve runs. Twelve threads, each with a client of its own, say at the same moment which dataset their
# run was trained on; it is the same for all, and MLflow does not know it yet. Then those that were refused say it again.
#
# Expected: a dataset that is there already, or comes at the same moment, is linked to the run.
#
# Seen: each call looks for the dataset and then adds it, so of those that look before the first has added it, all but one
# are refused (UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest), and their runs have no
# dataset. To say it again works.
# | at the same moment: some are refused, by a unique constraint
# | said again: none is refused
# | runs without the dataset: 0

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" mlflow==3.17.2
cd "$work"

MLFLOW_DISABLE_TELEMETRY=true "$venv/bin/python" - >seen 2>/dev/null <<'PY'
import threading

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.exceptions import MlflowException

ADDRESS, MANY = "sqlite:///store.db", 12
client = MlflowClient(ADDRESS)
experiment = client.create_experiment("garden")
runs = [client.create_run(experiment).info.run_id for _ in range(MANY)]
given = DatasetInput(Dataset("meadow", "d" * 36, "local", "{}"), [InputTag("mlflow.data.context", "train")])
gate, refused, reasons = threading.Barrier(MANY), [], []


def say(run):
    one = MlflowClient(ADDRESS)
    one.get_run(run)
    gate.wait()
    try:
        one.log_inputs(run, [given])
    except MlflowException as error:
        refused.append(run)
        reasons.append("UNIQUE constraint failed: datasets" in str(error))


threads = [threading.Thread(target=say, args=(run,)) for run in runs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
why = "by a unique constraint" if reasons and all(reasons) else f"{reasons}"
print(f"at the same moment: {'some are refused' if 0 < len(refused) < MANY else len(refused)}, {why}")
again = 0
for run in refused:
    try:
        client.log_inputs(run, [given])
    except MlflowException:
        again += 1
print(f"said again: {again or 'none'} is refused")
print(f"runs without the dataset: {sum(not client.get_run(run).inputs.dataset_inputs for run in runs)}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen
