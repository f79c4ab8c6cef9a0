#include "fs/vfs/served.h"

namespace meshfs {

Status ServedPrefixes::add(Ino directory, std::string name, std::shared_ptr<ServedPrefix> served) {
    if (edge(directory, name) != nullptr) return fail(EEXIST, "another plugin serves this prefix");
    if (edges_.size() >= kInstancesMax) return fail(ENFILE, "at most 128 prefixes can be served");
    edges_.push_back({static_cast<unsigned>(edges_.size()), directory, std::move(name), std::move(served)});
    return {};
}

const ServedEdge* ServedPrefixes::edge(Ino directory, std::string_view name) const {
    for (const ServedEdge& edge : edges_)
        if (edge.directory == directory && edge.name == name) return &edge;
    return nullptr;
}

std::vector<const ServedEdge*> ServedPrefixes::edges_in(Ino directory) const {
    std::vector<const ServedEdge*> found;
    for (const ServedEdge& edge : edges_)
        if (edge.directory == directory) found.push_back(&edge);
    return found;
}

Result<const ServedEdge*> ServedPrefixes::edge_of(Ino ino) const {
    unsigned instance = instance_of(ino);
    if (instance >= edges_.size()) return fail(ESTALE);
    return &edges_[instance];
}

Attributes ServedPrefixes::attributes(const ServedEdge& edge, ServedPrefix::Found found) {
    constexpr uint64_t kSector = 512;
    Attributes a;
    a.inode = std::move(found.inode);
    a.inode.ino = served_ino(edge.instance, raw(a.inode.ino));
    a.blocks = (std::max(a.inode.map.bytes, a.inode.map.size) + kSector - 1) / kSector;
    a.valid_ns = a.name_valid_ns = found.valid_ns;
    return a;
}

Result<Attributes> ServedPrefixes::root_attributes(const ServedEdge& edge) {
    auto found = TRY(edge.served->getattr(1));
    found.inode.ino = Ino{1};
    return attributes(edge, std::move(found));
}

}  // namespace meshfs
