// Which plugin answers: the table of served prefixes, and their calls with numbers translated.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/vfs/prefix.h"

namespace meshfs {

// Where a prefix hangs: a name in a directory of the volume or in another prefix' root.
struct ServedEdge {
    unsigned instance = 0;
    Ino directory{};
    std::string name;
    std::shared_ptr<ServedPrefix> served;
    Ino root() const { return served_ino(instance, 1); }
};

// Filled before the mount starts, then constant: any thread.
class ServedPrefixes {
public:
    static constexpr size_t kInstancesMax = 128;
    // EEXIST: the edge is taken.  ENFILE: too many.
    Status add(Ino directory, std::string name, std::shared_ptr<ServedPrefix> served);

    bool empty() const { return edges_.empty(); }
    const ServedEdge* edge(Ino directory, std::string_view name) const;  // null: none
    std::vector<const ServedEdge*> edges_in(Ino directory) const;
    // Of a number with bit 63.  ESTALE: no such instance.
    Result<const ServedEdge*> edge_of(Ino ino) const;

    static Attributes attributes(const ServedEdge& edge, ServedPrefix::Found found);
    // What the prefix' own root looks like.
    static Result<Attributes> root_attributes(const ServedEdge& edge);

private:
    std::vector<ServedEdge> edges_;
};

}  // namespace meshfs
