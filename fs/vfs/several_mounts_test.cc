// Random writes, cuts, syncs and deaths of three mounts on one file, judged byte by byte; a seed replays.
//
// One call at a time.  So a mount that writes sees all that was written, and who opens the file anew sees all but what
// a mount that is alone still has in memory: each byte is what the last published write left, or a later one's.  What
// a dead mount had not published is there or not, and stays so once it was seen.
#include <random>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

constexpr uint64_t kSizeMax = 150'000;
constexpr int kSteps = 120;

// What a byte may be.  Bytes beyond the end are none; what was cut and grown again is 0.
struct Model {
    std::string last;                       // after all that was written
    std::vector<std::string> maybe;         // also possible for who opens anew: oldest first
    void publish() { maybe.clear(); }
    void change(const std::function<void(std::string&)>& edit) {
        maybe.push_back(last);
        edit(last);
    }
    // Empty, or what is wrong with it.
    std::string judge(const std::string& seen) const {
        auto sized = [&](const std::string& s) { return s.size() == seen.size(); };
        if (!sized(last) && std::none_of(maybe.begin(), maybe.end(), sized))
            return "size " + std::to_string(seen.size()) + ", not " + std::to_string(last.size());
        for (size_t i = 0; i < seen.size(); ++i) {
            auto agrees = [&](const std::string& s) { return (i < s.size() ? s[i] : '\0') == seen[i]; };
            if (!agrees(last) && std::none_of(maybe.begin(), maybe.end(), agrees))
                return "byte " + std::to_string(i) + " of " + std::to_string(seen.size()) + " is " +
                       std::to_string(seen[i]) + ", not " + std::to_string(i < last.size() ? last[i] : -1);
        }
        return {};
    }
};

class SeveralMounts : public testing::TestWithParam<unsigned> {
protected:
    SeveralMounts() : random_(GetParam()), cluster_(std::make_shared<MemoryCluster>()) {
        MemoryStore store(cluster_);
        must(format_volume(store, Clock::system(), {.lease_seconds = 1}));
        store.stop();
        for (auto& writer : writers_) start(writer);
        ASSERT_OK_(writers_[0].mount->write_file("/f", ""));
    }
    void ASSERT_OK_(const Status& status) { ASSERT_OK(status); }
    uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }

    struct Writer {
        std::unique_ptr<Mount> mount;
        std::optional<uint64_t> handle;
    };
    void start(Writer& writer) {
        VfsSettings settings;
        settings.commit_ns = 3600 * kNsPerSecond;  // nothing happens but what the steps do
        writer.mount = std::make_unique<Mount>(cluster_, settings);
        writer.handle.reset();
    }
    void step() {
        Writer& writer = writers_[below(writers_.size())];
        Mount& mount = *writer.mount;
        if (!writer.handle) writer.handle = must(mount.open("/f", O_RDWR)).handle;
        switch (below(20)) {
            case 0: case 1: case 2: case 3: case 4: case 5: case 6: return write(writer, below(kSizeMax - 40'000));
            case 7: case 8: return write(writer, model_.last.size());
            case 9: return cut(writer);
            case 10: return punch(writer);
            case 11: case 12: {
                ASSERT_OK(mount.vfs->fsync(*writer.handle, false));
                return settle(writer);
            }
            case 13: case 14: case 15: {
                ASSERT_OK(mount.close(*writer.handle));
                writer.handle.reset();
                return settle(writer);
            }
            case 16: {
                if (below(4) > 0) return;
                mount.kill();
                start(writer);
                return look(writer);
            }
            default: return look(writer);
        }
    }
    // Who writes sees all, and has made the others publish.
    void write(Writer& writer, uint64_t offset) {
        std::string bytes(1 + below(below(3) == 0 ? 40'000 : 500), static_cast<char>('a' + below(26)));
        bytes.resize(std::min<size_t>(bytes.size(), kSizeMax - std::min(offset, kSizeMax - 1)));
        enter(writer);
        model_.change([&](std::string& s) {
            if (s.size() < offset + bytes.size()) s.resize(offset + bytes.size());
            s.replace(offset, bytes.size(), bytes);
        });
        ASSERT_OK(writer.mount->write(*writer.handle, offset, bytes));
        see(writer);
    }
    void cut(Writer& writer) {
        SetAttributes set;
        set.handle = *writer.handle;
        set.size = below(2) == 0 ? below(model_.last.size() + 1) : below(kSizeMax);
        enter(writer);
        model_.change([&](std::string& s) { s.resize(*set.size); });
        ASSERT_OK(writer.mount->vfs->setattr(writer.mount->root, writer.mount->ino("/f"), set));
        model_.publish();
        see(writer);
    }
    void punch(Writer& writer) {
        ByteRange range{below(kSizeMax), 1 + below(80'000)};
        enter(writer);
        model_.change([&](std::string& s) {
            if (range.offset < s.size())
                std::fill_n(s.begin() + static_cast<long>(range.offset),
                            std::min<uint64_t>(range.length, s.size() - range.offset), '\0');
        });
        ASSERT_OK(writer.mount->vfs->fallocate(*writer.handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range, false));
        see(writer);
    }
    // A writer that was not there before makes the one who is publish.
    void enter(Writer& writer) {
        if (last_writer_ != nullptr && last_writer_ != &writer) model_.publish();
        last_writer_ = &writer;
    }
    void settle(Writer& writer) {
        if (last_writer_ == &writer) model_.publish();
    }
    void see(Writer& writer) {
        std::string seen = must(writer.mount->read(*writer.handle, 0, kSizeMax * 2));
        ASSERT_TRUE(seen == model_.last) << Model{model_.last, {}}.judge(seen);
    }
    void look(Writer& writer) {
        std::string seen = must(writer.mount->read_file("/f"));
        ASSERT_EQ(model_.judge(seen), "");
        bool is_dead = last_writer_ == &writer && !writer.handle;
        if (is_dead) model_.last = seen;  // it had died; its next life has found what is left
        if (is_dead) model_.publish();
    }

    std::mt19937 random_;
    std::shared_ptr<MemoryCluster> cluster_;
    std::array<Writer, 3> writers_;
    Writer* last_writer_ = nullptr;
    Model model_;
};

TEST_P(SeveralMounts, LoseNothingThatWasPublished) {
    for (int i = 0; i < kSteps && !HasFatalFailure(); ++i) {
        SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", step " + std::to_string(i));
        step();
    }
    for (auto& writer : writers_)
        if (writer.handle) EXPECT_OK(writer.mount->close(*writer.handle));
}
INSTANTIATE_TEST_SUITE_P(Seeds, SeveralMounts, testing::Range(1u, 31u));

}  // namespace
}  // namespace meshfs::test
