// The copy of an object: what is known of it, what is not, and what the store has to be told.
#include "fs/meta/mirror.h"

#include <gtest/gtest.h>

#include "fs/meta/format.h"

namespace meshfs {
namespace {

class MirrorTest : public testing::Test {
protected:
    Query query() const { return Query(object_); }
    static std::vector<Effect> set(const std::string& key, const std::string& value) {
        return {{.kind = Effect::Kind::set_keys, .keys = {{key, value}}}};
    }
    static std::vector<Effect> remove(const std::string& key) {
        return {{.kind = Effect::Kind::remove_keys, .keys = {{key, ""}}}};
    }
    static Guard key_is(const std::string& key, std::optional<std::string> value) {
        return {Guard::Kind::key_is, key, std::move(value)};
    }
    // As the store answered a page of all keys.
    void learn_page(const std::string& after, const std::vector<Key>& entries, bool more) {
        Answer answer;
        answer.ranges.push_back({entries, more});
        mirror_.learn(query().range(after, ""), answer);
    }
    // "a=1 b=2", "?": not known.
    std::string page(const std::string& after = "", const std::string& prefix = "", size_t entries_max = 100) {
        auto answer = mirror_.answer(query().range(after, prefix, entries_max));
        if (!answer) return "?";
        std::string out;
        for (const auto& [key, value] : answer->ranges.at(0).entries) out += (out.empty() ? "" : " ") + key + "=" + value;
        return out + (answer->ranges.at(0).more ? " .." : "");
    }
    std::string key(const std::string& name) {
        auto answer = mirror_.answer(query().keys({name}));
        if (!answer) return "?";
        auto found = answer->keys.find(name);
        return found == answer->keys.end() ? "-" : found->second;
    }
    static std::string text(const Mirror::Changes& changes) {
        std::string out;
        for (const auto& [name, value] : changes.set) out += " " + name + "=" + value;
        for (const auto& name : changes.removed) out += " -" + name;
        if (changes.about) out += " about=" + *changes.about;
        return out.empty() ? out : out.substr(1);
    }

    const ObjectName object_{kMetaPool, "g.1"};
    Mirror mirror_;
};

TEST_F(MirrorTest, NothingIsKnownAtFirst) {
    EXPECT_EQ(key("a"), "?");
    EXPECT_EQ(page(), "?");
    EXPECT_FALSE(mirror_.answer(query().xattrs()));
    EXPECT_EQ(mirror_.holds(key_is("a", {})), std::nullopt);
    EXPECT_FALSE(mirror_.is_dirty());
}

TEST_F(MirrorTest, OfAnAnswerBothWhatIsThereAndWhatIsNotAreKnown) {
    Answer answer;
    answer.keys = {{"a", "1"}};
    mirror_.learn(query().keys({"a", "b"}), answer);
    EXPECT_EQ(key("a"), "1");
    EXPECT_EQ(key("b"), "-");
    EXPECT_EQ(key("c"), "?");
    EXPECT_EQ(mirror_.holds(key_is("a", "1")), true);
    EXPECT_EQ(mirror_.holds(key_is("a", "2")), false);
    EXPECT_EQ(mirror_.holds(key_is("b", std::nullopt)), true);
    EXPECT_EQ(mirror_.holds(key_is("c", std::nullopt)), std::nullopt);
}

TEST_F(MirrorTest, OneUnknownKeyLeavesAQueryToTheStore) {
    mirror_.apply(set("a", "1"), true);
    EXPECT_FALSE(mirror_.answer(query().keys({"a", "b"})));
    EXPECT_EQ(mirror_.missing(query().keys({"a", "b"})).wanted_keys(), std::vector<std::string>{"b"});
}

TEST_F(MirrorTest, WhatIsKnownIsNewerThanAnAnswer) {
    mirror_.apply(set("a", "new"), false);
    mirror_.apply(remove("b"), false);
    Answer answer;
    answer.keys = {{"a", "old"}, {"b", "old"}};
    mirror_.learn(query().keys({"a", "b"}), answer);
    learn_page("", {{"a", "old"}, {"b", "old"}, {"c", "3"}}, false);
    EXPECT_EQ(key("a"), "new");
    EXPECT_EQ(key("b"), "-");
    EXPECT_EQ(page(), "a=new c=3");
}

TEST_F(MirrorTest, AGuardThatHeldIsLearnt) {
    mirror_.learn(key_is("a", "1"));
    mirror_.learn(key_is("b", std::nullopt));
    EXPECT_EQ(key("a"), "1");
    EXPECT_EQ(key("b"), "-");
    mirror_.set_lease("L");
    mirror_.learn({Guard::Kind::xattr_is, kAboutXattr, "A"});
    auto answer = mirror_.answer(query().xattrs());
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->xattrs[kLeaseXattr], "L");
    EXPECT_EQ(answer->xattrs[kAboutXattr], "A");
}

TEST_F(MirrorTest, OfAnObjectMadeHereAllIsKnown) {
    mirror_.know_all();
    mirror_.apply(set("a", "1"), false);
    EXPECT_EQ(key("b"), "-");
    EXPECT_EQ(page(), "a=1");
    EXPECT_TRUE(mirror_.answer(query().xattrs()));
}

TEST_F(MirrorTest, APageIsACompleteRunUpToItsLastKey) {
    learn_page("", {{"b", "1"}, {"d", "2"}}, true);
    EXPECT_EQ(key("a"), "-");
    EXPECT_EQ(key("c"), "-");
    EXPECT_EQ(key("d\x01"), "?");
    EXPECT_EQ(page("", "", 1), "b=1 ..");
    EXPECT_EQ(page("", "b"), "b=1");
    EXPECT_EQ(page("", "c"), "");
    EXPECT_EQ(page(), "?");  // what follows is not known
}

TEST_F(MirrorTest, RunsThatMeetBecomeOne) {
    learn_page("", {{"b", "1"}}, true);
    learn_page("f", {{"g", "7"}}, false);
    EXPECT_EQ(page("f"), "g=7");
    EXPECT_EQ(page(), "?");
    learn_page("b", {{"c", "2"}, {"f", "6"}}, true);
    EXPECT_EQ(page(), "b=1 c=2 f=6 g=7");
}

TEST_F(MirrorTest, TheLastPageWithAPrefixIsCompleteToItsEnd) {
    Answer answer;
    answer.ranges.push_back({{{"na", "1"}}, false});
    mirror_.learn(query().range("", "n"), answer);
    EXPECT_EQ(page("", "n"), "na=1");
    EXPECT_EQ(key("nzz"), "-");
    EXPECT_EQ(key("m"), "?");
    EXPECT_EQ(key("o"), "?");
}

TEST_F(MirrorTest, APagesBoundsAreKept) {
    mirror_.know_all();
    for (const char* name : {"a", "b", "c"}) mirror_.apply(set(name, std::string(10, 'x')), true);
    EXPECT_EQ(mirror_.answer(query().range("", "", 2))->ranges.at(0).entries.size(), 2u);
    auto first = mirror_.answer(query().range("", "", 100, 11))->ranges.at(0);
    EXPECT_EQ(first.entries.size(), 1u);
    EXPECT_TRUE(first.more);
    EXPECT_EQ(mirror_.answer(query().range("", "", 100, 1))->ranges.at(0).entries.size(), 1u);  // at least one
}

TEST_F(MirrorTest, WhatIsMissingOfARangeIsAskedForFromWhereItIsNotKnown) {
    learn_page("", {{"b", "1"}, {"d", "2"}}, true);
    Query missing = mirror_.missing(query().range("", ""));
    ASSERT_EQ(missing.ranges().size(), 1u);
    EXPECT_TRUE(missing.wants_xattrs());
    const std::string after = missing.ranges().at(0).after;
    EXPECT_GE(after, "d");
    EXPECT_LT(after, "d\x01");
    learn_page(after, {{"e", "3"}}, false);
    EXPECT_EQ(page(), "b=1 d=2 e=3");
}

TEST_F(MirrorTest, OnlyWhatTheStoreHasNotGotIsDirty) {
    mirror_.apply(set("a", "1"), true);
    EXPECT_FALSE(mirror_.is_dirty());
    mirror_.apply(set("b", "2"), false);
    mirror_.apply(set("b", "3"), false);
    mirror_.apply(remove("c"), false);
    mirror_.apply({{.kind = Effect::Kind::set_xattr, .name = kAboutXattr, .value = "A"}}, false);
    EXPECT_EQ(mirror_.dirty_keys(), 2u);
    EXPECT_EQ(text(mirror_.take_changes()), "b=3 -c about=A");
    EXPECT_FALSE(mirror_.is_dirty());
    EXPECT_EQ(mirror_.dirty_bytes(), 0u);
    EXPECT_EQ(key("b"), "3");
}

// Put back it goes with what was changed meanwhile, as that is.
TEST_F(MirrorTest, WhatIsPutBackIsToldAsItIsByThen) {
    mirror_.apply(set("a", "1"), false);
    mirror_.apply(set("b", "1"), false);
    mirror_.apply(remove("c"), false);
    auto changes = mirror_.take_changes();
    mirror_.apply(set("a", "2"), false);
    mirror_.apply(remove("b"), false);
    mirror_.put_back(changes);
    EXPECT_EQ(text(mirror_.take_changes()), "a=2 -b -c");
    mirror_.put_back({.about = "A"});
    EXPECT_TRUE(mirror_.is_dirty());
}

TEST_F(MirrorTest, WhatIsRemovedIsForgottenOnlyWhereItsAbsenceIsKnownOtherwise) {
    mirror_.apply(remove("a"), false);
    mirror_.forget_removed(mirror_.take_changes());
    EXPECT_EQ(key("a"), "-");
    const size_t before = mirror_.bytes();
    learn_page("", {}, false);
    mirror_.forget_removed({.removed = {"a"}});
    EXPECT_EQ(key("a"), "-");
    EXPECT_LT(mirror_.bytes(), before);
}

TEST_F(MirrorTest, WhatWasRemovedAgainWhileUnderWayIsNotForgotten) {
    mirror_.know_all();
    mirror_.apply(set("a", "1"), true);
    mirror_.apply(remove("a"), false);
    auto changes = mirror_.take_changes();
    mirror_.apply(set("a", "2"), false);
    mirror_.apply(remove("a"), false);
    mirror_.forget_removed(changes);
    EXPECT_EQ(text(mirror_.take_changes()), "-a");
}

TEST_F(MirrorTest, AnObjectMadeOnlyNowIsToldWhole) {
    mirror_.know_all();
    mirror_.apply({{.kind = Effect::Kind::set_xattr, .name = kAboutXattr, .value = "A"}}, true);
    mirror_.apply(set("a", "1"), true);
    mirror_.apply(set("b", "2"), false);
    mirror_.apply(remove("c"), false);
    EXPECT_EQ(text(mirror_.take_all()), "a=1 b=2 -c about=A");
    EXPECT_FALSE(mirror_.is_dirty());
}

TEST_F(MirrorTest, WhatIsForgottenIsNotKnown) {
    mirror_.know_all();
    mirror_.apply(set("a", "1"), true);
    mirror_.forget_all();
    EXPECT_EQ(key("a"), "?");
    EXPECT_FALSE(mirror_.answer(query().xattrs()));
    EXPECT_EQ(mirror_.bytes(), 0u);
}

TEST_F(MirrorTest, IsLookedAtInPlaceAsItAnswers) {
    auto seen = [&](const std::string& prefix) {
        std::string out;
        bool is_known = mirror_.visit(prefix, [&](const std::string& key, const std::string& value) { out += key + value; });
        return is_known ? out : "?";
    };
    EXPECT_FALSE(mirror_.value("m1"));
    EXPECT_EQ(seen("m"), "?");
    EXPECT_EQ(mirror_.about(), nullptr);
    learn_page("", {{"l", "1"}, {"m1", "2"}, {"m2", "3"}}, true);
    EXPECT_EQ(seen("m"), "?");  // more of them may follow
    learn_page("m2", {{"n", "4"}}, true);
    EXPECT_EQ(seen("m"), "m12m23");
    mirror_.apply(remove("m1"), false);
    EXPECT_EQ(seen("m"), "m23");
    ASSERT_TRUE(mirror_.value("m1"));
    EXPECT_EQ(*mirror_.value("m1"), nullptr);
    EXPECT_EQ(**mirror_.value("m2"), "3");
    for (uint64_t directory : {7, 8}) {
        About about{.group = GroupId{5}, .directory = Ino{directory}};
        mirror_.apply({{.kind = Effect::Kind::set_xattr, .name = kAboutXattr, .value = encode(about)}}, false);
        ASSERT_NE(mirror_.about(), nullptr);
        EXPECT_EQ(*mirror_.about(), about);
    }
    mirror_.forget_all();
    EXPECT_EQ(mirror_.about(), nullptr);
    EXPECT_FALSE(mirror_.value("m2"));
}

}  // namespace
}  // namespace meshfs
