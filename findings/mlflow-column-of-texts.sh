#!/usr/bin/env bash
# mlflow 3.17.2, pandas 2.3.3
#
# A model whose signature has one column is given a mapping of that column to a list of two values: of numbers, of bytes,
# of texts. The model answers with what it was given.
#
# Expected: two rows each time, as pandas.DataFrame makes of such a mapping.
#
# Seen: two rows of numbers and of bytes, and of texts one row, which holds the list.
# | numbers: 2 rows, the first holds int
# | bytes: 2 rows, the first holds bytes
# | texts: 1 rows, the first holds list

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" mlflow==3.17.2 pandas==2.3.3
cd "$work"

MLFLOW_DISABLE_TELEMETRY=true "$venv/bin/python" - >seen 2>log <<'PY'
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, load_model, save_model
from mlflow.types.schema import AnyType, ColSpec, Schema


class Echo(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["a"].tolist()


save_model("model", python_model=Echo(), signature=ModelSignature(Schema([ColSpec(AnyType(), "a")])), pip_requirements=[])
model = load_model("model")
for name, values in {"numbers": [1, 2], "bytes": [b"x", b"y"], "texts": ["x", "y"]}.items():
    found = model.predict({"a": values})
    print(f"{name}: {len(found)} rows, the first holds {type(found[0]).__name__}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen
