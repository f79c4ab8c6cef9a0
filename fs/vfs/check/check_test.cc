// What check finds, and that a repair leaves a volume that is right and works.
#include "fs/vfs/check/check.h"

#include "fs/base/wire.h"
#include "fs/meta/format.h"
#include "fs/meta/intent.h"
#include "fs/meta/ops/hooked_store.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class CheckTest : public VfsTest {
protected:
    CheckTest() : raw_(cluster_) {
        must(m().mkdir("/d").ok() ? Status() : Status(fail(EIO)));
        must(m().mkdir("/d/sub").ok() ? Status() : Status(fail(EIO)));
        must(m().write_file("/d/file", "hello"));
        must(m().write_file("/d/big", std::string(9 << 20, 'x')));
        must(m().write_file("/d/other", "other"));
        must(m().vfs->syncfs());
    }
    ~CheckTest() override { raw_.stop(); }

    // What is found, a line each; nothing repaired unless told.
    std::vector<std::string> check(CheckOptions options = {}) {
        std::vector<std::string> lines;
        options.found = [&](const Finding& f) {
            static const char* kStates[] = {"wrong", "repaired", "failed", "note"};
            lines.push_back(std::string(kStates[static_cast<int>(f.state)]) + " " + f.object + " " + f.key + " " +
                            f.path + ": " + f.what);
        };
        EXPECT_OK(m().vfs->syncfs());
        counts_ = must(check_volume(*m().meta, options));
        return lines;
    }
    void expect_clean() { EXPECT_EQ(check({.deep = true}), std::vector<std::string>()); }
    // One thing is wrong; it is repaired at once, and then nothing is.
    void expect_found_and_repaired(const std::string& object, const std::string& key, const std::string& what) {
        auto found = check();
        ASSERT_EQ(found.size(), 1u) << join_lines(found);
        EXPECT_NE(found[0].find("wrong " + object + " " + key), std::string::npos) << found[0];
        EXPECT_NE(found[0].find(what), std::string::npos) << found[0];
        auto repaired = check({.repair = true});
        EXPECT_FALSE(repaired.empty());
        for (const auto& line : repaired) EXPECT_TRUE(line.starts_with("repaired")) << line;
        EXPECT_EQ(check(), std::vector<std::string>());
    }
    static std::string join_lines(const std::vector<std::string>& lines) {
        std::string all;
        for (const auto& line : lines) all += line + "\n";
        return all;
    }

    // --- to look at the store, and to break things in it
    ObjectName group_of(const std::string& directory) { return group_object(place_of(m().ino(directory)).group); }
    std::string key_of(const ObjectName& object, const std::string& key) {
        Answer answer = must(raw_.ask(std::move(Query(object).keys({key}))));
        return answer.keys.contains(key) ? answer.keys[key] : std::string();
    }
    void set(const ObjectName& object, const std::string& key, const std::string& value) {
        must(raw_.apply(std::move(Mutation(object).set_keys({{key, value}}))));
    }
    void remove(const ObjectName& object, const std::string& key) {
        must(raw_.apply(std::move(Mutation(object).remove_keys({key}))));
    }
    Dentry dentry(const ObjectName& group, const std::string& name) {
        return must(decode_dentry(key_of(group, name_key(name))));
    }
    void put(const ObjectName& group, const std::string& name, const Dentry& dentry) {
        set(group, name_key(name), encode(dentry));
    }
    static std::string flipped(std::string value) {
        value[value.size() / 2] = static_cast<char>(value[value.size() / 2] ^ 0x10);
        return value;
    }

    MemoryStore raw_;
    CheckCounts counts_;
};

TEST_F(CheckTest, AVolumeThatWasWorkedOnIsClean) {
    must(m().rename("/d/file", "/d/renamed"));
    must(m().rename("/d/renamed", "/d/again"));
    must(m().rename("/d/again", "/d/other"));
    must(m().unlink("/d/big"));
    must(m().rmdir("/d/sub"));
    must(m().write_file("/d/new", std::string(5 << 20, 'y')));
    auto opened = must(m().open("/d/new"));
    SetAttributes cut;
    cut.size = 1000, cut.handle = opened.handle;
    EXPECT_OK(m().vfs->setattr(m().root, opened.attributes.inode.ino, cut));
    EXPECT_OK(m().write(opened.handle, 3 << 20, "more"));
    EXPECT_OK(m().close(opened.handle));
    expect_clean();
    EXPECT_EQ(counts_.directories, 2u);
    EXPECT_EQ(counts_.names, 3u);
    EXPECT_EQ(counts_.files, 2u);
}

TEST_F(CheckTest, ADamagedNameIsTakenAwayAndTheRestStays) {
    auto group = group_of("/d");
    std::string value = key_of(group, name_key("file"));
    set(group, name_key("file"), flipped(value));
    expect_found_and_repaired(group.name, "nfile", "cannot be read");
    EXPECT_ERRNO(m().stat("/d/file"), ENOENT);
    EXPECT_EQ(key_of(group, "?" + name_key("file")), flipped(value));
    EXPECT_EQ(must(m().read_file("/d/other")), "other");
    EXPECT_OK(m().write_file("/d/file", "a new one"));
    expect_clean();
}

TEST_F(CheckTest, ASlotThatDoesNotLeadBackIsWritten) {
    auto group = group_of("/d");
    remove(group, slot_key(dentry(group, "file").slot));
    expect_found_and_repaired(group.name, "nfile", "does not lead back");
    EXPECT_OK(m().vfs->getattr(m().root, m().ino("/d/file"), 0));
}

TEST_F(CheckTest, AnAnchorThatLeadsNowhereIsWritten) {
    must(m().rename("/d/file", "/d/moved"));
    auto group = group_of("/d");
    remove(group, slot_key(dentry(group, "moved").anchor));
    expect_found_and_repaired(group.name, "nmoved", "by which its number finds it");
}

TEST_F(CheckTest, ASlotWithoutItsNameIsTakenAway) {
    auto group = group_of("/d");
    set(group, slot_key(Slot{40}), encode(SlotRecord{.name = "nobody"}));
    expect_found_and_repaired(group.name, "i\\x00\\x00\\x00(", "leads to a name that is not there");
}

TEST_F(CheckTest, ADamagedSlotIsWrittenForItsName) {
    auto group = group_of("/d");
    std::string key = slot_key(dentry(group, "file").slot);
    set(group, key, flipped(key_of(group, key)));
    expect_found_and_repaired(group.name, "nfile", "does not lead back");
}

TEST_F(CheckTest, WrongSumsGetTheDifference) {
    auto group = group_of("/d");
    set(group, "m", encode(Sum{.names = 7, .subdirectories = -2, .bytes = 100}));
    expect_found_and_repaired(group.name, "m", "there are -7 more names, 2 more subdirectories, -100 more bytes");
    EXPECT_EQ(must(m().stat("/d")).inode.names, 4u);
    EXPECT_EQ(must(m().stat("/d")).inode.links, 3u);
}

TEST_F(CheckTest, ADamagedLeaseIsFreedAndTheGroupCanChangeAgain) {
    auto group = group_of("/d");
    must(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, "junk"))));
    EXPECT_ERRNO(m().stat("/d"), EIO);
    expect_found_and_repaired(group.name, kLeaseXattr, "cannot be read");
    EXPECT_OK(m().write_file("/d/x", ""));
}

TEST_F(CheckTest, ADamagedAboutIsWrittenAnewAndGivesOutNoSlotTwice) {
    auto group = group_of("/d");
    must(raw_.apply(std::move(Mutation(group).set_xattr(kAboutXattr, "junk"))));
    expect_found_and_repaired(group.name, kAboutXattr, "cannot be read");
    EXPECT_OK(m().write_file("/d/x", ""));
    expect_clean();
}

TEST_F(CheckTest, AboutBehindItsSlotsGoesOnBehindThem) {
    auto group = group_of("/d");
    About about{.group = place_of(m().ino("/d")).group, .directory = m().ino("/d"), .next_slot = Slot{2}};
    must(raw_.apply(std::move(Mutation(group).set_xattr(kAboutXattr, encode(about)))));
    expect_found_and_repaired(group.name, kAboutXattr, "slots again");
}

TEST_F(CheckTest, ALeaseInBreakingIsFreed) {
    auto group = group_of("/d");
    Lease breaking{.kind = Lease::Kind::breaking, .epoch = 9};
    must(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, encode(breaking)))));
    expect_found_and_repaired(group.name, kLeaseXattr, "is being taken since epoch 9");
}

TEST_F(CheckTest, ANameThatLeadsToNoDirectoryIsTakenAway) {
    ObjectName sub = group_of("/d/sub");
    ObjectName group = group_of("/d");
    must(raw_.apply(std::move(Mutation(sub).remove())));
    expect_found_and_repaired(group.name, "nsub", "object " + sub.name + " is missing");
    EXPECT_EQ(m().names("/d"), (std::vector<std::string>{".", "..", "big", "file", "other"}));
    EXPECT_OK(m().mkdir("/d/sub"));
    expect_clean();
}

TEST_F(CheckTest, ARemovedDirectoryLosesItsName) {
    ObjectName sub = group_of("/d/sub");
    must(raw_.apply(
        std::move(Mutation(sub).set_xattr(kLeaseXattr, encode(Lease{.kind = Lease::Kind::dead, .epoch = 5})))));
    expect_found_and_repaired(sub.name, kLeaseXattr, "is removed, and has its name still");
    EXPECT_ERRNO(m().stat("/d/sub"), ENOENT);
}

TEST_F(CheckTest, ARemovedDirectoryWithNamesIsBroughtBack) {
    must(m().write_file("/d/sub/kept", "kept"));
    ObjectName sub = group_of("/d/sub");
    must(raw_.apply(
        std::move(Mutation(sub).set_xattr(kLeaseXattr, encode(Lease{.kind = Lease::Kind::dead, .epoch = 5})))));
    expect_found_and_repaired(sub.name, kLeaseXattr, "is removed, and has names in it");
    EXPECT_EQ(must(m().read_file("/d/sub/kept")), "kept");
}

TEST_F(CheckTest, ADirectoryWithoutItsInodeGetsOne) {
    auto group = group_of("/d");
    remove(group, kInodeKey);
    expect_found_and_repaired(group.name, kInodeKey, "there is none");
    EXPECT_EQ(must(m().stat("/d")).inode.mode, uint32_t{S_IFDIR | 0700});
    EXPECT_EQ(must(m().read_file("/d/file")), "hello");
}

TEST_F(CheckTest, ADirectoryThatDoesNotKnowItsPlaceIsTold) {
    auto sub = group_of("/d/sub");
    set(sub, kPlaceKey, encode(PlaceRecord{.parent = kRootIno, .dentry = {GroupId{0}, Slot{99}}}));
    expect_found_and_repaired(sub.name, kPlaceKey, "where it is not");
    EXPECT_EQ(must(m().vfs->lookup(m().root, m().ino("/d/sub"), "..")).inode.ino, m().ino("/d"));
}

TEST_F(CheckTest, ASecondNameOfADirectoryIsTakenAway) {
    Ino sub = m().ino("/d/sub");
    auto group = group_of("/");
    Dentry second{.kind = Dentry::Kind::directory, .ino = sub, .type = S_IFDIR, .slot = Slot{50}, .anchor = Slot{50}};
    put(group, "second", second);
    set(group, slot_key(Slot{50}), encode(SlotRecord{.name = "second"}));
    set(group, "m", encode(Sum{.names = 1, .subdirectories = 1}));
    expect_found_and_repaired(group.name, "nsecond", "is a second name of directory");
    EXPECT_EQ(m().ino("/d/sub"), sub);
    EXPECT_ERRNO(m().stat("/second"), ENOENT);
}

TEST_F(CheckTest, AFileCountsItsOneLink) {
    auto group = group_of("/d");
    Dentry wrong = dentry(group, "file");
    wrong.inode.links = 3;
    put(group, "file", wrong);
    expect_found_and_repaired(group.name, "nfile", "counts 3 links");
}

TEST_F(CheckTest, WhatHasANameIsNotPurged) {
    auto group = group_of("/d");
    Dentry file = dentry(group, "big");
    set(group, unlinked_key(file.ino), encode(UnlinkedRecord{.inode = file.inode}));
    auto found = check({.repair = true});
    ASSERT_FALSE(found.empty());
    EXPECT_NE(found[0].find("is unlinked, and it has a name"), std::string::npos) << found[0];
    EXPECT_EQ(must(m().read_file("/d/big")).size(), size_t{9 << 20});
    expect_clean();
}

TEST_F(CheckTest, FreedBytesThatAreMappedAreNotPurged) {
    auto group = group_of("/d");
    Dentry file = dentry(group, "big");
    UnlinkedRecord freed{.kind = UnlinkedRecord::Kind::extents, .inode = file.inode};
    set(group, freed_key(file.ino, 77), encode(freed));
    expect_found_and_repaired(group.name, "u", "still maps");
    EXPECT_EQ(must(m().read_file("/d/big")).size(), size_t{9 << 20});
}

TEST_F(CheckTest, ABlobOfTwoFilesIsTold) {
    auto group = group_of("/d");
    Dentry file = dentry(group, "big"), other = dentry(group, "other");
    other.inode.map = file.inode.map;
    put(group, "other", other);
    auto found = check({.repair = true});
    ASSERT_EQ(found.size(), 2u) << join_lines(found);  // the sums, too
    EXPECT_NE(found[1].find("blob is mapped by other files, too: /d/other"), std::string::npos) << found[1];
}

TEST_F(CheckTest, ALostObjectOfAWholeExtentIsTold) {
    auto group = group_of("/d");
    Dentry file = dentry(group, "big");
    ASSERT_FALSE(file.inode.map.extents.empty());
    EXPECT_NE(file.inode.map.extents[0].flags & Extent::whole, 0);
    EXPECT_EQ(check({.deep = true}), std::vector<std::string>());
    ObjectName object{1, "b." + hex(raw(file.inode.map.extents[0].blob)) + ".1"};
    must(raw_.apply(std::move(Mutation(object).remove())));
    auto found = check({.deep = true});
    ASSERT_EQ(found.size(), 1u) << join_lines(found);
    EXPECT_NE(found[0].find("object " + object.name + " is missing"), std::string::npos) << found[0];
    EXPECT_NE(found[0].find("/d/big"), std::string::npos) << found[0];
}

TEST_F(CheckTest, ANameThatNoFileCanHaveIsTakenAway) {
    auto group = group_of("/d");
    Dentry file = dentry(group, "file");
    remove(group, name_key("file"));
    put(group, "a/b", file);
    set(group, slot_key(file.slot), encode(SlotRecord{.name = "a/b"}));
    EXPECT_EQ(m().names("/d"), (std::vector<std::string>{".", "..", "big", "other", "sub"}));
    expect_found_and_repaired(group.name, "na/b", "is no name a file can have");
}

TEST_F(CheckTest, AGroupThatNothingNamesIsRemovedByDeep) {
    ObjectName nameless = group_object(GroupId{77});
    must(raw_.apply(
        std::move(Mutation(nameless)
                      .create()
                      .set_xattr(kLeaseXattr, encode(free_lease(1)))
                      .set_xattr(kAboutXattr,
                                 encode(About{.group = GroupId{77}, .directory = ino_of({GroupId{77}, Slot{0}})})))));
    EXPECT_EQ(check(), std::vector<std::string>());
    auto found = check({.deep = true});
    ASSERT_EQ(found.size(), 1u) << join_lines(found);
    EXPECT_NE(found[0].find("is named by nothing"), std::string::npos) << found[0];
    check({.repair = true, .deep = true});
    expect_clean();
}

TEST_F(CheckTest, WhatIsHeldByTheLivingIsLeftAlone) {
    auto group = group_of("/d");
    std::string before = must(raw_.ask(std::move(Query(group).xattrs()))).xattrs[kLeaseXattr];
    must(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, encode(exclusive_lease(SessionId{9}, 5))))));
    auto found = check({.repair = true, .live = true});
    must(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, before))));
    ASSERT_EQ(found.size(), 1u) << join_lines(found);
    EXPECT_TRUE(found[0].starts_with("note")) << found[0];
    EXPECT_EQ(counts_.wrong, 0u);
}

TEST_F(CheckTest, WhatAMountThatDiedHadIsReadAndNotChanged) {
    HookedStore only(std::make_unique<MemoryStore>(cluster_));
    only.claims_exclusive = true;
    only.before_mutation = [](const Mutation& m) { ADD_FAILURE() << m.object().name << " was changed"; };
    Ino d = m().ino("/d");
    auto group = group_of("/d");
    std::string before = must(raw_.ask(std::move(Query(group).xattrs()))).xattrs[kLeaseXattr];
    const Lease held = exclusive_lease(SessionId{99}, 77);
    must(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, encode(held)))));
    auto reader = must(Meta::open(only, Clock::system(), {.read_only = true}));
    std::vector<std::string> notes;
    CheckOptions options;
    options.found = [&](const Finding& f) { notes.push_back(f.object + " " + f.what); };
    EXPECT_EQ(must(check_volume(*reader, options)).wrong, 0u);
    EXPECT_EQ(notes, std::vector<std::string>());
    EXPECT_OK(reader->lookup(d, "file"));
    // It had begun to change it.
    Intent intent{{.kind = IntentStep::Kind::leased, .object = group, .held = held, .next = free_lease(78)}};
    must(raw_.apply(std::move(
        Mutation(session_object(held.session)).create().set_keys({{intent_key(1, 0), encode_intent(intent).at(0)}}))));
    EXPECT_EQ(must(check_volume(*reader, options)).wrong, 0u);
    ASSERT_EQ(notes.size(), 1u) << join_lines(notes);
    EXPECT_NE(notes[0].find(group.name + " is held by session 99, which is no more"), std::string::npos) << notes[0];
    EXPECT_ERRNO(reader->lookup(d, "file"), EBUSY);
    EXPECT_OK(reader->close());
    reader.reset();
    only.stop();
    must(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, before))));
}

TEST_F(CheckTest, ASessionThatCannotBeReadIsDeclaredDead) {
    const SessionId session{99};
    set(registry_object(registry_of(session)), registry_key(session), "junk");
    must(raw_.apply(std::move(
        Mutation(session_object(session)).create().set_xattr(kStateXattr, "junk").set_xattr(kBeatXattr, "junk"))));
    set(session_object(session), "x" + key_u64(1) + key_u32(0), "junk");
    set(session_object(session), reach_key(BlobId{1}, BlobId{64}), "junk");
    set(session_object(session), births_key(GroupId{1}), "junk");
    EXPECT_EQ(check().size(), 6u);
    EXPECT_EQ(check({.repair = true}).size(), 6u);
    auto xattrs = must(raw_.ask(std::move(Query(session_object(session)).xattrs()))).xattrs;
    EXPECT_EQ(must(decode_state(xattrs[kStateXattr])).state, SessionState::dead);
    expect_clean();
}

// --- files with several names, directories of several groups

TEST_F(CheckTest, AFileWithSeveralNamesCountsThem) {
    must(m().vfs->link(m().root, m().ino("/d/file"), kRootIno, "second"));
    expect_clean();
    ObjectName object = linked_object(m().ino("/second"));
    InodeRecord record = must(decode_inode(key_of(object, kInodeKey)));
    record.inode.links = 5;
    set(object, kInodeKey, encode(record));
    expect_found_and_repaired(object.name, kInodeKey, "counts 5 links and has 2 names");
    EXPECT_EQ(must(m().stat("/second")).inode.links, 2u);
    must(raw_.apply(std::move(Mutation(object).remove())));
    auto found = check();
    ASSERT_EQ(found.size(), 1u) << join_lines(found);
    EXPECT_NE(found[0].find("is missing, and names lead to it"), std::string::npos) << found[0];
}

// Its bytes, and those freed from it, belong to somebody until they are purged.
TEST_F(CheckTest, AFileThatLosesItsLastOfSeveralNamesIsClean) {
    must(m().vfs->link(m().root, m().ino("/d/big"), kRootIno, "second"));
    auto opened = must(m().open("/second"));
    SetAttributes cut;
    cut.size = 0, cut.handle = opened.handle;
    EXPECT_OK(m().vfs->setattr(m().root, opened.attributes.inode.ino, cut));
    EXPECT_OK(m().write(opened.handle, 0, std::string(5 << 20, 'z')));
    expect_clean();
    must(m().unlink("/d/big"));
    must(m().unlink("/second"));
    expect_clean();
    EXPECT_OK(m().close(opened.handle));
    expect_clean();
}

TEST_F(CheckTest, ANumberIsFoundAfterItMovedAway) {
    must(m().rename("/d/file", "/moved"));
    expect_clean();
    Place born = place_of(m().ino("/moved"));
    // Both ways there are cut: the record that knows the last move, and the slot that knows the first.
    remove(away_object(born.group, born.slot), slot_key(born.slot));
    remove(group_object(born.group), slot_key(born.slot));
    expect_found_and_repaired(group_of("/").name, "nmoved", "which leads to nothing");
    EXPECT_OK(m().vfs->getattr(m().root, m().ino("/moved"), 0));
}

class CheckRangesTest : public CheckTest {
protected:
    // The mount of the fixture does not split so early: another one does.
    void SetUp() override {
        MemoryStore store(cluster_);
        MetaOptions options;
        options.split_names = 20;
        auto meta = must(Meta::open(store, Clock::system(), options));
        for (int i = 0; i < 100; ++i)
            must(meta->create(
                {.directory = m().ino("/d"), .name = "n" + std::to_string(100 + i), .mode = S_IFREG | 0644}));
        must(meta->close());
        store.stop();
        Answer answer = must(raw_.ask(std::move(Query(group_of("/d")).range("", "r"))));
        for (const auto& [key, value] : answer.ranges[0].entries) ranges_.push_back({key, value});
        ASSERT_GE(ranges_.size(), 2u);
    }
    ObjectName range(size_t i) { return group_object(must(decode_range(ranges_[i].second)).group); }
    std::vector<Key> ranges_;
};

TEST_F(CheckRangesTest, ADirectoryOfSeveralGroupsIsClean) {
    expect_clean();
    EXPECT_EQ(counts_.names, 105u);
}

TEST_F(CheckRangesTest, AGroupThatSaysItEndsElsewhereIsCorrected) {
    ObjectName object = range(0);
    About about = must(decode_about(must(raw_.ask(std::move(Query(object).xattrs()))).xattrs[kAboutXattr]));
    about.end = "n999";
    must(raw_.apply(std::move(Mutation(object).set_xattr(kAboutXattr, encode(about)))));
    expect_found_and_repaired(object.name, kAboutXattr, "says its names end at \"n999\"");
}

TEST_F(CheckRangesTest, ALostGroupIsMadeAnewAndTheRestStays) {
    ObjectName object = range(1);
    must(raw_.apply(std::move(Mutation(object).remove())));
    auto found = check({.repair = true});
    ASSERT_FALSE(found.empty());
    EXPECT_NE(found[0].find("range leads to object " + object.name + ", which is missing"), std::string::npos)
        << found[0];
    for (const auto& line : found)
        EXPECT_TRUE(line.starts_with("repaired")) << line;  // the way to /d/sub led through it, too
    expect_clean();
    EXPECT_EQ(must(m().read_file("/d/other")).size(), 5u);
    std::string first = "/d/" + ranges_[1].first.substr(1);
    EXPECT_OK(m().write_file(first, "again"));
}

// Nothing is called wrong that another mount is only in the middle of.
TEST_F(CheckTest, AVolumeThatChangesUnderItIsClean) {
    std::atomic<bool> done{false};
    Thread other("other", [&] {
        Mount mount(cluster_);
        for (int i = 0; !done; ++i) {
            std::string name = "/d/t" + std::to_string(i % 50);
            must(mount.write_file(name, std::string(static_cast<size_t>(i % 3) * 5000, 'z')));
            must(mount.rename(name, name + "r"));
            if (i % 3 == 0) must(mount.unlink(name + "r"));
            std::string directory = "/d/sub/s" + std::to_string(i);
            (void)mount.mkdir(directory);
            if (i % 2 == 0) must(mount.rmdir(directory));
        }
    });
    // On a slow machine some group may be another one at each look: that it was not compared is no fault found.
    for (int i = 0; i < 20; ++i)
        for (const auto& line : check({.live = true})) EXPECT_NE(line.find("changes all the time"), std::string::npos) << line;
    done = true;
    other.join();
    expect_clean();
}

}  // namespace
}  // namespace meshfs::test
