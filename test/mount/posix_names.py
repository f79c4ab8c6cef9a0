"""Names, links, directories, handles and xattrs, as POSIX and Linux have them."""
import ctypes
import errno
import os
import stat

from harness import Skipped, become_nobody, fails_with, in_child, need, read_file, sh, test, write_file


@test
def names_and_bytes(m):
    os.mkdir(m.path("d"))
    write_file(m.path("d/a"), b"hello")
    os.rename(m.path("d/a"), m.path("d/b"))
    os.symlink("d/b", m.path("s"))
    assert read_file(m.path("s")) == b"hello"
    assert sorted(os.listdir(m.dir)) == ["d", "s"]
    os.unlink(m.path("d/b"))
    assert os.listdir(m.path("d")) == []


@test
def directories_go_when_empty(m):
    os.mkdir(m.path("d"))
    write_file(m.path("d/a"), b"")
    fails_with(errno.ENOTEMPTY, os.rmdir, m.path("d"))
    os.unlink(m.path("d/a"))
    os.rmdir(m.path("d"))
    assert os.listdir(m.dir) == []


@test
def hard_links_share_an_inode(m):
    write_file(m.path("a"), b"x")
    os.link(m.path("a"), m.path("b"))
    assert os.stat(m.path("a")).st_ino == os.stat(m.path("b")).st_ino and os.stat(m.path("a")).st_nlink == 2
    os.unlink(m.path("a"))
    assert os.stat(m.path("b")).st_nlink == 1 and read_file(m.path("b")) == b"x"


@test
def renames_between_directories(m):
    for name in ("a", "b", "a/sub", "a/sub/deep"):
        os.mkdir(m.path(name))
    write_file(m.path("a/f"), b"one")
    write_file(m.path("b/f"), b"two")
    os.rename(m.path("a/f"), m.path("b/f"))
    assert read_file(m.path("b/f")) == b"one" and os.listdir(m.path("a")) == ["sub"]
    fails_with(errno.EINVAL, os.rename, m.path("a"), m.path("a/sub/deep/a"))
    os.rename(m.path("a/sub"), m.path("b/sub"))
    assert os.stat(m.path("b/sub/..")).st_ino == os.stat(m.path("b")).st_ino
    assert os.stat(m.path("a")).st_nlink == 2 and os.stat(m.path("b")).st_nlink == 3
    fails_with(errno.ENOTEMPTY, os.rename, m.path("a"), m.path("b"))
    os.rename(m.path("a"), m.path("b/sub/deep"))  # over an empty directory
    assert os.listdir(m.path("b/sub")) == ["deep"] and os.listdir(m.dir) == ["b"]


@test
def names_are_any_bytes_up_to_255(m):
    directory = os.fsencode(m.dir)
    every_byte = bytes(b for b in range(1, 256) if b != ord("/"))
    names = {every_byte, b"\xff" * 255, b"\xc3", b"new\nline", b" ", b"..." , b"-"}
    for name in names:
        write_file(os.path.join(directory, name), name)
    assert set(os.listdir(directory)) == names
    for name in names:
        assert read_file(os.path.join(directory, name)) == name
    fails_with(errno.ENAMETOOLONG, write_file, m.path("x" * 256), b"")
    fails_with(errno.ENAMETOOLONG, os.stat, m.path("x" * 256))
    os.symlink("t" * 4095, m.path("link"))
    assert os.readlink(m.path("link")) == "t" * 4095


@test
def a_large_directory_lists_each_name_once(m):
    os.mkdir(m.path("d"))
    names = {f"name-{i:05}" for i in range(3000)}
    for name in names:
        os.close(os.open(m.path(f"d/{name}"), os.O_CREAT | os.O_WRONLY))
    listed = os.listdir(m.path("d"))
    assert len(listed) == len(names) and set(listed) == names
    # Names that go while it is read are no reason to lose or repeat others.
    seen = []
    for entry in os.scandir(m.path("d")):
        seen.append(entry.name)
        os.unlink(entry.path)
    assert set(seen) == names and len(seen) == len(names) and os.listdir(m.path("d")) == []
    os.rmdir(m.path("d"))


@test
def sticky_directories_protect_names(m):
    os.mkdir(m.path("tmp"))
    os.chmod(m.path("tmp"), 0o1777)
    write_file(m.path("tmp/roots"), b"")

    def as_nobody():
        become_nobody()
        write_file(m.path("tmp/mine"), b"")
        fails_with(errno.EPERM, os.unlink, m.path("tmp/roots"))
        fails_with(errno.EPERM, os.rename, m.path("tmp/mine"), m.path("tmp/roots"))
        os.unlink(m.path("tmp/mine"))

    assert in_child(as_nobody)


@test
def setgid_directories_give_their_group(m):
    os.mkdir(m.path("d"))
    os.chown(m.path("d"), 0, 1234)
    os.chmod(m.path("d"), 0o2777)
    write_file(m.path("d/f"), b"")
    os.mkdir(m.path("d/sub"))
    assert os.stat(m.path("d/f")).st_gid == 1234
    sub = os.stat(m.path("d/sub"))
    assert sub.st_gid == 1234 and sub.st_mode & stat.S_ISGID


@test
def tmpfile_has_no_name_until_it_is_linked(m):
    fd = os.open(m.dir, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"x")
    assert os.fstat(fd).st_nlink == 0 and os.listdir(m.dir) == []
    os.link(f"/proc/self/fd/{fd}", m.path("named"), src_dir_fd=fd)  # any: else Python calls link(2), which follows nothing
    assert os.fstat(fd).st_nlink == 1 and os.listdir(m.dir) == ["named"]
    os.close(fd)
    assert read_file(m.path("named")) == b"x"


@test
def an_unlinked_file_lives_until_it_is_closed(m):
    fd = os.open(m.path("f"), os.O_CREAT | os.O_RDWR)
    os.unlink(m.path("f"))
    os.write(fd, b"still here")
    os.fsync(fd)
    os.fchmod(fd, 0o640)
    held = os.fstat(fd)
    assert held.st_nlink == 0 and held.st_size == 10 and held.st_mode & 0o777 == 0o640
    assert os.pread(fd, 100, 0) == b"still here"
    os.close(fd)


@test
def xattrs_of_all_kinds(m):
    f = m.path("f")
    write_file(f, b"x")
    for name in ("user.a", "trusted.b", "security.selinux", "security.any"):
        os.setxattr(f, name, name.encode() + b"\0\xff")
        assert os.getxattr(f, name) == name.encode() + b"\0\xff"
    assert set(os.listxattr(f)) == {"user.a", "trusted.b", "security.selinux", "security.any"}
    os.chmod(f, 0o666)

    def as_nobody():
        become_nobody()
        assert "trusted.b" not in os.listxattr(f)
        fails_with(errno.EPERM, os.setxattr, f, "trusted.b", b"")
        fails_with(errno.EPERM, os.setxattr, f, "security.any", b"")
        os.setxattr(f, "user.of_nobody", b"1")

    assert in_child(as_nobody)
    fails_with(errno.EEXIST, os.setxattr, f, "user.a", b"", os.XATTR_CREATE)
    fails_with(errno.ENODATA, os.setxattr, f, "user.none", b"", os.XATTR_REPLACE)
    fails_with(errno.ENODATA, os.getxattr, f, "user.none")
    fails_with(errno.EOPNOTSUPP, os.setxattr, f, "nonsense.a", b"")
    fails_with(errno.ERANGE, os.setxattr, f, "user." + "n" * 251, b"")
    os.setxattr(f, "user." + "n" * 250, b"")
    os.setxattr(f, "user.large", b"v" * 32768)
    assert os.getxattr(f, "user.large") == b"v" * 32768
    os.setxattr(f, "user.large", b"")
    assert os.getxattr(f, "user.large") == b""
    os.removexattr(f, "user.a")
    os.symlink("f", m.path("s"))
    try:
        os.setxattr(m.path("s"), "user.a", b"", follow_symlinks=False)
        raise AssertionError("user xattr of a symlink")
    except OSError as error:
        assert error.errno == errno.EPERM
    os.setxattr(m.path("s"), "trusted.a", b"t", follow_symlinks=False)
    m.remount()
    assert os.getxattr(f, "security.selinux") == b"security.selinux\0\xff"
    assert os.getxattr(m.path("s"), "trusted.a", follow_symlinks=False) == b"t"


@test
def acls_decide_and_are_inherited(m):
    need("setfacl")
    write_file(m.path("f"), b"x")
    os.chmod(m.path("f"), 0o600)
    read = lambda: (become_nobody(), read_file(m.path("f")))  # noqa: E731
    assert not in_child(read)
    sh(f"setfacl -m u:nobody:rw {m.path('f')}")
    assert "user:nobody:rw-" in sh(f"getfacl -p {m.path('f')}") and in_child(read)
    sh(f"setfacl -b {m.path('f')}")
    assert not in_child(read)
    os.mkdir(m.path("d"))
    sh(f"setfacl -d -m u:nobody:rwx {m.path('d')}")
    os.umask(0o077)
    write_file(m.path("d/f"), b"")
    os.mkdir(m.path("d/sub"))
    os.umask(0o022)
    assert "user:nobody:rwx" in sh(f"getfacl -p {m.path('d/f')}")  # a default ACL replaces the umask
    assert "default:user:nobody:rwx" in sh(f"getfacl -p {m.path('d/sub')}")
    os.chmod(m.path("d/f"), 0o640)
    assert "mask::r--" in sh(f"getfacl -p {m.path('d/f')}")


@test
def flags_of_chattr(m):
    need("chattr", "lsattr")
    f = m.path("f")
    write_file(f, b"x")
    flags = lambda: sh(f"lsattr -d {f}").split()[0].replace("-", "")  # noqa: E731
    assert flags() == ""
    sh(f"chattr +i {f}")
    assert flags() == "i"
    for change in (lambda: os.truncate(f, 0), lambda: os.unlink(f), lambda: os.chmod(f, 0o600),
                   lambda: os.rename(f, m.path("g")), lambda: os.open(f, os.O_WRONLY)):
        fails_with(errno.EPERM, change)
    sh(f"chattr -i +a {f}")
    fails_with(errno.EPERM, lambda: os.open(f, os.O_WRONLY))
    fails_with(errno.EPERM, lambda: os.unlink(f))
    fd = os.open(f, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"y")
    fails_with(errno.EPERM, lambda: os.ftruncate(fd, 0))
    os.close(fd)
    sh(f"chattr -a +dA {f}")
    assert set(flags()) == {"d", "A"} and read_file(f) == b"xy"
    os.unlink(f)


class FileHandle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_ubyte * 128)]


def handle_of(path):
    libc = ctypes.CDLL(None, use_errno=True)
    handle, mount_id = FileHandle(bytes=128), ctypes.c_int()
    if libc.name_to_handle_at(-100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount_id), 0) != 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return handle


def open_by_handle(m, handle, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    directory = os.open(m.dir, os.O_RDONLY | os.O_DIRECTORY)
    fd = libc.open_by_handle_at(directory, ctypes.byref(handle), flags)
    os.close(directory)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    return fd


@test
def handles_open_after_a_remount(m):
    if not m.lasts:
        raise Skipped("a memory: volume is gone when unmounted")
    os.makedirs(m.path("d/sub"))
    write_file(m.path("d/sub/f"), b"by handle")
    write_file(m.path("gone"), b"")
    file, directory, gone = (handle_of(m.path(name)) for name in ("d/sub/f", "d/sub", "gone"))
    os.rename(m.path("d/sub/f"), m.path("d/sub/g"))
    os.unlink(m.path("gone"))
    m.remount()
    fd = open_by_handle(m, file, os.O_RDWR)
    assert os.read(fd, 100) == b"by handle"
    os.close(fd)
    fd = open_by_handle(m, directory, os.O_RDONLY | os.O_DIRECTORY)
    assert os.listdir(fd) == ["g"] and os.readlink(f"/proc/self/fd/{fd}") == m.path("d/sub")
    os.close(fd)
    fails_with(errno.ESTALE, open_by_handle, m, gone, os.O_RDONLY)
