#include "fs/store/source.h"

#include "fs/store/memory_store.h"
#include "fs/store/reconnecting_store.h"
#ifdef MESHFS_HAVE_LOCAL
#include "fs/store/local_store.h"
#endif
#ifdef MESHFS_HAVE_RADOS
#include "fs/store/rados_store.h"
#endif

namespace meshfs {
namespace {

constexpr const char* kForms =
    "a source is /path or local:/path (a directory of this machine), rados:POOL or rados:POOL/VOLUME (Ceph), "
    "or memory: (gone when unmounted)";

bool is_word(std::string_view text) {
    for (char c : text)
        if (c <= ' ' || c > '~' || c == '/' || c == ':') return false;
    return !text.empty() && text.size() <= kObjectNameMax;
}

Result<Source> parse_rados(const std::string& text, const std::string& rest) {
    Source source{.kind = Source::Kind::rados, .text = text};
    size_t slash = rest.find('/');
    source.pool = rest.substr(0, slash);
    source.volume = slash == std::string::npos ? "meshfs" : rest.substr(slash + 1);
    if (!is_word(source.pool) || !is_word(source.volume))
        return fail(EINVAL, "cannot understand the source \"" + text +
                                "\": after rados: comes POOL or POOL/VOLUME, of letters, digits and signs but / and :");
    return source;
}

Status refuse_rados_options(const Source& source, const StoreOptions& options) {
    const char* given = !options.conf.empty()      ? "conf="
                        : !options.id.empty()      ? "id="
                        : !options.keyring.empty() ? "keyring="
                                                   : nullptr;
    if (given == nullptr) return {};
    return fail(EINVAL, "the option " + std::string(given) + " belongs to a rados: source, not to \"" + source.text + "\"");
}

}  // namespace

Result<Source> parse_source(const std::string& text) {
    if (text.find('\0') != std::string::npos) return fail(EINVAL, kForms);
    auto after = [&](const char* scheme) { return text.substr(std::string_view(scheme).size()); };
    if (text.starts_with("rados:")) return parse_rados(text, after("rados:"));
    if (text == "memory:") return Source{.kind = Source::Kind::memory, .text = text};
    Source source{.kind = Source::Kind::local, .text = text};
    if (text.starts_with("local:")) source.path = after("local:");
    else if (text.starts_with("/")) source.path = text;
    if (source.path.empty()) return fail(EINVAL, "cannot understand the source \"" + text + "\": " + kForms);
    return source;
}

Result<std::unique_ptr<Store>> open_store(const Source& source, const StoreOptions& options) {
    if (source.kind != Source::Kind::rados) TRY(refuse_rados_options(source, options));
    switch (source.kind) {
        case Source::Kind::memory: return std::unique_ptr<Store>(std::make_unique<MemoryStore>());
        case Source::Kind::local:
#ifdef MESHFS_HAVE_LOCAL
            return open_local_store(source, options);
#else
            return fail(EOPNOTSUPP, "this meshfs was built without the embedded store (-Dlocal=enabled)");
#endif
        case Source::Kind::rados: {
#ifdef MESHFS_HAVE_RADOS
            auto connect = [source, options] { return open_rados_store(source, options); };
            auto first = TRY(connect());
            return std::unique_ptr<Store>(std::make_unique<ReconnectingStore>(std::move(first), connect));
#else
            return fail(EOPNOTSUPP, "this meshfs was built without Ceph (-Drados=enabled)");
#endif
        }
    }
    return fail(EINVAL, kForms);
}

}  // namespace meshfs
