// Random operations on a mount, step by step the same as on a plain model of a POSIX tree.
//
// MESHFS_TEST_SEED=n runs that one seed; a difference prints it.
#include <cstdlib>
#include <map>
#include <random>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

struct Node {
    bool is_directory = false;
    uint32_t mode = 0;
    std::string bytes;
    std::map<std::string, std::string> xattrs;
    std::map<std::string, std::shared_ptr<Node>> names;  // of a directory
    long links() const {
        long subdirectories = 0;
        for (const auto& [name, node] : names) subdirectories += node->is_directory ? 1 : 0;
        return is_directory ? 2 + subdirectories : file_links;
    }
    long file_links = 0;
};
using NodePtr = std::shared_ptr<Node>;

class Model {
public:
    Model() { root_->is_directory = true; }
    NodePtr find(const std::string& path) const {
        NodePtr at = root_;
        for (size_t start = 1; start < path.size();) {
            size_t end = std::min(path.find('/', start), path.size());
            if (!at->is_directory) return nullptr;
            auto next = at->names.find(path.substr(start, end - start));
            if (next == at->names.end()) return nullptr;
            at = next->second;
            start = end + 1;
        }
        return at;
    }
    std::pair<NodePtr, std::string> split(const std::string& path) const {
        size_t slash = path.rfind('/');
        return {find(path.substr(0, slash)), path.substr(slash + 1)};
    }
    int make(const std::string& path, bool is_directory, uint32_t mode) {
        auto [parent, name] = split(path);
        if (parent->names.contains(name)) return EEXIST;
        auto node = std::make_shared<Node>();
        node->is_directory = is_directory;
        node->mode = mode;
        node->file_links = 1;
        parent->names[name] = node;
        return 0;
    }
    int remove(const std::string& path, bool wants_directory) {
        auto [parent, name] = split(path);
        auto at = parent->names.find(name);
        if (at == parent->names.end()) return ENOENT;
        Node& node = *at->second;
        if (wants_directory && !node.is_directory) return ENOTDIR;
        if (!wants_directory && node.is_directory) return EISDIR;
        if (wants_directory && !node.names.empty()) return ENOTEMPTY;
        --node.file_links;
        parent->names.erase(at);
        return 0;
    }
    int link(const std::string& from, const std::string& to) {
        NodePtr node = find(from);
        auto [parent, name] = split(to);
        if (node->is_directory) return EPERM;
        if (parent->names.contains(name)) return EEXIST;
        ++node->file_links;
        parent->names[name] = node;
        return 0;
    }
    // Errors of whose kind there is more than one right answer are -1.
    int rename(const std::string& from, const std::string& to, bool no_replace) {
        auto [parent, name] = split(from);
        auto [to_parent, to_name] = split(to);
        auto at = parent->names.find(name);
        if (at == parent->names.end()) return -1;
        NodePtr moved = at->second;
        if (moved->is_directory && (to + "/").starts_with(from + "/") && to != from) return -1;
        auto target = to_parent->names.find(to_name);
        if (target != to_parent->names.end()) {
            if (no_replace) return EEXIST;
            if (target->second == moved) return 0;
            if ((from + "/").starts_with(to + "/")) return -1;
            if (target->second->is_directory && !moved->is_directory) return EISDIR;
            if (!target->second->is_directory && moved->is_directory) return ENOTDIR;
            if (target->second->is_directory && !target->second->names.empty()) return ENOTEMPTY;
            --target->second->file_links;
        }
        parent->names.erase(name);
        to_parent->names[to_name] = moved;
        return 0;
    }
    std::vector<std::string> paths(bool directories, bool files) const {
        std::vector<std::string> all;
        walk(root_, "", directories, files, all);
        if (directories) all.emplace_back("");  // the root
        return all;
    }

private:
    static void walk(const NodePtr& at, const std::string& path, bool directories, bool files,
                     std::vector<std::string>& all) {
        for (const auto& [name, node] : at->names) {
            if (node->is_directory ? directories : files) all.push_back(path + "/" + name);
            if (node->is_directory) walk(node, path + "/" + name, directories, files, all);
        }
    }
    NodePtr root_ = std::make_shared<Node>();
};

class ModelTest : public VfsTest {
protected:
    template <class T>
    const T& pick(const std::vector<T>& from) {
        return from[random_() % from.size()];
    }
    std::string new_path() {
        return pick(model_.paths(true, false)) + "/" + std::string(1, static_cast<char>('a' + random_() % 6));
    }
    std::string any_path() {
        auto all = model_.paths(true, true);
        std::string path = pick(all);
        return path.empty() ? new_path() : path;
    }
    std::string some_bytes() {
        std::string bytes(random_() % 4 == 0 ? random_() % 300'000 : random_() % 5'000, '\0');
        for (char& c : bytes) c = static_cast<char>('a' + random_() % 26);
        return bytes;
    }
    void same(int wanted, int got, const std::string& what) {
        if (wanted == -1) EXPECT_NE(got, 0) << what;
        else EXPECT_STREQ(errno_name(wanted), errno_name(got)) << what;
    }

    void step();
    void change_bytes(const std::string& path);
    void change_rest(const std::string& path);
    void compare();
    void compare_node(const std::string& path, const Node& node);

    std::mt19937_64 random_;
    Model model_;
};

void ModelTest::step() {
    std::string path = new_path(), other = any_path();
    switch (random_() % 10) {
        case 0: same(model_.make(path, true, 0755), m().mkdir(path).code(), "mkdir " + path); break;
        case 1:
        case 2: {
            auto opened = m().create(path, O_RDWR | O_CREAT | O_EXCL);
            same(model_.make(path, false, 0644), opened.code(), "create " + path);
            if (opened) EXPECT_OK(m().close(opened->handle));
            break;
        }
        case 3: same(model_.remove(other, true), m().rmdir(other).code(), "rmdir " + other); break;
        case 4: same(model_.remove(other, false), m().unlink(other).code(), "unlink " + other); break;
        case 5: {
            bool no_replace = random_() % 4 == 0;
            int got = m().rename(other, path, no_replace ? RENAME_NOREPLACE : 0).code();
            same(model_.rename(other, path, no_replace), got, "rename " + other + " " + path);
            break;
        }
        case 6: {
            auto [directory, name] = m().split(path);
            int got = vfs().link(m().root, m().ino(other), directory, name).code();
            same(model_.link(other, path), got, "link " + other + " " + path);
            break;
        }
        case 7: change_rest(other); break;
        default: {
            auto files = model_.paths(false, true);
            if (!files.empty()) change_bytes(pick(files));
        }
    }
}

void ModelTest::change_bytes(const std::string& path) {
    std::string& bytes = model_.find(path)->bytes;
    uint64_t offset = bytes.empty() ? random_() % 10'000 : random_() % (bytes.size() + bytes.size() / 4 + 1);
    if (random_() % 4 == 0) {
        SetAttributes set;
        set.size = offset;
        bytes.resize(offset);
        EXPECT_OK(vfs().setattr(m().root, m().ino(path), set)) << "truncate " << path << " " << offset;
        return;
    }
    bool appends = random_() % 3 == 0;
    auto opened = m().open(path, O_RDWR | (appends ? O_APPEND : 0));
    ASSERT_OK(opened);
    std::string fresh = some_bytes();
    if (appends) offset = bytes.size();
    if (bytes.size() < offset + fresh.size() && !fresh.empty()) bytes.resize(offset + fresh.size());
    if (!fresh.empty()) bytes.replace(offset, fresh.size(), fresh);
    EXPECT_OK(m().write(opened->handle, offset, fresh)) << "write " << path << " " << offset;
    if (random_() % 4 == 0) EXPECT_OK(vfs().fsync(opened->handle, false));
    if (random_() % 4 == 0 && !bytes.empty()) {
        ByteRange hole{random_() % bytes.size(), 1 + random_() % bytes.size()};
        EXPECT_OK(vfs().fallocate(opened->handle, 3 /* PUNCH_HOLE | KEEP_SIZE */, hole));
        size_t length = std::min<size_t>(hole.length, bytes.size() - hole.offset);
        bytes.replace(hole.offset, length, std::string(length, '\0'));
    }
    EXPECT_TRUE(must(m().read(opened->handle, 0, 1 << 30)) == bytes) << path;
    EXPECT_OK(m().close(opened->handle));
}

void ModelTest::change_rest(const std::string& path) {
    NodePtr node = model_.find(path);
    if (node == nullptr) return;
    Ino ino = m().ino(path);
    if (random_() % 2 == 0) {
        SetAttributes set;
        node->mode = static_cast<uint32_t>(random_() % 01000);
        set.mode = node->mode;
        EXPECT_OK(vfs().setattr(m().root, ino, set));
        return;
    }
    std::string name = "user." + std::string(1, static_cast<char>('a' + random_() % 3));
    if (random_() % 3 == 0) {
        int got = vfs().removexattr(m().root, ino, name).code();
        same(node->xattrs.erase(name) > 0 ? 0 : ENODATA, got, "removexattr " + path);
        return;
    }
    node->xattrs[name] = some_bytes().substr(0, 200);
    EXPECT_OK(vfs().setxattr(m().root, ino, name, node->xattrs[name], 0, false));
}

void ModelTest::compare_node(const std::string& path, const Node& node) {
    auto there = path.empty() ? m().stat("/") : m().stat(path);
    ASSERT_OK(there);
    const Inode& inode = there->inode;
    EXPECT_EQ(inode.is_directory(), node.is_directory) << path;
    if (!path.empty()) EXPECT_EQ(inode.mode & 0777, node.mode) << path;
    EXPECT_EQ(inode.links, static_cast<uint32_t>(node.links())) << path;
    EXPECT_EQ(inode.xattrs, node.xattrs) << path;
    if (!node.is_directory) {
        EXPECT_EQ(inode.map.size, node.bytes.size()) << path;
        EXPECT_TRUE(must(m().read_file(path)) == node.bytes) << path;
        return;
    }
    std::vector<std::string> wanted{".", ".."};
    for (const auto& [name, child] : node.names) wanted.push_back(name);
    EXPECT_EQ(m().names(path.empty() ? "/" : path), wanted) << path;
}

void ModelTest::compare() {
    for (const std::string& path : model_.paths(true, true)) compare_node(path, *model_.find(path));
}

TEST_F(ModelTest, RandomOperationsAgreeWithThePlainTree) {
    const char* given = getenv("MESHFS_TEST_SEED");
    uint64_t first = given != nullptr ? strtoull(given, nullptr, 10) : 1;
    uint64_t last = given != nullptr ? first : 8;
    for (uint64_t seed = first; seed <= last; ++seed) {
        SCOPED_TRACE("MESHFS_TEST_SEED=" + std::to_string(seed));
        random_.seed(seed);
        model_ = Model();
        mount_.reset();
        cluster_ = std::make_shared<MemoryCluster>();
        MemoryStore store(cluster_);
        must(format_volume(store, Clock::system(), {.lease_seconds = 5}));
        store.stop();
        mount_ = std::make_unique<Mount>(cluster_);
        for (int i = 0; i < 250 && !HasFailure(); ++i) step();
        if (HasFailure()) return;
        compare();
        mount_ = nullptr;  // and once more from what is stored
        mount_ = std::make_unique<Mount>(cluster_);
        compare();
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace meshfs::test
