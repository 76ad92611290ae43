"""What a run's test said of each picture: `pictures.parquet`, one row a scene, which any tool reads without a GPU."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frostline.errors import FrostlineError
from frostline.files import replacing
from frostline.metrics.rows import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

PICTURES = "pictures.parquet"


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], primary: str, classes: Sequence[str]) -> None:
    """Write the rows of a test, in the order of the split, with what is needed to read them: see `read_rows`.

    The columns are those of `metrics.rows.COLUMNS` that the first row has.
    """
    from pyarrow import parquet

    with replacing(path) as aside:
        parquet.write_table(as_table(rows, primary, classes), aside, compression="zstd")


def as_table(rows: Sequence[Mapping[str, Any]], primary: str, classes: Sequence[str]) -> "pa.Table":
    """The rows of a test as `write_rows` writes them, and `read_rows` gives them back."""
    import pyarrow as pa

    fields = [pa.field(name, _type(kind)) for name, kind in COLUMNS.items() if name in rows[0]]
    told = {"primary": primary, "classes": json.dumps(list(classes))}
    return pa.Table.from_pylist(list(rows), pa.schema(fields, told))


def read_rows(path: Path) -> "pa.Table | None":
    """The table of a run, None where it left none. Its metadata holds `primary` and `classes`, a JSON list.

    Raises FrostlineError where the file is no such table.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        return None
    try:
        table = parquet.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise FrostlineError(f"{path} cannot be read ({error}); delete its folder and train the run again.") from error
    if lacking := {"id", "loss", "quality"} - set(table.column_names) or {b"primary", b"classes"} - set(
        table.schema.metadata or {}
    ):
        raise FrostlineError(f"{path} lacks {sorted(map(str, lacking))[0]}; delete its folder and train the run again.")
    return table


def _type(name: str) -> Any:
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(_type(name.removeprefix("list<").removesuffix(">")))
    return {"double": pa.float64(), "float": pa.float32()}.get(name) or getattr(pa, name)()
