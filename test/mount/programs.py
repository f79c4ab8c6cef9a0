"""Programs that people run on a file system, and that notice when it is wrong."""
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

from harness import Skipped, need, read_file, sh, test, write_file


@test
def random_operations_match_a_model(m):
    for seed, options in ((1, ""), (2, "--size 12M --operations 500"), (3, "--size 8K")):
        sh(f"{sys.executable} {os.path.dirname(os.path.abspath(__file__))}/fsx {m.dir} --seed {seed} {options}")
    before = {name: read_file(m.path(name)) for name in os.listdir(m.dir)}
    if m.lasts:
        m.remount()
        assert before == {name: read_file(m.path(name)) for name in os.listdir(m.dir)}


@test
def sqlite_is_content(m):
    with contextlib.closing(sqlite3.connect(m.path("db"))) as db:
        db.execute("create table t (a integer primary key, b text)")
        for start in range(0, 1000, 100):
            with db:
                db.executemany("insert into t values (?, ?)", [(i, "x" * 100) for i in range(start, start + 100)])
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        assert db.execute("select count(*) from t").fetchone() == (1000,)


SQLITE_LOAD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute(f"pragma journal_mode={sys.argv[2]}"); db.execute("pragma synchronous=extra")  # full leaves the journal's unlink to chance, as on any file system
db.execute("create table if not exists t (a integer primary key, b text)")
while True:
    with db: last = db.execute("insert into t (b) values (?)", ("x" * 3000,)).lastrowid
    print(last, flush=True)
"""


@test
def sqlite_bears_kills(m):
    if not m.lasts:
        raise Skipped("a memory: volume is gone with its daemon")
    for journal in ("delete", "wal"):
        name = m.path(f"{journal}.db")
        for victim in ("program", "mount", "mount"):
            program = subprocess.Popen([sys.executable, "-c", SQLITE_LOAD, name, journal], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            committed = [int(program.stdout.readline()) for _ in range(30)][-1]
            os.kill(program.pid if victim == "program" else m.daemon(), signal.SIGKILL)
            rest = program.stdout.read().split()
            committed = int(rest[-1]) if rest else committed
            program.wait(timeout=60)
            if victim == "mount":
                m.mount()
            with contextlib.closing(sqlite3.connect(name)) as db:
                assert db.execute("pragma integrity_check").fetchone() == ("ok",)
                assert db.execute("select max(a) from t").fetchone()[0] >= committed


@test
def git_repository_of_thousands(m):
    need("git")
    with tempfile.TemporaryDirectory() as outside:
        sh("git init -q . && git config user.email a@b && git config user.name n", cwd=outside)
        for i in range(2000):
            os.makedirs(f"{outside}/d{i % 50}", exist_ok=True)
            write_file(f"{outside}/d{i % 50}/f{i}", f"file {i}\n".encode())
        sh("git add . && git commit -qm x", cwd=outside)
        sh(f"git clone -q {outside} {m.path('repo')}")
    assert sh("git fsck --full", cwd=m.path("repo")).find("error") < 0
    assert sh("git status --porcelain", cwd=m.path("repo")) == ""


@test
def tar_and_rsync_round_trip(m):
    need("rsync", "setfacl")
    with tempfile.TemporaryDirectory() as outside:
        os.mkdir(f"{outside}/t")
        for i in range(300):
            write_file(f"{outside}/t/f{i}", os.urandom(i * 37))
            os.utime(f"{outside}/t/f{i}", ns=(i, i * 1_000_000_007))
        os.link(f"{outside}/t/f1", f"{outside}/t/hard")
        os.symlink("f2", f"{outside}/t/soft")
        os.mkfifo(f"{outside}/t/fifo")
        os.setxattr(f"{outside}/t/f3", "user.note", b"kept")
        os.chown(f"{outside}/t/f4", 12, 34)
        os.chmod(f"{outside}/t/f5", 0o4711)
        with open(f"{outside}/t/sparse", "wb") as file:
            file.truncate(30 << 20)
        sh(f"setfacl -m u:nobody:rw {outside}/t/f6")
        differences = f"rsync -aHAXn --checksum --itemize-changes {outside}/t/"
        sh(f"tar -C {outside} --xattrs --acls -cf - t | tar -C {m.dir} --xattrs --acls -xpf -")
        assert sh(f"{differences} {m.path('t')}/") == ""
        sh(f"rsync -aHAX {outside}/t/ {m.path('by-rsync')}/")
        assert sh(f"{differences} {m.path('by-rsync')}/") == ""
        os.mkdir(f"{outside}/back")
        sh(f"tar -C {m.dir} --xattrs --acls -cf - t | tar -C {outside}/back --xattrs --acls -xpf -")
        assert sh(f"{differences} {outside}/back/t/") == ""


@test
def fio_verifies(m):
    need("fio")
    for extra in ("--rw=randrw", "--rw=randwrite --direct=1 --ioengine=libaio --iodepth=8",
                  "--rw=randwrite --ioengine=mmap", "--rw=write --ioengine=mmap", "--rw=write --bs=1M",
                  "--rw=write --bs=1M --direct=1", "--rw=randwrite --bs=512-64k --bs_unaligned=1 --numjobs=4"):
        sh(f"fio --name=v --directory={m.dir} --size=8M --bs=4k --verify=crc32c --verify_fatal=1 --do_verify=1 "
           f"--group_reporting --allow_file_create=1 {extra} && rm -f {m.dir}/v.*", cwd=m.dir)


@test
def dbench_ends_without_an_error(m):
    need("dbench")
    assert "Throughput" in sh(f"dbench -D {m.dir} -t 5 4")


# Each works on files of its own below the directory and checks what it gets back (--verify).  Without those that need
# another kind of file system (fiemap, fs-verity) and those that only burn time.
STRESSORS = ("access", "chattr", "chdir", "chmod", "chown", "copy-file", "dentry", "dir", "dirdeep", "dirmany", "dup",
             "fallocate", "fcntl", "file-ioctl", "filename", "flock", "fpunch", "fstat", "getdent", "hdd", "iomix",
             "lease", "link", "locka", "lockf", "lockofd", "metamix", "mknod", "mmap", "msync", "open", "readahead",
             "rename", "seek", "sendfile", "symlink", "sync-file", "touch", "unlink", "utime", "xattr")


@test
def stress_ng_finds_nothing(m):
    need("stress-ng")
    help_text = subprocess.run(["stress-ng", "--help"], text=True, stdout=subprocess.PIPE, check=False).stdout
    known = [name for name in STRESSORS if f"--{name} N" in help_text]
    for name in known:
        # A second each, or a few thousand steps if they are quick.
        done = subprocess.run(["stress-ng", f"--{name}", "2", "-t", "1", f"--{name}-ops", "2000", "--temp-path", m.dir,
                               "--verify", "--hdd-bytes", "4M", "--iomix-bytes", "4M", "--fallocate-bytes", "16M",
                               "--mmap-file", "--mmap-bytes", "4M", "--sync-file-bytes", "4M", "--readahead-bytes", "4M",
                               "--seek-size", "4M"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=120, check=False)
        assert done.returncode in (0, 4), f"{name}: {done.returncode}\n{done.stdout}"  # 4: not implemented here
        assert "fail" not in done.stdout.replace("failed: 0", ""), f"{name}:\n{done.stdout}"
    shutil.rmtree(m.path("tmp"), ignore_errors=True)
