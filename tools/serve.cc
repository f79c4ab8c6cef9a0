// meshfs serve SOURCE: the plugins of a volume, without a mount; in the foreground, until told to end.
#include <unistd.h>

#include <cstdio>

#include "fs/base/log.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/daemon.h"
#include "tools/metrics.h"
#include "tools/mounted_volume.h"
#include "tools/silence.h"

namespace meshfs {
namespace {

Status serve(const Source& source, OpenVolume& volume) {
    Mutex mutex;
    CondVar changed;
    bool is_over = false;
    MountedVolume parts{.store = volume.store, .meta = volume.meta, .vfs = volume.vfs, .plugins = volume.plugins,
                        .meters = volume.meters,
                        .source = source, .directory = "", .session = nullptr, .options = volume.options};
    SilenceWatch silence(volume.store);
    auto metrics = TRY(serve_metrics(volume.options.metrics, parts));
    ControlServer control;
    add_mount_commands(control, parts);
    control.serve_only(normal_source(source), [](const std::string&) { return false; });
    TRY(control.listen(control_path("serve-" + std::to_string(getpid()), geteuid())));
    Ending ending([&] {
        MutexLock lock(mutex);
        is_over = true;
        changed.notify_all();
    });
    log_info("serving", {{"source", source.text}, {"plugins", volume.plugins.status().size()}});
    notify_systemd("READY=1");
    {
        MutexLock lock(mutex);
        while (!is_over) changed.wait(mutex);
    }
    control.stop();
    return {};
}

}  // namespace

int run_serve(int argc, char** argv) {
    CLI::App app{"Hosts the plugins of a volume without mounting it; in the foreground, until SIGTERM or ^C."};
    std::string text;
    std::vector<std::string> option_lists;
    app.add_option("SOURCE", text, "a directory, rados:POOL[/VOLUME], or memory:")->required();
    app.add_option("-o", option_lists, "NAME=VALUE,...: as for mount; config= names the plugins")->allow_extra_args(false);
    app.footer("example: meshfs serve rados:ai/train -o id=train,config=/etc/meshfs/train.toml\n"
               "exit: 0 ended as told, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "serve", argc, argv, kUsage)) return *status;

    auto source = source_of_argument(text);
    if (!source.ok()) return complain("serve", source.error()), kUsage;
    auto options = parse_mount_options(*source, split_options(option_lists), false);
    if (!options.ok()) return complain("serve", options.error()), kUsage;
    log_to(options->log_target == "syslog" ? "stderr" : options->log_target);
    LogLevel level = LogLevel::info;
    parse_log_level(options->log_level, level);
    set_log_level(level);
    if (options->plugins.empty()) complain("serve", "warning: no [[plugin]] in " + options->config_path);
    hold_signals();
    Status done = with_volume(*source, *options, [&](OpenVolume& volume) { return serve(*source, volume); });
    if (done.ok()) return 0;
    complain("serve", done.error());
    return kFailed;
}

}  // namespace meshfs
