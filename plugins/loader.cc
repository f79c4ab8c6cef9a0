#include "plugins/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "fs/base/nearest.h"

#ifndef MESHFS_PLUGIN_DIR
#define MESHFS_PLUGIN_DIR "/usr/lib/meshfs/plugins"
#endif

namespace meshfs {
namespace {

// Code that others can change must not run as us: the file and its folder belong to root or to who runs, and nobody
// else may write to them.
Status check_owner(const std::string& path, const char* what) {
    struct stat st {};
    if (stat(path.c_str(), &st) != 0)
        return fail(errno, std::string("plugin ") + what + " " + path + " cannot be read");
    bool is_ours = st.st_uid == 0 || st.st_uid == geteuid();
    bool is_sticky = S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0;
    if (!is_ours || ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !is_sticky))
        return fail(EACCES, std::string("plugin ") + what + " " + path +
                                " can be changed by others than root or the user who runs MeshFS; take their "
                                "right to write away (chmod go-w)");
    return {};
}

std::string folder_of(const std::string& path) {
    size_t slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Copies a table of the other side into one of ours: its size comes first, and what it lacks stays zero.
template <class Table>
Table copy_table(const Table* theirs) {
    Table ours{};
    size_t size = std::min(theirs->size, sizeof(Table));
    std::memcpy(static_cast<void*>(&ours), theirs, size);
    ours.size = size;
    return ours;
}

bool is_plugin_name(const char* name) {
    if (name == nullptr || *name == 0 || std::strlen(name) > 32) return false;
    for (; *name != 0; ++name)
        if (!((*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') || *name == '-')) return false;
    return true;
}

Status check_tables(const LoadedPlugin& loaded) {
    const meshfs_plugin& p = loaded.plugin;
    auto bad = [&](const std::string& what) { return fail(ENOEXEC, "plugin " + loaded.path + " " + what); };
    if (p.abi != MESHFS_PLUGIN_ABI)
        return bad("was built for plugin ABI " + std::to_string(p.abi) + ", this MeshFS has ABI " +
                   std::to_string(MESHFS_PLUGIN_ABI) + "; build it with the installed meshfs-plugin.h");
    if (!is_plugin_name(p.name)) return bad("has no valid name ([a-z0-9-], at most 32 bytes)");
    if (p.create == nullptr || p.start == nullptr || p.stop == nullptr)
        return bad("lacks one of create, start, stop");
    if (p.settings != nullptr && p.config == nullptr) return bad("has settings but no config function");
    if (loaded.serves && (loaded.serve.lookup == nullptr || loaded.serve.getattr == nullptr ||
                          loaded.serve.readdir == nullptr))
        return bad("serves, but lacks one of lookup, getattr, readdir");
    return {};
}

}  // namespace

std::string plugin_directory() {
    if (getauxval(AT_SECURE) == 0)
        if (const char* set = std::getenv("MESHFS_PLUGIN_DIR"); set != nullptr && *set == '/') return set;
    return MESHFS_PLUGIN_DIR;
}

Result<LoadedPlugin> load_plugin(const std::string& module) {
    if (module.empty()) return fail(EINVAL, "module is empty; give a plugin's name or the path of its .so");
    bool is_path = module.find('/') != std::string::npos;
    if (is_path && module[0] != '/')
        return fail(EINVAL, "module \"" + module + "\" must be a plugin's name or an absolute path");
    LoadedPlugin loaded;
    loaded.path = is_path ? module : plugin_directory() + "/meshfs-" + module + ".so";
    if (access(loaded.path.c_str(), F_OK) != 0)
        return fail(errno, "plugin \"" + module + "\" is not at " + loaded.path +
                               "; `meshfs plugin list` shows what is installed");
    TRY(check_owner(loaded.path, "file"));
    TRY(check_owner(folder_of(loaded.path), "folder"));

    void* handle = dlopen(loaded.path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == nullptr) return fail(ENOEXEC, std::string("plugin cannot be loaded: ") + dlerror());
    using Entry = const meshfs_plugin* (*)();
    auto entry = reinterpret_cast<Entry>(dlsym(handle, "meshfs_plugin_entry"));
    if (entry == nullptr)
        return fail(ENOEXEC, "plugin " + loaded.path + " does not export meshfs_plugin_entry; is it a MeshFS plugin?");
    const meshfs_plugin* theirs = entry();
    // size and abi were there in the first header ever.
    if (theirs == nullptr || theirs->size < offsetof(meshfs_plugin, name))
        return fail(ENOEXEC, "plugin " + loaded.path + " gives no table");
    loaded.plugin = copy_table(theirs);
    if (loaded.plugin.serve != nullptr) {
        loaded.serve = copy_table(loaded.plugin.serve);
        loaded.serves = true;
    }
    TRY(check_tables(loaded));
    for (const meshfs_setting* s = loaded.plugin.settings; s != nullptr && s->name != nullptr; ++s)
        loaded.settings.push_back({s->name, s->help != nullptr ? s->help : "",
                                   s->default_value != nullptr ? s->default_value : "",
                                   s->default_value == nullptr});
    return loaded;
}

Result<std::map<std::string, std::string>> settle_settings(const LoadedPlugin& plugin,
                                                           const PluginConfig& config) {
    std::map<std::string, std::string> settled;
    std::vector<std::string> known;
    std::string where = config.where.empty() ? "" : config.where + ": ";
    for (const auto& setting : plugin.settings) {
        known.push_back(setting.name);
        auto given = config.settings.find(setting.name);
        if (given != config.settings.end())
            settled[setting.name] = given->second;
        else if (!setting.required)
            settled[setting.name] = setting.default_value;
        else
            return fail(EINVAL, where + "plugin \"" + plugin.plugin.name + "\" needs the setting \"" + setting.name +
                                    "\": " + setting.help);
    }
    for (const auto& [name, value] : config.settings) {
        if (settled.count(name) != 0) continue;
        std::string text = where + "plugin \"" + plugin.plugin.name + "\" has no setting \"" + name + "\"";
        std::string near = nearest(name, known);
        text += near.empty() ? "" : "; did you mean \"" + near + "\"?";
        return fail(EINVAL, text + " (`meshfs plugin help " + plugin.plugin.name + "` lists them)");
    }
    return settled;
}

Result<std::string> normal_prefix(const std::string& prefix) {
    if (prefix.empty() || prefix[0] != '/')
        return fail(EINVAL, "prefix \"" + prefix + "\" is not absolute; it must begin with \"/\"");
    std::string normal;
    for (size_t at = 0; at < prefix.size();) {
        size_t next = std::min(prefix.find('/', at), prefix.size());
        std::string part = prefix.substr(at, next - at);
        at = next + 1;
        if (part.empty()) continue;
        if (part == "." || part == ".." || part.size() > 255 || part.find('\0') != std::string::npos)
            return fail(EINVAL, "prefix \"" + prefix + "\" has a part that is no file name: \"" + part + "\"");
        normal += "/" + part;
    }
    return normal.empty() ? std::string("/") : normal;
}

std::vector<std::string> installed_plugins() {
    std::vector<std::string> names;
    DIR* dir = opendir(plugin_directory().c_str());
    if (dir == nullptr) return names;
    constexpr std::string_view kPrefix = "meshfs-", kSuffix = ".so";
    while (dirent* entry = readdir(dir)) {
        std::string_view name = entry->d_name;
        if (name.size() > kPrefix.size() + kSuffix.size() && name.starts_with(kPrefix) && name.ends_with(kSuffix))
            names.emplace_back(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()));
    }
    closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace meshfs
