// One mutation (or a few Transfers) on one object, worked out on a draft: all of it, or nothing.
//
// The draft sees the batch it is to join.  Nothing is changed until merge().
#pragma once

#include <rocksdb/write_batch.h>

#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/store/local_job.h"
#include "fs/store/local_layout.h"
#include "fs/store/local_rows.h"
#include "fs/store/store.h"

namespace meshfs::local {

// What the next batch has beyond the database.  Committer only.
struct Batch {
    rocksdb::WriteBatch writes;
    std::unordered_map<std::string, std::optional<std::string>> keys;  // rows of omap
    std::unordered_map<uint64_t, std::string> bytes;                   // by body
    std::unordered_set<std::string> touched;                           // object keys
    std::vector<uint64_t> freed_files, dead_bodies;                    // once it is durable
    std::vector<ObjectName> removed;
};

// What a change needs besides its object.  Committer only, but for `removed_snaps`.
struct Ground {
    Rows& rows;
    Files& files;
    Counters counters;                     // next to give out
    uint64_t bodies_reserved = 0;          // body numbers below it may be given out without a new `s`
    std::set<uint64_t> removed_snaps;
    // Newest state of heads, batch included; none: there is no such object.
    std::unordered_map<std::string, std::optional<Head>> heads;

    Result<std::optional<Head>> head_of(const std::string& object_key);
    uint64_t new_body(Batch& batch);
    void save_counters(Batch& batch);
};

class Change {
public:
    // done: merge it.  plan: a file is needed first; run it, then a new Change with its result.
    // later: its object is touched by this batch, which must be durable before.
    enum class Outcome : uint8_t { done, plan, later };

    Change(Ground& ground, Batch& batch, const ObjectName& object, const SnapContext& snaps);

    Result<Outcome> mutate(const Mutation& mutation, const FileResult* made);
    // Writes, none of them twice over the same bytes.
    Result<Outcome> transfer(const std::vector<const Transfer*>& writes, const FileResult* made);

    FilePlan& plan() { return plan_; }
    // The plan overwrites summed bytes: that they are no longer summed must be durable first.  Call before
    // merge_unsummed, which puts just that into the batch.
    bool must_unsum() const { return must_unsum_; }
    void merge_unsummed();
    void merge();

private:
    struct KeyEdit {
        uint64_t body;
        std::string name;
        std::optional<std::string> value;
    };
    Status load();
    Status judge(const std::vector<Guard>& guards, bool creates);
    Result<std::optional<std::string>> key_now(const std::string& name);
    Status apply(const Effect& effect);
    Status make_object();
    Status remove_object();
    Status clear_keys();
    Status write(uint64_t offset, const Buffer& bytes);
    Status write_full(const Buffer& bytes);
    Status truncate(uint64_t size);
    Status zero(uint64_t offset, uint64_t length);
    Status edit(FileEdit edit);
    Result<std::string*> row();
    void drop_bytes();
    void drop_file();
    Status grow_into_plan();
    uint64_t snap_to_save() const;
    Status save_for_snapshot(uint64_t snap);
    Result<bool> prepare();
    void stamp();
    Result<Outcome> settle(bool may_edit_inside, const FileResult* made);
    Status plan_in_place();
    bool only_shrinks() const;
    bool only_appends() const;
    void settle_shrunk();
    void settle_made(const FileResult& made);

    Ground& ground_;
    Batch& batch_;
    const ObjectName& object_;
    const SnapContext& snaps_;
    const std::string key_;
    std::optional<Head> before_, head_;
    std::vector<KeyEdit> key_edits_;
    std::vector<std::pair<std::string, std::string>> saved_objects_, saved_keys_, saved_bytes_;  // for snapshots
    std::vector<std::string> removed_byte_rows_;
    std::vector<uint64_t> dead_bodies_, freed_files_;
    std::optional<std::string> row_;  // the object's bytes, if they are a row and were looked at
    bool is_row_changed_ = false;
    bool has_plan_ = false;           // bytes are to be a file that is yet to be made, by plan_.edits
    bool must_unsum_ = false, is_removed_ = false;
    uint64_t used_file_ = 0;
    std::vector<std::pair<uint32_t, std::string>> sums_;
    FilePlan plan_;
};

}  // namespace meshfs::local
