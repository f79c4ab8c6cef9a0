"""What users see when the disk below is full, and how it ends."""
import contextlib
import errno
import os
import time

from harness import Mount, Skipped, fails_with, sh, test, write_file


@contextlib.contextmanager
def small_disk(m, size):
    """A volume of its own on a disk of that size."""
    if m.kind != "local":
        raise Skipped("of the embedded store")
    disk = os.path.join(m.scratch, "disk")
    os.makedirs(disk)
    sh(f"mount -t tmpfs -o size={size} none {disk}")
    try:
        small = Mount(m.binary, m.kind, m.options, disk)
        small.mount()
        yield small
        small.umount()
        small.meshfs("check", small.source)
    finally:
        sh(f"umount -l {disk}/mnt 2>/dev/null; umount -l {disk}; true")


@test
def a_full_disk_is_enospc_and_removing_helps(m):
    with small_disk(m, "320m") as small:
        big, block = small.path("big"), b"x" * (1 << 20)

        def fill():
            with open(big, "wb", buffering=0) as file:
                for _ in range(1024):
                    file.write(block)
                os.fsync(file.fileno())

        fails_with(errno.ENOSPC, fill)
        os.unlink(big)
        # Its room comes back by itself, a little later.
        until = time.monotonic() + 60
        while os.statvfs(small.dir).f_bavail * 4096 < 100 << 20:
            assert time.monotonic() < until, "the room of the removed file does not come back"
            time.sleep(0.1)
        write_file(small.path("small"), block)
        sh(f"sync -f {small.dir}")
