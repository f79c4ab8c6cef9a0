"""Bytes, attributes, times and locks of files, as POSIX and Linux have them."""
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import signal
import stat
import struct
import subprocess
import sys
import time

from harness import become_nobody, fails_with, in_child, need, read_file, sh, test, write_file

LARGEST = (1 << 63) - 1


@test
def large_file_keeps_its_bytes_over_a_remount(m):
    content = os.urandom(20 << 20)
    write_file(m.path("big"), content)
    assert hashlib.sha256(read_file(m.path("big"))).digest() == hashlib.sha256(content).digest()
    m.remount()
    assert hashlib.sha256(read_file(m.path("big"))).digest() == hashlib.sha256(content).digest()


@test
def sparse_and_cut(m):
    with open(m.path("f"), "w+b") as file:
        file.truncate(10 << 20)
        file.seek(5 << 20)
        file.write(b"middle")
        file.flush()
        file.truncate((5 << 20) + 3)
        file.truncate((5 << 20) + 6)
        file.seek(5 << 20)
        assert file.read() == b"mid\0\0\0"
        assert os.fstat(file.fileno()).st_blocks * 512 < 10 << 20


@test
def files_reach_to_the_last_byte(m):
    fd = os.open(m.path("f"), os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, LARGEST)
    assert os.fstat(fd).st_size == LARGEST
    os.pwrite(fd, b"end", LARGEST - 3)
    os.pwrite(fd, b"far", 1 << 62)
    assert os.pread(fd, 3, LARGEST - 3) == b"end" and os.pread(fd, 3, 1 << 62) == b"far"
    assert os.lseek(fd, 1, os.SEEK_DATA) > 1 << 61
    os.fsync(fd)
    os.ftruncate(fd, 10)
    os.ftruncate(fd, LARGEST)
    assert os.pread(fd, 3, 1 << 62) == b"\0\0\0"
    os.close(fd)
    m.remount()
    assert os.stat(m.path("f")).st_size == LARGEST
    os.unlink(m.path("f"))


@test
def mapped_writes_are_read(m):
    write_file(m.path("f"), b"\0" * 65536)
    with open(m.path("f"), "r+b") as file, mmap.mmap(file.fileno(), 65536) as mapped:
        mapped[40000:40005] = b"hello"
        mapped.flush()
    assert read_file(m.path("f"))[40000:40005] == b"hello"


@test
def appends_of_several_do_not_overwrite(m):
    line = "import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n" \
           "for i in range(300): os.write(fd, (sys.argv[2] * 40 + chr(10)).encode())"
    writers = [subprocess.Popen([sys.executable, "-c", line, m.path("log"), letter]) for letter in "abcd"]
    assert all(writer.wait(timeout=60) == 0 for writer in writers)
    lines = read_file(m.path("log")).split()
    assert len(lines) == 1200 and all(len(set(line)) == 1 and len(line) == 40 for line in lines)


@test
def appending_can_be_turned_on_and_off(m):
    f = m.path("f")
    fd = os.open(f, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"0123456789")
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    os.pwrite(fd, b"X", 1)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"end")
    os.close(fd)
    drop_caches = open("/proc/sys/vm/drop_caches", "w")
    drop_caches.write("1")
    drop_caches.close()
    assert open(f, "rb").read() == b"0X23456789end"


@test
def fallocate_in_every_mode_that_makes_sense(m):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    keep_size, punch, zero, collapse = 1, 2, 16, 8

    def fallocate(mode, offset, length):
        if libc.fallocate(fd, mode, offset, length) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")

    fd = os.open(m.path("f"), os.O_CREAT | os.O_RDWR)
    os.write(fd, b"a" * 100000)
    fallocate(punch | keep_size, 10, 50000)
    assert os.pread(fd, 100000, 0) == b"a" * 10 + bytes(50000) + b"a" * 49990
    fallocate(zero, 99990, 20)
    assert os.fstat(fd).st_size == 100010 and os.pread(fd, 30, 99980) == b"a" * 10 + bytes(20)
    fallocate(keep_size, 200000, 10)
    assert os.fstat(fd).st_size == 100010
    fallocate(0, 200000, 10)
    assert os.fstat(fd).st_size == 200010
    fails_with(errno.EOPNOTSUPP, fallocate, collapse, 0, 4096)
    fails_with(errno.EINVAL, fallocate, 0, 0, 0)
    os.close(fd)


@test
def holes_are_found(m):
    fd = os.open(m.path("f"), os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 64 << 20)
    os.pwrite(fd, b"x" * 4096, 32 << 20)
    os.fsync(fd)
    data = os.lseek(fd, 0, os.SEEK_DATA)
    hole = os.lseek(fd, data, os.SEEK_HOLE)
    assert 0 < data <= 32 << 20 and (32 << 20) + 4096 <= hole < 64 << 20, (data, hole)
    fails_with(errno.ENXIO, lambda: os.lseek(fd, hole, os.SEEK_DATA))
    os.close(fd)


@test
def birth_time_is_told(m):
    before = time.time()
    write_file(m.path("f"), b"x")
    born = float(sh(f"stat -c %.W {m.path('f')}"))
    assert before - 1 < born < time.time() + 1, born
    os.utime(m.path("f"), (1, 1))
    m.remount()
    assert float(sh(f"stat -c %.W {m.path('f')}")) == born


@test
def times_have_nanoseconds(m):
    write_file(m.path("f"), b"x")
    for atime, mtime in ((1_234_567_890_123_456_789, 1_987_654_321_987_654_321), (1, 999_999_999),
                         (-1, -5_000_000_001), (9_000_000_000_000_000_001, 0)):
        os.utime(m.path("f"), ns=(atime, mtime))
        m.remount()
        found = os.stat(m.path("f"))
        assert (found.st_atime_ns, found.st_mtime_ns) == (atime, mtime), found
    os.symlink("f", m.path("s"))
    os.utime(m.path("s"), ns=(5, 7), follow_symlinks=False)
    assert os.lstat(m.path("s")).st_mtime_ns == 7


@test
def a_stated_time_outlives_earlier_writes(m):
    fd = os.open(m.path("f"), os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"x" * 100000)
    os.utime(m.path("f"), ns=(5, 7))
    os.close(fd)
    m.remount()
    assert os.stat(m.path("f")).st_mtime_ns == 7


@test
def privileges_go_when_a_file_changes(m):
    f = m.path("f")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

    def write():
        with open(f, "ab") as file:
            file.write(b"y")

    def fallocate():
        with open(f, "ab") as file:
            assert libc.fallocate(file.fileno(), 0, 0, 1 << 20) == 0

    def copy():
        with open(f, "r+b") as file:
            assert os.copy_file_range(file.fileno(), file.fileno(), 1, 0, 1) == 1

    for change in (write, lambda: os.truncate(f, 0), fallocate, copy,
                   lambda: os.close(os.open(f, os.O_WRONLY | os.O_TRUNC))):
        write_file(f, b"x")
        os.chmod(f, 0o6777)
        assert in_child(lambda change=change: (become_nobody(), change())), change
        assert stat.S_IMODE(os.stat(f).st_mode) == 0o777, (change, oct(os.stat(f).st_mode))
    os.chmod(f, 0o6777)
    write()  # root may keep them
    assert stat.S_IMODE(os.stat(f).st_mode) == 0o6777
    os.setxattr(f, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    os.chown(f, 1, 1)
    assert stat.S_IMODE(os.stat(f).st_mode) == 0o777 and "security.capability" not in os.listxattr(f)


@contextlib.contextmanager
def held(path, lock):
    fd = os.open(path, os.O_RDWR)
    lock(fd)
    yield fd
    os.close(fd)


def ofd(kind, first=0, length=0, wait=False):
    set_lock, set_lock_wait = 37, 38  # F_OFD_SETLK, F_OFD_SETLKW
    what = struct.pack("hhqqi4x", kind, os.SEEK_SET, first, length, 0)
    return lambda fd: fcntl.fcntl(fd, set_lock_wait if wait else set_lock, what)


def flock(how):
    return lambda fd: fcntl.flock(fd, how | fcntl.LOCK_NB)


def posix(how, length=0, first=0):
    return lambda fd: fcntl.lockf(fd, how | fcntl.LOCK_NB, length, first)


@test
def locks_exclude(m):
    f = m.path("f")
    write_file(f, b"x" * 100)
    take = lambda lock: in_child(lambda: lock(os.open(f, os.O_RDWR)))  # noqa: E731
    for write, read in ((flock(fcntl.LOCK_EX), flock(fcntl.LOCK_SH)),
                        (posix(fcntl.LOCK_EX), posix(fcntl.LOCK_SH)),
                        (ofd(fcntl.F_WRLCK), ofd(fcntl.F_RDLCK)),
                        (posix(fcntl.LOCK_EX), ofd(fcntl.F_RDLCK))):
        with held(f, write):
            assert not take(write) and not take(read)
        assert take(write), "a lock outlived its close"
        with held(f, read):
            assert not take(write) and take(read)
    with held(f, posix(fcntl.LOCK_EX, 10, 20)):
        assert take(posix(fcntl.LOCK_EX, 20, 0)) and take(posix(fcntl.LOCK_EX, 0, 30))
        assert not take(posix(fcntl.LOCK_EX, 1, 29)) and not take(posix(fcntl.LOCK_SH, 21, 0))
        assert take(flock(fcntl.LOCK_EX)), "flock and fcntl do not know each other"


@test
def a_lock_ends_with_its_holder(m):
    f = m.path("f")
    write_file(f, b"x")
    program = "import fcntl, os, sys, time; fd = os.open(sys.argv[1], os.O_RDWR)\n" \
              "fcntl.lockf(fd, fcntl.LOCK_EX); fcntl.flock(fd, fcntl.LOCK_EX); print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", program, f], stdout=subprocess.PIPE)
    holder.stdout.readline()
    assert not in_child(lambda: posix(fcntl.LOCK_EX)(os.open(f, os.O_RDWR)))
    waiter = subprocess.Popen([sys.executable, "-c", program, f], stdout=subprocess.PIPE)
    holder.kill()
    assert waiter.stdout.readline() == b"held\n"  # waited, and was told
    waiter.kill()
    holder.wait(), waiter.wait()


@test
def a_signal_ends_the_wait_for_a_lock(m):
    f = m.path("f")
    write_file(f, b"x")
    with held(f, flock(fcntl.LOCK_EX)):
        program = "import fcntl, os, signal, sys; signal.signal(signal.SIGALRM, lambda *_: sys.exit(7))\n" \
                  "signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2); fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)"
        assert subprocess.run([sys.executable, "-c", program, f], timeout=60, check=False).returncode == 7
        waiter = subprocess.Popen([sys.executable, "-c", program.replace("0.2, 0.2", "100"), f])
        waiter.send_signal(signal.SIGKILL)
        waiter.wait(timeout=60)


@test
def copies_inside_the_daemon(m):
    content = os.urandom(3 << 20)
    write_file(m.path("a"), content)
    source, target = os.open(m.path("a"), os.O_RDONLY), os.open(m.path("b"), os.O_CREAT | os.O_RDWR)
    done = 0
    while done < len(content):
        done += os.copy_file_range(source, target, len(content) - done)
    assert read_file(m.path("b")) == content
    assert os.copy_file_range(source, target, 1000, 500, 100) == 1000
    assert read_file(m.path("b")) == content[:100] + content[500:1500] + content[1100:]
    os.close(source), os.close(target)


@test
def room_is_told(m):
    need("df")
    found = os.statvfs(m.dir)
    assert found.f_namemax == 255 and found.f_frsize == 4096 and 0 < found.f_bavail <= found.f_blocks
