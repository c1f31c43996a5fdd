#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes the bill of materials of the programs and plugins, as CycloneDX in JSON: sbom.py FILE PLUGIN...

It has the crates that are linked, as THIRD-PARTY does, with their checksums. The same commit and compiler give the same
bytes: cargo-cyclonedx would write a file for each crate of the workspace, each with the time of its making.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ["spared", "sparectl", "spared-plugin-check"]
LICENCE = "MIT OR Apache-2.0"
# DEPTH NAME vVERSION (FOLDER)|LICENCE|REPOSITORY (*)
LINE = re.compile(r"(\d+)(\S+) v(\S+)( \(.*?\))?\|(.*?)\|(.*?)( \(\*\))?")


def said(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def url_of(name, version):
    return f"pkg:cargo/{name}@{version.replace('+', '%2B')}"


def linked(packages, own):
    """Returns what cargo says of each crate, and which need which. Our own crates are one."""
    words = ["cargo", "tree", "--quiet", "--frozen", "--edges", "normal,no-proc-macro", "--prefix", "depth"]
    words += ["--format", "{p}|{l}|{r}"]
    for package in packages:
        words += ["-p", package]
    crates, needs, above = {}, {own: set()}, []
    for line in filter(None, said(*words).splitlines()):
        parts = LINE.fullmatch(line)
        if not parts:
            sys.exit(f"sbom: not understood, of cargo tree: {line}")
        depth, name, version, folder, licence, repository, _ = parts.groups()
        ref = own if folder else url_of(name, version)
        above[int(depth) :] = [ref]
        if ref != own:
            crates[ref] = (name, version, licence, repository)
            needs.setdefault(ref, set())
        if int(depth) and ref != above[-2]:
            needs[above[-2]].add(ref)
    return crates, needs


def component(ref, name, version, licence, repository, checksum):
    found = {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": version,
        # of crates from before SPDX expressions
        "licenses": [{"expression": licence.replace("/", " OR ")}],
        "purl": ref,
    }
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if repository:
        found["externalReferences"] = [{"type": "vcs", "url": repository}]
    return found


def bill(plugins):
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {url_of(it["name"], it["version"]): it.get("checksum") for it in locked}
    own = f"pkg:generic/spared@{workspace['version']}"
    crates, needs = linked(PROGRAMS + [f"spared-{it}" for it in plugins], own)
    compiler = said("rustc", "--version").split()[1]
    standard = f"pkg:generic/rust@{compiler}"
    needs[own].add(standard)
    needs[standard] = set()
    components = [component(ref, *crates[ref], checksums.get(ref)) for ref in sorted(crates)]
    components.append(component(standard, "rust", compiler, LICENCE, "https://github.com/rust-lang/rust", None))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "spared",
                "version": workspace["version"],
                "licenses": [{"expression": LICENCE}],
                "purl": own,
            }
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)],
    }


Path(sys.argv[1]).write_text(json.dumps(bill(sys.argv[2:]), indent=1) + "\n")
