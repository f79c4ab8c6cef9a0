// Operations over several objects: rename between groups, links, publish between groups, rmdir.
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

using Names = std::vector<std::string>;

class JointTest : public MetaTest {
protected:
    Result<Renamed> rename(Ino from, std::string from_name, Ino to, std::string to_name) {
        return meta().rename({.from_directory = from, .from_name = std::move(from_name), .to_directory = to,
                              .to_name = std::move(to_name)});
    }
    Result<Renamed> exchange(Ino from, std::string from_name, Ino to, std::string to_name) {
        return meta().rename({.from_directory = from, .from_name = std::move(from_name), .to_directory = to,
                              .to_name = std::move(to_name), .exchange = true});
    }
    // By name and by number, on this mount and on one that remembers nothing.
    void expect_at(Ino ino, Ino directory, const std::string& name) {
        TestMount cold(cluster_);
        for (Meta* m : {&meta(), cold.meta.get()}) {
            EXPECT_EQ(must(m->lookup(directory, name)).ino, ino);
            EXPECT_EQ(must(m->get(ino)).ino, ino);
            EXPECT_EQ(must(m->name_of(ino)), std::pair(directory, name));
        }
    }
    // No operation has left anything it holds, or an intent; sums count what is there.
    void TearDown() override {
        mount_->meta->tick();
        ASSERT_OK(raw_.list(kMetaPool, [&](const std::string& object) -> Status {
            auto answer = must(raw_.ask(std::move(Query({kMetaPool, object}).xattrs().range("", "x"))));
            EXPECT_TRUE(answer.ranges[0].entries.empty()) << object;
            auto lease = answer.xattrs.find(kLeaseXattr);
            if (lease == answer.xattrs.end()) return {};
            EXPECT_NE(must(decode_lease(lease->second)).kind, Lease::Kind::exclusive) << object;
            return {};
        }));
    }
};

TEST_F(JointTest, AFileMovesToAnotherDirectoryAndKeepsItsNumber) {
    Ino d = must(mkdir("d")).ino, e = must(mkdir("e")).ino, f = must(create("f", d)).ino;
    EXPECT_EQ(must(rename(d, "f", e, "g")).moved.ino, f);
    EXPECT_ERRNO(meta().lookup(d, "f"), ENOENT);
    expect_at(f, e, "g");
    EXPECT_EQ(must(meta().get(d)).names, 0u);
    EXPECT_EQ(must(meta().get(e)).names, 1u);
    // On and on, and home again: always found in as many steps.
    must(rename(e, "g", kRootIno, "h"));
    expect_at(f, kRootIno, "h");
    must(rename(kRootIno, "h", d, "f"));
    expect_at(f, d, "f");
    must(rename(d, "f", d, "f2"));
    expect_at(f, d, "f2");
    must(rename(d, "f2", e, "x"));
    expect_at(f, e, "x");
    must(meta().unlink(e, "x"));
    EXPECT_EQ(must(meta().get(f)).links, 0u);
}

TEST_F(JointTest, AMovedFileReplacesAnother) {
    Ino d = must(mkdir("d")).ino, f = must(create("f", d)).ino, old = must(create("g")).ino;
    EXPECT_ERRNO(meta().rename({.from_directory = d, .from_name = "f", .to_directory = kRootIno, .to_name = "g",
                                .no_replace = true}), EEXIST);
    Renamed renamed = must(rename(d, "f", kRootIno, "g"));
    ASSERT_TRUE(renamed.replaced);
    EXPECT_EQ(renamed.replaced->inode.ino, old);
    EXPECT_EQ(renamed.replaced->inode.links, 0u);
    expect_at(f, kRootIno, "g");
    EXPECT_EQ(must(meta().get(kRootIno)).names, 2u);
    EXPECT_ERRNO(rename(d, "f", kRootIno, "g"), ENOENT);
    EXPECT_ERRNO(rename(kRootIno, "g", kRootIno, "d"), EISDIR);
    EXPECT_ERRNO(rename(kRootIno, "d", kRootIno, "g"), ENOTDIR);
}

TEST_F(JointTest, ADirectoryMovesWithAllThatIsInIt) {
    Ino a = must(mkdir("a")).ino, b = must(mkdir("b")).ino, c = must(mkdir("c", a)).ino;
    Ino f = must(create("f", c)).ino;
    must(rename(a, "c", b, "c2"));
    expect_at(c, b, "c2");
    expect_at(f, c, "f");
    EXPECT_EQ(must(meta().lookup(c, "..")).ino, b);
    EXPECT_EQ(must(meta().get(a)).links, 2u);
    EXPECT_EQ(must(meta().get(b)).links, 3u);
    must(rename(b, "c2", b, "c3"));
    expect_at(c, b, "c3");
    must(rename(b, "c3", kRootIno, "c"));
    expect_at(c, kRootIno, "c");
    must(meta().rmdir(kRootIno, "b"));
}

TEST_F(JointTest, ADirectoryDoesNotMoveIntoItself) {
    Ino a = must(mkdir("a")).ino, b = must(mkdir("b", a)).ino, c = must(mkdir("c", b)).ino;
    EXPECT_ERRNO(rename(kRootIno, "a", a, "x"), EINVAL);
    EXPECT_ERRNO(rename(kRootIno, "a", c, "x"), EINVAL);
    EXPECT_ERRNO(exchange(kRootIno, "a", b, "c"), EINVAL);
    EXPECT_ERRNO(exchange(b, "c", kRootIno, "a"), EINVAL);
    EXPECT_ERRNO(rename(a, "b", kRootIno, "a"), ENOTEMPTY);
    expect_at(c, b, "c");
}

TEST_F(JointTest, ADirectoryReplacesAnEmptyOne) {
    Ino a = must(mkdir("a")).ino, b = must(mkdir("b")).ino, c = must(mkdir("c", b)).ino;
    Ino f = must(create("f", a)).ino;
    EXPECT_ERRNO(rename(b, "c", kRootIno, "a"), ENOTEMPTY);
    EXPECT_EQ(must(rename(kRootIno, "a", b, "c")).replaced->inode.ino, c);
    expect_at(a, b, "c");
    expect_at(f, a, "f");
    EXPECT_EQ(must(meta().get(b)).links, 3u);
    EXPECT_ERRNO(create("late", c), ENOENT);
    // In one group as well.
    Ino d = must(mkdir("d")).ino, e = must(mkdir("e")).ino;
    EXPECT_EQ(must(rename(kRootIno, "d", kRootIno, "e")).replaced->inode.ino, e);
    expect_at(d, kRootIno, "e");
    EXPECT_EQ(names(), (Names{"b", "e"}));
    EXPECT_EQ(must(meta().get(kRootIno)).links, 4u);
}

TEST_F(JointTest, ExchangeSwapsWhateverIsThere) {
    Ino d = must(mkdir("d")).ino, e = must(mkdir("e", d)).ino, f = must(create("f")).ino, g = must(create("g", d)).ino;
    must(exchange(kRootIno, "f", d, "g"));
    expect_at(f, d, "g");
    expect_at(g, kRootIno, "f");
    must(exchange(kRootIno, "f", d, "e"));
    expect_at(e, kRootIno, "f");
    expect_at(g, d, "e");
    EXPECT_EQ(must(meta().lookup(e, "..")).ino, kRootIno);
    EXPECT_EQ(must(meta().get(d)).links, 2u);
    EXPECT_EQ(must(meta().get(kRootIno)).links, 4u);
    EXPECT_ERRNO(exchange(kRootIno, "f", d, "absent"), ENOENT);
}

TEST_F(JointTest, AFileHasAsManyNamesAsItWasGiven) {
    Ino d = must(mkdir("d")).ino, f = must(create("f")).ino;
    EXPECT_EQ(must(meta().link(f, d, "g")).links, 2u);
    EXPECT_EQ(must(meta().link(f, kRootIno, "h")).links, 3u);
    EXPECT_ERRNO(meta().link(f, kRootIno, "h"), EEXIST);
    EXPECT_ERRNO(meta().link(d, kRootIno, "x"), EPERM);
    TestMount cold(cluster_);
    for (Meta* m : {&meta(), cold.meta.get()})
        for (auto [directory, name] : {std::pair(kRootIno, "f"), std::pair(d, "g"), std::pair(kRootIno, "h")}) {
            EXPECT_EQ(must(m->lookup(directory, name)).ino, f);
            EXPECT_EQ(must(m->get(f)).links, 3u);
        }
    must(meta().change(f, [](InodeChange& c) -> Status { return c.inode.mode = S_IFREG | 0600, Status(); }));
    EXPECT_EQ(must(cold.meta->lookup(d, "g")).mode, S_IFREG | 0600u);
    // The first name goes, another moves; the inode does not care.
    EXPECT_EQ(must(meta().unlink(kRootIno, "f")).inode.links, 2u);
    must(rename(d, "g", kRootIno, "g2"));
    EXPECT_EQ(must(meta().lookup(kRootIno, "g2")).links, 2u);
    EXPECT_OK(rename(kRootIno, "g2", kRootIno, "h"));  // two names of one file: nothing happens
    EXPECT_EQ(must(meta().get(f)).links, 2u);
    EXPECT_EQ(must(meta().unlink(kRootIno, "g2")).inode.links, 1u);
    EXPECT_EQ(must(meta().unlink(kRootIno, "h")).inode.links, 0u);
    EXPECT_EQ(must(cold.meta->get(f)).links, 0u);
    EXPECT_ERRNO(meta().link(f, kRootIno, "back"), ENOENT);
}

// Wherever its last name was, however it went, the number leads to the inode while it is open.
TEST_F(JointTest, AFileThatHadSeveralNamesIsUnlinkedInTheGroupOfItsLast) {
    Ino d = must(mkdir("d")).ino, e = must(mkdir("e")).ino;
    const GroupId in_d = place_of(d).group, in_e = place_of(e).group;
    auto linked_file = [&](const std::string& name) {
        Ino f = must(create(name, d)).ino;
        must(meta().link(f, e, name));
        EXPECT_OK(meta().opened(f));
        return f;
    };
    Ino first_is_last = linked_file("a"), second_is_last = linked_file("b"), replaced = linked_file("c");
    must(meta().unlink(e, "a")), must(meta().unlink(d, "a"));
    must(meta().unlink(d, "b")), must(meta().unlink(e, "b"));
    must(meta().unlink(d, "c")), must(create("other", d)), must(rename(d, "other", e, "c"));
    TestMount cold(cluster_);
    for (auto [ino, group] : {std::pair(first_is_last, in_d), std::pair(second_is_last, in_e), std::pair(replaced, in_e)}) {
        std::string key = unlinked_key(ino);
        Answer answer = must(raw_.ask(std::move(Query(group_object(group)).keys({key}))));
        ASSERT_TRUE(answer.keys.contains(key));
        EXPECT_EQ(must(decode_unlinked(answer.keys[key])).kind, UnlinkedRecord::Kind::linked);
        auto h = must(raw_.ask(std::move(Query(linked_object(ino)).xattrs())));
        EXPECT_EQ(must(decode_lease(h.xattrs[kLeaseXattr])).kind, Lease::Kind::dead);
        uint64_t size = 0;
        for (Meta* m : {&meta(), cold.meta.get()}) {
            EXPECT_EQ(must(m->get(ino)).links, 0u);
            must(m->change(ino, [&](InodeChange& c) -> Status { return c.inode.map.size = ++size, Status(); }));
            EXPECT_EQ(must(m->get(ino)).map.size, size);
            EXPECT_ERRNO(m->name_of(ino), ENOENT);
            EXPECT_ERRNO(m->link(ino, kRootIno, "back"), ENOENT);
        }
        meta().released(ino);
    }
}

TEST_F(JointTest, ANameOfALinkedFileIsReplaced) {
    Ino d = must(mkdir("d")).ino, f = must(create("f")).ino, g = must(create("g")).ino, h = must(create("h", d)).ino;
    must(meta().link(f, d, "f2"));
    EXPECT_EQ(must(rename(kRootIno, "g", kRootIno, "f")).replaced->inode.links, 1u);
    expect_at(g, kRootIno, "f");
    EXPECT_EQ(must(rename(d, "h", d, "f2")).replaced->inode.links, 0u);
    expect_at(h, d, "f2");
    EXPECT_EQ(must(meta().get(f)).links, 0u);
}

TEST_F(JointTest, AMovedFileIsLinkedAndALinkedOneMoves) {
    Ino d = must(mkdir("d")).ino, f = must(create("f")).ino;
    must(rename(kRootIno, "f", d, "f"));
    must(meta().link(f, d, "g"));
    TestMount cold(cluster_);
    EXPECT_EQ(must(cold.meta->get(f)).links, 2u);
    must(rename(d, "g", kRootIno, "g"));
    EXPECT_EQ(must(cold.meta->lookup(kRootIno, "g")).ino, f);
    EXPECT_EQ(must(meta().get(d)).names, 1u);
}

TEST_F(JointTest, AnUnnamedFileIsNamedInAnotherDirectory) {
    Ino d = must(mkdir("d")).ino, old = must(create("a", d)).ino;
    auto unnamed = [&] { return must(meta().create_unnamed(request(kRootIno, "", S_IFREG | 0600))).ino; };
    using Kind = PublishCondition::Kind;
    Ino t = unnamed();
    EXPECT_ERRNO(meta().publish(t, d, "a", {Kind::absent}), EEXIST);
    EXPECT_ERRNO(meta().publish(t, d, "a", {Kind::generation, 7}), ECANCELED);
    EXPECT_EQ(must(meta().publish(t, d, "a", {Kind::generation, 0})).replaced->inode.ino, old);
    expect_at(t, d, "a");
    EXPECT_ERRNO(meta().publish(t, d, "b", {Kind::absent}), ESTALE);
    Ino u = unnamed();
    EXPECT_EQ(must(meta().link(u, d, "u")).links, 1u);  // as linkat(2) of O_TMPFILE does
    expect_at(u, d, "u");
    // A linked name is replaced, by its generation too.
    must(meta().link(t, kRootIno, "t"));
    EXPECT_ERRNO(meta().publish(unnamed(), d, "a", {Kind::generation, 9}), ECANCELED);
    EXPECT_EQ(must(meta().publish(unnamed(), d, "a", {Kind::generation, 0})).replaced->inode.links, 1u);
    EXPECT_EQ(must(meta().lookup(kRootIno, "t")).links, 1u);
}

TEST_F(JointTest, CostsAreAsDesigned) {
    Ino d = must(mkdir("d")).ino;
    must(mkdir("e", d)), must(create("f")), must(create("warm", d));
    uint64_t before = calls();
    must(rename(kRootIno, "f", d, "f"));
    // 2 looks, 2 leases, 2 reads, the away record, the intent, 3 steps.
    EXPECT_EQ(calls() - before, 11u);
    before = calls();
    must(meta().rmdir(d, "e"));
    EXPECT_EQ(calls() - before, 9u);
}

// A directory that is answered and not written goes with the mount; what was there before, and moved into it,
// must not.
TEST_F(JointTest, WhatMovesIntoAHeldDirectoryOutlivesTheMount) {
    TestMount holding(cluster_, {.hold = true});
    Ino from = must(mkdir("from")).ino, f = must(create("f", from)).ino, d = must(mkdir("d", from)).ino;
    must(create("kept", d));
    Ino to = must(holding.meta->mkdir(request(kRootIno, "to", S_IFDIR | 0755))).ino;
    must(holding.meta->rename({from, "f", to, "f"}));
    Ino below = must(holding.meta->mkdir(request(to, "below", S_IFDIR | 0755))).ino;
    must(holding.meta->rename({from, "d", below, "d"}));
    must(holding.meta->link(f, below, "link"));
    holding.die();
    EXPECT_EQ(must(meta().lookup(kRootIno, "to")).ino, to);
    EXPECT_EQ(must(meta().lookup(to, "f")).ino, f);
    EXPECT_EQ(must(meta().lookup(to, "below")).ino, below);
    EXPECT_EQ(must(meta().lookup(below, "d")).ino, d);
    EXPECT_EQ(names(d), std::vector<std::string>{"kept"});
    EXPECT_EQ(must(meta().lookup(below, "link")).links, 2u);
}

// The error is of the second try alone: what the first wrote is there, and needs the leases it was decided under.
TEST_F(JointTest, AnIntentIsNotTakenForUnwrittenBecauseItsSecondTryFails) {
    TestMount other(cluster_);
    Ino d = must(mkdir("d")).ino, f = must(create("f")).ino;
    const SessionId session = other.session().id();
    int tries = 0;
    other.hooks->before_mutation = [&](const Mutation& m) {
        if (m.object() != session_object(session)) other.faults->set_plan({});
        else if (tries++ == 0) other.faults->set_plan({.lost_reply = 1});
        else other.faults->set_plan({.error = 1});
    };
    EXPECT_ERRNO(other.meta->link(f, d, "g"), ETIMEDOUT);
    EXPECT_GT(tries, 2);
    other.die();
    ASSERT_OK(raw_.apply(std::move(Mutation(session_object(session))
                                       .set_xattr(kStateXattr, encode(StateRecord{.state = SessionState::dead})))));
    ASSERT_OK(finish_intents(core(), session));
    EXPECT_EQ(must(meta().lookup(kRootIno, "f")).links, 2u);
    EXPECT_EQ(must(meta().lookup(d, "g")).links, 2u);
    EXPECT_EQ(must(meta().get(f)).links, 2u);
}

TEST_F(JointTest, AnotherMountSeesAllOfIt) {
    TestMount other(cluster_);
    Ino d = must(mkdir("d")).ino, f = must(create("f")).ino;
    must(other.meta->rename({kRootIno, "f", d, "g"}));
    EXPECT_ERRNO(meta().lookup(kRootIno, "f"), ENOENT);
    EXPECT_EQ(must(meta().lookup(d, "g")).ino, f);
    must(other.meta->link(f, kRootIno, "h"));
    EXPECT_EQ(must(meta().get(f)).links, 2u);
    must(meta().unlink(d, "g"));
    must(other.meta->rmdir(kRootIno, "d"));
    EXPECT_ERRNO(meta().lookup(kRootIno, "d"), ENOENT);
}

TEST_F(JointTest, ALeaseThatALostAnswerLeftIsLetGo) {
    Ino d = must(mkdir("d")).ino;
    ObjectName group = group_object(place_of(d).group);
    Lease lost = exclusive_lease(meta().session(), 2);
    ASSERT_OK(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, encode(lost)))));
    EXPECT_OK(create("f", d));
    ASSERT_OK(raw_.apply(std::move(Mutation(group).set_xattr(kLeaseXattr, encode(exclusive_lease(meta().session(), 9))))));
    EXPECT_OK(rename(d, "f", kRootIno, "f"));
    EXPECT_OK(meta().rmdir(kRootIno, "d"));
}

// Not EIO after 64 rounds.
TEST_F(JointTest, WhatWaitsForANameInARemovedDirectoryGetsNone) {
    Ino d = must(mkdir("d")).ino, unnamed = must(meta().create_unnamed(request(d, "", S_IFREG | 0600))).ino;
    must(meta().rmdir(kRootIno, "d"));
    EXPECT_ERRNO(meta().publish(unnamed, kRootIno, "p", {.kind = PublishCondition::Kind::absent}), ESTALE);
    EXPECT_EQ(must(meta().get(unnamed)).links, 0u);
    meta().released(unnamed);
}

}  // namespace
}  // namespace meshfs
