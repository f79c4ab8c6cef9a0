#include "fs/base/config.h"

#include <gtest/gtest.h>

namespace meshfs {
namespace {

TEST(Config, ValuesKnowTheirOrigin) {
    auto config = Config::parse("[mount]\ncache = \"2GiB\"\n", "m.toml");
    ASSERT_TRUE(config.ok()) << config.error().text();
    EXPECT_EQ(config->value("mount", "cache"), "2GiB");
    EXPECT_EQ(config->setting("mount", "cache").origin, "m.toml:2");
    EXPECT_EQ(config->setting("mount", "dirty").origin, "default");
}

TEST(Config, AnUnknownKeyNamesTheNearest) {
    auto config = Config::parse("[mount]\ncahce = \"1G\"\n", "m.toml");
    ASSERT_EQ(config.code(), EINVAL);
    EXPECT_NE(config.error().detail().find("m.toml:2"), std::string::npos);
    EXPECT_NE(config.error().detail().find("did you mean \"cache\"?"), std::string::npos);
    EXPECT_EQ(Config::parse("[mounts]\nx = 1\n", "m").code(), EINVAL);
}

TEST(Config, AWrongValueNamesWhatIsAllowed) {
    auto config = Config::parse("[mount]\nio = \"fast\"\n", "m.toml");
    ASSERT_EQ(config.code(), EINVAL);
    EXPECT_NE(config.error().detail().find("auto, cached, direct"), std::string::npos);
    EXPECT_EQ(Config::parse("[mount]\ncache = [1]\n", "m").code(), EINVAL);
    EXPECT_EQ(Config::parse("[mount]\ncommit = \"soon\"\n", "m").code(), EINVAL);
}

TEST(Config, PluginsKeepTheirOrderAndTheirSettings) {
    auto config = Config::parse(
        "[[plugin]]\nmodule = \"kvcache\"\nprefix = \"/kv\"\ncapacity = \"800GiB\"\nthreads = 4\n"
        "[[plugin]]\nmodule = \"s3\"\nprefix = \"/lake\"\n",
        "m.toml");
    ASSERT_TRUE(config.ok()) << config.error().text();
    ASSERT_EQ(config->plugins().size(), 2u);
    EXPECT_EQ(config->plugins()[0].settings.at("capacity"), "800GiB");
    EXPECT_EQ(config->plugins()[0].settings.at("threads"), "4");
    EXPECT_EQ(config->plugins()[1].module, "s3");
    EXPECT_EQ(Config::parse("[[plugin]]\nmodule = \"x\"\n", "m").code(), EINVAL);
    EXPECT_EQ(Config::parse("[plugin]\nmodule = \"x\"\n", "m").code(), EINVAL);
}

TEST(Config, DamagedTextNamesItsLine) {
    auto config = Config::parse("[mount]\ncache = \n", "m.toml");
    ASSERT_EQ(config.code(), EINVAL);
    EXPECT_EQ(config.error().detail().rfind("m.toml:2", 0), 0u) << config.error().detail();
}

TEST(Units, BytesAndDurations) {
    EXPECT_EQ(*parse_bytes("800GiB"), 800ull << 30);
    EXPECT_EQ(*parse_bytes("64K"), 65536u);
    EXPECT_EQ(*parse_bytes("1.5M"), 1572864u);
    EXPECT_EQ(*parse_bytes("4096"), 4096u);
    for (const char* bad : {"", "x", "-1", "1Q", "1e9", "0x10", "9999999999999G", "1GiBs"})
        EXPECT_EQ(parse_bytes(bad).code(), EINVAL) << bad;
    EXPECT_EQ(*parse_duration_ns("200ms"), 200'000'000);
    EXPECT_EQ(*parse_duration_ns("30"), 30'000'000'000);
    EXPECT_EQ(parse_duration_ns("5 weeks").code(), EINVAL);
    EXPECT_EQ(human_bytes(1536), "1.5 KiB");
}

}  // namespace
}  // namespace meshfs
