#include "fs/vfs/check/walk.h"

#include <algorithm>

#include "fs/base/thread.h"
#include "fs/base/wire.h"

namespace meshfs::check {

Status Walk::run() { return walk_all(); }

Result<Walk::Recount> Walk::recount(std::set<BlobId> blobs, const std::set<Ino>& linked) {
    {
        MutexLock lock(mutex_);
        visited_ = {};
        for (BlobId blob : blobs) recount_.owners[blob];
        for (Ino ino : linked) recount_.linked[ino] = 0;
    }
    is_recount_ = true;
    TRY(walk_all());
    MutexLock lock(mutex_);
    return std::move(recount_);
}

Status Walk::walk_all() {
    push({{.directory = kRootIno, .path = "/", .parent = kRootIno}});
    std::vector<Thread> threads;
    for (unsigned i = 1; i < options_.threads; ++i) threads.emplace_back("check", [this] { work(); });
    work();
    for (Thread& thread : threads) thread.join();
    MutexLock lock(mutex_);
    return error_;
}

void Walk::push(std::vector<Task> tasks) {
    MutexLock lock(mutex_);
    for (auto& task : tasks) tasks_.push_back(std::move(task));
    changed_.notify_all();
}

void Walk::work() {
    for (;;) {
        Task task;
        {
            MutexLock lock(mutex_);
            while (tasks_.empty() && working_ > 0 && error_.ok()) changed_.wait(mutex_);
            if (tasks_.empty() || !error_.ok()) return;
            task = std::move(tasks_.back());
            tasks_.pop_back();
            ++working_;
        }
        Status done =
            options_.stopping != nullptr && *options_.stopping ? Status(fail(EINTR)) : check_directory(task);
        MutexLock lock(mutex_);
        --working_;
        if (!done.ok() && error_.ok()) error_ = done.error().in("directory " + task.path);
        changed_.notify_all();
    }
}

Status Walk::check_directory(const Task& task) {
    GroupRole role{
        .group = place_of(task.directory).group, .directory = task.directory, .is_header = true, .path = task.path};
    Pass header = TRY(look(role, task));
    if (header == nullptr) return {};
    {
        // Met twice: it has two names, which was told, or was moved while we walked.
        MutexLock lock(mutex_);
        if (!visited_.add(raw(role.group))) return {};
    }
    std::vector<GroupRole> ranges = TRY(ranges_of(task, *header));
    take_over(task, *header);
    for (const GroupRole& range : ranges) {
        Pass pass = TRY(look(range, task));
        if (pass != nullptr) take_over(task, *pass);
    }
    if (!is_recount_) report_.count({.directories = 1});
    return {};
}

// What a group's names lead to.
void Walk::take_over(const Task& task, const GroupPass& pass) {
    std::vector<Task> found;
    const ObjectName object = group_object(pass.group());
    for (const auto& child : pass.children)
        found.push_back({.directory = child.ino,
                         .path = (task.is_root() ? "" : task.path) + "/" + printable(child.name),
                         .parent = task.directory,
                         .named_in = object,
                         .name = child.name,
                         .place = {pass.group(), child.anchor}});
    push(std::move(found));
    if (!is_recount_) report_.count({.names = pass.names, .files = pass.files});
    MutexLock lock(mutex_);
    if (is_recount_) {
        for (const BlobUse& use : pass.blobs)
            if (auto owners = recount_.owners.find(use.blob); owners != recount_.owners.end() && !use.is_freed)
                owners->second.insert(use.ino);
        for (Ino ino : pass.linked)
            if (auto names = recount_.linked.find(ino); names != recount_.linked.end()) ++names->second;
        return;
    }
    seen_.groups.add(raw(pass.group()));
    for (Ino dead : pass.dead) seen_.groups.add(raw(place_of(dead).group));
    for (Ino ino : pass.linked) ++seen_.linked[ino];
    for (const BlobUse& use : pass.blobs) {
        bool is_of_one = !use.is_freed && !use.is_pack;
        if (is_of_one && !seen_.mapped.add(raw(use.blob))) seen_.mapped_twice.insert(use.blob);
        if (options_.deep) seen_.blobs.push_back(use);
    }
}

Result<Walk::Pass> Walk::look(const GroupRole& role, const Task& task) {
    Pass pass = TRY(look_once(role, task));
    if (is_recount_) return pass->is_gone ? nullptr : std::move(pass);
    // What others have half done is done a little later.
    if (options_.live) {
        for (int64_t pause_ms : {20, 200, 1000}) {
            if (pass->suspects.empty() && !pass->has_changed) break;
            scene_.core.clock.sleep_ns(pause_ms * kNsPerMs);
            Pass again = TRY(look_once(role, task));
            std::erase_if(again->suspects, [&](const Suspect& suspect) {
                return std::none_of(pass->suspects.begin(), pass->suspects.end(),
                                    [&](const Suspect& before) { return before.is_same(suspect); });
            });
            pass = std::move(again);
        }
    }
    Suspects told;
    if (pass->has_changed)
        report_.tell({.state = Finding::State::note,
                      .object = group_object(role.group).name,
                      .path = role.path,
                      .what = "changes all the time: what it counts was not compared with what there is"});
    constexpr int kRoundsMax =
        5;  // a repair may show what was hidden: slots by a damaged lease, sums by a damaged name
    for (int round = 0; round < kRoundsMax && report_.settle(pass->suspects, told); ++round)
        pass = TRY(look_once(role, task));
    return pass->is_gone ? nullptr : std::move(pass);
}

Result<Walk::Pass> Walk::look_once(const GroupRole& role, const Task& task) {
    auto pass = std::make_unique<GroupPass>(scene_, role);
    Status read = pass->run();
    if (read.code() == ENOENT) {
        TRY(judge_missing(*pass, role, task));
        return pass;
    }
    TRY(read);
    TRY(judge_lease(*pass, role, task));
    if (pass->is_gone || !role.is_header) return pass;
    judge_inode(*pass, role, task);
    TRY(judge_place(*pass, role, task));
    judge_ranges(*pass, role);
    return pass;
}

// The roles of the groups beside the header.
Result<std::vector<GroupRole>> Walk::ranges_of(const Task& task, const GroupPass& header) {
    std::vector<GroupRole> ranges;
    for (auto range = header.header.lower_bound("r"); range != header.header.end(); ++range) {
        std::string first(name_of_key(range->first));
        if (!ranges.empty()) ranges.back().end = first;
        auto record = decode_range(range->second);
        if (!record.ok()) continue;  // was told; the range before it does not end here for that
        ranges.push_back(
            {.group = record->group, .directory = task.directory, .first = first, .end = "", .path = task.path});
    }
    return ranges;
}

}  // namespace meshfs::check
