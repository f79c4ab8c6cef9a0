#!/usr/bin/env python3
"""An OSD dies under a mount that is busy, and comes back: calls wait, none fails, nothing that was synced is lost.

Needs a cluster whose OSDs remember (scripts/ceph-dev --store bluestore).  Ends with one line of counts.
"""
import argparse
import hashlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback


class Load(multiprocessing.Process):
    """Writes, syncs, reads back, renames and removes files of its own folder, until told to stop.

    A process: what is started beside a thread inherits its open files, and to close those waits for the OSD, too.
    """

    def __init__(self, folder, seed):
        super().__init__()
        self.folder, self.random = folder, random.Random(seed)
        self.there, self.count, self.stops = {}, multiprocessing.Value("q"), multiprocessing.Event()
        self.outcome, self.tells = multiprocessing.Pipe(False)
        os.makedirs(folder, exist_ok=True)

    def run(self):
        try:
            while not self.stops.is_set():
                self.step()
                self.count.value += 1
            self.tells.send(self.there)
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc(file=sys.stdout)
            self.tells.send(None)

    def end(self):
        """False: it had an error."""
        self.stops.set()
        self.there = self.outcome.recv()
        self.join()
        return self.there is not None

    def step(self):
        name = f"f{self.count.value}"
        path = os.path.join(self.folder, name)
        content = self.random.randbytes(self.random.choice((10, 3000, 70_000, 500_000)))
        with open(path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.there[name] = hashlib.sha256(content).digest()
        what = self.random.random()
        if what < 0.3:
            os.rename(path, path + "r")
            self.there[name + "r"] = self.there.pop(name)
        elif what < 0.5:
            victim = self.random.choice(list(self.there))
            os.unlink(os.path.join(self.folder, victim))
            del self.there[victim]
        name = self.random.choice(list(self.there) or [None])
        if name:
            self.compare(name)

    def compare(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            assert hashlib.sha256(file.read()).digest() == self.there[name], f"{name} has other bytes"

    def compare_all(self):
        assert sorted(os.listdir(self.folder)) == sorted(self.there), "names are missing, or too many"
        for name in self.there:
            self.compare(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshfs", required=True, help="the program")
    parser.add_argument("--source", required=True, help="rados:POOL/VOLUME, formatted")
    parser.add_argument("--conf", required=True, help="ceph.conf")
    parser.add_argument("--id", default="mesh", help="the key")
    parser.add_argument("--ceph-dev", required=True, help="scripts/ceph-dev")
    parser.add_argument("--dir", required=True, help="of that cluster")
    parser.add_argument("--deaths", type=int, default=2)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="meshfs-osd.")

    def ceph_dev(*command):
        subprocess.run([arguments.ceph_dev, *command, "--dir", arguments.dir], check=True, stdout=subprocess.DEVNULL)

    def mount():
        subprocess.run([arguments.meshfs, "mount", arguments.source, folder, "-o",
                        f"conf={arguments.conf},id={arguments.id}"], check=True)

    mount()
    loads = [Load(os.path.join(folder, f"load{i}"), i) for i in range(4)]
    why = None
    try:
        for load in loads:
            load.start()
        for _ in range(arguments.deaths):
            time.sleep(3)
            ceph_dev("kill-osd", "0")
            time.sleep(3)
            ceph_dev("start-osd", "0")
        before = [load.count.value for load in loads]
        until = time.monotonic() + 120
        while time.monotonic() < until and any(load.count.value <= was and load.is_alive()
                                               for load, was in zip(loads, before)):
            time.sleep(0.1)
        assert all(load.count.value > was for load, was in zip(loads, before)), "no progress two minutes after its return"
    except Exception as error:  # pylint: disable=broad-except
        why = error
    try:
        assert all([load.end() for load in loads]), "a call failed"
        if why:
            raise why
        subprocess.run(["umount", folder], check=True)
        mount()
        for load in loads:
            load.compare_all()
        print(f"passed   {arguments.deaths} deaths of an OSD, {sum(load.count.value for load in loads)} files", flush=True)
        passed = True
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc(file=sys.stdout)
        print("FAILED   an OSD died", flush=True)
        passed = False
    subprocess.run(["umount", folder], check=False)
    shutil.rmtree(folder, ignore_errors=True)
    print(f"osd-dies: {int(passed)} passed, {int(not passed)} failed, 0 skipped")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
