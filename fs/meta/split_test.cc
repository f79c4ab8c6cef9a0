#include "fs/meta/split.h"

#include "fs/meta/group.h"
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

class SplitTest : public MetaTest {
protected:
    SplitTest() {
        mount_ = std::make_unique<TestMount>(cluster_, MetaOptions{.split_names = 40});
        directory_ = must(mkdir("d")).ino;
    }
    static std::string name(int i) { return "name" + std::to_string(1000 + i); }
    std::vector<std::string> listed(Meta& m, size_t page_max = 7) {
        std::vector<std::string> out;
        for (ListRequest r{.directory = directory_, .entries_max = page_max, .with_inodes = true};;) {
            ListPage page = must(m.list(r));
            for (const auto& entry : page.entries) out.push_back(entry.name), r.after_cookie = entry.cookie;
            if (!page.more) return out;
        }
    }
    size_t ranges() {
        core().maps.forget(directory_);
        return must(read_range_map(core(), directory_)).size() + 1;
    }
    Ino directory_{};
};

TEST_F(SplitTest, ALargeDirectoryIsCutIntoRangesAndLosesNothing) {
    std::vector<std::string> wanted;
    std::vector<Ino> inos;
    TestMount other(cluster_, {.split_names = 40});
    for (int i = 0; i < 200; ++i) {
        Meta& m = i % 3 == 0 ? *other.meta : meta();
        inos.push_back(must(m.create(request(directory_, name(i * 7919 % 200), S_IFREG | 0644))).ino);
        wanted.push_back(name(i));
    }
    EXPECT_GE(ranges(), 5u);
    TestMount cold(cluster_);
    for (Meta* m : {&meta(), other.meta.get(), cold.meta.get()}) {
        EXPECT_EQ(listed(*m), wanted);
        EXPECT_EQ(must(m->get(directory_)).names, 200u);
    }
    for (int i = 0; i < 200; ++i) {
        const std::string its = name(i * 7919 % 200);
        EXPECT_EQ(must(other.meta->lookup(directory_, its)).ino, inos[static_cast<size_t>(i)]);
        EXPECT_EQ(must(cold.meta->name_of(inos[static_cast<size_t>(i)])), std::pair(directory_, its));
        EXPECT_ERRNO(create(its, directory_), EEXIST);
    }
    EXPECT_ERRNO(meta().rmdir(kRootIno, "d"), ENOTEMPTY);
    for (int i = 0; i < 200; ++i) must(other.meta->unlink(directory_, name(i)));
    mount_->clock.advance_ns(2 * kNsPerSecond);  // counts of several ranges are kept for one
    EXPECT_EQ(must(meta().get(directory_)).names, 0u);
    must(meta().rmdir(kRootIno, "d"));
    EXPECT_ERRNO(create("late", directory_), ENOENT);
}

TEST_F(SplitTest, ACookieOfBeforeTheSplitGoesOnAfterIt) {
    for (int i = 0; i < 40; ++i) must(create(name(i * 2), directory_));
    ListPage page = must(meta().list({.directory = directory_, .entries_max = 30}));
    uint64_t cookie = page.entries.back().cookie;
    EXPECT_EQ(page.entries.back().name, name(58));
    for (int i = 0; i < 40; ++i) must(create(name(i * 2 + 1), directory_));
    EXPECT_GE(ranges(), 2u);
    page = must(meta().list({.directory = directory_, .after_cookie = cookie}));
    EXPECT_EQ(page.entries.front().name, name(59));
    EXPECT_EQ(page.entries.size(), 21u);
}

TEST_F(SplitTest, NamesMoveBetweenRangesAndDirectoriesAreFoundAgain) {
    Ino sub = must(mkdir(name(99), directory_)).ino, file = must(create(name(98), directory_)).ino;
    must(meta().link(file, directory_, "linked"));
    for (int i = 0; i < 60; ++i) must(create(name(i), directory_));
    EXPECT_GE(ranges(), 2u);
    EXPECT_EQ(must(meta().name_of(sub)), std::pair(directory_, name(99)));
    EXPECT_EQ(must(meta().get(file)).links, 2u);
    must(meta().rename({directory_, name(99), directory_, "aaa"}));
    EXPECT_EQ(must(meta().name_of(sub)), std::pair(directory_, std::string("aaa")));
    EXPECT_EQ(must(meta().lookup(sub, "..")).ino, directory_);
    must(meta().rename({directory_, name(0), directory_, "zzz"}));
    EXPECT_EQ(listed(meta()).front(), "aaa");
    EXPECT_EQ(listed(meta()).back(), "zzz");
    EXPECT_EQ(must(meta().get(directory_)).names, 63u);
    EXPECT_EQ(must(meta().get(directory_)).links, 3u);
}

TEST_F(SplitTest, TimesOfTheDirectoryStayAsTheyWere) {
    for (int i = 0; i < 40; ++i) must(create(name(i), directory_));
    Time before = must(meta().get(directory_)).mtime;
    mount_->clock.advance_ns(kNsPerSecond);
    TestMount strict(cluster_, {.split_names = 10});
    strict.clock.advance_ns(100 * kNsPerSecond);
    split_if_large(strict.meta->core(), group_object(place_of(directory_).group));
    EXPECT_EQ(must(meta().get(directory_)).mtime, before);
    EXPECT_EQ(listed(meta()).size(), 40u);
}

}  // namespace
}  // namespace meshfs
