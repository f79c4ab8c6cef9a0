#!/usr/bin/env python3
"""Measures mounts side by side: one round after the other, in each round every system once.  scripts/bench runs it."""
import argparse
import io
import json
import mmap
import multiprocessing
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tarfile
import time

FILES = 1000
SMALL_FILES = 2000
CREATES = 8000
SYNCED = 1600
SHARED = 2000
TREE_FILES = 20000
IO_BYTES = 4 << 20


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class System:
    """Something that can be mounted.  `fresh` begins a round: empty, and with nothing cached anywhere."""

    def __init__(self, name, folder, mount, umount, make=None, parts=None, store_calls=None, memory=None,
                 is_shared=False):
        self.memory = memory  # of the mount's process, in KiB; None: it cannot tell
        self.is_shared = is_shared  # several mounts of it can be there
        self.parts = parts  # those that can be asked of it; None: all
        self.store_calls = store_calls  # how many the mount has made; None: it cannot tell
        self.name, self.folder, self.mount_command, self.umount_command, self.make = name, folder, mount, umount, make
        self.is_mounted = False
        self.seconds = []  # how to unmount the others
        os.makedirs(folder, exist_ok=True)

    def mount(self):
        run(*self.mount_command)
        self.is_mounted = True

    def umount(self):
        while self.seconds:
            run(*self.seconds.pop())
        if self.is_mounted:
            run(*self.umount_command)
        self.is_mounted = False

    def remount(self):
        self.umount()
        drop_caches()
        self.mount()

    def second(self):
        """Another mount of the same; it is unmounted with the first."""
        folder = f"{self.folder}-second"
        os.makedirs(folder, exist_ok=True)
        run(*(folder if word == self.folder else word for word in self.mount_command))
        self.seconds.append([folder if word == self.folder else word for word in self.umount_command])
        return folder

    def fresh(self):
        self.umount()
        if self.make:
            self.make()
        drop_caches()
        self.mount()


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def per_second(count, work):
    begin = time.monotonic()
    work()
    return count / (time.monotonic() - begin)


# --- what is measured: each yields (row, figure)


def names(system, _):
    folder = os.path.join(system.folder, "names")
    os.mkdir(folder)
    files = [os.path.join(folder, f"file-{i:04}") for i in range(FILES)]

    def create():
        for file in files:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    yield "create, files/s", per_second(FILES, create)
    system.remount()
    yield "stat, cold, files/s", per_second(FILES, lambda: [os.stat(file) for file in files])
    yield "stat again, files/s", per_second(FILES, lambda: [os.stat(file) for file in files])
    yield "unlink, files/s", per_second(FILES, lambda: [os.unlink(file) for file in files])


def at_once(work, arguments):
    """A process for each."""
    children = [multiprocessing.Process(target=work, args=each) for each in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0


def make_files(folder, maker, count, is_synced=False):
    content = os.urandom(4096)
    for i in range(count):
        made = os.open(os.path.join(folder, f"{maker}-{i:05}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.write(made, content)
        if is_synced:
            os.fsync(made)
        os.close(made)


def creates(system, _):
    """By one process, and by eight in one directory."""
    for makers in (1, 8):
        folder = os.path.join(system.folder, f"creates-{makers}")
        os.mkdir(folder)
        each = [(folder, maker, CREATES // makers) for maker in range(makers)]
        yield f"files of 4 KiB made, {makers} at once, /s", per_second(CREATES, lambda: at_once(make_files, each))


def synced(system, _):
    """Each file is durable before the next is made."""
    for makers in (1, 16):
        folder = os.path.join(system.folder, f"synced-{makers}")
        os.mkdir(folder)
        each = [(folder, maker, SYNCED // 16, True) for maker in range(makers)]
        rate = per_second(SYNCED // 16 * makers, lambda: at_once(make_files, each))
        yield f"files of 4 KiB made and fsynced, {makers} at once, /s", rate


def shared(system, _):
    """Two mounts, a process on each."""
    mounts = [system.folder, system.second()]

    def stat_all(folder, maker):
        for i in range(SHARED):
            os.stat(os.path.join(folder, f"{maker}-{i:05}"))

    def remove_all(folder, maker):
        for i in range(SHARED):
            os.unlink(os.path.join(folder, f"{maker}-{i:05}"))

    def rate_of(work, each):
        return per_second(SHARED * len(each), lambda: at_once(work, each))

    os.mkdir(f"{mounts[0]}/one")
    folders = [f"{mount}/one" for mount in mounts]
    yield "one directory, two mounts: made, /s", rate_of(make_files, [(folders[i], i, SHARED) for i in (0, 1)])
    yield "one directory, two mounts: the other's seen, /s", rate_of(stat_all, [(folders[i], 1 - i) for i in (0, 1)])
    yield "one directory, two mounts: the other's removed, /s", rate_of(remove_all, [(folders[i], 1 - i) for i in (0, 1)])
    for name in ("alone", "a", "b"):
        os.mkdir(f"{mounts[0]}/{name}")
    yield "one mount in its directory: made, /s", rate_of(make_files, [(f"{mounts[0]}/alone", 0, SHARED)])
    each = [(f"{mounts[0]}/a", 0, SHARED), (f"{mounts[1]}/b", 0, SHARED)]
    yield "two mounts in two directories: made, /s", rate_of(make_files, each)


def directory(system, arguments):
    """One with many names."""
    folder = os.path.join(system.folder, "directory")
    os.mkdir(folder)
    piece = min(10_000, arguments.names // 4)

    def create(first, end):
        for i in range(first, end):
            os.close(os.open(f"{folder}/{i:08}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    yield "the first names of a directory made, /s", per_second(piece, lambda: create(0, piece))
    create(piece, arguments.names - piece)
    yield "the last names made, /s", per_second(piece, lambda: create(arguments.names - piece, arguments.names))
    if system.memory:
        yield "  memory of the daemon, KiB for 1,000 names", system.memory() * 1000 / arguments.names
    system.remount()

    def list_begin():
        with os.scandir(folder) as entries:
            next(entries)

    yield "first name listed, ms", 1000 / per_second(1, list_begin)
    yield "all listed, names/s", per_second(arguments.names, lambda: run("sh", "-c", f"ls -f '{folder}' | wc -l"))


def calls_of(system, work):
    """What `work` yields, and the calls of the store that it made."""
    before = system.store_calls() if system.store_calls else None
    made = work()
    return made, system.store_calls() - before if system.store_calls else None


def small(system, _):
    for kib in (4, 16, 64):
        folder = os.path.join(system.folder, f"small-{kib}")
        os.mkdir(folder)
        files = [os.path.join(folder, f"file-{i:05}") for i in range(SMALL_FILES)]
        content = os.urandom(kib << 10)

        def create():
            for file in files:
                made = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
                os.write(made, content)
                os.close(made)
            run("sync", "-f", folder)

        def read():
            for file in files:
                found = os.open(file, os.O_RDONLY)
                os.read(found, len(content))
                os.close(found)

        rate, calls = calls_of(system, lambda: per_second(SMALL_FILES, create))
        yield f"files of {kib} KiB made and synced, /s", rate
        if calls is not None:
            yield f"  calls of the store for 1,000 of {kib} KiB", calls * 1000 / SMALL_FILES
        system.remount()
        yield f"files of {kib} KiB read cold, /s", per_second(SMALL_FILES, read)
        yield f"rm -r of files of {kib} KiB, /s", per_second(SMALL_FILES, lambda: run("rm", "-r", folder))


def make_tree(path):
    """A tar of a tree shaped as Linux' sources are: a dozen files a directory, half of them below 5 KiB, a few large."""
    chance = random.Random(1)
    noise = chance.randbytes(4 << 20)
    directories = ["tree"]
    with tarfile.open(path, "w") as tar:
        for i in range(TREE_FILES):
            if i % 12 == 0:
                above = chance.choice(directories[-200:])
                directories.append(f"{above if above.count('/') < 6 else 'tree'}/directory-{i}")
            entry = tarfile.TarInfo(f"{directories[-1]}/file-{i}.c")
            entry.size = min(int(chance.lognormvariate(8.5, 1.4)), 1 << 20)
            begin = chance.randrange(3 << 20)
            tar.addfile(entry, io.BytesIO(noise[begin:begin + entry.size]))


def tree(system, arguments):
    path = arguments.tree or os.path.join(os.path.dirname(system.folder), "tree.tar")
    if not os.path.exists(path):
        make_tree(path)
    folder = os.path.join(system.folder, "tree")
    os.mkdir(folder)
    untar = f"tar -x --no-same-owner -f '{path}' -C '{folder}' && sync -f '{folder}'"
    seconds, calls = calls_of(system, lambda: 1 / per_second(1, lambda: run("sh", "-c", untar)))
    files = int(run("sh", "-c", f"find '{folder}' -type f | wc -l"))
    yield "untar and sync, files/s", files / seconds
    if calls is not None:
        yield "  calls of the store for 1,000 files", calls * 1000 / files
    system.remount()
    yield "find -ls, cold, files/s", per_second(files, lambda: run("find", folder, "-ls"))
    system.remount()
    yield "tar c, cold, files/s", per_second(files, lambda: run("sh", "-c", f"tar -c -f - -C '{folder}' . | cat > /dev/null"))
    system.remount()
    yield "rm -rf, files/s", per_second(files, lambda: run("rm", "-rf", folder))


def streams(system, arguments):
    size = arguments.size << 20
    path = os.path.join(system.folder, "stream")
    piece = mmap.mmap(-1, IO_BYTES)
    piece.write(os.urandom(IO_BYTES))

    def write():
        file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        for _ in range(size // IO_BYTES):
            os.write(file, piece)
        os.fsync(file)
        os.close(file)

    def read():
        file = os.open(path, os.O_RDONLY)
        while os.readv(file, [piece]) > 0:
            pass
        os.close(file)

    yield "write and fsync, MiB/s", per_second(size >> 20, write)
    system.remount()
    yield "read, MiB/s", per_second(size >> 20, read)
    system.remount()
    for jobs in (1, 16):
        told = run("fio", "--name=r", f"--filename={path}", "--rw=randread", "--bs=4k", f"--size={size}", "--direct=1",
                   "--ioengine=psync", f"--numjobs={jobs}", "--group_reporting", "--time_based", "--runtime=4",
                   "--output-format=json")
        yield f"4 KiB random reads, {jobs} at once, /s", json.loads(told)["jobs"][0]["read"]["iops"]
    os.unlink(path)


PARTS = {"names": names, "creates": creates, "synced": synced, "shared": shared, "small": small, "tree": tree,
         "directory": directory, "streams": streams}


def rados_bench(rados, seconds):
    def bandwidth(*arguments):
        told = run(*rados, "bench", str(seconds), *arguments)
        return float(re.search(r"Bandwidth \(MB/sec\):\s+([\d.]+)", told).group(1))

    yield "write and fsync, MiB/s", bandwidth("write", "-b", "4M", "-t", "16", "--no-cleanup")
    yield "read, MiB/s", bandwidth("seq", "-t", "16")
    run(*rados, "cleanup")


# --- the systems


def calls_told(meshfs, folder):
    told = json.loads(run(meshfs, "status", folder, "--json"))
    return sum(call["calls"] for call in told["store"]["calls"])


def memory_told(meshfs, folder):
    process = json.loads(run(meshfs, "status", folder, "--json"))["pid"]
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{process}/status").read()).group(1))


def systems_of(arguments):
    scratch, conf = arguments.scratch, arguments.conf
    meshfs = arguments.meshfs
    all_systems = {}

    def meshfs_on(key, name, source, options, make):
        folder = f"{scratch}/{key}"
        all_systems[key] = System(name, folder, [meshfs, "mount", source, folder, *options], [meshfs, "umount", folder], make,
                                  store_calls=lambda: calls_told(meshfs, folder), memory=lambda: memory_told(meshfs, folder),
                                  is_shared=source.startswith("rados:"))

    def make_rados():
        run("rados", "-c", conf, "-p", "meshfs", "purge", "meshfs", "--yes-i-really-really-mean-it")
        run(meshfs, "format", "rados:meshfs", "-o", f"conf={conf}")

    def make_local():
        run("rm", "-rf", f"{scratch}/volume")
        run(meshfs, "format", f"{scratch}/volume")

    def make_ext4():
        run("rm", "-f", f"{scratch}/image")
        run("truncate", "-s", "8G", f"{scratch}/image")
        run("mkfs.ext4", "-q", f"{scratch}/image")

    meshfs_on("rados", "MeshFS, RADOS", "rados:meshfs", ["-o", f"conf={conf}"], make_rados)
    folder = f"{scratch}/cephfs"
    all_systems["ceph-fuse"] = System("ceph-fuse", folder, ["ceph-fuse", "-c", conf, folder], ["umount", folder],
                                      None, is_shared=True)
    meshfs_on("local", "MeshFS, directory", f"{scratch}/volume", [], make_local)
    folder = f"{scratch}/ext4"
    all_systems["ext4"] = System("ext4, loop", folder, ["mount", "-o", "loop", f"{scratch}/image", folder],
                                 ["umount", folder], make_ext4)
    folder = f"{scratch}/nothing"
    nothing = os.path.join(os.path.dirname(meshfs), "../test/bench/nothing")
    all_systems["nothing"] = System("FUSE, nothing", folder, [nothing, folder], ["umount", folder], None, ["creates"])
    return [all_systems[key] for key in arguments.systems.split(",")]


def clean(system):
    """A round leaves nothing, where the system is not made anew."""
    if system.is_mounted and not system.parts:
        run("rm", "-rf", *(f"{system.folder}/{name}" for name in os.listdir(system.folder) if name != "lost+found"))


# --- telling


def machine(arguments):
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read()).group(1)) >> 20
    print(f"machine   {cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} processors, {memory} GiB, "
          f"Linux {platform.release()}")
    print(f"versions  {run(arguments.meshfs, '--version').strip()}; {run('ceph', '--version').strip()}; "
          f"{run('fio', '--version').strip()}")
    print(f"load      {os.getloadavg()[0]:.1f} when it began")
    print(f"settings  {arguments.rounds} rounds, {FILES} names, {SMALL_FILES} small files, streams of {arguments.size} MiB in writes of 4 MiB; "
          f"mounted anew before stat, read and random reads; {arguments.cluster}")


def table(figures, names_of_systems):
    rows = list(dict.fromkeys(row for row, _ in figures))
    for row in rows:
        print(f"\n{row}")
        mesh = figures.get((row, "MeshFS, RADOS"))
        for name in names_of_systems:
            got = figures.get((row, name))
            if not got:
                continue
            line = f"  {name:<20} {min(got):>10,.0f} {statistics.median(got):>10,.0f} {max(got):>10,.0f}"
            if mesh and name != "MeshFS, RADOS":
                ratio = statistics.median(a / b for a, b in zip(mesh, got))
                line += f"   MeshFS on RADOS: {ratio:.2f} of it"
            print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meshfs", required=True, help="the program")
    parser.add_argument("--conf", help="ceph.conf of a cluster with a pool meshfs and a CephFS")
    parser.add_argument("--scratch", required=True, help="an empty folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="MiB of a stream")
    parser.add_argument("--systems", default="rados,ceph-fuse,local,ext4,nothing")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--names", type=int, default=100_000, help="of the part directory")
    parser.add_argument("--tree", help="a tar to unpack instead of a made-up tree")
    parser.add_argument("--cluster", default="", help="what to say about the cluster")
    arguments = parser.parse_args()
    systems = systems_of(arguments)
    rados = ["rados", "-c", arguments.conf, "-p", "meshfs"]
    machine(arguments)
    figures = {}

    def note(name, row, figure):
        figures.setdefault((row, name), []).append(figure)
        print(f"{row:<36} {name:<20} {figure:,.0f}", file=sys.stderr)

    try:
        for turn in range(arguments.rounds):
            # Another one begins each round.
            order = systems[turn % len(systems):] + systems[:turn % len(systems)]
            for part in arguments.parts.split(","):
                for system in order:
                    if (system.parts and part not in system.parts) or (part == "shared" and not system.is_shared):
                        continue
                    system.fresh()
                    for row, figure in PARTS[part](system, arguments):
                        note(system.name, row, figure)
                    clean(system)
                    system.umount()
                if part == "streams" and arguments.conf:
                    for row, figure in rados_bench(rados, 8):
                        note("rados bench", row, figure)
    finally:
        for system in systems:
            system.umount()
    print("\nminimum, median, maximum of the rounds; ratios are medians of those within a round")
    table(figures, [system.name for system in systems] + ["rados bench"])


if __name__ == "__main__":
    main()
