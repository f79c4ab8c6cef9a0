// What a mount is told when the cluster, its pools or its keys are not as they should be.
#include <fstream>

#include "cluster_fixture.h"
#include "fs/base/clock.h"

namespace meshfs {
namespace {

using Connect = Cluster;

TEST_F(Connect, APoolThatIsNotThereComesWithTheCommandThatMakesIt) {
    auto store = open("nowhere");
    ASSERT_EQ(store.code(), ENOENT);
    EXPECT_NE(store.error().detail().find("ceph osd pool create nowhere"), std::string::npos) << store.error().text();
}

TEST_F(Connect, AKeyWithoutRightsOnThePoolComesWithTheCommandThatGivesThem) {
    use_key("nothing", "mon 'allow r'");
    auto store = open();
    ASSERT_EQ(store.code(), EACCES) << (store.ok() ? "opened" : store.error().text());
    const std::string text = store.error().detail();
    EXPECT_NE(text.find("client.nothing may not read and write"), std::string::npos) << text;
    EXPECT_NE(text.find("ceph auth caps client.nothing mon 'profile rbd' osd 'allow rw pool=meshfs namespace=" +
                        source().volume + "'"), std::string::npos) << text;
}

// The sentence is of use only if doing what it says helps.
TEST_F(Connect, TheCommandOfThatSentenceHelps) {
    use_key("helped", "mon 'allow r'");
    auto refused = open();
    ASSERT_EQ(refused.code(), EACCES);
    const std::string text = refused.error().detail();
    ASSERT_TRUE(ceph(text.substr(text.find("auth caps"))));
    auto store = open();
    ASSERT_OK(store);
    EXPECT_TRUE((*store)->apply(Mutation({0, "o"}).create()).ok());
    EXPECT_TRUE((*store)->capacity(kMetaPool).ok());
    auto other = open();
    ASSERT_OK(other);
    EXPECT_TRUE((*store)->fence((*other)->client()).ok());
    EXPECT_TRUE((*store)->create_snap().ok());
}

TEST_F(Connect, AReadOnlyKeyIsEnoughForAReadOnlyMount) {
    use_key("reader", "mon 'allow r' osd 'allow r pool=meshfs'");
    EXPECT_ERRNO(open(), EACCES);
    options_.read_only = true;
    auto store = open();
    ASSERT_OK(store);
    EXPECT_ERRNO((*store)->ask(Query({0, "o"}).stat()), ENOENT);
    EXPECT_ERRNO((*store)->apply(Mutation({0, "o"}).create()), EACCES);
}

TEST_F(Connect, AKeyOfAnotherVolumeIsRefused) {
    use_key("tenant", "mon 'profile rbd' osd 'allow rw pool=meshfs namespace=theirs'");
    EXPECT_ERRNO(open(), EACCES);
}

TEST_F(Connect, AKeyThatMayNotFenceSaysWhichCapabilityIsMissing) {
    use_key("nofence", "mon 'allow r' osd 'allow rw pool=meshfs'");
    auto store = open();
    ASSERT_OK(store);
    Status fenced = (*store)->fence("127.0.0.1:0/4711");
    ASSERT_EQ(fenced.code(), EACCES);
    EXPECT_NE(fenced.error().detail().find("profile rbd"), std::string::npos) << fenced.error().text();
}

TEST_F(Connect, AWrongKeyIsTold) {
    const std::string keyring = dir() + "/keyring.wrong";
    std::ofstream(keyring) << "[client.admin]\n\tkey = AQBPAAAAAAAAABAAJ5JmzRQ9bJ2T2TV3WZmUcA==\n";
    options_.keyring = keyring;
    auto store = open();
    ASSERT_EQ(store.code(), EACCES) << (store.ok() ? "opened" : store.error().text());
    EXPECT_NE(store.error().detail().find("ceph auth get client.admin"), std::string::npos) << store.error().text();
}

TEST_F(Connect, AKeyThatIsNotInTheKeyringIsTold) {
    options_.id = "nobody";
    auto store = open();
    ASSERT_EQ(store.code(), ENOENT) << (store.ok() ? "opened" : store.error().text());
    EXPECT_NE(store.error().detail().find("no key for client.nobody"), std::string::npos) << store.error().text();
}

TEST_F(Connect, AKeyringThatIsNotThereIsTold) {
    options_.keyring = "/no/such/keyring";
    auto store = open();
    ASSERT_EQ(store.code(), ENOENT) << (store.ok() ? "opened" : store.error().text());
    EXPECT_NE(store.error().detail().find("/no/such/keyring"), std::string::npos) << store.error().text();
}

TEST_F(Connect, MonitorsThatAreAwayEndTheMountInItsTime) {
    ASSERT_TRUE(ceph_dev("stop-mon"));
    options_.mount_timeout_seconds = 3;
    int64_t began_ns = Clock::system().boot_ns();
    auto store = open();
    ASSERT_EQ(store.code(), ETIMEDOUT) << (store.ok() ? "opened" : store.error().text());
    // The promise is a time; the bound leaves room for a slow machine.
    EXPECT_LT(Clock::system().boot_ns() - began_ns, 3 * 3 * kNsPerSecond);
    EXPECT_NE(store.error().detail().find("within 3 s"), std::string::npos) << store.error().text();
}

TEST_F(Connect, MonitorsThatAreSilentEndTheMountInItsTime) {
    ASSERT_TRUE(ceph_dev("freeze-mon"));
    options_.mount_timeout_seconds = 3;
    int64_t began_ns = Clock::system().boot_ns();
    EXPECT_ERRNO(open(), ETIMEDOUT);
    EXPECT_LT(Clock::system().boot_ns() - began_ns, 3 * 3 * kNsPerSecond);
}

TEST_F(Connect, OSDsThatAreAwayEndTheMountInItsTime) {
    ASSERT_TRUE(ceph_dev("kill-osd 0"));
    options_.mount_timeout_seconds = 3;
    auto store = open();
    ASSERT_EQ(store.code(), ETIMEDOUT) << (store.ok() ? "opened" : store.error().text());
    EXPECT_NE(store.error().detail().find("OSDs of pool \"meshfs\""), std::string::npos) << store.error().text();
}

TEST_F(Connect, DataMayLieInAPoolOfItsOwn) {
    ceph("osd pool create data 8");
    options_.data_pools = {{1, "data"}};
    auto store = open();
    ASSERT_OK(store);
    ASSERT_OK((*store)->apply(Mutation({1, "b.1.0"}).write_full(Buffer::copy_of("bytes"))));
    EXPECT_ERRNO((*store)->ask(Query({0, "b.1.0"}).stat()), ENOENT);
    EXPECT_TRUE(ceph_dev("rados -p data -N " + source().volume + " stat b.1.0"));
    ASSERT_OK((*store)->capacity(1));
    // One number for both pools, though each counts by itself.
    auto snap = (*store)->create_snap();
    ASSERT_OK(snap);
    SnapContext after{raw(*snap), {*snap}};
    ASSERT_OK((*store)->apply(Mutation({1, "b.1.0"}, after).write_full(Buffer::copy_of("later"))));
    auto old = (*store)->ask(Query({1, "b.1.0"}, *snap).bytes(0, 10));
    ASSERT_OK(old);
    EXPECT_EQ(join(old->bytes.at(0)), "bytes");

    EXPECT_ERRNO((*store)->add_data_pool(2, "nowhere"), ENOENT);
    EXPECT_ERRNO((*store)->add_data_pool(0, "data"), EINVAL);
    EXPECT_ERRNO((*store)->apply(Mutation({2, "b.1.0"}).create()), EINVAL);
    ASSERT_OK((*store)->add_data_pool(2, "meshfs"));
    ASSERT_OK((*store)->apply(Mutation({2, "b.1.0"}).create()));
    EXPECT_ERRNO((*store)->ask(Query({0, "b.1.0"}).stat()), ENOENT);
}

}  // namespace
}  // namespace meshfs
