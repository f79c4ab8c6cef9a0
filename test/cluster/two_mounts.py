#!/usr/bin/env python3
"""Two mounts of one volume on a real Ceph.  test/cluster/run calls it; --help has the rest.

Each test is a function; the two mounts are processes of their own.  Nothing is waited for by time: a name that one mount
has answered for must be there for the other at its next call.
"""
import argparse
import contextlib
import errno
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback


class Mount:
    def __init__(self, arguments, name):
        self.arguments, self.folder = arguments, os.path.join(arguments.scratch, name)
        os.makedirs(self.folder, exist_ok=True)
        self.process = None

    def mount(self, *options):
        """In the foreground, so that its process is known."""
        log = open(self.folder + ".log", "a")
        self.process = subprocess.Popen(
            [self.arguments.meshfs, "mount", self.arguments.source, self.folder, "-o",
             ",".join(["fg", f"conf={self.arguments.conf}", f"id={self.arguments.id}",
                       *filter(None, self.arguments.options.split(",")), *options])], stdout=log, stderr=log)
        while not os.path.ismount(self.folder):
            if self.process.poll() is not None:
                raise RuntimeError(f"the mount ended at once; see {self.folder}.log")
            time.sleep(0.01)

    def umount(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        subprocess.run(["umount", self.folder], check=False, capture_output=True)
        self.process.wait()
        self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)
        self.process = None

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def status(self):
        told = subprocess.run([self.arguments.meshfs, "status", "--json", self.folder], check=True, capture_output=True)
        return json.loads(told.stdout)


def sync(mount):
    folder = os.open(mount.folder, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Skip(Exception):
    pass


def write(path, data, flags=os.O_CREAT | os.O_TRUNC):
    file = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def read(path):
    with open(path, "rb", buffering=0) as file:
        return file.read()


def exists(path):
    try:
        os.lstat(path)
        return True
    except FileNotFoundError:
        return False


def need_locks(path):
    """Appends of several mounts stand on them, too."""
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise Skip("no locks across mounts yet")
        raise
    finally:
        os.close(file)


def together(*works):
    """Runs them at the same time, each in a process, and says what each answered: an exit code."""
    children = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = work() or 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


# --- names and attributes: at once


def test_a_name_made_here_is_there(a, b, rounds):
    for i in range(rounds):
        here, there = (a, b) if i % 2 == 0 else (b, a)
        name = f"n{i}"
        assert not exists(there.path(name))  # an absent name is not remembered either
        write(here.path(name), b"")
        os.stat(there.path(name))
        os.chmod(there.path(name), 0o600 + i % 64)
        assert os.stat(here.path(name)).st_mode & 0o777 == 0o600 + i % 64
        os.rename(here.path(name), here.path(name + "-moved"))
        assert not exists(there.path(name))
        os.unlink(there.path(name + "-moved"))
        assert not exists(here.path(name + "-moved"))


def count(mount, operation):
    """How often the kernel has asked that."""
    return sum(o["count"] for o in mount.status()["operations"] if o["name"] == operation)


def test_what_the_kernel_keeps_is_taken_back(a, b, rounds):
    """Each round in a directory of its own, which `a` has for itself until `b` wants to change it."""
    for i in range(rounds):
        directory = f"kept{i}"
        os.mkdir(a.path(directory))
        write(a.path(directory, "f"), b"")
        opened = [os.open(a.path(directory, "f"), os.O_RDONLY), os.open(a.path(directory), os.O_RDONLY)]
        before = count(a, "getattr") if i == 0 else 0
        os.stat(a.path(directory, "f"))
        for _ in range(20):
            os.fstat(opened[0])
        assert not exists(a.path(directory, "g"))
        if i == 0:
            assert count(a, "getattr") - before < 10, "the kernel keeps nothing"
        os.chmod(b.path(directory, "f"), 0o600 + i % 64)
        assert os.stat(a.path(directory, "f")).st_mode & 0o777 == 0o600 + i % 64
        assert os.fstat(opened[0]).st_mode & 0o777 == 0o600 + i % 64
        os.rename(b.path(directory, "f"), b.path(directory, "g"))
        os.mkdir(b.path(directory, "d"))
        assert os.fstat(opened[1]).st_nlink == 3
        assert not exists(a.path(directory, "f")) and exists(a.path(directory, "g"))
        for file in opened:
            os.close(file)


def test_who_comes_second_changes_no_name_that_is_kept(a, b, rounds):
    """A mount that is alone lets its kernel keep names, and gives nothing up before that is over."""
    for i in range(min(rounds, 5)):
        a.umount()
        b.umount()
        a.mount()
        os.makedirs(a.path(f"second{i}", "d"))
        write(a.path(f"second{i}", "d", "f"), b"")
        before = count(a, "lookup")
        for _ in range(50):
            os.stat(a.path(f"second{i}", "d", "f"))
        if i == 0:
            assert count(a, "lookup") - before < 100, "a mount alone keeps no names"
        b.mount()
        is_over = threading.Event()

        def look():
            while not is_over.is_set():
                exists(a.path(f"second{i}", "d", "f"))
                exists(a.path(f"second{i}", "e", "g"))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            os.rename(b.path(f"second{i}", "d", "f"), b.path(f"second{i}", "d", "g"))
            assert not exists(a.path(f"second{i}", "d", "f")) and exists(a.path(f"second{i}", "d", "g"))
            os.rename(b.path(f"second{i}", "d"), b.path(f"second{i}", "e"))
            assert not exists(a.path(f"second{i}", "d")) and exists(a.path(f"second{i}", "e", "g"))
            os.unlink(b.path(f"second{i}", "e", "g"))
            assert not exists(a.path(f"second{i}", "e", "g"))
        finally:
            is_over.set()
            looking.join()


def test_what_is_mounted_inside_stays(a, b, rounds):
    """Whatever the other mount changes: a mount point below is no name that can be forgotten."""
    inside = a.path("inside", "point")
    os.makedirs(inside)
    subprocess.run(["mount", "-t", "tmpfs", "none", inside], check=True)
    try:
        write(os.path.join(inside, "there"), b"")
        with open(a.path("opened"), "wb"):
            pass
        held = os.open(a.path("opened"), os.O_RDONLY)
        for i in range(min(rounds, 20)):
            write(b.path("inside", f"f{i}"), b"")
            write(b.path(f"beside-{i}"), b"")
            assert exists(os.path.join(inside, "there")), "what was mounted inside is gone"
            os.stat(a.path("opened"))
            assert "deleted" not in os.readlink(f"/proc/self/fd/{held}")
        os.close(held)
    finally:
        subprocess.run(["umount", inside], check=True)


def test_a_listing_has_what_the_other_made(a, b, rounds):
    os.mkdir(a.path("listed"))
    for i in range(rounds // 4):
        write((a, b)[i % 2].path("listed", f"f{i}"), b"")
        assert sorted(os.listdir((b, a)[i % 2].path("listed"))) == sorted(f"f{n}" for n in range(i + 1))


def test_one_maker_of_a_name(a, b, rounds):
    def maker(mount):
        won = 0
        for i in range(rounds):
            try:
                os.close(os.open(mount.path(f"x{i}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                won |= 1
                write(mount.path(f"won-{i}-{os.path.basename(mount.folder)}"), b"")
            except FileExistsError:
                pass
        return 0

    assert together(lambda: maker(a), lambda: maker(b)) == [0, 0]
    for i in range(rounds):
        winners = [m for m in (a, b) if exists(a.path(f"won-{i}-{os.path.basename(m.folder)}"))]
        assert len(winners) == 1, f"name x{i} was made by {len(winners)}"


def test_two_in_one_directory(a, b, rounds):
    os.mkdir(a.path("shared"))

    def worker(mount, mark):
        for i in range(rounds):
            write(mount.path("shared", f"{mark}{i}"), mark.encode())
            if i % 3 == 0:
                os.unlink(mount.path("shared", f"{mark}{i}"))

    assert together(lambda: worker(a, "a"), lambda: worker(b, "b")) == [0, 0]
    expected = sorted(f"{mark}{i}" for mark in "ab" for i in range(rounds) if i % 3 != 0)
    assert sorted(os.listdir(a.path("shared"))) == expected
    assert sorted(os.listdir(b.path("shared"))) == expected
    leases = [mount.status()["leases"] for mount in (a, b)]
    assert any(c["directory"] == "/shared" for told in leases for c in told["contended"]), leases
    assert sum(told["recalls"] for told in leases) > 0, leases


def test_each_looks_at_and_removes_what_the_other_made(a, b, rounds):
    """In turns without a pause: what a pipe tells is there when it is told, and gone once the other has removed it."""
    os.mkdir(a.path("both"))
    to_a, to_b = os.pipe(), os.pipe()

    def worker(mount, mark, told, tells):
        with os.fdopen(told, "r") as told, os.fdopen(tells, "w", buffering=1) as tells:
            for i in range(rounds):
                write(mount.path("both", f"{mark}{i}"), f"{mark}{i}".encode())
                print(f"{mark}{i}", file=tells)
                other = told.readline().strip()
                assert i == 0 or not exists(mount.path("both", f"{mark}{i - 1}")), f"{mark}{i - 1} is shown, and was removed"
                assert os.stat(mount.path("both", other)).st_size == len(other)
                assert read(mount.path("both", other)) == other.encode()
                if i % 16 == 0:
                    assert other in os.listdir(mount.path("both"))
                os.unlink(mount.path("both", other))
                assert not exists(mount.path("both", other))

    assert together(lambda: worker(a, "a", to_a[0], to_b[1]), lambda: worker(b, "b", to_b[0], to_a[1])) == [0, 0]
    for end in (*to_a, *to_b):
        os.close(end)
    assert os.listdir(a.path("both")) == os.listdir(b.path("both")) == []


# --- bytes: close to open


def test_what_was_closed_is_read(a, b, rounds):
    for i in range(rounds):
        here, there = (a, b) if i % 2 == 0 else (b, a)
        data = os.urandom(random.choice((10, 5000, 70_000, 300_000)))
        write(here.path("bytes"), data)
        assert os.stat(there.path("bytes")).st_size == len(data)
        assert read(there.path("bytes")) == data


def test_who_follows_a_file_reads_no_zeros(a, b, rounds):
    """The page of the old end was cached with zeros behind it, and the size is new."""
    follower = os.open(b.path("log"), os.O_RDONLY | os.O_CREAT)
    writer = os.open(a.path("log"), os.O_WRONLY | os.O_APPEND)
    wrote = got = b""
    for i in range(rounds):
        line = b"line %05d\n" % i
        os.write(writer, line)
        os.fsync(writer)
        wrote += line
        os.stat(b.path("log"))
        got += os.read(follower, 4096)
        assert wrote.startswith(got), f"read {got[-60:]}"
    os.close(writer)
    os.close(follower)


def test_a_part_overwritten_there_is_read_here(a, b, rounds):
    data = bytearray(os.urandom(200_000))
    write(a.path("part"), data)
    for i in range(rounds):
        here, there = (a, b) if i % 2 == 0 else (b, a)
        at, piece = random.randrange(150_000), os.urandom(random.randrange(1, 50_000))
        file = os.open(here.path("part"), os.O_RDWR)
        os.pwrite(file, piece, at)
        os.close(file)
        data[at:at + len(piece)] = piece
        assert read(there.path("part")) == data


def test_appends_of_both_are_all_there(a, b, rounds):
    def appender(mount, mark):
        file = os.open(mount.path("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for i in range(rounds):
            line = f"{mark} {i}\n".encode()
            if os.write(file, line) != len(line):
                return 1
        os.close(file)

    write(a.path("log"), b"")
    need_locks(a.path("log"))
    assert together(lambda: appender(a, "a"), lambda: appender(b, "b")) == [0, 0]
    lines = read(a.path("log")).decode().splitlines()
    for mark in "ab":
        assert [line for line in lines if line.startswith(mark)] == [f"{mark} {i}" for i in range(rounds)]


# --- locks


def count_under(mount, lock, rounds):
    for _ in range(rounds):
        file = os.open(mount.path("counter"), os.O_RDWR)
        lock(file)
        number = int(os.pread(file, 20, 0))
        os.pwrite(file, str(number + 1).encode(), 0)
        os.close(file)


def exclusion(a, b, rounds, lock):
    write(a.path("counter"), b"0")
    need_locks(a.path("counter"))
    assert together(lambda: count_under(a, lock, rounds), lambda: count_under(b, lock, rounds)) == [0, 0]
    assert int(read(a.path("counter"))) == 2 * rounds


def test_flock_excludes(a, b, rounds):
    exclusion(a, b, rounds // 2, lambda file: fcntl.flock(file, fcntl.LOCK_EX))


def test_posix_locks_exclude(a, b, rounds):
    exclusion(a, b, rounds // 2, lambda file: fcntl.lockf(file, fcntl.LOCK_EX))


# --- directories on the move


def can_move(a):
    os.makedirs(a.path("probe", "from", "child"), exist_ok=True)
    os.makedirs(a.path("probe", "to"), exist_ok=True)
    try:
        os.rename(a.path("probe", "from", "child"), a.path("probe", "to", "child"))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EXDEV):
            raise Skip("directories do not move yet")
        raise
    shutil.rmtree(a.path("probe"))


def test_crossing_moves_lose_nothing(a, b, rounds):
    can_move(a)
    for i in range(rounds // 4):
        top = f"cross{i}"
        os.makedirs(a.path(top, "x"))
        os.makedirs(a.path(top, "y"))

        def move(mount, what, into):
            try:
                os.rename(mount.path(top, what), mount.path(top, into, what))
                return 0
            except OSError as error:
                return error.errno

        codes = together(lambda: move(a, "x", "y"), lambda: move(b, "y", "x"))
        assert codes.count(0) == 1, f"round {i}: exactly one of two crossing moves may succeed, they said {codes}"
        moved, into = ("x", "y") if codes[0] == 0 else ("y", "x")
        assert max(codes) in (errno.EINVAL, errno.ENOENT), codes
        assert exists(b.path(top, into, moved))
        shutil.rmtree(a.path(top))


def test_what_is_made_under_a_moving_directory_is_there(a, b, rounds):
    can_move(a)
    os.makedirs(a.path("one", "home"))
    os.makedirs(a.path("two"))
    made_log = os.path.join(a.arguments.scratch, "made")

    def mover():
        for i in range(rounds):
            source, target = ("one", "two") if i % 2 == 0 else ("two", "one")
            os.rename(a.path(source, "home"), a.path(target, "home"))

    def maker():
        with open(made_log, "w") as log:
            for i in range(rounds):
                for parent in ("one", "two"):
                    try:
                        os.close(os.open(b.path(parent, "home", f"f{i}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                        log.write(f"f{i}\n")
                        break
                    except FileNotFoundError:
                        pass
                    except FileExistsError:
                        break

    assert together(mover, maker) == [0, 0]
    home = "one" if exists(a.path("one", "home")) else "two"
    expected = sorted(open(made_log).read().split())
    assert sorted(os.listdir(a.path(home, "home"))) == expected
    assert sorted(os.listdir(b.path(home, "home"))) == expected


# --- one of them is away


def test_a_killed_mount_takes_nothing_with_it(a, b, rounds):
    os.mkdir(a.path("kept"))
    for i in range(rounds // 4):
        file = os.open(a.path("kept", f"f{i}"), os.O_CREAT | os.O_WRONLY)
        os.write(file, f"bytes {i}".encode())
        os.fsync(file)
        os.close(file)
    a.kill()
    for i in range(rounds // 4):
        assert read(b.path("kept", f"f{i}")) == f"bytes {i}".encode()
    write(b.path("kept", "after"), b"goes on")
    shutil.rmtree(b.path("kept"))
    a.mount()


def test_a_frozen_mount_shows_nothing_stale(a, b, rounds):
    write(a.path("frozen"), b"before")
    os.stat(a.path("frozen"))
    a.process.send_signal(signal.SIGSTOP)
    try:
        write(b.path("frozen"), b"behind its back")
        os.rename(b.path("frozen"), b.path("thawed"))
    finally:
        a.process.send_signal(signal.SIGCONT)
    assert not exists(a.path("frozen"))
    assert read(a.path("thawed")) == b"behind its back"


def test_one_that_was_alone_and_froze_shows_nothing_stale(a, b, rounds):
    """The newcomer waits for what the frozen one may still believe."""
    b.umount()
    a.umount()
    a.mount()
    for i in range(20):
        write(a.path(f"alone{i}"), b"before")
        os.stat(a.path(f"alone{i}"))
    sync(a)
    a.process.send_signal(signal.SIGSTOP)
    try:
        b.mount()
        for i in range(20):
            os.unlink(b.path(f"alone{i}"))
    finally:
        a.process.send_signal(signal.SIGCONT)
    for i in range(20):
        assert not exists(a.path(f"alone{i}")), f"alone{i} is still shown"


def test_one_that_was_declared_dead_goes_on(a, b, rounds):
    """What it had not stored is an error once; what others did meanwhile stays; then it works as before."""
    shutil.rmtree(a.path("anew"), ignore_errors=True)
    os.makedirs(a.path("anew"))
    kept = os.open(a.path("anew", "kept"), os.O_RDWR | os.O_CREAT)
    os.write(kept, b"kept")
    os.fsync(kept)
    sync(a)
    os.pwrite(kept, b"LOST", 0)
    a.process.send_signal(signal.SIGSTOP)
    try:
        write(b.path("anew", "of-b"), b"of b")     # wants the folder, or takes it over
        write(b.path("anew", "kept"), b"taken by b", 0)  # wants to write: the frozen one's place must be taken
        os.rename(b.path("anew", "of-b"), b.path("anew", "renamed"))
    finally:
        a.process.send_signal(signal.SIGCONT)
    assert read(a.path("anew", "renamed")) == b"of b"
    assert read(a.path("anew", "kept")) == b"taken by b"
    told = 0
    for _ in range(2):
        try:
            os.fsync(kept)
        except OSError as error:
            assert error.errno == errno.EIO
            told += 1
    os.close(kept)
    assert told == 1, "what was lost is told once"
    with contextlib.suppress(OSError):
        sync(a)  # so may names be
    write(a.path("anew", "kept"), b"and a again", 0)
    assert read(b.path("anew", "kept")) == b"and a again"
    os.makedirs(a.path("anew", "made", "after"))
    sync(a)
    assert os.listdir(b.path("anew", "made")) == ["after"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshfs", required=True, help="the program")
    parser.add_argument("--source", required=True, help="rados:POOL/VOLUME, formatted")
    parser.add_argument("--conf", required=True, help="ceph.conf")
    parser.add_argument("--id", default="mesh", help="the key")
    parser.add_argument("--options", default="", help="of both mounts, beside conf= and id=")
    parser.add_argument("--rounds", type=int, default=100, help="of each test; 10000 for an evening")
    parser.add_argument("--only", default="", help="tests with this in their names")
    arguments = parser.parse_args()
    arguments.scratch = tempfile.mkdtemp(prefix="meshfs-two.")
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_") and arguments.only in name]
    a, b = Mount(arguments, "a"), Mount(arguments, "b")
    passed = failed = skipped = 0
    try:
        for name, test in tests:
            for mount in (a, b):
                if mount.process is None:
                    mount.mount()
            begin = time.monotonic()
            try:
                test(a, b, arguments.rounds)
                passed += 1
                print(f"passed   {name} ({time.monotonic() - begin:.1f} s)", flush=True)
            except Skip as why:
                skipped += 1
                print(f"skipped  {name}: {why}", flush=True)
            except Exception:
                failed += 1
                traceback.print_exc(file=sys.stdout)
                print(f"FAILED   {name}", flush=True)
    finally:
        for mount in (a, b):
            mount.umount()
        if failed == 0:
            shutil.rmtree(arguments.scratch)
        else:
            print(f"logs of the mounts are in {arguments.scratch}")
    print(f"two-mounts: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
