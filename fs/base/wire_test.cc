#include "fs/base/wire.h"

#include <gtest/gtest.h>

#include "fs/base/crc32c.h"

namespace meshfs {
namespace {

TEST(Crc32c, AgreesWithRfc3720) {
    EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
    EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
    EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
    EXPECT_EQ(crc32c("6789", crc32c("12345")), 0xe3069283u);
}

TEST(Wire, VarintsRoundTrip) {
    for (uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{1} << 62, UINT64_MAX}) {
        auto bytes = Encoder().varint(v).take();
        Decoder d(bytes);
        EXPECT_EQ(d.varint(), v);
        EXPECT_TRUE(d.ok() && d.at_end());
    }
}

TEST(Wire, TooLongVarintIsDamage) {
    Decoder d("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    d.varint();
    EXPECT_FALSE(d.ok());
}

TEST(Wire, DecoderNeverReadsPastTheEnd) {
    Decoder d("abc");
    EXPECT_EQ(d.u64(), 0u);
    EXPECT_FALSE(d.ok());
    EXPECT_EQ(d.u8(), 0);
}

TEST(Wire, RecordDetectsEveryFlippedBit) {
    auto sealed = seal_record(1, "payload");
    ASSERT_EQ(open_record(sealed)->payload, "payload");
    for (size_t i = 0; i < sealed.size(); ++i) {
        auto bad = sealed;
        bad[i] = static_cast<char>(bad[i] ^ 4);
        EXPECT_EQ(open_record(bad).code(), EIO) << i;
    }
}

TEST(Wire, HexRoundTrips) {
    EXPECT_EQ(hex(0), "0");
    EXPECT_EQ(*parse_hex(hex(UINT64_MAX)), UINT64_MAX);
    EXPECT_EQ(parse_hex("01").code(), EINVAL);
    EXPECT_EQ(parse_hex("G").code(), EINVAL);
}

}  // namespace
}  // namespace meshfs
