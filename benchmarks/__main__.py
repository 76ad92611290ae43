"""Measure what the project claims: `python -m benchmarks` for every row, `python -m benchmarks NAME …` for some.

Each measured row replaces the one of its name in results.json, and README.md is written anew from it.
"""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    cluster,
    data,
    devices,
    exporting,
    freezing,
    lecture,
    loading,
    metrics,
    pipeline,
    predicting,
    quality,
    report,
    scale,
    scaling,
    screening,
    serve,
    start,
    stock,
    tracking,
    training,
    verdict,
    windows,
)
from frostline.runs.provenance import commit, machine

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PARTS = (
    *(cluster, data, devices, exporting, freezing, lecture, loading, metrics, pipeline, predicting, quality),
    *(report, scale, scaling, screening, serve, start, stock, tracking, training, verdict, windows),
)
MEASURES = {name: measure for part in PARTS for name, measure in part.MEASURES.items()}

HEAD = """# What is claimed, and what was measured

One row a claim; `make bench` measures all of them, `make bench ONLY=name` one. The rows are in
[results.json](results.json), with commit and date. *Ours* and *other* are what the script measured on both sides, where
there are two; *value* is their ratio, or the figure itself.

| name | what | ours | other | value | bar | holds | machine | command |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}")
    names = parser.parse_args().names or list(MEASURES)
    if unknown := set(names) - set(MEASURES):
        parser.error(f"no benchmark is called {min(unknown)}; there are {', '.join(MEASURES)}")
    all_hold = True
    for name in names:
        rows: dict[str, dict[str, Any]] = {}
        for row in MEASURES[name]():
            record = {**asdict(row), "holds": row.holds, "command": f"make bench ONLY={name}"}
            revision, dirty = commit()
            all_hold &= row.holds
            record |= {
                "commit": revision + (" and changes" if dirty else ""),
                "machine": machine(),
                "date": datetime.now(UTC).date().isoformat(),
            }
            rows[row.name] = record
            print(f"{row.name}: {row.value:g} (bar {row.bar}) {'holds' if row.holds else 'DOES NOT HOLD'}", flush=True)
        _write(rows)
    return 0 if all_hold else 1


def _read() -> list[dict[str, Any]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def _write(measured: dict[str, dict[str, Any]]) -> None:
    # Read now, as others may have been measured meanwhile.
    rows = list(({row["name"]: row for row in _read()} | measured).values())
    aside = RESULTS.with_suffix(".new")
    aside.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    aside.rename(RESULTS)
    lines = [
        f"| {r['name']} | {r['what']} | {r['ours']} | {r['other'] or ''} | {r['value']:.4g} | {r['bar']} "
        f"| {'yes' if r['holds'] else '**no**'} | {r['machine']} | `{r['command']}` |"
        for r in rows
    ]
    (HERE / "README.md").write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
