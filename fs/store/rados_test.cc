// What of the store on RADOS can be judged without a cluster; test/cluster judges the rest.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "fs/store/rados_capacity.h"
#include "fs/store/rados_errors.h"
#include "fs/store/rados_store.h"

namespace meshfs {
namespace {

TEST(RadosErrors, AnyCodeFromZeroUpIsSuccess) {
    EXPECT_EQ(errno_of_rados(0), 0);
    EXPECT_EQ(errno_of_rados(1), 0);  // a lone compare
    EXPECT_EQ(errno_of_rados(-EPERM), EACCES);
    EXPECT_EQ(errno_of_rados(-108), ESHUTDOWN);
    EXPECT_EQ(errno_of_rados(-ENAMETOOLONG), EINVAL);
    EXPECT_EQ(errno_of_rados(-ENOSPC), ENOSPC);
}

TEST(RadosErrors, OnlyWhatAPersonReadsHasASentence) {
    EXPECT_EQ(error_of_rados(-ENOENT, "g.1 of pool ai").detail(), "");
    EXPECT_EQ(error_of_rados(-ECANCELED, "g.1 of pool ai").detail(), "");
    EXPECT_NE(error_of_rados(-ENOSPC, "g.1 of pool ai").detail().find("g.1 of pool ai"), std::string::npos);
}

constexpr const char* kDf = R"({"stats": {"total_avail_bytes": 9}, "pools": [
    {"name": "other", "id": 1, "stats": {"stored": 1, "max_avail": 2, "objects": 3}},
    {"name": "ai", "id": 2, "stats": {"stored": 100, "max_avail": 900, "objects": 7, "quota_bytes": QUOTA}}]})";

std::string df_with_quota(const std::string& quota) {
    std::string text = kDf;
    return text.replace(text.find("QUOTA"), 5, quota);
}

TEST(RadosCapacity, IsThePoolsOwn) {
    auto capacity = capacity_from_df(df_with_quota("0"), "ai");
    ASSERT_TRUE(capacity.ok());
    EXPECT_EQ(capacity->total, 1000u);
    EXPECT_EQ(capacity->used, 100u);
    EXPECT_EQ(capacity->available, 900u);
    EXPECT_EQ(capacity->objects, 7u);
}

TEST(RadosCapacity, AQuotaBoundsIt) {
    EXPECT_EQ(capacity_from_df(df_with_quota("150"), "ai")->available, 50u);
    EXPECT_EQ(capacity_from_df(df_with_quota("50"), "ai")->available, 0u);
    EXPECT_EQ(capacity_from_df(df_with_quota("5000"), "ai")->available, 900u);
}

TEST(RadosCapacity, APoolTooNewToBeCountedHasWhatTheClusterHas) {
    auto capacity = capacity_from_df(df_with_quota("0"), "new");
    ASSERT_TRUE(capacity.ok());
    EXPECT_EQ(capacity->available, 9u);
    EXPECT_EQ(capacity->used, 0u);
}

TEST(RadosCapacity, BearsAnyAnswer) {
    for (const char* text : {"", "{", "[]", "null", R"({"pools": 1})", R"({"pools": {"name": "ai"}})"})
        EXPECT_EQ(capacity_from_df(text, "ai").code(), EIO) << text;
    for (const char* text : {R"({"pools": [1, null, {"name": 2}]})", R"({"pools": [{"name": "ai"}]})",
                             R"({"pools": [{"name": "ai", "stats": []}]})"})
        EXPECT_EQ(capacity_from_df(text, "ai")->total, 0u) << text;
    auto odd = capacity_from_df(R"({"pools": [{"name": "ai", "stats": {"stored": -1, "max_avail": "x"}}]})", "ai");
    ASSERT_TRUE(odd.ok());
    EXPECT_EQ(odd->total, 0u);
}

class RadosConnect : public testing::Test {
protected:
    Error error_with(const std::string& conf_text) {
        // A name of its own: another run of these tests may be under way on this machine.
        std::string path = testing::TempDir() + "/meshfs-rados-XXXXXX";
        close(mkstemp(path.data()));
        std::ofstream(path) << conf_text;
        options_.conf = path;
        auto store = open_rados_store(*parse_source("rados:ai/train"), options_);
        std::remove(path.c_str());
        return store.ok() ? Error(0) : store.error();
    }
    StoreOptions options_{.mount_timeout_seconds = 1};
};

TEST_F(RadosConnect, WithoutAConfigurationNamesTheFile) {
    options_.conf = "/no/such/ceph.conf";
    auto store = open_rados_store(*parse_source("rados:ai/train"), options_);
    ASSERT_EQ(store.code(), ENOENT);
    EXPECT_NE(store.error().detail().find("/no/such/ceph.conf"), std::string::npos);
    EXPECT_NE(store.error().detail().find("-o conf="), std::string::npos);
}

TEST_F(RadosConnect, WithoutMonitorsSaysSo) {
    Error error = error_with("[global]\nfsid = 7a2f8dc0-0000-4000-8000-000000000000\n");
    EXPECT_EQ(error.code(), ENOENT);
    EXPECT_NE(error.detail().find("mon_host"), std::string::npos) << error.detail();
}

TEST_F(RadosConnect, MonitorsThatAreAwayAreGivenUp) {
    Error error = error_with("[global]\nmon host = v2:127.0.0.1:1\nauth client required = none\n");
    EXPECT_EQ(error.code(), ETIMEDOUT);
    EXPECT_NE(error.detail().find("within 1 s"), std::string::npos) << error.detail();
}

}  // namespace
}  // namespace meshfs
