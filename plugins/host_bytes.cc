// The host's calls about bytes: many at once, published in one step, spliced.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include "plugins/instance.h"

namespace meshfs {
namespace {

// One submit().  The last io that ends hands over to the instance's threads, which call the plugin.
struct Batch {
    Batch(PluginInstance& of, meshfs_io* given, size_t number, meshfs_done then, void* with)
        : instance(of), ios(given), count(number), done(then), argument(with), left(number) {}
    PluginInstance& instance;
    meshfs_io* ios;
    size_t count;
    meshfs_done done;
    void* argument;
    std::atomic<size_t> left;

    static void end_one(const std::shared_ptr<Batch>& batch) {
        if (--batch->left > 0) return;
        auto tell = [batch] {
            batch->instance.ios_in_flight() -= batch->count;
            if (!batch->instance.has_ended()) batch->done(batch->argument, batch->ios, batch->count);
        };
        // The queue is longer than what can be in flight, so this refuses only once the plugin has stopped.
        if (!batch->instance.tasks().try_post(tell)) batch->instance.ios_in_flight() -= batch->count;
    }
};

void start_io(const std::shared_ptr<Batch>& batch, meshfs_io& io, uint64_t handle) {
    Vfs& vfs = batch->instance.vfs();
    if (io.is_write != 0) {
        auto bytes = Buffer::copy_of({static_cast<const char*>(io.bytes), io.length});
        vfs.write(handle, io.offset, std::move(bytes), {}, [batch, &io](Result<size_t> written) {
            io.result = written ? static_cast<int64_t>(*written) : -written.error().code();
            Batch::end_one(batch);
        });
        return;
    }
    vfs.read(handle, {io.offset, io.length}, [batch, &io](Result<Buffers> read) {
        io.result = read ? 0 : -read.error().code();
        if (read) {
            for (const Buffer& piece : *read) {
                size_t size = std::min(piece.size(), io.length - static_cast<size_t>(io.result));
                std::memcpy(static_cast<char*>(io.bytes) + io.result, piece.data(), size);
                io.result += static_cast<int64_t>(size);
            }
        }
        Batch::end_one(batch);
    });
}

int host_submit(const meshfs_host* host, meshfs_io* ios, size_t count, meshfs_done done, void* argument) noexcept {
    auto& i = PluginInstance::of(host);
    if (ios == nullptr || done == nullptr || count == 0 || count > kIosMax) return -EINVAL;
    if (i.ios_in_flight().fetch_add(count) + count > kIosInFlightMax) {
        i.ios_in_flight() -= count;
        return -EAGAIN;
    }
    auto batch = std::make_shared<Batch>(i, ios, count, done, argument);
    for (size_t n = 0; n < count; ++n) {
        auto file = i.file(ios[n].file);
        if (file && ios[n].length > 0 && ios[n].bytes != nullptr && ios[n].length <= INT32_MAX) {
            start_io(batch, ios[n], file->handle);
            continue;
        }
        ios[n].result = !file ? -file.error().code() : ios[n].length == 0 ? 0 : -EINVAL;
        Batch::end_one(batch);
    }
    return 0;
}

int64_t host_create_nameless(const meshfs_host* host, const char* directory, uint32_t mode) noexcept {
    auto& i = PluginInstance::of(host);
    auto ino = i.ino_of(directory);
    if (!ino) return answer_of(i, ino.error());
    auto opened = i.vfs().tmpfile(plugin_caller(), *ino, S_IFREG | (mode & 07777), O_RDWR);
    if (!opened) return answer_of(i, opened.error());
    auto number = i.add_file({opened->handle, opened->attributes.inode.ino});
    if (number) return static_cast<int64_t>(*number);
    i.vfs().release(opened->handle, false);
    return answer_of(i, number.error());
}

Result<Attributes> publish(PluginInstance& i, uint64_t number, const char* path, const meshfs_xattr* xattrs,
                           size_t count, int condition, uint64_t generation) {
    auto file = TRY(i.file(number));
    auto spot = TRY(i.spot_of(path));
    if (spot.name.empty()) return fail(EISDIR);
    PublishCondition when;
    switch (condition) {
        case MESHFS_ALWAYS: break;
        case MESHFS_IF_ABSENT: when.kind = PublishCondition::Kind::absent; break;
        case MESHFS_IF_GENERATION:
            when.kind = PublishCondition::Kind::generation;
            when.generation = generation;
            break;
        default: return fail(EINVAL);
    }
    for (size_t n = 0; n < count; ++n) {
        if (xattrs[n].name == nullptr) return fail(EINVAL);
        std::string_view value(static_cast<const char*>(xattrs[n].value), xattrs[n].length);
        TRY(i.vfs().setxattr(plugin_caller(), file.ino, xattrs[n].name, value, 0, false));
    }
    return i.vfs().publish(plugin_caller(), file.handle, spot.directory, spot.name, when);
}

int host_publish(const meshfs_host* host, uint64_t number, const char* path, const meshfs_xattr* xattrs, size_t count,
                 int condition, uint64_t generation, meshfs_attr* attr) noexcept {
    auto& i = PluginInstance::of(host);
    auto published = publish(i, number, path, xattrs, count, condition, generation);
    if (!published) return answer_of(i, published.error());
    if (attr != nullptr) *attr = attr_of(published->inode);
    return 0;
}

Result<uint64_t> splice(PluginInstance& i, uint64_t number, const meshfs_range* ranges, size_t count) {
    auto target = TRY(i.file(number));
    uint64_t at = 0;
    for (size_t n = 0; n < count; ++n) {
        auto source = TRY(i.file(ranges[n].file));
        for (uint64_t done = 0; done < ranges[n].length;) {
            uint64_t copied = TRY(i.vfs().copy_range(source.handle, ranges[n].offset + done, target.handle, at,
                                                     ranges[n].length - done, true));
            if (copied == 0) return fail(EINVAL);  // the source ends before the range does
            done += copied;
            at += copied;
        }
    }
    SetAttributes set;
    set.size = at;
    set.handle = target.handle;
    TRY(i.vfs().setattr(plugin_caller(), target.ino, set));
    return at;
}

int64_t host_splice(const meshfs_host* host, uint64_t number, const meshfs_range* ranges, size_t count) noexcept {
    auto& i = PluginInstance::of(host);
    if (ranges == nullptr && count > 0) return -EINVAL;
    auto size = splice(i, number, ranges, count);
    return size ? static_cast<int64_t>(*size) : answer_of(i, size.error());
}

}  // namespace

void set_bytes_calls(meshfs_host& host) {
    host.submit = host_submit;
    host.create_nameless = host_create_nameless;
    host.publish = host_publish;
    host.splice = host_splice;
}

}  // namespace meshfs
