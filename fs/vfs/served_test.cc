// A plugin that serves a prefix, as the mount sees it.
#include "fs/vfs/prefix.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

// One directory with one file, "hello"; everything else is not served.
class Hello final : public ServedPrefix {
public:
    ~Hello() override { executor_.stop(); }
    Executor& executor() override { return executor_; }
    static Inode inode(uint64_t number) {
        Inode inode;
        inode.ino = Ino{number};
        inode.mode = number == 1 ? S_IFDIR | 0755 : S_IFREG | 0444;
        inode.map.size = number == 1 ? 0 : 5;
        return inode;
    }
    Result<Found> lookup(const Caller&, uint64_t, std::string_view name) override {
        if (name != "hello") return fail(ENOENT);
        return Found{inode(2), 0, 0};
    }
    Result<Found> getattr(uint64_t ino) override { return Found{inode(ino), 0, 0}; }
    Result<std::vector<Entry>> readdir(uint64_t, uint64_t cookie, size_t) override {
        std::vector<Entry> entries;
        if (cookie == 0) entries.push_back({"hello", 1, inode(2), 0});
        return entries;
    }
    Result<Found> open(const Caller&, uint64_t ino, int) override { return Found{inode(ino), 0, 99}; }
    Result<Buffers> read(uint64_t, uint64_t handle, ByteRange) override {
        EXPECT_EQ(handle, 99u);
        return Buffers{Buffer::copy_of("world")};
    }
    void release(uint64_t, uint64_t) override { ++released; }
    void forget(uint64_t) override {}
    Result<Found> setattr(const Caller&, uint64_t, const SetAttributes&) override { return fail(ENOSYS); }
    Result<Found> create(const Caller&, uint64_t, std::string_view, uint32_t, int) override { return fail(ENOSYS); }
    Result<size_t> write(uint64_t, uint64_t, uint64_t, const Buffer&) override { return fail(ENOSYS); }
    Status fsync(uint64_t, uint64_t, bool) override { return fail(ENOSYS); }
    Result<Found> mkdir(const Caller&, uint64_t, std::string_view, uint32_t) override { return fail(ENOSYS); }
    Status unlink(uint64_t, std::string_view) override { return fail(ENOSYS); }
    Status rmdir(uint64_t, std::string_view) override { return fail(ENOSYS); }
    Status rename(uint64_t, std::string_view, uint64_t, std::string_view, uint32_t) override { return fail(ENOSYS); }
    Result<std::string> getxattr(uint64_t, std::string_view) override { return fail(ENOSYS); }
    Result<std::vector<std::string>> listxattr(uint64_t) override { return fail(ENOSYS); }
    Status setxattr(uint64_t, std::string_view, std::string_view, int) override { return fail(ENOSYS); }
    Status removexattr(uint64_t, std::string_view) override { return fail(ENOSYS); }
    Result<struct statvfs> statfs() override { return fail(ENOSYS); }

    int released = 0;

private:
    Executor executor_{"hello", 1, 16};
};

class Served : public VfsTest {
protected:
    Served() { must(vfs().serve("/in/kv", hello_)); }
    std::shared_ptr<Hello> hello_ = std::make_shared<Hello>();
};

TEST_F(Served, ThePrefixIsSeenInItsDirectory) {
    EXPECT_EQ(m().names("/in"), (std::vector<std::string>{".", "..", "kv"}));
    EXPECT_TRUE(m().stat("/in/kv")->inode.is_directory());
    EXPECT_EQ(vfs().path_of(m().ino("/in/kv")), "/in/kv");
    EXPECT_EQ(must(vfs().lookup(m().root, m().ino("/in/kv"), "..")).inode.ino, m().ino("/in"));
    EXPECT_ERRNO(m().mkdir("/in/kv"), EEXIST);
    EXPECT_ERRNO(m().rmdir("/in/kv"), EBUSY);
    EXPECT_ERRNO(m().rmdir("/in"), EBUSY);
    EXPECT_ERRNO(m().rename("/in/kv", "/in/other"), EBUSY);
}

TEST_F(Served, ThePluginAnswersBelow) {
    EXPECT_EQ(m().names("/in/kv"), (std::vector<std::string>{"hello"}));
    Ino ino = m().ino("/in/kv/hello");
    EXPECT_TRUE(is_served(ino));
    EXPECT_EQ(vfs().executor_for(ino), &hello_->executor());
    EXPECT_EQ(vfs().executor_for(m().ino("/in")), nullptr);
    EXPECT_EQ(must(m().read_file("/in/kv/hello")), "world");
    EXPECT_EQ(hello_->released, 1);
    EXPECT_ERRNO(m().stat("/in/kv/none"), ENOENT);
    EXPECT_ERRNO(vfs().getxattr(m().root, ino, "user.a"), ENODATA);
}

TEST_F(Served, NothingCrossesTheEdge) {
    ASSERT_OK(m().write_file("/f", "x"));
    EXPECT_ERRNO(m().rename("/f", "/in/kv/f"), EXDEV);
    EXPECT_ERRNO(m().rename("/in/kv/hello", "/h"), EXDEV);
    EXPECT_ERRNO(vfs().link(m().root, m().ino("/f"), m().ino("/in/kv"), "f"), EXDEV);
}

TEST_F(Served, APrefixIsServedOnce) {
    EXPECT_ERRNO(vfs().serve("/in/kv", hello_), EEXIST);
    EXPECT_ERRNO(vfs().serve("in/kv", hello_), EINVAL);
    EXPECT_ERRNO(vfs().serve("/", hello_), EINVAL);
    EXPECT_ERRNO(vfs().serve("/a/../b", hello_), EINVAL);
}

}  // namespace
}  // namespace meshfs::test
