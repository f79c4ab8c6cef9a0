// Plugins at work on a volume in memory: each group of the host's calls, a served prefix, and starts that fail.
#include "plugins/host.h"

#include "test/abi/modules.h"

namespace meshfs::test {
namespace {

class HostedPlugins : public PluginTest {
protected:
    HostedPlugins() : cluster_(std::make_shared<MemoryCluster>()) {
        MemoryStore store(cluster_);
        must(format_volume(store, Clock::system(), {.lease_seconds = 5}));
        store.stop();
        mount_ = std::make_unique<Mount>(cluster_);
        host_ = std::make_unique<PluginHost>(*mount_->vfs, *mount_->store);
    }
    ~HostedPlugins() override { host_->stop(); }
    PluginConfig config(const std::string& module, const std::string& prefix,
                        std::map<std::string, std::string> settings = {}) {
        return {copy(module), prefix, std::move(settings), "meshfs.toml:3"};
    }
    // The exposer works while it starts, and its start fails with the line that found a wrong answer.
    Status expose(const std::string& group) {
        must(mount_->mkdir("/lake"));
        return host_->start({config("exposer", "/lake", {{"run", group}})});
    }

    std::shared_ptr<MemoryCluster> cluster_;
    std::unique_ptr<Mount> mount_;
    std::unique_ptr<PluginHost> host_;
};

TEST_F(HostedPlugins, UseTheNamespaceBelowTheirPrefix) {
    EXPECT_OK(expose("namespace"));
    EXPECT_EQ(mount_->names("/lake"), (std::vector<std::string>{".", "..", "dir"}));
}

TEST_F(HostedPlugins, PublishUnderConditions) {
    EXPECT_OK(expose("publish"));
    EXPECT_EQ(must(mount_->read_file("/lake/dir/p")), "first");
}

TEST_F(HostedPlugins, SpliceRangesOfOtherFiles) {
    EXPECT_OK(expose("splice"));
    EXPECT_EQ(must(mount_->read_file("/lake/dir/t")), "56789012");
}

TEST_F(HostedPlugins, KeepRecordsUnderGuards) { EXPECT_OK(expose("records")); }

TEST_F(HostedPlugins, AreToldOfChanges) { EXPECT_OK(expose("watch")); }

TEST_F(HostedPlugins, ServeTheirPrefix) {
    ASSERT_OK(host_->start({config("example-1_0", "/hello", {{"text", "good morning"}})}));
    EXPECT_EQ(mount_->names("/"), (std::vector<std::string>{".", "..", "hello"}));
    EXPECT_EQ(must(mount_->read_file("/hello/hello")), "good morning");
    EXPECT_ERRNO(mount_->write_file("/hello/other", "x"), ENOSYS);
    ASSERT_EQ(host_->status().size(), 1u);
    EXPECT_EQ(host_->status()[0].prefix, "/hello");
}

TEST_F(HostedPlugins, OneThatFailsToStartStopsAllAndSaysWhy) {
    Status started = host_->start({config("example-1_0", "/hello"), config("exposer", "/", {{"run", "nonsense"}})});
    EXPECT_ERRNO(started, EINVAL);
    EXPECT_NE(started.error().detail().find("no such test: nonsense"), std::string::npos) << started.error().detail();
}

TEST_F(HostedPlugins, AValueThatThePluginRefusesIsNamed) {
    Status started = host_->start({config("exposer", "/", {{"run", "refuse"}})});
    EXPECT_ERRNO(started, EINVAL);
    EXPECT_NE(started.error().detail().find("this value is refused"), std::string::npos);
}

TEST_F(HostedPlugins, OnlyOneServesAPrefix) {
    Status started = host_->start({config("example-1_0", "/hello"), config("example-1_0", "/hello/")});
    EXPECT_ERRNO(started, EEXIST);
    EXPECT_NE(started.error().detail().find("meshfs.toml:3"), std::string::npos);
}

TEST_F(HostedPlugins, ChangesAfterTheHostHasGoneAreFine) {
    ASSERT_OK(expose("watch"));
    host_->stop();
    host_ = std::make_unique<PluginHost>(*mount_->vfs, *mount_->store);  // the first is destroyed
    EXPECT_OK(mount_->write_file("/lake/dir/later", "x"));
}

}  // namespace
}  // namespace meshfs::test
