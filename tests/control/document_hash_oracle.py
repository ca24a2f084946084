#!/usr/bin/env python3
"""The hash of every example document, by what docs/decisions/0019 says and nothing of ours, beside `sekishoctl hash`."""
import hashlib
import json
import pathlib
import subprocess
import sys

KINDS = ["hub", "operators", "allocations", "attachments", "tunnels", "institutions", "translations", "agreements", "routes", "gates"]


def sha256(data):
    return hashlib.sha256(data).digest()


def node(leaves, depth):
    """Of the leaves that share their first `depth` bytes."""
    if not leaves and depth > 0:
        return bytes(32)
    if depth == 2:
        return sha256(b"".join(sorted(leaves)))
    return sha256(b"".join(node([leaf for leaf in leaves if leaf[depth] == byte], depth + 1) for byte in range(256)))


def document_hash(document):
    leaves = []
    for kind in KINDS:
        objects = document.get(kind, [])
        for each in [objects] if kind == "hub" else objects:
            text = json.dumps(each, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            leaves.append(sha256(f"{kind}\n{text}".encode()))
    return node(leaves, 0).hex()


def main():
    sekishoctl, docs = sys.argv[1], pathlib.Path(sys.argv[2])
    files = sorted((docs / "examples").glob("*.json"))
    assert files, "no examples"
    for file in files:
        told = subprocess.run([sekishoctl, "hash", file], check=True, capture_output=True, text=True).stdout.strip()
        expected = document_hash(json.loads(file.read_text()))
        assert told == expected, f"{file}: {told}, and it should be {expected}"
    print(f"{len(files)} documents")


if __name__ == "__main__":
    main()
