// What the tests on a real Ceph share: the cluster of test/cluster/run, and power over it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "fs/store/source.h"
#include "fs/store/store.h"

#define ASSERT_OK(expression)                                                       \
    do {                                                                            \
        const auto& ok_result_ = (expression);                                      \
        ASSERT_TRUE(ok_result_.ok()) << #expression << ": " << ok_result_.error().text(); \
    } while (0)
#define EXPECT_ERRNO(expression, errno_wanted) \
    EXPECT_STREQ(errno_name((expression).code()), errno_name(errno_wanted)) << #expression

namespace meshfs {

// test/cluster/run sets CEPH_DEV (the script) and CEPH_DEV_DIR (a cluster that is up).
class Cluster : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_NE(getenv("CEPH_DEV"), nullptr) << "run test/cluster/run";
        ASSERT_NE(getenv("CEPH_DEV_DIR"), nullptr) << "run test/cluster/run";
        options_.conf = dir() + "/ceph.conf";
    }
    // What a test has broken.
    void TearDown() override { ceph_dev("thaw-mon; CEPH_DEV thaw-osd 0; CEPH_DEV up"); }

    static std::string dir() { return getenv("CEPH_DEV_DIR"); }
    // "kill-osd 0"; several commands: each begins with CEPH_DEV.  Its words come only if it fails.
    static bool ceph_dev(std::string command) {
        const std::string call = std::string(getenv("CEPH_DEV")) + " --dir " + dir();
        for (size_t at = 0; (at = command.find("CEPH_DEV", at)) != std::string::npos; at += call.size())
            command.replace(at, 8, call);
        return system((call + " " + command + " > " + dir() + "/log/test.out 2>&1").c_str()) == 0;
    }
    static bool ceph(const std::string& arguments) { return ceph_dev("ceph " + arguments); }

    // A volume of its own for each test.
    Source source(const std::string& pool = "meshfs") {
        auto* info = testing::UnitTest::GetInstance()->current_test_info();
        return *parse_source("rados:" + pool + "/" + info->name());
    }
    Result<std::unique_ptr<Store>> open(const std::string& pool = "meshfs") { return open_store(source(pool), options_); }

    // A key with these capabilities, given as for `ceph auth get-or-create`; used from then on.
    void use_key(const std::string& id, const std::string& capabilities) {
        const std::string keyring = dir() + "/keyring." + id;
        ceph("auth rm client." + id);
        ASSERT_TRUE(ceph("auth get-or-create client." + id + " " + capabilities + " -o " + keyring));
        options_.id = id;
        options_.keyring = keyring;
    }

    StoreOptions options_{.mount_timeout_seconds = 10};
};

}  // namespace meshfs
