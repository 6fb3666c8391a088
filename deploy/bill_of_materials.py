"""The crates that a program of ours was built of, as `cargo auditable` has written them into it.

    bill_of_materials.py PROGRAM

One line each: name and version. The same is read by `cargo audit bin`, Syft, Trivy and Grype.
"""

import json
import struct
import sys
import zlib
from pathlib import Path


def section(program: bytes, wanted: bytes) -> bytes:
    """What a section of a 64-bit little-endian ELF file holds."""
    if program[:6] != b"\x7fELF\x02\x01":
        raise SystemExit("not a 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", program, 0x28)
    size, count, names = struct.unpack_from("<HHH", program, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", program, table + index * size) for index in range(count)]
    texts = headers[names][4]
    for name, _, _, _, offset, length in headers:
        start = texts + name
        if program[start : program.index(b"\0", start)] == wanted:
            return program[offset : offset + length]
    raise SystemExit("there is no list of crates in it")


if __name__ == "__main__":
    crates = json.loads(zlib.decompress(section(Path(sys.argv[1]).read_bytes(), b".dep-v0")))["packages"]
    for crate in sorted((crate["name"], crate["version"]) for crate in crates if crate.get("kind") != "build"):
        print(*crate)
