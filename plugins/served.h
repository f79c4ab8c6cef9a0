// A plugin's serve table as a ServedPrefix: requests with completions on one side, blocking calls on the other.
//
// At most kWithPluginMax requests are with the plugin; one unanswered for kAnswerSeconds is EIO to its caller, and
// stays counted until it is answered.  So a plugin that hangs holds its own threads and nothing else.
#pragma once

#include <memory>
#include <string>

#include "fs/vfs/prefix.h"
#include "plugins/meshfs-plugin.h"

namespace meshfs {

inline constexpr size_t kWithPluginMax = 64;
inline constexpr int kAnswerSeconds = 30;

struct ServedOptions {
    std::string name;                        // for the log
    int answer_seconds = kAnswerSeconds;     // tests make it short
    size_t with_plugin_max = kWithPluginMax;
};

class ServedPlugin final : public ServedPrefix {
public:
    ServedPlugin(const meshfs_serve& serve, void* plugin, ServedOptions options);
    ~ServedPlugin() override;  // stop()
    // Answers all that is unanswered with EIO.  False: threads hang in the plugin and are left behind.
    bool stop();

    Executor& executor() override;
    Result<Found> lookup(const Caller&, uint64_t dir, std::string_view name) override;
    Result<Found> getattr(uint64_t ino) override;
    Result<Found> setattr(const Caller&, uint64_t ino, const SetAttributes&) override;
    Result<std::vector<Entry>> readdir(uint64_t dir, uint64_t cookie, size_t entries_max) override;
    Result<Found> create(const Caller&, uint64_t dir, std::string_view name, uint32_t mode, int flags) override;
    Result<Found> open(const Caller&, uint64_t ino, int flags) override;
    Result<Buffers> read(uint64_t ino, uint64_t handle, ByteRange range) override;
    Result<size_t> write(uint64_t ino, uint64_t handle, uint64_t offset, const Buffer& bytes) override;
    Status fsync(uint64_t ino, uint64_t handle, bool data_only) override;
    void release(uint64_t ino, uint64_t handle) override;
    Result<Found> mkdir(const Caller&, uint64_t dir, std::string_view name, uint32_t mode) override;
    Status unlink(uint64_t dir, std::string_view name) override;
    Status rmdir(uint64_t dir, std::string_view name) override;
    Status rename(uint64_t dir, std::string_view name, uint64_t to_dir, std::string_view to_name,
                  uint32_t flags) override;
    Result<std::string> getxattr(uint64_t ino, std::string_view name) override;
    Result<std::vector<std::string>> listxattr(uint64_t ino) override;
    Status setxattr(uint64_t ino, std::string_view name, std::string_view value, int flags) override;
    Status removexattr(uint64_t ino, std::string_view name) override;
    Result<struct statvfs> statfs() override;
    void forget(uint64_t ino) override;

private:
    class Calls;
    meshfs_serve serve_;
    void* plugin_;
    std::shared_ptr<Calls> calls_;  // with threads that may hang in the plugin
};

// Fills in the reply_* members.
void set_reply_calls(meshfs_host& host);

meshfs_attr attr_of(const Inode& inode);
Inode inode_of(const meshfs_attr& attr);

}  // namespace meshfs
