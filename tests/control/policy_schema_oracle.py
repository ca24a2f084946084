#!/usr/bin/env python3
"""An independent reader of docs/policy.schema.json: Debian's python3-jsonschema.

1. The schema is a draft-07 schema. 2. Every example fits it. 3. Thousands of random changes to the examples' objects get
the same verdict from python3-jsonschema and from the program that the node uses (policy_verdict, valijson behind it).
Usage: policy_schema_oracle.py VERDICT_PROGRAM DOCS_DIRECTORY [SEED]
"""
import copy
import json
import pathlib
import random
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("SKIPPED: python3-jsonschema is not installed")
    sys.exit(77)

CHANGES = 5000
VALUES = [None, True, False, 0, 1, -1, 443, 4094, 4095, 9000, 9001, 65535, 65536, 1.5, 10**30, "", "x", "kita", "a b",
          "-a", "ip_vpn", "dual", "esp", "tracked", "node", "10.0.0.0/8", "2026-04-01", "02:00:00:00:00:01", "あ" * 256,
          "あ" * 257, "z" * 64, "z" * 65, [], {}, [[]], ["a"], {"id": "a"}, {"first": 1, "last": 2}, {"first": 1}]


def places(value, path=()):
    """Every place in a JSON value, as a tuple of keys and indices."""
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from places(member, path + (key,))


def changed(value, chance):
    """A copy of the value with one place replaced, removed or added to."""
    result = [copy.deepcopy(value)]
    path = (0,) + chance.choice(list(places(value)))
    parent = result
    for key in path[:-1]:
        parent = parent[key]
    act = chance.randrange(4)
    target = parent[path[-1]]
    if act == 0 and len(path) > 1:
        del parent[path[-1]]
    elif act == 1 and isinstance(target, dict):
        target[chance.choice(["id", "ports", "backup", "underlay", "mtu", "unknown", "prefix"])] = chance.choice(VALUES)
    elif act == 2 and isinstance(target, list):
        target.append(chance.choice(VALUES + target))
    else:
        parent[path[-1]] = copy.deepcopy(chance.choice(VALUES))
    return result[0]


def main():
    program, docs = sys.argv[1], pathlib.Path(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    schema = json.loads((docs / "policy.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    failed = 0
    objects = []
    examples = sorted((docs / "examples").glob("*.json"))
    assert examples, "there are no examples"
    for example in examples:
        document = json.loads(example.read_text(encoding="utf-8"))
        for error in validator.iter_errors(document):
            print(f"{example.name}: {list(error.absolute_path)}: {error.message}")
            failed += 1
        for kind, members in document.items():
            objects += [(kind, one) for one in (members if isinstance(members, list) else [members])]

    of_kind = {kind: jsonschema.Draft7Validator({"$ref": f"#/definitions/{kind}", "definitions": schema["definitions"]})
               for kind in schema["properties"]}
    cases = list(objects)
    for _ in range(CHANGES):
        kind, one = chance.choice(objects)
        for _ in range(chance.randrange(1, 3)):
            one = changed(one, chance)
        cases.append((kind, one))
    lines = "".join(json.dumps({"kind": kind, "object": one}) + "\n" for kind, one in cases)
    told = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout.split()
    assert len(told) == len(cases), f"{len(told)} verdicts for {len(cases)} objects"
    fit = 0
    for (kind, one), verdict in zip(cases, told):
        expected = "fits" if of_kind[kind].is_valid(one) else "refused"
        fit += expected == "fits"
        if verdict != expected:
            print(f"{kind}: {json.dumps(one)}: python3-jsonschema says {expected}, the node says {verdict}")
            failed += 1
    print(f"{len(cases)} objects, {fit} fit, {failed} failures")
    # Were nearly all of them refused, the comparison would show little.
    if fit < len(cases) // 20:
        print("too few of the changed objects fit")
        failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
