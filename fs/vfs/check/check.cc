#include "fs/vfs/check/check.h"

#include "fs/vfs/check/across.h"

namespace meshfs {

Result<CheckCounts> check_volume(Meta& meta, const CheckOptions& options) {
    check::Scene scene(meta.core(), options.deep);
    check::Report report(options);
    TRY(scene.is_given(kNobody));  // the counters can be read
    TRY(check_volume_objects(scene, report, options));
    TRY(check_sessions(scene, report, options));
    check::Walk walk(scene, report, options);
    TRY(walk.run());
    TRY(check_across(scene, report, walk, options));
    if (options.deep) TRY(check_pools(scene, report, walk.seen(), options));
    report.count({.objects = scene.objects});
    return report.counts();
}

}  // namespace meshfs
