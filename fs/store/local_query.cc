#include "fs/store/local_query.h"

#include <algorithm>
#include <cstring>

#include "fs/base/log.h"
#include "fs/store/local_sums.h"

namespace meshfs::local {
namespace {

constexpr int kTriesMax = 4;  // of a read that met a change of what is summed

// The object as a snapshot sees it.  ENOENT.
Result<Head> find(Rows& rows, const ObjectName& object, SnapId at, Moment moment) {
    if (at == SnapId::head) {
        auto value = TRY(rows.get(rows.objects(), object_key(object), moment));
        if (!value) return fail(ENOENT);
        return decode_head(*value);
    }
    std::optional<Head> found;
    auto first = [&](std::string_view, std::string_view value) -> Result<bool> {
        found = TRY(decode_head(value));
        return false;
    };
    TRY(rows.scan(rows.objects(), object_key(object, at), object_prefix(object), moment, first));
    if (!found || found->snap >= raw(at)) return fail(ENOENT);
    return *found;
}

// One object at one moment.
class View {
public:
    View(Rows& rows, Files& files, Moment moment, Head head)
        : rows_(rows), files_(files), moment_(moment), head_(std::move(head)) {}
    const Head& head() const { return head_; }

    Result<std::optional<std::string>> key(const std::string& name) {
        return rows_.get(rows_.omap(), body_key(head_.body, name), moment_);
    }
    Status judge(const std::vector<Guard>& guards);
    Result<RangeAnswer> range(const Query::Range& range);
    // Fills `out` from `offset`; answers how many bytes there were.
    Result<size_t> bytes(uint64_t offset, char* out, size_t size);

private:
    Status read_row(uint64_t offset, char* out, size_t size);
    Status read_summed(const File& file, uint64_t offset, char* out, size_t size);
    Status check_pages(uint64_t first_page, const char* bytes, size_t size);

    Rows& rows_;
    Files& files_;
    const Moment moment_;
    const Head head_;
};

Status View::judge(const std::vector<Guard>& guards) {
    for (const Guard& g : guards) {
        if (g.kind == Guard::Kind::exists) continue;
        std::optional<std::string> value;
        if (g.kind == Guard::Kind::key_is) value = TRY(key(g.name));
        else if (auto it = head_.xattrs.find(g.name); it != head_.xattrs.end()) value = it->second;
        if ((value == g.value) == (g.kind == Guard::Kind::xattr_is_not)) return fail(ECANCELED);
    }
    return {};
}

Result<RangeAnswer> View::range(const Query::Range& range) {
    RangeAnswer answer;
    size_t bytes = 0;
    std::string body = body_key(head_.body);
    // The smallest key above `after`; an empty one begins with the first.
    std::string from = range.after.empty() ? body : body + range.after + '\0';
    TRY(rows_.scan(rows_.omap(), from, body + range.prefix, moment_,
                   [&](std::string_view key, std::string_view value) -> Result<bool> {
                       key.remove_prefix(body.size());
                       size_t more = key.size() + value.size();
                       bool is_full = answer.entries.size() >= range.entries_max ||
                                      (!answer.entries.empty() && bytes + more > range.bytes_max);
                       if (is_full) {
                           answer.more = true;
                           return false;
                       }
                       bytes += more;
                       answer.entries.emplace_back(key, value);
                       return true;
                   }));
    return answer;
}

Status View::read_row(uint64_t offset, char* out, size_t size) {
    auto value = TRY(rows_.get(rows_.bytes(), bytes_key(head_.body), moment_));
    if (!value || value->size() != head_.size) return fail(EIO, "damaged bytes");
    std::memcpy(out, value->data() + offset, size);
    return {};
}

// EILSEQ: a page is not what its checksum says.
Status View::check_pages(uint64_t first_page, const char* bytes, size_t size) {
    std::optional<std::string> row;
    for (size_t at = 0; at < size; at += kPage) {
        uint64_t page = first_page + at / kPage;
        if (!row || page % kPagesPerRow == 0)
            row = TRY(rows_.get(rows_.bytes(), sums_key(head_.body, row_of_page(page)), moment_));
        if (!row) return fail(EIO, "checksums are missing");
        if (!TRY(agrees(*row, page, {bytes + at, std::min<size_t>(kPage, size - at)})))
            return fail(EILSEQ, "damaged bytes at " + std::to_string(page * kPage));
    }
    return {};
}

Status View::read_summed(const File& file, uint64_t offset, char* out, size_t size) {
    uint64_t first = offset / kPage * kPage;
    uint64_t end = std::min((offset + size + kPage - 1) / kPage * kPage, head_.size);
    if (first == offset && end == offset + size) {
        TRY(read_at(file.fd, offset, out, size));
        return check_pages(first / kPage, out, size);
    }
    std::unique_ptr<char[]> pages(new char[end - first]);
    TRY(read_at(file.fd, first, pages.get(), end - first));
    TRY(check_pages(first / kPage, pages.get(), end - first));
    std::memcpy(out, pages.get() + (offset - first), size);
    return {};
}

Result<size_t> View::bytes(uint64_t offset, char* out, size_t size) {
    if (offset >= head_.size) return size_t{0};
    size = std::min<uint64_t>(size, head_.size - offset);
    if (head_.has(Head::in_row)) {
        TRY(read_row(offset, out, size));
    } else if (!head_.has(Head::in_file)) {
        std::memset(out, 0, size);
    } else {
        FilePtr file = TRY(files_.open(head_.file));
        if (head_.has(Head::summed)) TRY(read_summed(*file, offset, out, size));
        else TRY(read_at(file->fd, offset, out, size));
    }
    return size;
}

Error damaged(const ObjectName& object, const Error& error) {
    int code = error.code() == EILSEQ ? EIO : error.code();
    Error named(code, "object " + object.name + " in pool " + std::to_string(object.pool) + ": " + error.detail());
    if (code == EIO) log_error("the embedded store has a damaged object", {{"object", object.name}, {"error", error.detail()}});
    return named;
}

// A read may pass a write: the pages can be newer than the moment that said they are summed.  Then another
// moment agrees; if none does, they are damaged.
template <class Once>
auto with_tries(const ObjectName& object, Once once) -> decltype(once()) {
    for (int tries = 1;; ++tries) {
        auto result = once();
        if (result.ok() || (result.code() != EILSEQ && result.code() != EIO)) return result;
        if (result.code() == EILSEQ && tries < kTriesMax) continue;
        return damaged(object, result.error());
    }
}

Result<Answer> answer_once(Rows& rows, Files& files, const Query& query) {
    std::optional<Files::Reading> reading;
    if (!query.byte_ranges().empty()) reading.emplace(files);
    Still still(rows);
    View view(rows, files, still.moment(), TRY(find(rows, query.object(), query.at(), still.moment())));
    const Head& head = view.head();
    TRY(view.judge(query.guards()));
    Answer out;
    out.size = head.size;
    int64_t seconds = head.mtime_ns / 1'000'000'000, ns = head.mtime_ns % 1'000'000'000;
    out.mtime = {ns < 0 ? seconds - 1 : seconds, static_cast<uint32_t>(ns < 0 ? ns + 1'000'000'000 : ns)};
    if (query.wants_xattrs()) out.xattrs = head.xattrs;
    for (const auto& name : query.wanted_keys())
        if (auto value = TRY(view.key(name))) out.keys.emplace(name, std::move(*value));
    for (const auto& range : query.ranges()) out.ranges.push_back(TRY(view.range(range)));
    for (const ByteRange& range : query.byte_ranges()) {
        uint64_t there = range.offset >= head.size ? 0 : std::min(range.length, head.size - range.offset);
        Buffer bytes = Buffer::allocate(there);
        TRY(view.bytes(range.offset, bytes.data(), there));
        out.bytes.emplace_back();
        if (there > 0) out.bytes.back().push_back(std::move(bytes));
    }
    return out;
}

}  // namespace

Result<Answer> answer(Rows& rows, Files& files, const Query& query) {
    return with_tries(query.object(), [&] { return answer_once(rows, files, query); });
}

Result<size_t> read(Rows& rows, Files& files, const Transfer& transfer) {
    return with_tries(transfer.object, [&]() -> Result<size_t> {
        Files::Reading reading(files);
        Still still(rows);
        View view(rows, files, still.moment(),
                  TRY(find(rows, transfer.object, transfer.at, still.moment())));
        Buffer out = transfer.bytes;
        return view.bytes(transfer.offset, out.data(), out.size());
    });
}

}  // namespace meshfs::local
