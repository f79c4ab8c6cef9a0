#include "fs/vfs/check/report.h"

#include <algorithm>

namespace meshfs::check {

bool Report::settle(const Suspects& suspects, Suspects& told) {
    bool has_mended = false;
    for (const Suspect& suspect : suspects) {
        bool is_told = std::any_of(told.begin(), told.end(), [&](const Suspect& t) { return t.is_same(suspect); });
        if (is_told) continue;
        told.push_back(suspect);
        Finding finding = suspect.finding;
        bool is_wrong = finding.state == Finding::State::wrong;
        if (is_wrong && options_.repair && suspect.mend) {
            Status mended = suspect.mend();
            has_mended |= mended.ok();
            finding.state = mended.ok() ? Finding::State::repaired : Finding::State::failed;
            if (!mended.ok()) finding.what += "; not repaired: " + mended.error().text();
        }
        tell(std::move(finding));
    }
    return has_mended;
}

void Report::tell(Finding finding) {
    MutexLock lock(mutex_);
    switch (finding.state) {
        case Finding::State::note: ++counts_.notes; break;
        case Finding::State::repaired: ++counts_.repaired; break;
        default: ++counts_.wrong;
    }
    if (options_.found) options_.found(finding);
}

void Report::count(const CheckCounts& more) {
    MutexLock lock(mutex_);
    counts_.directories += more.directories;
    counts_.names += more.names;
    counts_.files += more.files;
    counts_.objects += more.objects;
    if (options_.progress) options_.progress(counts_);
}

CheckCounts Report::counts() {
    MutexLock lock(mutex_);
    return counts_;
}

}  // namespace meshfs::check
