// Mutations and queries as librados' operations.
//
// For the rados_*.cc files only: includes librados.
#pragma once

#include <deque>
#include <rados/librados.hpp>

#include "fs/store/store.h"

namespace meshfs {

// Bytes of ours for librados.  The first shares memory, which must live until librados is done with it.
ceph::bufferlist share_with_rados(std::string_view bytes);
ceph::bufferlist copy_for_rados(std::string_view bytes);
Buffers share_from_rados(const ceph::bufferlist& bytes);

// Fills `operation`, which refers to the bytes of `mutation` from then on.  EINVAL: Ceph cannot say that.
Status build_rados_operation(const Mutation& mutation, librados::ObjectWriteOperation& operation);

// A query on its way: where librados puts the parts.
class RadosAnswer {
public:
    // `this` is filled when the operation completes, and must not move until then.
    Status build(const Query& query, librados::ObjectReadOperation& operation);
    Result<Answer> take(const Query& query, const std::string& object);  // after success

private:
    struct RangePart {
        std::map<std::string, ceph::bufferlist> entries;
        bool more = false;
    };
    int* next_code() { return &codes_.emplace_back(0); }
    uint64_t size_ = 0;
    timespec mtime_{};
    std::map<std::string, ceph::bufferlist> xattrs_, keys_;
    std::deque<RangePart> ranges_;
    std::deque<ceph::bufferlist> bytes_;
    std::deque<int> codes_;  // of each part; < 0 after success: the answer could not be decoded
};

}  // namespace meshfs
