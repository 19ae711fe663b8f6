"""Reads a file of features with NumPy and one with PyArrow, and says whether they are the same. Run by hand:

    layergraft embed RUN IMAGES --out /tmp/f.npy --threads 1
    layergraft embed RUN IMAGES --out /tmp/f.parquet --threads 1
    python3 reference/check_features.py /tmp/f        # needs numpy and pyarrow
"""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

stem = sys.argv[1]
rows = np.load(f"{stem}.npy", mmap_mode="r")
names = open(f"{stem}.names.txt", encoding="utf-8").read().split("\n")[:-1]
origin = json.load(open(f"{stem}.json", encoding="utf-8"))

table = pq.read_table(f"{stem}.parquet")
kind = table.schema.field("feature").type
assert kind == pa.list_(pa.field("element", pa.float32(), nullable=False)), kind
assert table.schema.field("path").type == pa.string()
flat = table["feature"].combine_chunks().flatten().to_numpy()

assert rows.dtype == np.float32 and rows.shape == (len(names), len(flat) // len(names)), rows.shape
assert np.array_equal(rows, flat.reshape(rows.shape)), "the numbers differ"
assert table["path"].to_pylist() == names, "the names differ"
if "label" in table.column_names:
    labels = open(f"{stem}.labels.txt", encoding="utf-8").read().split("\n")[:-1]
    assert [label or "" for label in table["label"].to_pylist()] == labels, "the labels differ"
assert json.loads(table.schema.metadata[b"layergraft"]) == origin, "the origins differ"
print(f"the same: {rows.shape[0]} rows of {rows.shape[1]} numbers, columns {', '.join(table.column_names)}")
