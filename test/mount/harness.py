"""What the tests of a mount share: the mount, and short words for what users do."""
import contextlib
import os
import shutil
import subprocess
import tempfile

TESTS = []


class Skipped(Exception):
    """A test cannot run here; its reason is the message."""


def test(function):
    TESTS.append(function)
    return function


def sh(command, **options):
    return subprocess.run(command, shell=True, check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=300, **options).stdout


def in_child(function):
    """Runs it in another process, which never comes back here; true if it did not raise."""
    child = os.fork()
    if child == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)  # not reached if all went well
    return os.waitpid(child, 0)[1] == 0


def become_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise Skipped(f"{program} is not installed")


def fails_with(code, function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        assert error.errno == code, f"{os.strerror(error.errno)}, not {os.strerror(code)}"
        return
    raise AssertionError(f"{function.__name__}{arguments} did not fail with {os.strerror(code)}")


def write_file(path, content):
    with open(path, "wb") as file:
        file.write(content)


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


class Mount:
    """One fresh volume, mounted or not; `dir` is where.  SOURCE `local` is a new directory of this machine."""

    def __init__(self, binary, source, options, scratch):
        self.binary, self.options, self.scratch = binary, options, scratch
        self.kind = source.split(":")[0]
        self.dir = os.path.join(scratch, "mnt")
        self.log = os.path.join(scratch, "log")
        self.source = source
        os.makedirs(self.dir)
        if self.kind == "local":
            self.source = os.path.join(scratch, "volume")
        elif self.kind == "rados":
            self.source = source.split("/")[0] + "/" + os.path.basename(scratch)
        if self.lasts:
            self.meshfs("format", "-q", self.source, *(["-o", options] if options else []))

    @property
    def lasts(self):
        """Whether the volume outlives its mount."""
        return self.kind != "memory"

    def meshfs(self, *arguments, check=True):
        done = subprocess.run([self.binary, *arguments], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"meshfs {' '.join(arguments)}: {done.returncode}: {done.stdout}")
        return done

    def mount(self, *options):
        options = [f"log={self.log}", *filter(None, [self.options]), *options]
        self.meshfs("mount", self.source, self.dir, "-o", ",".join(options))

    def umount(self):
        self.meshfs("umount", self.dir)

    def remount(self, *options):
        if not self.lasts:
            raise Skipped("a memory: volume is gone when unmounted")
        self.umount()
        self.mount(*options)

    def daemon(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if os.fsencode(self.dir) in file.read().split(b"\0"):
                        return int(pid)
        raise AssertionError("the mount has no daemon")

    def clear(self):
        subprocess.run(["umount", "-l", self.dir], stderr=subprocess.DEVNULL, check=False)

    def path(self, name):
        return os.path.join(self.dir, name)


def run_one(binary, source, options, function):
    """passed, failed or skipped."""
    name = f"{function.__name__} ({source})"
    scratch = tempfile.mkdtemp(prefix="meshfs-mount-")
    os.chmod(scratch, 0o755)  # tests act as other users too
    mount = None
    try:
        mount = Mount(binary, source, options, scratch)
        mount.mount()
        function(mount)
        mount.umount()
        print(f"ok       {name}", flush=True)
        return "passed"
    except Skipped as reason:
        print(f"skipped  {name}: {reason}", flush=True)
        return "skipped"
    except Exception as error:  # whatever it is, the next test shall run
        tell_failure(name, error)
        return "failed"
    finally:
        if mount is not None:
            mount.clear()
        shutil.rmtree(scratch, ignore_errors=True)


def tell_failure(name, error):
    import traceback
    print(f"FAILED   {name}: {error!r}", flush=True)
    print("".join(traceback.format_exception(error)[-4:]), flush=True)
    if isinstance(error, subprocess.CalledProcessError):
        print("\n".join((error.output or "").splitlines()[-30:]), flush=True)
