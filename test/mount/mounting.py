"""Mounting and unmounting, by root and by users; what a killed mount leaves; what mistakes get."""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from harness import Skipped, fails_with, need, read_file, sh, test, write_file


@test
def what_was_fsynced_survives_kill(m):
    if not m.lasts:
        raise Skipped("a memory: volume is gone with its daemon")
    synced, stop = {}, threading.Event()

    def load(thread):
        number = 0
        with contextlib.suppress(OSError):
            while not stop.is_set():
                name, content = f"t{thread}-{number}", os.urandom(100 + number * 513 % 60000)
                with open(m.path(name), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                synced[name] = content
                number += 1

    threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    while len(synced) < 200 and any(thread.is_alive() for thread in threads):
        time.sleep(0.01)
    os.kill(m.daemon(), signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(synced) >= 200
    m.mount()  # clears the dead mount away
    for name, content in synced.items():
        got = read_file(m.path(name))
        at = next((i for i, (a, b) in enumerate(zip(got, content)) if a != b), None)
        assert got == content, f"{name}: {len(got)} of {len(content)} bytes; differs from {at}"


@test
def umount_has_stored_everything(m):
    if not m.lasts:
        raise Skipped("a memory: volume is gone when unmounted")
    content = os.urandom(64 << 20)
    write_file(m.path("f"), content)
    m.umount()
    assert m.dir not in sh("cat /proc/mounts")
    m.mount()
    assert read_file(m.path("f")) == content


@test
def second_mount_of_an_embedded_store_is_refused(m):
    if m.kind != "local":
        raise Skipped("only an embedded store is one process's")
    with tempfile.TemporaryDirectory() as elsewhere:
        done = m.meshfs("mount", m.source, elsewhere, check=False)
    assert done.returncode == 32 and str(m.daemon()) in done.stdout, done.stdout


@test
def a_read_only_mount_changes_nothing(m):
    write_file(m.path("f"), b"x")
    m.remount("ro")
    assert read_file(m.path("f")) == b"x"
    fails_with(30, write_file, m.path("g"), b"")
    fails_with(30, os.utime, m.path("f"))
    fails_with(30, os.unlink, m.path("f"))


@test
def a_bind_mount_goes_alone(m):
    os.mkdir(m.path("inner"))
    elsewhere = f"{m.scratch}/elsewhere"
    os.makedirs(elsewhere, exist_ok=True)
    for how in ([], ["-f"]):
        sh(f"mount --bind {m.path('inner')} {elsewhere}")
        write_file(f"{elsewhere}/f", b"unsynced")
        m.meshfs("umount", *how, elsewhere)
        assert not os.path.ismount(elsewhere) and os.path.ismount(m.dir)
        time.sleep(2.5)  # -f of the mount itself would have ended its daemon
        assert read_file(m.path("inner/f")) == b"unsynced"


def flags_of(m):
    line = [line.split() for line in open("/proc/self/mountinfo") if line.split()[4] == m.dir][-1]
    return set(line[5].split(",") + line[-1].split(","))


@test
def remounting_changes_what_it_names(m):
    remount = lambda options: m.meshfs("mount", "-o", f"remount,{options}", m.source, m.dir)  # noqa: E731
    remount("nosuid")
    remount("sync")
    assert {"sync", "nosuid"} <= flags_of(m)
    remount("async")
    assert "sync" not in flags_of(m) and "nosuid" in flags_of(m)
    for level in ("debug", "info", "debug"):
        remount(f"log_level={level},suid")
    refused = m.meshfs("mount", "-o", "remount,commit=0s", m.source, m.dir, check=False)
    assert refused.returncode != 0 and "at least 10ms" in refused.stdout


@test
def an_ordinary_user_mounts(m):
    if m.kind == "rados":
        raise Skipped("a user's own keyring would be needed")
    need("unshare", "setpriv", "fusermount3")
    shutil.copy(m.binary, f"{m.scratch}/meshfs")
    home = f"{m.scratch}/home"
    os.makedirs(f"{home}/mnt")
    for path in (home, f"{home}/mnt"):
        os.chown(path, 65534, 65534)
    # A container's /dev/fuse may be root's alone; udev gives it to everybody.
    script = f"""set -e
        mknod -m 666 {m.scratch}/fuse c 10 229 && mount --bind {m.scratch}/fuse /dev/fuse
        as_user() {{ env HOME={home} XDG_RUNTIME_DIR={home} setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }}
        as_user {m.scratch}/meshfs format -q {home}/volume
        as_user {m.scratch}/meshfs mount {home}/volume {home}/mnt -o log={home}/log
        grep -q ' {home}/mnt fuse.meshfs .*nosuid,nodev' /proc/mounts
        as_user sh -c 'echo hello > {home}/mnt/f && mkdir {home}/mnt/d && cat {home}/mnt/f'
        test "$(stat -c %u:%g {home}/mnt/f 2>&1 || true)" != 65534:65534  # not even root, without allow_other
        as_user {m.scratch}/meshfs umount {home}/mnt
        ! grep {home}/mnt /proc/mounts
        as_user {m.scratch}/meshfs mount {home}/volume {home}/mnt -o log={home}/log
        test "$(as_user cat {home}/mnt/f)" = hello
        as_user fusermount3 -u {home}/mnt"""
    sh(f"unshare -m sh -c '{script.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'")


@test
def mistakes_are_named(m):
    with tempfile.TemporaryDirectory() as elsewhere:
        done = m.meshfs("mount", "memory:", elsewhere, "-o", "cahce=1G", check=False)
        assert done.returncode == 1 and '"cache"' in done.stdout, done.stdout
        done = m.meshfs("mount", "memory:", elsewhere + "/missing", check=False)
        assert done.returncode == 32 and "mkdir" in done.stdout, done.stdout
        write_file(elsewhere + "/f", b"")
        done = m.meshfs("mount", "memory:", elsewhere, check=False)
        assert done.returncode == 32 and "nonempty" in done.stdout, done.stdout
    done = m.meshfs("mount", "memory:", m.dir, check=False)
    assert done.returncode == 32 and "already mounted" in done.stdout, done.stdout
    done = m.meshfs("mount", "nonsense:x", m.dir, check=False)
    assert done.returncode == 1 and "memory:" in done.stdout, done.stdout


@test
def a_killed_daemon_frees_its_callers(m):
    write_file(m.path("f"), b"x" * 4096)
    readers = [subprocess.Popen(["sh", "-c", f"while cat {m.path('f')} > /dev/null; do :; done"],
                                stderr=subprocess.DEVNULL) for _ in range(4)]
    os.kill(m.daemon(), signal.SIGKILL)
    for reader in readers:
        reader.wait(timeout=60)
    fails_with(107, os.listdir, m.dir)
    m.mount()
