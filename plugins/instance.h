// One [[plugin]] table at work: what the calls of its host table need.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "fs/base/executor.h"
#include "fs/vfs/records.h"
#include "fs/vfs/vfs.h"
#include "plugins/host.h"
#include "plugins/served.h"

namespace meshfs {

inline constexpr size_t kOpenFilesMax = 65536;   // of one plugin; past it EMFILE
inline constexpr size_t kIosMax = 1024;          // a submit
inline constexpr size_t kIosInFlightMax = 4096;  // of one plugin; past it EAGAIN

class PluginInstance {
public:
    PluginInstance(Vfs& vfs, Store& store, const PluginMetrics& metrics, LoadedPlugin loaded, std::string prefix);
    ~PluginInstance();
    // Its settings, and its prefix: before any plugin starts, whose threads may then look at all prefixes.
    Status prepare(const std::map<std::string, std::string>& settings);
    Status start();
    // False: it hangs; its threads are left behind, and this object must stay with them.
    bool stop();

    static PluginInstance& of(const meshfs_host* host) { return *static_cast<PluginInstance*>(host->context); }

    // --- paths below the prefix.  The last part is not followed if it is a symlink.
    struct Spot {
        Ino directory{};
        std::string name;  // empty: the prefix itself
    };
    Result<Spot> spot_of(const char* path);  // the directory the name is in must exist
    Result<Ino> ino_of(const char* path);
    std::string path_below(const std::string& path) const;  // of a path of the volume; empty: not below the prefix

    // --- open files and listings, by number
    struct File {
        uint64_t handle = 0;  // of Vfs
        Ino ino{};
    };
    struct Listing {
        uint64_t handle = 0;
        Ino directory{};
        std::string after;
        ListPage page;
        size_t next = 0;
        std::string name;  // what the last entry points to
    };
    Result<uint64_t> add_file(File file);
    Result<File> file(uint64_t number);
    Result<File> take_file(uint64_t number);
    Result<uint64_t> add_listing(Listing listing);
    std::shared_ptr<Listing> listing(uint64_t number);
    void drop_listing(uint64_t number);

    // --- watches
    uint64_t add_watch(std::string path, meshfs_watcher watcher, void* argument);
    void drop_watch(uint64_t number);  // waits for a call under way, but for that which makes this call
    void on_change(const Change& change);
    void on_message(const std::string& message);
    int set_mail(meshfs_mail mail, void* argument);

    Vfs& vfs() { return vfs_; }
    Records& records() { return records_; }
    Executor& tasks() { return tasks_; }
    bool has_ended() const { return has_ended_; }  // nothing of it may be called any more
    std::atomic<size_t>& ios_in_flight() { return ios_in_flight_; }
    const std::string& name() const { return name_; }
    const std::string& prefix() const { return prefix_; }
    const LoadedPlugin& loaded() const { return loaded_; }
    const PluginMetrics& metrics() const { return metrics_; }

private:
    void tell_watchers(int event, const std::string& path);
    void tell_mail(std::string_view text);
    void end_news();
    bool end_plugin();
    Result<Ino> prefix_ino();
    Status open_mail();

    Vfs& vfs_;
    const PluginMetrics metrics_;
    const LoadedPlugin loaded_;
    const std::string name_, prefix_;
    meshfs_host table_{};
    void* plugin_ = nullptr;
    bool is_made_ = false;
    std::atomic<bool> has_ended_{false};
    std::shared_ptr<ServedPlugin> served_;  // with Vfs
    Records records_;
    std::atomic<size_t> ios_in_flight_{0};

    struct Watch {
        std::string path;
        meshfs_watcher watcher;
        void* argument;
        size_t calls = 0;
    };
    // Guards what follows; never held while the plugin, the vfs or the store is called.
    Mutex mutex_;
    CondVar call_ended_;
    uint64_t next_number_ GUARDED_BY(mutex_) = 1;
    std::map<uint64_t, File> files_ GUARDED_BY(mutex_);
    std::map<uint64_t, std::shared_ptr<Listing>> listings_ GUARDED_BY(mutex_);
    std::map<uint64_t, std::shared_ptr<Watch>> watches_ GUARDED_BY(mutex_);
    meshfs_mail mail_ GUARDED_BY(mutex_) = nullptr;
    void* mail_argument_ GUARDED_BY(mutex_) = nullptr;
    size_t mail_calls_ GUARDED_BY(mutex_) = 0;
    bool mail_is_open_ GUARDED_BY(mutex_) = false;
    bool is_stopping_ GUARDED_BY(mutex_) = false;
    // Last, so that they end first.  News may wait for other hosts, and may be dropped; completions neither.
    Executor tasks_, news_;
};

// What a call of the table gives for an Error; it is logged if it has something to say.
int answer_of(PluginInstance& instance, const Error& error);
// As the plugin: everything is allowed to it, the modes it gives are not masked.
Caller plugin_caller();

// Fill in their members of the table.
void set_namespace_calls(meshfs_host& host);
void set_bytes_calls(meshfs_host& host);
void set_records_calls(meshfs_host& host);

}  // namespace meshfs
