// Which modules load, and what is said of those that do not.
#include "plugins/loader.h"
#include "test/abi/modules.h"

namespace meshfs::test {
namespace {

class PluginLoader : public PluginTest {};

TEST_F(PluginLoader, LoadsAPluginBuiltWithTheFirstHeader) {
    auto loaded = load_plugin(copy("example-1_0"));
    ASSERT_TRUE(loaded.ok()) << loaded.error().text();
    EXPECT_STREQ(loaded->plugin.name, "example");
    EXPECT_TRUE(loaded->serves);
    ASSERT_EQ(loaded->settings.size(), 1u);
    EXPECT_EQ(loaded->settings[0].name, "text");
    EXPECT_FALSE(loaded->settings[0].required);
}

TEST_F(PluginLoader, WhatAnOldPluginLacksIsNull) {
    auto loaded = load_plugin(copy("small"));
    ASSERT_TRUE(loaded.ok()) << loaded.error().text();
    EXPECT_FALSE(loaded->serves);
    EXPECT_EQ(loaded->plugin.serve, nullptr);
}

TEST_F(PluginLoader, NamesTheAbiNumberThatIsWrong) {
    auto loaded = load_plugin(copy("wrong_abi"));
    EXPECT_EQ(loaded.code(), ENOEXEC);
    EXPECT_NE(loaded.error().detail().find("ABI 999"), std::string::npos) << loaded.error().detail();
}

TEST_F(PluginLoader, RefusesWhatIsNoPlugin) {
    EXPECT_EQ(load_plugin(copy("no_entry")).code(), ENOEXEC);
    EXPECT_EQ(load_plugin(copy("no_table")).code(), ENOEXEC);
    EXPECT_EQ(load_plugin(copy("bad_name")).code(), ENOEXEC);
    EXPECT_EQ(load_plugin(folder_.path() + "/absent.so").code(), ENOENT);
    EXPECT_EQ(load_plugin("relative/x.so").code(), EINVAL);
    EXPECT_EQ(load_plugin("").code(), EINVAL);
}

TEST_F(PluginLoader, RefusesAModuleThatOthersCanChange) {
    std::string path = copy("small");
    chmod(path.c_str(), 0666);
    EXPECT_EQ(load_plugin(path).code(), EACCES);
    chmod(path.c_str(), 0644);
    chmod(folder_.path().c_str(), 0777);
    EXPECT_EQ(load_plugin(path).code(), EACCES);
}

TEST_F(PluginLoader, NamesTheSettingThatWasMeant) {
    auto loaded = load_plugin(copy("example-1_0"));
    ASSERT_TRUE(loaded.ok());
    PluginConfig config;
    config.settings = {{"txt", "x"}};
    config.where = "meshfs.toml:7";
    auto settled = settle_settings(*loaded, config);
    EXPECT_EQ(settled.code(), EINVAL);
    EXPECT_NE(settled.error().detail().find("did you mean \"text\""), std::string::npos);
    EXPECT_NE(settled.error().detail().find("meshfs.toml:7"), std::string::npos);
    config.settings = {};
    EXPECT_EQ(settle_settings(*loaded, config)->at("text"), "hello, world\n");
}

TEST_F(PluginLoader, AsksForARequiredSetting) {
    auto loaded = load_plugin(copy("exposer"));
    ASSERT_TRUE(loaded.ok()) << loaded.error().text();
    EXPECT_EQ(settle_settings(*loaded, {}).code(), EINVAL);
}

TEST(PluginPrefix, IsAbsoluteAndPlain) {
    EXPECT_EQ(*normal_prefix("/a//b/"), "/a/b");
    EXPECT_EQ(*normal_prefix("/"), "/");
    EXPECT_EQ(normal_prefix("a").code(), EINVAL);
    EXPECT_EQ(normal_prefix("").code(), EINVAL);
    EXPECT_EQ(normal_prefix("/a/../b").code(), EINVAL);
}

}  // namespace
}  // namespace meshfs::test
