#!/usr/bin/env python3
"""Checks what decays silently: which folder includes which, who owns a library, how large files are.

usage: scripts/tree.py        exit 0: all holds; 1: each violation on a line
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A folder may include these and nothing else of MeshFS.  store.h is handed through meta, data and vfs.
MAY_INCLUDE = {
    "fs/base": ["fs/base"],
    "fs/store": ["fs/base", "fs/store"],
    "fs/meta": ["fs/base", "fs/store", "fs/meta"],
    "fs/data": ["fs/base", "fs/store", "fs/data"],
    "fs/vfs": ["fs/base", "fs/store", "fs/meta", "fs/data", "fs/vfs"],
    "fs/fuse": ["fs/base", "fs/vfs", "fs/fuse"],
    "plugins": ["fs/base", "fs/vfs", "plugins"],
    "plugins/example": [],
}

# Each third-party library is included by its owner's files only.
OWNERS = {
    r"rados/librados": r"fs/store/rados_.*",
    r"rocksdb/": r"fs/store/(local|lossy)_.*",
    r"liburing": r"fs/base/local_file.*",
    r"spdlog/": r"fs/base/log\.cc",
    r"toml\+\+/|toml\.h": r"fs/base/config\.cc",
    r"fuse_lowlevel\.h|fuse3/": r"fs/fuse/.*",
    r"CLI/": r"tools/.*",
}

LINES_MAX = 700
TESTS_MAY_JOIN = re.compile(r"(_test\.cc|_test\.h)$")


def sources():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True,
                           capture_output=True, check=True).stdout.split("\n")
    return [n for n in names if n.endswith((".cc", ".h", ".c")) and (ROOT / n).is_file()]


def folder_of(name):
    folders = [f for f in MAY_INCLUDE if name.startswith(f + "/")]
    return max(folders, key=len) if folders else None


def main():
    wrong = []
    for name in sources():
        text = (ROOT / name).read_text(errors="replace")
        if text.count("\n") > LINES_MAX:
            wrong.append(f"{name}: {text.count(chr(10))} lines; split it by subject (at most {LINES_MAX})")
        folder = folder_of(name)
        is_test = TESTS_MAY_JOIN.search(name) or name.startswith("test/")
        for number, line in enumerate(text.split("\n"), 1):
            found = re.match(r'\s*#include\s+["<]([^">]+)[">]', line)
            if not found:
                continue
            included = found.group(1)
            for pattern, owner in OWNERS.items():
                if re.match(pattern, included) and not re.fullmatch(owner, name) and not is_test:
                    wrong.append(f"{name}:{number}: includes {included}, which belongs to {owner}")
            if folder and not is_test and re.match(r"(fs|plugins|tools|test)/", included):
                if not any(included.startswith(f + "/") for f in MAY_INCLUDE[folder]):
                    wrong.append(f"{name}:{number}: {folder} may not include {included}")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
