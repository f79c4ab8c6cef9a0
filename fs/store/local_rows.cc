#include "fs/store/local_rows.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

namespace meshfs::local {
namespace {

constexpr size_t kCacheBytes = 128u << 20;
constexpr size_t kWriteBufferBytes = 64u << 20;
constexpr uint64_t kLogBytesMax = 256u << 20;  // families that are seldom written would pin the log for ever
constexpr int kOpenFilesMax = 512;

rocksdb::Options options_with(rocksdb::Env* env) {
    rocksdb::Options o;
    if (env != nullptr) o.env = env;
    o.create_if_missing = true;
    o.create_missing_column_families = true;
    // The log's last batch may be half there after a power cut: recovery stops before it.  A damaged page in
    // the middle would end recovery as well, silently: Directory::mark tells.
    o.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    o.max_total_wal_size = kLogBytesMax;
    o.max_open_files = kOpenFilesMax;
    o.bytes_per_sync = o.wal_bytes_per_sync = 1u << 20;
    o.max_background_jobs = 2;
    o.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
    o.keep_log_file_num = 4;
    o.write_buffer_size = kWriteBufferBytes;
    o.compression = rocksdb::kLZ4Compression;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(kCacheBytes);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return o;
}

}  // namespace

Error translate(const rocksdb::Status& status, const std::string& attempt) {
    int code = EIO;
    if (status.IsNoSpace() || status.subcode() == rocksdb::Status::SubCode::kNoSpace) code = ENOSPC;
    else if (status.IsBusy()) code = EBUSY;
    return fail(code, attempt + ": " + status.ToString());
}

Result<std::unique_ptr<Rows>> Rows::open(const std::string& path, rocksdb::Env* env) {
    rocksdb::Options options = options_with(env);
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const char* name : {"default", "objects", "omap", "bytes"}) families.emplace_back(name, options);
    std::unique_ptr<Rows> rows(new Rows);
    rocksdb::DB* db = nullptr;
    auto status = rocksdb::DB::Open(options, path, families, &rows->families_, &db);
    if (!status.ok()) return translate(status, "cannot open " + path);
    rows->db_.reset(db);
    return rows;
}

Rows::~Rows() {
    for (Family family : families_) db_->DestroyColumnFamilyHandle(family);
    if (db_) db_->Close();
}

Result<std::optional<std::string>> Rows::get(Family family, const std::string& key, Moment at) {
    rocksdb::ReadOptions options;
    options.snapshot = at;
    std::string value;
    options.read_tier = rocksdb::kBlockCacheTier;
    auto status = db_->Get(options, family, key, &value);
    if (status.IsIncomplete()) {  // it lies on the disk
        before_waiting();
        options.read_tier = rocksdb::kReadAllTier;
        status = db_->Get(options, family, key, &value);
    }
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return translate(status, "cannot read the embedded store");
    return std::optional<std::string>(std::move(value));
}

}  // namespace meshfs::local
