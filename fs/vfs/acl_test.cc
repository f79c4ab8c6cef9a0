#include "fs/vfs/acl.h"

#include <gtest/gtest.h>

#include "fs/base/wire.h"

namespace meshfs {
namespace {

constexpr uint32_t kNobodyId = UINT32_MAX;

Acl small_acl() {
    return {{AclEntry::user_obj, 7, kNobodyId}, {AclEntry::group_obj, 5, kNobodyId}, {AclEntry::other, 1, kNobodyId}};
}
Acl named_acl() {
    return {{AclEntry::user_obj, 7, kNobodyId}, {AclEntry::user, 6, 1000}, {AclEntry::group_obj, 5, kNobodyId},
            {AclEntry::group, 4, 50},           {AclEntry::mask, 6, kNobodyId}, {AclEntry::other, 1, kNobodyId}};
}

TEST(Acl, BytesComeBackAsTheyWere) {
    for (const Acl& acl : {Acl(), small_acl(), named_acl()}) {
        auto again = parse_acl(acl_bytes(acl));
        ASSERT_TRUE(again.ok());
        EXPECT_EQ(*again, acl);
    }
}

TEST(Acl, TheModeShowsTheMaskAsTheGroup) {
    EXPECT_EQ(mode_of(small_acl()), 0751u);
    EXPECT_EQ(mode_of(named_acl()), 0761u);
    EXPECT_TRUE(is_equal_to_mode(small_acl()));
    EXPECT_FALSE(is_equal_to_mode(named_acl()));
}

TEST(Acl, ChmodSetsTheMaskAndLeavesTheOwningGroup) {
    Acl acl = named_acl();
    set_mode(acl, 0640);
    EXPECT_EQ(mode_of(acl), 0640u);
    EXPECT_EQ(acl[2].permissions, 5);
}

TEST(Acl, WhatIsNoAclIsRefused) {
    EXPECT_EQ(parse_acl("").code(), EINVAL);
    EXPECT_EQ(parse_acl("abc").code(), EINVAL);
    EXPECT_EQ(parse_acl(std::string("\1\0\0\0", 4)).code(), EOPNOTSUPP);
    EXPECT_EQ(parse_acl(acl_bytes(named_acl()) + "x").code(), EINVAL);

    Acl no_mask = named_acl();
    no_mask.erase(no_mask.begin() + 4);
    EXPECT_EQ(parse_acl(acl_bytes(no_mask)).code(), EINVAL);
    Acl no_other = small_acl();
    no_other.pop_back();
    EXPECT_EQ(parse_acl(acl_bytes(no_other)).code(), EINVAL);
    Acl twice = small_acl();
    twice.insert(twice.begin(), twice.front());
    EXPECT_EQ(parse_acl(acl_bytes(twice)).code(), EINVAL);
    Acl eight = small_acl();
    eight[0].permissions = 8;
    EXPECT_EQ(parse_acl(acl_bytes(eight)).code(), EINVAL);
    Acl after_the_end = small_acl();
    after_the_end.push_back(after_the_end.back());
    EXPECT_EQ(parse_acl(acl_bytes(after_the_end)).code(), EINVAL);
}

TEST(Acl, EveryCutOfAnAclIsRefusedOrAnAcl) {
    std::string bytes = acl_bytes(named_acl());
    for (size_t length = 0; length <= bytes.size(); ++length) {
        auto acl = parse_acl(std::string_view(bytes).substr(0, length));
        if (acl.ok()) {
            EXPECT_TRUE(acl->empty() || length == bytes.size());
        }
    }
    for (size_t at = 0; at < bytes.size(); ++at) {
        std::string broken = bytes;
        broken[at] = static_cast<char>(broken[at] ^ 0x55);
        (void)parse_acl(broken);  // bears it
    }
}

TEST(Acl, WithoutADefaultTheUmaskCounts) {
    Inode directory;
    directory.mode = S_IFDIR | 0755;
    auto child = inherit_acl(directory, S_IFREG | 0666, 022, true);
    ASSERT_TRUE(child.ok());
    EXPECT_EQ(child->mode, S_IFREG | 0644u);
    EXPECT_TRUE(child->xattrs.empty());
}

TEST(Acl, ADefaultTakesTheUmasksPlace) {
    Inode directory;
    directory.mode = S_IFDIR | 0755;
    directory.xattrs[kDefaultAcl] = acl_bytes(named_acl());
    auto file = inherit_acl(directory, S_IFREG | 0666, 077, true);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(file->mode, S_IFREG | 0660u);  // 0666 met with 0761
    ASSERT_TRUE(file->xattrs.contains(kAccessAcl));
    EXPECT_FALSE(file->xattrs.contains(kDefaultAcl));
    EXPECT_EQ(mode_of(*parse_acl(file->xattrs[kAccessAcl])), 0660u);

    auto made = inherit_acl(directory, S_IFDIR | 0777, 077, true);
    ASSERT_TRUE(made.ok());
    EXPECT_EQ(made->xattrs[kDefaultAcl], directory.xattrs[kDefaultAcl]);

    directory.xattrs[kDefaultAcl] = acl_bytes(small_acl());
    auto plain = inherit_acl(directory, S_IFREG | 0666, 077, true);
    ASSERT_TRUE(plain.ok());
    EXPECT_EQ(plain->mode, S_IFREG | 0640u);
    EXPECT_TRUE(plain->xattrs.empty());
}

TEST(Acl, ADamagedDefaultIsAnError) {
    Inode directory;
    directory.xattrs[kDefaultAcl] = "rubbish";
    EXPECT_EQ(inherit_acl(directory, S_IFREG | 0666, 022, true).code(), EIO);
}

}  // namespace
}  // namespace meshfs
