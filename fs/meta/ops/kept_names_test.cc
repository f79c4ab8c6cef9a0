// Names that kernels keep: who gives a group up waits for them, and they are told only where nobody is.
#include "fs/meta/group.h"
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

class KeptNames : public MetaTest {
protected:
    KeptNames() { mount(MetaOptions::Names::always); }
    ~KeptNames() override { unmount(); }
    void unmount() {
        if (!a_) return;
        a().on_broken_promises(nullptr);
        a_->hooks->before_mutation = nullptr;
        a_.reset();
    }
    void mount(MetaOptions::Names names) {
        unmount();
        a_ = std::make_unique<TestMount>(cluster_, MetaOptions{.split_names = 16, .hold = true, .names = names});
        a().on_broken_promises([](const std::vector<Ino>&) {});
        a_->hooks->before_mutation = [this](const Mutation& m) { note(m); };
    }
    Meta& a() { return *a_->meta; }

    // When each group was given away, or made free.
    void note(const Mutation& m) {
        if (!m.object().name.starts_with("g.")) return;
        for (const Effect& effect : m.effects())
            if (effect.kind == Effect::Kind::set_xattr && effect.name == kLeaseXattr)
                if (must(decode_lease(effect.value)).is_free()) freed_[m.object().name] = a_->clock.boot_ns();
    }
    Ino make(const std::string& name, Ino directory = kRootIno, uint32_t type = S_IFREG) {
        auto made = request(directory, name, type | 0755);
        return must(type == S_IFDIR ? a().mkdir(made) : a().create(made)).ino;
    }
    int64_t keep(const std::string& name, Ino directory = kRootIno) {
        uint64_t since = a().moment();
        Inode found = must(a().lookup(directory, name));
        return a().keep_name(found, since);
    }
    bool is_held(Ino directory) { return a().core().held.holds(group_of(directory)); }
    static std::string group_of(Ino directory) { return group_object(place_of(directory).group).name; }
    bool is_open(Ino directory) {
        auto answer = must(raw_.ask(std::move(Query({kMetaPool, group_of(directory)}).xattrs())));
        return (must(decode_lease(answer.xattrs[kLeaseXattr])).flags & Lease::write_through) != 0;
    }
    // Another mount wants it; when it gets it, after so long.
    int64_t wait_to_be_given(Ino directory) {
        const int64_t began = a_->clock.boot_ns();
        EXPECT_TRUE(a().core().held.recall({.object = group_of(directory)}));
        for (int i = 0; i < 100 && is_held(directory); ++i) {
            a().tick();
            if (is_held(directory)) a_->clock.advance_ns(50 * kNsPerMs);
        }
        EXPECT_FALSE(is_held(directory));
        return a_->clock.boot_ns() - began;
    }

    std::map<std::string, int64_t> freed_;
    std::unique_ptr<TestMount> a_;
};

constexpr int64_t kLong = 2 * kNsPerSecond;  // half a second, and how late a thread may be

TEST_F(KeptNames, AreOverBeforeAnotherMountHasTheGroup) {
    make("f");
    EXPECT_EQ(keep("f"), kNsPerSecond / 2);
    EXPECT_GE(wait_to_be_given(kRootIno), kLong);
}

TEST_F(KeptNames, OfNoGroupKeepNobodyWaiting) {
    make("f");
    EXPECT_LT(wait_to_be_given(kRootIno), kNsPerSecond / 2);
}

// It would see what this mount's kernel has not heard of yet.
TEST_F(KeptNames, AreOverBeforeAnotherMountReadsWhatWasChanged) {
    make("f");
    EXPECT_GT(keep("f"), 0);
    bool is_told = false;
    ASSERT_TRUE(a().core().held.recall({.object = group_of(kRootIno), .is_to_read = true, .answer = [&](auto&&...) { is_told = true; }}));
    a().tick();
    EXPECT_FALSE(is_told);
    a_->clock.advance_ns(kLong);
    a().tick();
    EXPECT_TRUE(is_told);
    EXPECT_TRUE(is_held(kRootIno));
}

TEST_F(KeptNames, OfAGroupThatIsQuietAreOverBeforeOthersMayReadIt) {
    make("f");
    ASSERT_OK(a().commit());
    for (int i = 0; i < 8; ++i) {
        EXPECT_GT(keep("f"), 0);
        a_->clock.advance_ns(kNsPerSecond / 4);
        a().tick();
        EXPECT_FALSE(is_open(kRootIno));
    }
    a_->clock.advance_ns(kLong);
    a().tick();
    EXPECT_TRUE(is_open(kRootIno));
}

TEST_F(KeptNames, AreNotToldOfWhatSomebodyWants) {
    make("f");
    EXPECT_GT(keep("f"), 0);
    ASSERT_TRUE(a().core().held.recall({.object = group_of(kRootIno)}));
    a().tick();
    EXPECT_TRUE(is_held(kRootIno));
    EXPECT_EQ(keep("f"), 0);
}

TEST_F(KeptNames, GoWithARename) {
    Ino from = make("from", kRootIno, S_IFDIR), to = make("to", kRootIno, S_IFDIR);
    make("f", from), make("g", to);
    EXPECT_GT(keep("f", from), 0);
    ASSERT_OK(a().rename({.from_directory = from, .from_name = "f", .to_directory = to, .to_name = "f"}));
    EXPECT_TRUE(is_held(to));
    EXPECT_GE(wait_to_be_given(to), kLong - kNsPerSecond / 4);
}

// It is done once nothing is kept any more.
TEST_F(KeptNames, AreWaitedForByARenameToAGroupThatStaysFree) {
    Ino from = make("from", kRootIno, S_IFDIR), to = make("to", kRootIno, S_IFDIR);
    make("f", from);
    wait_to_be_given(to);  // it stays free for a second
    EXPECT_GT(keep("f", from), 0);
    const int64_t began = a_->clock.boot_ns();
    ASSERT_OK(a().rename({.from_directory = from, .from_name = "f", .to_directory = to, .to_name = "f"}));
    EXPECT_GE(a_->clock.boot_ns() - began, kLong);
}

// What was read before the rename is not kept after it.
TEST_F(KeptNames, OfBeforeARenameAreNotTold) {
    Ino from = make("from", kRootIno, S_IFDIR), to = make("to", kRootIno, S_IFDIR);
    make("f", from);
    uint64_t since = a().moment();
    Inode found = must(a().lookup(from, "f"));
    ASSERT_OK(a().rename({.from_directory = from, .from_name = "f", .to_directory = to, .to_name = "f"}));
    EXPECT_EQ(a().keep_name(found, since), 0);
}

// An operation over several objects that comes to nothing.
TEST_F(KeptNames, StayWhereAGroupIsHeldAgain) {
    Ino d = make("d", kRootIno, S_IFDIR), e = make("e", kRootIno, S_IFDIR);
    make("f", e), make("g", d, S_IFDIR);
    EXPECT_GT(keep("d"), 0);
    const int64_t began = a_->clock.boot_ns();
    EXPECT_ERRNO(a().rename({.from_directory = d, .from_name = "g", .to_directory = kRootIno, .to_name = "e"}), ENOTEMPTY);
    EXPECT_LT(a_->clock.boot_ns() - began, kNsPerSecond / 2);
    EXPECT_TRUE(is_held(kRootIno));
    EXPECT_TRUE(freed_.empty());
    EXPECT_GE(wait_to_be_given(kRootIno), kLong - kNsPerSecond / 2);
}

// Half of it is in a group of its own then, which anybody may take.
TEST_F(KeptNames, OfADirectoryThatGrowsEndBeforeItIsSplit) {
    Ino d = make("d", kRootIno, S_IFDIR);
    make("0", d);
    EXPECT_GT(keep("0", d), 0);
    for (int i = 1; i < 16; ++i) make(std::to_string(100 + i), d);
    EXPECT_EQ(keep("0", d), 0);
    const int64_t began = a_->clock.boot_ns();
    for (int i = 16; i < 40; ++i) make(std::to_string(100 + i), d);
    EXPECT_GE(a_->clock.boot_ns() - began, kLong - kNsPerSecond / 2);
    uint64_t since = a().moment();
    Inode found = must(a().lookup(d, "0"));
    EXPECT_FALSE(found.from.names);
    EXPECT_EQ(a().keep_name(found, since), 0);
}

TEST_F(KeptNames, AreToldWhileNobodyElseIsThere) {
    mount(MetaOptions::Names::alone);
    make("f");
    EXPECT_EQ(keep("f"), 0);  // the fixture's mount is
    mount_.reset();
    mount(MetaOptions::Names::alone);
    make("g");
    EXPECT_GT(keep("g"), 0);
    TestMount b(cluster_, MetaOptions{.hold = true});
    EXPECT_GT(keep("g"), 0);  // that is not known yet
    wait_to_be_given(kRootIno);
    a_->clock.advance_ns(kLong);
    make("h");
    EXPECT_EQ(keep("h"), 0);
}

// There are no readers it would be for, and the first change would have to take it back.
TEST_F(KeptNames, AMountAloneOpensNoGroupToOthers) {
    mount_.reset();
    mount(MetaOptions::Names::alone);
    Ino d = make("d", kRootIno, S_IFDIR), e = make("e", kRootIno, S_IFDIR);
    make("f", d);
    mount(MetaOptions::Names::alone);
    for (int i = 0; i < 5; ++i) {
        ASSERT_OK(a().list({.directory = d}));
        make(std::to_string(i), e);
    }
    ASSERT_OK(a().commit());
    a_->clock.advance_ns(3 * kNsPerSecond);
    a().tick();
    EXPECT_TRUE(is_held(d) && is_held(e));
    EXPECT_FALSE(is_open(d) || is_open(e));

    a().core().held.note_others();
    a().tick();
    EXPECT_TRUE(is_held(d) && is_held(e));
    EXPECT_TRUE(is_open(d) && is_open(e));
}

TEST_F(KeptNames, AreToldAgainOnceTheOtherMountIsGone) {
    mount(MetaOptions::Names::alone);
    mount_.reset();
    make("f");
    EXPECT_EQ(keep("f"), 0);
    a_->clock.advance_ns(61 * kNsPerSecond);
    a().tick();
    EXPECT_GT(keep("f"), 0);
}

TEST_F(KeptNames, EndWithTheWindow) {
    make("f");
    a_->clock.advance_ns(kLeaseNs / 2);
    EXPECT_EQ(keep("f"), 0);
}

}  // namespace
}  // namespace meshfs
