// RocksDB as the embedded store uses it.  Only local_*.cc include this.
#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <optional>
#include <string>

#include "fs/base/result.h"
#include "fs/base/waiting.h"
#include "fs/store/local_layout.h"

namespace meshfs::local {

using Family = rocksdb::ColumnFamilyHandle*;
using Moment = const rocksdb::Snapshot*;  // null: now

// The error of `attempt`, in errnos: Corruption is EIO, no space ENOSPC.
Error translate(const rocksdb::Status& status, const std::string& attempt);

class Rows {
public:
    // env: null, or what a test puts below.
    static Result<std::unique_ptr<Rows>> open(const std::string& path, rocksdb::Env* env);
    ~Rows();

    rocksdb::DB& db() { return *db_; }
    Family other() const { return families_[0]; }
    Family objects() const { return families_[1]; }
    Family omap() const { return families_[2]; }
    Family bytes() const { return families_[3]; }

    // None: there is no such row.
    Result<std::optional<std::string>> get(Family family, const std::string& key, Moment at = nullptr);
    // Rows whose key begins with prefix, from `from` on, until `each` returns false or fails.
    template <class Each>
    Status scan(Family family, const std::string& from, const std::string& prefix, Moment at, Each each);

private:
    Rows() = default;
    std::unique_ptr<rocksdb::DB> db_;
    std::vector<Family> families_;
};

// A state of the whole store that does not change while this lives.
class Still {
public:
    explicit Still(Rows& rows) : db_(rows.db()), moment_(db_.GetSnapshot()) {}
    ~Still() { db_.ReleaseSnapshot(moment_); }
    Still(const Still&) = delete;
    Still& operator=(const Still&) = delete;
    Moment moment() const { return moment_; }

private:
    rocksdb::DB& db_;
    Moment moment_;
};

template <class Each>
Status Rows::scan(Family family, const std::string& from, const std::string& prefix, Moment at, Each each) {
    rocksdb::ReadOptions options;
    std::string end = after_prefix(prefix);
    rocksdb::Slice bound(end);
    if (!end.empty()) options.iterate_upper_bound = &bound;
    options.snapshot = at;
    before_waiting();
    std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options, family));
    for (it->Seek(from < prefix ? prefix : from); it->Valid(); it->Next())
        if (!TRY(each(it->key().ToStringView(), it->value().ToStringView()))) return {};
    if (!it->status().ok()) return translate(it->status(), "cannot read the embedded store");
    return {};
}

}  // namespace meshfs::local
