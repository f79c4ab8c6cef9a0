// --deep: what lies in the pools and is named by nothing.
#include <algorithm>

#include "fs/base/wire.h"
#include "fs/vfs/check/across.h"
#include "fs/vfs/check/object_name.h"

namespace meshfs::check {
namespace {

class Pools {
public:
    Pools(Scene& scene, Report& report, Walk::Seen& seen, const CheckOptions& options)
        : scene_(scene), report_(report), seen_(seen), options_(options) {}

    Status run() {
        std::sort(seen_.blobs.begin(), seen_.blobs.end(),
                  [](const BlobUse& a, const BlobUse& b) { return a.blob < b.blob; });
        // Listed first, judged then: what is judged may change what is listed.
        std::vector<std::string> names;
        TRY(scene_.store.list(kMetaPool, [&](const std::string& name) { return note(names, name, kMetaPool); }));
        for (const auto& name : names) TRY(judge_group(name));
        TRY(scene_.store.list(Pool{1}, [&](const std::string& name) { return note_blob(name); }));
        return tell_blobs();
    }

private:
    Status note(std::vector<std::string>& names, const std::string& name, Pool) {
        if (options_.stopping != nullptr && *options_.stopping) return fail(EINTR);
        ++scene_.objects;
        ObjectId id = parse_object_name(name);
        switch (id.kind) {
            case ObjectId::Kind::group:
                if (!seen_.groups.has(id.number)) names.push_back(name);
                break;
            case ObjectId::Kind::linked:
                if (!seen_.linked.contains(Ino{id.number})) names.push_back(name);
                break;
            case ObjectId::Kind::blob: return note_blob(name);
            case ObjectId::Kind::other: break;
            case ObjectId::Kind::unknown:
                report_.tell(
                    {.state = Finding::State::note, .object = printable(name), .what = "is none of MeshFS' objects"});
        }
        return {};
    }

    // A group, or h.<ino>, that no walk came by.
    Status judge_group(const std::string& name) {
        ObjectName object{kMetaPool, name};
        auto view = read_group_now(scene_.core, object, {.keys = {kInodeKey}, .ranges = {{"", "n", 1, 1}}});
        if (view.code() == ENOENT) return {};
        Finding finding{.object = name, .what = "is named by nothing", .repair = ""};
        if (view.code() == EIO) {
            finding.what += ", and cannot be read: " + view.error().text();
            report_.tell(std::move(finding));
            return {};
        }
        if (!view.ok()) return view.error();
        if (view->is_dead()) return {};  // removed; its number stays taken for a while
        bool is_empty = name[0] == 'g' && view->answer.ranges.at(0).entries.empty();
        if (options_.live) {
            // A directory that is being made has its group before its name.
            finding.state = Finding::State::note;
            finding.what += " yet; `meshfs gc` knows whether whoever made it is gone";
        } else if (is_empty) {
            finding.what += ": a directory whose making was interrupted";
            finding.repair = "it is removed";
            Suspects told;
            report_.settle(
                {{std::move(finding),
                  [this, object, lease = view->lease_value] {
                      return scene_.store.apply(std::move(Mutation(object).xattr_is(kLeaseXattr, lease).remove()));
                  }}},
                told);
            return {};
        }
        report_.tell(std::move(finding));
        return {};
    }

    Status note_blob(const std::string& name) {
        ObjectId id = parse_object_name(name);
        if (id.kind != ObjectId::Kind::blob) return {};
        auto use = std::lower_bound(seen_.blobs.begin(), seen_.blobs.end(), BlobId{id.number},
                                    [](const BlobUse& u, BlobId blob) { return u.blob < blob; });
        for (; use != seen_.blobs.end() && use->blob == BlobId{id.number}; ++use)
            if (id.index <= use->last_object) return {};
        ++unnamed_;
        if (unnamed_blobs_.size() < kToldMax) unnamed_blobs_.push_back(name);
        return {};
    }

    Status tell_blobs() {
        if (unnamed_ == 0) return {};
        Finding finding{.object = unnamed_blobs_.front(), .repair = ""};
        finding.state = Finding::State::note;
        finding.what = "and " + std::to_string(unnamed_ - 1) + " other objects of data are mapped by no file; " +
                       (options_.live ? "they may be being written; " : "") + "`meshfs gc` removes what is left over";
        report_.tell(std::move(finding));
        return {};
    }

    static constexpr size_t kToldMax = 1;
    Scene& scene_;
    Report& report_;
    Walk::Seen& seen_;
    const CheckOptions& options_;
    uint64_t unnamed_ = 0;
    std::vector<std::string> unnamed_blobs_;
};

}  // namespace

Status check_pools(Scene& scene, Report& report, Walk::Seen& seen, const CheckOptions& options) {
    return Pools(scene, report, seen, options).run();
}

}  // namespace meshfs::check
