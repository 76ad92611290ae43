import json

import numpy as np
import pytest
from helpers.batches import TASKS

from frostline.errors import FrostlineError
from frostline.metrics.resampled import set_metric
from frostline.metrics.rows import COLUMNS
from frostline.runs.tested import PICTURES, read_rows


@pytest.mark.parametrize("task", TASKS)
def test_a_run_leaves_what_its_metric_is_made_of_picture_by_picture(train_small, small_meadow, task):
    # Catches rows of batches, of another split, or of another order; and a metric that is not the run's.
    result, folder = train_small(f"task={task}", "schedule=frozen", "trainer.epochs=2", "tracking=none")
    rows = read_rows(folder / PICTURES)
    assert rows.column("id").to_pylist() == [scene.id for scene in small_meadow.scenes("test")]
    (value,) = set_metric(rows)(np.ones((1, len(rows)), int))
    assert value == pytest.approx(result.quality, abs=1e-6)
    assert set(rows.column_names) <= set(COLUMNS)
    assert min(rows["loss"].to_pylist()) > 0 and all(0 <= q <= 1 for q in rows["quality"].to_pylist() if q is not None)
    assert rows.schema.metadata[b"primary"].decode() == result.primary
    assert json.loads(rows.schema.metadata[b"classes"])


def test_rows_that_cannot_be_read_are_told(tmp_path):
    assert read_rows(tmp_path / PICTURES) is None
    (tmp_path / PICTURES).write_bytes(b"PAR1 and nothing else")
    with pytest.raises(FrostlineError, match="pictures.parquet cannot be read .* train the run again"):
        read_rows(tmp_path / PICTURES)
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"id": ["a"], "loss": [1.0]}), tmp_path / PICTURES)
    with pytest.raises(FrostlineError, match="pictures.parquet lacks quality"):
        read_rows(tmp_path / PICTURES)
