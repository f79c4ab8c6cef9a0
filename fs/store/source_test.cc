#include "fs/store/source.h"

#include <gtest/gtest.h>

namespace meshfs {
namespace {

TEST(Source, KnowsItsForms) {
    EXPECT_EQ(parse_source("/srv/mesh")->path, "/srv/mesh");
    EXPECT_EQ(parse_source("local:mesh")->path, "mesh");
    EXPECT_EQ(parse_source("memory:")->kind, Source::Kind::memory);
    auto rados = parse_source("rados:ai/train");
    ASSERT_TRUE(rados.ok());
    EXPECT_EQ(rados->pool, "ai");
    EXPECT_EQ(rados->volume, "train");
    EXPECT_EQ(parse_source("rados:ai")->volume, "meshfs");
}

TEST(Source, RefusesOthersWithASentence) {
    for (const char* text : {"", "mesh", "nfs:/x", "local:", "rados:", "rados:/v", "rados:p/", "rados:p/v/w", "memory:x"}) {
        auto source = parse_source(text);
        ASSERT_EQ(source.code(), EINVAL) << text;
        EXPECT_NE(source.error().detail(), "") << text;
    }
}

TEST(Source, RefusesAnOptionOfAnotherStore) {
    StoreOptions options;
    options.conf = "/etc/ceph/ceph.conf";
    EXPECT_EQ(open_store(*parse_source("memory:"), options).code(), EINVAL);
}

TEST(Source, EachMemorySourceIsAStoreOfItsOwn) {
    auto one = open_store(*parse_source("memory:"), {});
    auto two = open_store(*parse_source("memory:"), {});
    ASSERT_TRUE(one.ok() && two.ok());
    ASSERT_TRUE((*one)->apply(Mutation({0, "o"}).create()).ok());
    EXPECT_EQ((*two)->ask(Query({0, "o"}).stat()).code(), ENOENT);
}

}  // namespace
}  // namespace meshfs
