"""Tiny Parquet files as Hugging Face's `datasets` writes them: images as {bytes, path} and labels with names.

    python reference/make_shards_reference.py    # pyarrow >= 16; writes test/fixtures/data/*.parquet

Image i is 4 x 3 pixels; its pixel p (row after row) is (20 i + p, 100, 200). The third row has no image, the last no
label (-1, as test splits on the Hub have). Files differ in how pyarrow writes them: compression, version of pages, rows
in a row group, with or without dictionaries.
"""

import json
import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

out = Path(__file__).parent.parent / "test" / "fixtures" / "data"
width, height = 4, 3


def png(i):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(
        b"\0" + b"".join(bytes([20 * i + y * width + x, 100, 200]) for x in range(width)) for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


count = 8
images = [None if i == 2 else {"bytes": png(i), "path": f"{i}.png" if i % 2 else None} for i in range(count)]
labels = [-1 if i == count - 1 else i % 3 for i in range(count)]
names = ["cat", "dog", "owl"]
features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
table = pa.table(
    {
        "image": pa.array(images, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        "label": pa.array(labels, pa.int64()),
    }
)

out.mkdir(parents=True, exist_ok=True)
for name, options in {
    "snappy": {"compression": "snappy", "row_group_size": 3},
    "zstd": {"compression": "zstd", "use_dictionary": False, "data_page_version": "2.0"},
    "gzip": {"compression": "gzip", "row_group_size": 5, "data_page_version": "2.0"},
    "brotli": {"compression": "brotli"},
    "lz4": {"compression": "lz4", "use_dictionary": False},
}.items():
    rows = options.pop("row_group_size", count)
    # Without Arrow's own schema, which would be most of the file.
    with pq.ParquetWriter(out / f"{name}.parquet", table.schema, store_schema=False, write_statistics=False, **options) as file:
        file.write_table(table, rows)
        file.add_key_value_metadata({"huggingface": json.dumps({"info": {"features": features}})})
