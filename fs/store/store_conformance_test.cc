// What every store promises of mutations and queries: store.h, a test each.
#include "fs/store/conformance_fixture.h"

namespace meshfs {
namespace {

TEST_P(StoreConformance, CreatingTwiceIsEEXIST) {
    ASSERT_OK(store().apply(Mutation(o_).absent().create()));
    EXPECT_ERRNO(store().apply(Mutation(o_).absent().create()), EEXIST);
    EXPECT_OK(store().apply(Mutation(o_).create()));  // not exclusive
}

TEST_P(StoreConformance, ExistsOnAMissingObjectIsENOENT) {
    EXPECT_ERRNO(store().apply(Mutation(o_).exists().set_keys({{"k", "v"}})), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).exists()), ENOENT);
}

TEST_P(StoreConformance, RemovingAMissingObjectIsENOENT) {
    EXPECT_ERRNO(store().apply(Mutation(o_).remove()), ENOENT);
}

TEST_P(StoreConformance, TruncateAndZeroOfAMissingObjectAreENOENT) {
    EXPECT_ERRNO(store().apply(Mutation(o_).truncate(10)), ENOENT);
    EXPECT_ERRNO(store().apply(Mutation(o_).zero(0, 10)), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
}

TEST_P(StoreConformance, RemovingAttributesOfAMissingObjectIsENOENT) {
    EXPECT_ERRNO(store().apply(Mutation(o_).remove_keys({"k"})), ENOENT);
    EXPECT_ERRNO(store().apply(Mutation(o_).clear_keys()), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
}

TEST_P(StoreConformance, EffectsMakeTheObject) {
    ASSERT_OK(store().apply(Mutation({0, "a"}).create()));
    ASSERT_OK(store().apply(Mutation({0, "b"}).set_xattr("x", "1")));
    ASSERT_OK(store().apply(Mutation({0, "c"}).set_keys({{"k", "1"}})));
    ASSERT_OK(store().apply(Mutation({0, "d"}).write(3, buffer_of("x"))));
    ASSERT_OK(store().apply(Mutation({0, "e"}).write_full(buffer_of("x"))));
    for (const char* name : {"a", "b", "c", "d", "e"}) EXPECT_OK(store().ask(Query({0, name}).stat())) << name;
}

TEST_P(StoreConformance, FailedGuardChangesNothing) {
    ASSERT_OK(store().apply(Mutation(o_).absent().set_keys({{"k", "old"}}).set_xattr("x", "old")));
    EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", "x").set_keys({{"k", "new"}})), ECANCELED);
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", "new").remove()), ECANCELED);
    EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", "old").xattr_is("x", "new").write(0, buffer_of("b"))),
                 ECANCELED);
    EXPECT_EQ(key_of(o_, "k"), "old");
    EXPECT_EQ(xattr_of(o_, "x"), "old");
    EXPECT_EQ(bytes_of(o_), "");
}

TEST_P(StoreConformance, GuardsThatHoldLetItHappen) {
    ASSERT_OK(store().apply(Mutation(o_).absent().set_keys({{"k", "1"}, {"l", "1"}}).set_xattr("x", "1")));
    ASSERT_OK(store().apply(Mutation(o_)
                                .exists()
                                .xattr_is("x", "1")
                                .key_is("k", "1")
                                .key_is("l", "1")
                                .key_is("m", std::nullopt)
                                .set_xattr("x", "2")
                                .set_keys({{"k", "2"}})));
    EXPECT_EQ(key_of(o_, "k"), "2");
    EXPECT_EQ(xattr_of(o_, "x"), "2");
}

TEST_P(StoreConformance, GuardsAloneChangeNothing) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "1"}})));
    EXPECT_OK(store().apply(Mutation(o_).exists().key_is("k", "1")));
    EXPECT_ERRNO(store().apply(Mutation(o_).exists().key_is("k", "2")), ECANCELED);
}

TEST_P(StoreConformance, AValueIsEqualWholeOrNotAtAll) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "abc"}}).set_xattr("x", "abc")));
    for (const char* other : {"ab", "abcd", "abd", "ABC"}) {
        EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", other).create()), ECANCELED) << other;
        EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", other).create()), ECANCELED) << other;
    }
}

TEST_P(StoreConformance, ValuesAreAnyBytes) {
    std::string all;
    for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{all, all}}).set_xattr("x", all)));
    EXPECT_EQ(key_of(o_, all), all);
    EXPECT_EQ(xattr_of(o_, "x"), all);
    EXPECT_OK(store().apply(Mutation(o_).key_is(all, all).xattr_is("x", all).create()));
}

TEST_P(StoreConformance, AbsentXattrIsToldFromAPresentOne) {
    ASSERT_OK(store().apply(Mutation(o_).create().set_xattr("there", "1")));
    EXPECT_OK(store().apply(Mutation(o_).xattr_is("x", std::nullopt).create()));
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", "1").create()), ECANCELED);
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("there", std::nullopt).create()), ECANCELED);
    ASSERT_OK(store().apply(Mutation(o_).remove_xattr("there")));
    EXPECT_OK(store().apply(Mutation(o_).xattr_is("there", std::nullopt).create()));
}

TEST_P(StoreConformance, XattrIsNotOnAnAbsentXattr) {
    ASSERT_OK(store().apply(Mutation(o_).create().set_xattr("there", "1")));
    EXPECT_OK(store().apply(Mutation(o_).xattr_is_not("x", "1").create()));
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is_not("x", std::nullopt).create()), ECANCELED);
    EXPECT_OK(store().apply(Mutation(o_).xattr_is_not("there", std::nullopt).create()));
    EXPECT_OK(store().apply(Mutation(o_).xattr_is_not("there", "2").create()));
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is_not("there", "1").create()), ECANCELED);
}

TEST_P(StoreConformance, XattrGuardOnAMissingObjectIsENOENT) {
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", "1").set_keys({{"k", "v"}})), ENOENT);
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", std::nullopt).set_keys({{"k", "v"}})), ENOENT);
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is_not("x", "1").set_keys({{"k", "v"}})), ENOENT);
}

TEST_P(StoreConformance, XattrGuardBesideCreateStaysENOENT) {
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", "1").create()), ENOENT);
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", std::nullopt).create()), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
}

TEST_P(StoreConformance, KeyGuardOnAMissingObjectIsENOENT) {
    EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", "1").set_keys({{"k", "v"}})), ENOENT);
    EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", std::nullopt).set_keys({{"k", "v"}})), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
}

TEST_P(StoreConformance, KeyGuardBesideCreateSeesAbsentKeys) {
    EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", "1").create()), ECANCELED);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
    ASSERT_OK(store().apply(Mutation(o_).key_is("k", std::nullopt).create().set_keys({{"k", "v"}})));
    EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", std::nullopt).create().set_keys({{"k", "w"}})), ECANCELED);
    EXPECT_EQ(key_of(o_, "k"), "v");
}

TEST_P(StoreConformance, AnEmptyValueIsEINVAL) {
    EXPECT_ERRNO(store().apply(Mutation(o_).set_keys({{"k", ""}})), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).set_xattr("x", "")), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).key_is("k", "").create()), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).xattr_is("x", "").create()), EINVAL);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
}

TEST_P(StoreConformance, RemovingAbsentKeysAndXattrsIsFine) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "v"}})));
    EXPECT_OK(store().apply(Mutation(o_).remove_keys({"a", "k", "z"}).remove_xattr("x")));
    EXPECT_EQ(key_of(o_, "k"), std::nullopt);
    EXPECT_OK(store().ask(Query(o_).stat()));  // an object without keys is an object
}

TEST_P(StoreConformance, RemoveThenCreateIsFresh) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "v"}}).set_xattr("x", "v").write_full(buffer_of("abc"))));
    ASSERT_OK(store().apply(Mutation(o_).remove()));
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
    ASSERT_OK(store().apply(Mutation(o_).absent().set_keys({{"l", "v"}})));
    EXPECT_EQ(key_of(o_, "k"), std::nullopt);
    EXPECT_EQ(key_of(o_, "l"), "v");
    EXPECT_EQ(xattr_of(o_, "x"), std::nullopt);
    EXPECT_EQ(bytes_of(o_), "");
}

TEST_P(StoreConformance, ClearingKeysKeepsBytesAndXattrs) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "v"}}).set_xattr("x", "v").write_full(buffer_of("abc"))));
    ASSERT_OK(store().apply(Mutation(o_).clear_keys()));
    EXPECT_EQ(key_of(o_, "k"), std::nullopt);
    EXPECT_EQ(xattr_of(o_, "x"), "v");
    EXPECT_EQ(bytes_of(o_), "abc");
    ASSERT_OK(store().apply(Mutation(o_).clear_keys().set_keys({{"new", "v"}})));
    EXPECT_EQ(names_in(Query(o_).range("", "")), std::vector<std::string>{"new"});
}

TEST_P(StoreConformance, EffectsHappenInOrder) {
    ASSERT_OK(store().apply(Mutation(o_)
                                .set_keys({{"a", "1"}, {"b", "1"}})
                                .remove_keys({"a"})
                                .set_keys({{"b", "2"}})
                                .set_xattr("x", "1")
                                .set_xattr("x", "2")
                                .write(0, buffer_of("abcd"))
                                .truncate(2)
                                .write(3, buffer_of("z"))));
    EXPECT_EQ(key_of(o_, "a"), std::nullopt);
    EXPECT_EQ(key_of(o_, "b"), "2");
    EXPECT_EQ(xattr_of(o_, "x"), "2");
    EXPECT_EQ(bytes_of(o_), std::string("ab\0z", 4));
    ASSERT_OK(store().apply(Mutation(o_).remove_keys({"b"}).set_keys({{"b", "3"}})));
    EXPECT_EQ(key_of(o_, "b"), "3");
}

TEST_P(StoreConformance, LimitsAreEINVALAndWhatIsWithinThemWorks) {
    const std::string key(kKeyMax, 'k'), value(kValueMax, 'v'), xattr(kObjectXattrMax, 'x'), name(kObjectNameMax, 'n');
    ASSERT_OK(store().apply(Mutation({0, name}).set_keys({{key, value}}).set_xattr("x", xattr)));
    EXPECT_EQ(key_of({0, name}, key), value);
    EXPECT_EQ(xattr_of({0, name}, "x"), xattr);

    EXPECT_ERRNO(store().apply(Mutation({0, name + "n"}).create()), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation({0, ""}).create()), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation({0, "a b"}).create()), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation({0, "a\xc3\xa4"}).create()), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).set_keys({{key + "k", "v"}})), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).set_keys({{"k", value + "v"}})), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).set_xattr("x", xattr + "x")), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).write(kObjectMax, buffer_of("x"))), EINVAL);
    EXPECT_ERRNO(store().apply(Mutation(o_).write(0, Buffer::zeros(kMutationMax + 1))), EINVAL);
    EXPECT_ERRNO(store().ask(Query(o_).range("", "", kRangeEntriesMax + 1)), EINVAL);
    EXPECT_ERRNO(write(o_, 0, std::string(kTransferMax + 1, 'x')), EINVAL);
    EXPECT_ERRNO(write(o_, kObjectMax, "x"), EINVAL);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ENOENT);
}

TEST_P(StoreConformance, AMutationOf8MiBIsTaken) {
    std::vector<Key> keys;
    for (int i = 0; i < 63; ++i) keys.emplace_back("k" + std::to_string(i), std::string(kValueMax, 'v'));
    ASSERT_OK(store().apply(Mutation(o_).set_keys(keys)));
    EXPECT_EQ(key_of(o_, "k62")->size(), kValueMax);
}

TEST_P(StoreConformance, KeysComeInByteOrder) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"b", "1"}, {"a\xff", "1"}, {"a", "1"}, {"\xc3\xa4", "1"},
                                                   {"a-b", "1"}, {std::string("a\0b", 3), "1"}, {"B", "1"}})));
    std::vector<std::string> sorted{"B", "a", std::string("a\0b", 3), "a-b", "a\xff", "b", "\xc3\xa4"};
    EXPECT_EQ(names_in(Query(o_).range("", "")), sorted);
}

TEST_P(StoreConformance, AfterIsExclusive) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"a", "1"}, {"ab", "1"}, {"b", "1"}})));
    EXPECT_EQ(names_in(Query(o_).range("a", "")), (std::vector<std::string>{"ab", "b"}));
    EXPECT_EQ(names_in(Query(o_).range("aa", "")), (std::vector<std::string>{"ab", "b"}));
    EXPECT_EQ(names_in(Query(o_).range("b", "")), std::vector<std::string>{});
}

TEST_P(StoreConformance, APrefixBoundsARange) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys(
        {{"m", "1"}, {"n", "1"}, {"n\xff", "1"}, {"na", "1"}, {"nb", "1"}, {"o", "1"}})));
    EXPECT_EQ(names_in(Query(o_).range("", "n")), (std::vector<std::string>{"n", "na", "nb", "n\xff"}));
    EXPECT_EQ(names_in(Query(o_).range("na", "n")), (std::vector<std::string>{"nb", "n\xff"}));
    EXPECT_EQ(names_in(Query(o_).range("n", "n")), (std::vector<std::string>{"na", "nb", "n\xff"}));
    EXPECT_EQ(names_in(Query(o_).range("z", "n")), std::vector<std::string>{});
    EXPECT_EQ(names_in(Query(o_).range("", "x")), std::vector<std::string>{});
    EXPECT_EQ(names_in(Query(o_).range("", "na")), std::vector<std::string>{"na"});
}

std::string number(int i) {
    std::string digits = std::to_string(i);
    return std::string(5 - digits.size(), '0') + digits;
}

TEST_P(StoreConformance, ARangeStopsAt1024AndMoreIsExact) {
    std::vector<Key> keys;
    for (int i = 0; i < 2048; ++i) keys.emplace_back("n" + number(i), "v");
    keys.emplace_back("z", "v");
    ASSERT_OK(store().apply(Mutation(o_).set_keys(keys)));
    auto first = store().ask(Query(o_).range("", "n"));
    ASSERT_OK(first);
    EXPECT_EQ(first->ranges[0].entries.size(), 1024u);
    EXPECT_TRUE(first->ranges[0].more);
    auto second = store().ask(Query(o_).range(first->ranges[0].entries.back().first, "n"));
    ASSERT_OK(second);
    EXPECT_EQ(second->ranges[0].entries.size(), 1024u);
    EXPECT_EQ(second->ranges[0].entries.back().first, "n02047");
    EXPECT_FALSE(second->ranges[0].more);  // "z" has not the prefix
    auto all = store().ask(Query(o_).range(second->ranges[0].entries.back().first, ""));
    ASSERT_OK(all);
    EXPECT_EQ(all->ranges[0].entries.size(), 1u);
    EXPECT_FALSE(all->ranges[0].more);
}

TEST_P(StoreConformance, MoreIsExactAtEveryCount) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"a", "1"}, {"b", "1"}, {"c", "1"}})));
    for (size_t count = 1; count <= 4; ++count) {
        auto answer = store().ask(Query(o_).range("", "", count));
        ASSERT_OK(answer);
        EXPECT_EQ(answer->ranges[0].entries.size(), std::min<size_t>(count, 3));
        EXPECT_EQ(answer->ranges[0].more, count < 3) << count;
    }
}

TEST_P(StoreConformance, AByteCapGivesAtLeastOne) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys(
        {{"a", std::string(1000, 'v')}, {"b", std::string(1000, 'v')}, {"c", std::string(1000, 'v')}})));
    auto one = store().ask(Query(o_).range("", "", 10, 1));
    ASSERT_OK(one);
    EXPECT_EQ(one->ranges[0].entries.size(), 1u);
    EXPECT_TRUE(one->ranges[0].more);
    auto two = store().ask(Query(o_).range("", "", 10, 2500));
    ASSERT_OK(two);
    EXPECT_EQ(two->ranges[0].entries.size(), 2u);
    EXPECT_TRUE(two->ranges[0].more);
}

TEST_P(StoreConformance, AbsentKeysAreLeftOut) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"a", "1"}, {"c", "3"}})));
    auto answer = store().ask(Query(o_).keys({"a", "b", "c"}));
    ASSERT_OK(answer);
    EXPECT_EQ(answer->keys, (std::map<std::string, std::string>{{"a", "1"}, {"c", "3"}}));
}

TEST_P(StoreConformance, OneQueryAsksForEverything) {
    ASSERT_OK(store().apply(
        Mutation(o_).set_keys({{"a", "1"}, {"na", "2"}}).set_xattr("x", "y").write_full(buffer_of("bytes"))));
    auto answer = store().ask(
        Query(o_).exists().xattr_is("x", "y").key_is("a", "1").stat().xattrs().keys({"a"}).range("", "n").range(
            "", "a").bytes(1, 2).bytes(3, 100));
    ASSERT_OK(answer);
    EXPECT_EQ(answer->size, 5u);
    EXPECT_GT(answer->mtime.seconds, 0);
    EXPECT_EQ(answer->xattrs, (std::map<std::string, std::string>{{"x", "y"}}));
    EXPECT_EQ(answer->keys.at("a"), "1");
    ASSERT_EQ(answer->ranges.size(), 2u);
    EXPECT_EQ(answer->ranges[0].entries, (std::vector<Key>{{"na", "2"}}));
    EXPECT_EQ(answer->ranges[1].entries, (std::vector<Key>{{"a", "1"}}));
    ASSERT_EQ(answer->bytes.size(), 2u);
    EXPECT_EQ(join(answer->bytes[0]), "yt");
    EXPECT_EQ(join(answer->bytes[1]), "es");
}

TEST_P(StoreConformance, AFailedGuardFailsAllOfAQuery) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"a", "1"}}).set_xattr("x", "y")));
    EXPECT_ERRNO(store().ask(Query(o_).key_is("a", "2").keys({"a"})), ECANCELED);
    EXPECT_ERRNO(store().ask(Query(o_).xattr_is("x", "z").keys({"a"})), ECANCELED);
    EXPECT_ERRNO(store().ask(Query(o_).xattr_is("none", "z").xattrs()), ECANCELED);
    EXPECT_ERRNO(store().ask(Query(o_).xattr_is_not("x", "y").stat()), ECANCELED);
    EXPECT_OK(store().ask(Query(o_).key_is("a", "1").xattr_is("x", "y").xattr_is("none", std::nullopt).stat()));
}

TEST_P(StoreConformance, ReadingAMissingObjectIsENOENT) {
    EXPECT_ERRNO(store().ask(Query(o_).bytes(0, 1)), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).keys({"k"})), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).range("", "")), ENOENT);
    EXPECT_ERRNO(store().ask(Query(o_).xattrs()), ENOENT);
    EXPECT_EQ(read(o_, 0, 1), "ENOENT");
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreConformance, testing::ValuesIn(conformance_kinds()), kind_name);

}  // namespace
}  // namespace meshfs
