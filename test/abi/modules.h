// Modules lie in a build folder whose rights depend on the umask, and the loader judges rights: tests load copies
// from a folder of their own.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "test/fixtures.h"

namespace meshfs::test {

class PluginTest : public testing::Test {
protected:
    std::string copy(const std::string& name) {
        std::string to = folder_.path() + "/" + name + ".so";
        std::filesystem::copy_file(std::string(ABI_MODULES) + "/" + name + ".so", to,
                                   std::filesystem::copy_options::overwrite_existing);
        chmod(to.c_str(), 0644);
        return to;
    }
    TemporaryFolder folder_;
};

}  // namespace meshfs::test
