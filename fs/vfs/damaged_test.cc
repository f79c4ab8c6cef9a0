// Each record of a volume damaged in each way, one at a time: what it describes may fail with EIO, everything beside
// it works, nothing crashes or hangs, and check names object and key.
#include <cstdio>
#include <set>

#include "fs/base/wire.h"
#include "fs/meta/format.h"
#include "fs/vfs/check/check.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

struct Record {
    ObjectName object;
    std::string key;
    bool is_xattr = false;
    std::string value;
    std::string text() const { return object.name + (is_xattr ? " xattr " : " key ") + printable(key); }
};

struct Damage {
    const char* name;
    std::string (*of)(const std::string& value);
};

const Damage kDamages[] = {
    {"a flipped bit",
     [](const std::string& v) {
         std::string damaged = v;
         damaged[v.size() / 2] = static_cast<char>(v[v.size() / 2] ^ 4);
         return damaged;
     }},
    {"another version", [](const std::string& v) { return seal_record(99, v); }},
    {"one byte", [](const std::string&) { return std::string(1, 'x'); }},
    {"sealed junk", [](const std::string&) { return seal_record(1, std::string(40, '\xff')); }},
};

// Ends the program, saying where, if a case takes this long: nothing may hang.
class Watchdog {
public:
    explicit Watchdog(const std::string& what) : what_(what), thread_("watchdog", [this] { wait(); }) {}
    ~Watchdog() {
        {
            MutexLock lock(mutex_);
            over_ = true;
            changed_.notify_all();
        }
        thread_.join();
    }

private:
    void wait() {
        int64_t until = Clock::system().boot_ns() + 600 * kNsPerSecond;
        MutexLock lock(mutex_);
        while (!over_)
            if (!changed_.wait_until(mutex_, until)) {
                std::fprintf(stderr, "hangs: %s\n", what_.c_str());
                std::abort();
            }
    }
    const std::string what_;
    Mutex mutex_;
    CondVar changed_;
    bool over_ GUARDED_BY(mutex_) = false;
    Thread thread_;
};

// A volume with a bit of everything, and one mount.
class Volume {
public:
    Volume() : cluster_(std::make_shared<MemoryCluster>()), raw_(cluster_) {
        must(format_volume(raw_, Clock::system(), {.lease_seconds = 5}));
        mount_ = std::make_unique<Mount>(cluster_);
        for (const char* directory : {"/d", "/d/sub", "/e"}) must(m().mkdir(directory));
        must(m().write_file("/d/file", "inline"));
        must(m().write_file("/d/big", std::string(50'000, 'b')));
        must(m().write_file("/d/old", "moved"));
        must(m().rename("/d/old", "/d/moved"));
        must(m().write_file("/d/gone", std::string(9000, 'g')));
        must(m().unlink("/d/gone"));
        must(m().write_file("/d/sub/inner", "inner"));
        must(m().write_file("/e/keep", "keep"));
        must(m().vfs->syncfs());
    }
    ~Volume() {
        mount_.reset();
        raw_.stop();
    }
    Mount& m() { return *mount_; }

    std::vector<Record> records() {
        std::vector<Record> all;
        for (const auto& name : cluster_->names(kMetaPool)) {
            ObjectName object{kMetaPool, name};
            Answer answer = must(raw_.ask(std::move(Query(object).xattrs().range("", ""))));
            for (const auto& [key, value] : answer.xattrs) all.push_back({object, key, true, value});
            for (const auto& [key, value] : answer.ranges.at(0).entries) all.push_back({object, key, false, value});
        }
        return all;
    }
    void set(const Record& record, const std::string& value) {
        Mutation m(record.object);
        if (record.is_xattr) m.set_xattr(record.key, value);
        else m.set_keys({{record.key, value}});
        must(raw_.apply(std::move(m)));
    }
    std::string now(const Record& record) {
        Answer answer = must(raw_.ask(std::move(Query(record.object).xattrs().keys({record.key}))));
        return record.is_xattr ? answer.xattrs[record.key] : answer.keys[record.key];
    }
    std::string group_of(const std::string& path) { return group_object(place_of(m().ino(path)).group).name; }

private:
    std::shared_ptr<MemoryCluster> cluster_;
    MemoryStore raw_;
    std::unique_ptr<Mount> mount_;
};

const std::vector<std::pair<std::string, std::string>> kFiles = {{"/d/file", "inline"},
                                                                 {"/d/big", std::string(50'000, 'b')},
                                                                 {"/d/moved", "moved"},
                                                                 {"/d/sub/inner", "inner"},
                                                                 {"/e/keep", "keep"}};
const std::vector<std::string> kDirectories = {"/d", "/d/sub", "/e"};

// What a damaged record may take with it; all else must work.
std::set<std::string> harmed_by(const Record& record, const std::map<std::string, std::string>& groups) {
    const std::set<std::string> below_d = {"/d", "/d/file", "/d/big", "/d/moved", "/d/sub", "/d/sub/inner"};
    const std::set<std::string> below_sub = {"/d/sub", "/d/sub/inner"}, below_e = {"/e", "/e/keep"};
    bool is_whole_group = record.is_xattr || record.key == kInodeKey || record.key == kPlaceKey;
    const std::string& name = record.object.name;
    std::set<std::string> all = below_d;
    all.insert(below_e.begin(), below_e.end());
    if (name == group_object(kRootGroup).name) {
        if (is_whole_group) return all;
        if (record.key == "nd") return below_d;
        if (record.key == "ne") return below_e;
        return {};
    }
    if (name == groups.at("/d")) {
        if (is_whole_group) return below_d;
        if (record.key == "nsub") return below_sub;
        if (record.key[0] == 'n') return {"/d/" + record.key.substr(1)};
        return {};
    }
    if (name == groups.at("/d/sub")) {
        if (is_whole_group) return below_sub;
        if (record.key[0] == 'n') return {"/d/sub/inner"};
        return {};
    }
    if (name == groups.at("/e")) {
        if (is_whole_group) return below_e;
        if (record.key[0] == 'n') return {"/e/keep"};
        return {};
    }
    return {};
}

// All that a directory can be asked to do beside what is in it.
Status use_directory(Mount& m, const std::string& directory) {
    auto there = m.stat(directory);
    if (!there.ok()) return there.error();
    auto handle = m.vfs->opendir(m.root, there->inode.ino);
    if (!handle.ok()) return handle.error();
    for (uint64_t cookie = 0;;) {
        auto entries = m.vfs->readdir(*handle, cookie, 100, true);
        if (!entries.ok()) return entries.error();
        if (entries->empty()) break;
        cookie = entries->back().cookie;
    }
    m.vfs->releasedir(*handle);
    std::string a = directory + "/new-a", b = directory + "/new-b", c = directory + "/new-c";
    for (int round = 0; round < 2; ++round) {
        Status done = m.write_file(a, "new");
        if (done.ok()) done = m.rename(a, b);
        if (done.ok()) done = m.unlink(b);
        if (done.ok() && !m.mkdir(c).ok()) done = fail(EIO, "mkdir");
        if (done.ok()) done = m.rmdir(c);
        if (!done.ok()) return done;
    }
    return {};
}

// Whatever can be done to a file, whatever comes of it.
void try_everything(Mount& m, const std::string& path) {
    (void)m.read_file(path);
    auto there = m.stat(path);
    if (there.ok()) {
        Ino ino = there->inode.ino;
        SetAttributes set;
        set.mode = 0600;
        set.size = 3;
        (void)m.vfs->getattr(m.root, ino, 0);
        (void)m.vfs->setattr(m.root, ino, set);
        (void)m.vfs->setxattr(m.root, ino, "user.a", "1", 0, false);
        (void)m.vfs->listxattr(m.root, ino);
        (void)m.vfs->lookup(m.root, ino, "..");
        (void)m.vfs->path_of(ino);
        auto [directory, name] = m.split(path);
        (void)m.vfs->link(m.root, ino, directory, "hard-link");
    }
    size_t slash = path.rfind('/');
    auto parent = m.stat(slash == 0 ? "/" : path.substr(0, slash));
    if (!parent.ok()) return;
    std::string name = path.substr(slash + 1);
    Ino directory = parent->inode.ino;
    (void)m.vfs->create(m.root, directory, name, 0644, O_RDWR | O_CREAT);
    (void)m.vfs->mkdir(m.root, directory, name, 0755);
    (void)m.vfs->rename(m.root, directory, name, directory, name + "-renamed", 0);
    (void)m.vfs->rename(m.root, directory, name + "-renamed", directory, name, 0);
    (void)m.vfs->rename(m.root, directory, name, kRootIno, name + "-away", 0);
    (void)m.vfs->unlink(m.root, directory, name);
    (void)m.vfs->rmdir(m.root, directory, name);
    (void)m.vfs->syncfs();
}

void judge(const Record& wanted, const Damage& damage) {
    Volume volume;
    Mount& m = volume.m();
    std::map<std::string, std::string> groups;
    for (const auto& directory : kDirectories) groups[directory] = volume.group_of(directory);
    Record record = wanted;
    record.value = volume.now(record);
    if (record.value.empty()) return;  // a number of this run, which differs from that of the list
    if (record.object == session_object(m.meta->session())) return;  // a mount without its session ends
    std::string what = record.text() + ", " + damage.name;
    SCOPED_TRACE(what);
    Watchdog watchdog(what);
    const std::string damaged = damage.of(record.value);
    volume.set(record, damaged);

    std::vector<std::string> found;
    CheckOptions options;
    options.found = [&](const Finding& finding) {
        found.push_back(finding.object + " " + finding.key + ": " + finding.what);
    };
    auto checked = check_volume(*m.meta, options);
    bool is_told = false;
    for (const auto& line : found) is_told |= line.find(record.object.name) == 0;
    if (!checked.ok()) is_told |= checked.error().text().find(record.object.name) != std::string::npos;
    EXPECT_TRUE(is_told) << "check says "
                         << (checked.ok() ? std::to_string(found.size()) + " others" : checked.error().text());

    auto harmed = harmed_by(record, groups);
    for (const auto& [path, content] : kFiles) {
        auto read = m.read_file(path);
        if (harmed.contains(path)) {
            EXPECT_TRUE(read.ok() || read.code() == EIO) << path << ": " << read.error().text();
        } else {
            EXPECT_TRUE(read.ok() && *read == content)
                << path << ": " << (read.ok() ? "other bytes" : read.error().text());
        }
    }
    for (const auto& path : kDirectories) {
        Status used = use_directory(m, path);
        if (!harmed.contains(path)) {
            EXPECT_TRUE(used.ok()) << path << ": " << used.error().text();
        }
    }
    for (const auto& [path, content] : kFiles) try_everything(m, path);
    for (const auto& path : kDirectories) try_everything(m, path);
    // The mount ends in peace with a volume as it was, but for what was tried.
    if (volume.now(record) == damaged) volume.set(record, record.value);
}

TEST(Damaged, EachRecordHarmsOnlyWhatItDescribes) {
    std::vector<Record> records = Volume().records();
    ASSERT_GT(records.size(), 40u);
    for (const Record& record : records)
        for (const Damage& damage : kDamages) {
            judge(record, damage);
            if (testing::Test::HasFatalFailure()) return;
        }
}

}  // namespace
}  // namespace meshfs::test
