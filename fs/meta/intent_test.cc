#include "fs/meta/intent.h"

#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

Intent sample(size_t value_bytes) {
    IntentStep made{.kind = IntentStep::Kind::make, .object = {kMetaPool, "h.1"}, .next = free_lease(1),
                    .set = {{"d", "inode"}}};
    IntentStep away{.kind = IntentStep::Kind::away, .object = {kMetaPool, "i.1.0"},
                    .read = {{"a", std::nullopt}, {"b", "old"}}, .set = {{"a", "x"}, {"b", "y"}}};
    IntentStep leased{.object = {kMetaPool, "g.1"}, .held = exclusive_lease(SessionId{7}, 3), .next = free_lease(4),
                      .about = "about", .set = {{"n", std::string(value_bytes, 'v')}}, .removed = {"gone"}};
    return {made, away, leased};
}

Result<Intent> decode(const std::vector<std::string>& parts) {
    return decode_intent(std::vector<std::string_view>(parts.begin(), parts.end()));
}

TEST(Intent, ReadsBackInOneOrManyParts) {
    for (size_t bytes : {1u, 100'000u, 131'072u}) {
        auto parts = encode_intent(sample(bytes));
        EXPECT_EQ(parts.size(), bytes < 96 * 1024 ? 1u : 2u);
        EXPECT_EQ(must(decode(parts)), sample(bytes));
    }
}

TEST(Intent, BearsDamage) {
    auto parts = encode_intent(sample(120'000));
    EXPECT_ERRNO(decode({parts[0]}), EIO);
    EXPECT_ERRNO(decode({parts[1], parts[0]}), EIO);
    EXPECT_ERRNO(decode({}), EIO);
    std::string small = encode_intent(sample(1))[0];
    for (size_t i = 0; i < small.size(); ++i) {
        std::string damaged = small;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
        EXPECT_ERRNO(decode({damaged}), EIO);
        EXPECT_ERRNO(decode({small.substr(0, i)}), EIO);
    }
}

}  // namespace
}  // namespace meshfs
