#include "test/sim/model.h"

#include <algorithm>
#include <cerrno>

#include "fs/base/result.h"
#include "fs/base/wire.h"

namespace meshfs::sim {

using Kind = Operation::Kind;

Model::Model() { nodes_[0] = {.ino = kRootIno, .is_directory = true, .mode = 0755}; }

Model::Node* Model::find(Ino ino, NodeId* id) {
    for (auto& [node_id, node] : nodes_) {
        if (node.ino != ino) continue;
        if (id != nullptr) *id = node_id;
        return &node;
    }
    return nullptr;
}

Model::Node* Model::child(Node& directory, std::string_view name, NodeId* id) {
    auto it = directory.names.find(name);
    if (it == directory.names.end()) return nullptr;
    if (id != nullptr) *id = it->second;
    return &nodes_.at(it->second);
}

bool Model::is_inside(NodeId directory, NodeId of) const {
    while (directory != of) {
        if (directory == 0) return false;
        directory = nodes_.at(directory).parent;
    }
    return true;
}

// An operation succeeds if and only if nothing is in its way; which of several reasons it names is its choice.
bool Model::has_answered(const Operation& op, const std::vector<int>& errors) const {
    if (op.is_uncertain) return errors.empty();
    if (errors.empty()) return op.code == 0;
    return std::find(errors.begin(), errors.end(), op.code) != errors.end();
}

// A node that nobody had seen has the number that is seen first; no number means two things.
bool Model::shows(NodeId id, const Operation::Seen& seen) {
    Node& node = nodes_.at(id);
    if (node.ino == Ino{}) {
        if (find(seen.ino) != nullptr) return false;
        node.ino = seen.ino;
    }
    return node.ino == seen.ino && node.is_directory == seen.is_directory;
}

bool Model::apply(const Operation& op, uint32_t number) {
    if (op.code == EOPNOTSUPP) return true;  // refused as a whole
    switch (op.kind) {
        case Kind::create:
        case Kind::mkdir: return make(op, number);
        case Kind::unlink:
        case Kind::rmdir: return remove(op);
        case Kind::link: return link(op);
        case Kind::rename: return rename(op);
        case Kind::lookup:
        case Kind::get: return look(op);
        case Kind::set_mode: return set_mode(op);
        case Kind::list: return list(op);
    }
    return false;
}

namespace {

// Of a directory that is no more.
const std::vector<int> kGone{ENOENT, ESTALE};

void add(std::vector<int>& errors, const std::vector<int>& more) { errors.insert(errors.end(), more.begin(), more.end()); }

}  // namespace

bool Model::is_of_the_lost(const Operation& op) {
    return !op.is_uncertain && std::find(kGone.begin(), kGone.end(), op.code) != kGone.end();
}

bool Model::make(const Operation& op, uint32_t number) {
    NodeId parent_id = 0;
    Node* parent = find(op.directory, &parent_id);
    if (parent == nullptr) return is_of_the_lost(op);
    std::vector<int> errors;
    if (parent->is_removed) add(errors, kGone);
    if (child(*parent, op.name) != nullptr) errors.push_back(EEXIST);
    if (!has_answered(op, errors)) return false;
    if (!errors.empty()) return true;

    const NodeId id = number + 1;
    parent->names[op.name] = id;
    nodes_[id] = {.is_directory = op.kind == Kind::mkdir, .mode = op.mode, .links = 1, .parent = parent_id};
    if (op.seen.ino != Ino{}) return shows(id, op.seen) && op.seen.mode == op.mode;  // it was told once, or is
    return op.is_uncertain;
}

bool Model::remove(const Operation& op) {
    Node* parent = find(op.directory);
    if (parent == nullptr) return is_of_the_lost(op);
    std::vector<int> errors;
    if (parent->is_removed) add(errors, kGone);
    NodeId id = 0;
    Node* node = child(*parent, op.name, &id);
    if (node == nullptr) errors.push_back(ENOENT);
    else if (op.kind == Kind::unlink && node->is_directory) errors.push_back(EISDIR);
    else if (op.kind == Kind::rmdir && !node->is_directory) errors.push_back(ENOTDIR);
    else if (op.kind == Kind::rmdir && !node->names.empty()) errors.push_back(ENOTEMPTY);
    if (!has_answered(op, errors)) return false;
    if (!errors.empty()) return true;

    parent->names.erase(op.name);
    if (node->is_directory) node->is_removed = true;
    else --node->links;
    if (op.is_uncertain) return true;
    return shows(id, op.seen) && (node->is_directory || op.seen.links == node->links);
}

bool Model::link(const Operation& op) {
    Node* directory = find(op.directory);
    NodeId id = 0;
    Node* node = find(op.ino, &id);
    if (directory != nullptr && node == nullptr && child(*directory, op.name) != nullptr)
        return is_of_the_lost(op) || has_answered(op, {EEXIST});  // whichever is looked at first
    if (directory == nullptr || node == nullptr) return is_of_the_lost(op);
    std::vector<int> errors;
    if (directory->is_removed) add(errors, kGone);
    if (node->is_directory) errors.push_back(EPERM);
    if (node->is_directory ? node->is_removed : node->links == 0) add(errors, kGone);
    if (child(*directory, op.name) != nullptr) errors.push_back(EEXIST);
    if (!has_answered(op, errors)) return false;
    if (!errors.empty()) return true;

    directory->names[op.name] = id;
    ++node->links;
    return op.is_uncertain || (shows(id, op.seen) && op.seen.links == node->links);
}

std::vector<int> Model::why_no_rename(const Operation& op, Node& from, Node& to, NodeId from_id, NodeId to_id) {
    std::vector<int> errors;
    if (from.is_removed || to.is_removed) add(errors, kGone);
    NodeId source_id = 0, target_id = 0;
    Node* source = child(from, op.name, &source_id);
    Node* target = child(to, op.to_name, &target_id);
    if (source == nullptr) errors.push_back(ENOENT);
    if (op.exchange && target == nullptr) errors.push_back(ENOENT);
    if (op.no_replace && target != nullptr) errors.push_back(EEXIST);
    if (source == nullptr) return errors;
    if (source->is_directory && is_inside(to_id, source_id)) errors.push_back(EINVAL);
    if (target == nullptr) return errors;
    if (op.exchange) {
        if (target->is_directory && is_inside(from_id, target_id)) errors.push_back(EINVAL);
        return errors;
    }
    if (source_id == target_id || op.no_replace) return errors;
    if (target->is_directory && !source->is_directory) errors.push_back(EISDIR);
    if (!target->is_directory && source->is_directory) errors.push_back(ENOTDIR);
    if (target->is_directory && !target->names.empty()) errors.push_back(ENOTEMPTY);
    return errors;
}

bool Model::rename(const Operation& op) {
    NodeId from_id = 0, to_id = 0;
    Node* from = find(op.directory, &from_id);
    Node* to = find(op.to_directory, &to_id);
    if (from == nullptr || to == nullptr) return is_of_the_lost(op);
    auto errors = why_no_rename(op, *from, *to, from_id, to_id);
    if (!has_answered(op, errors)) return false;
    if (!errors.empty()) return true;

    NodeId source_id = 0, target_id = 0;
    Node* source = child(*from, op.name, &source_id);
    Node* target = child(*to, op.to_name, &target_id);
    if (source_id == target_id) return true;  // two names of one file, or one name: nothing to do
    from->names.erase(op.name);
    to->names[op.to_name] = source_id;
    if (source->is_directory) source->parent = to_id;
    if (target == nullptr) return true;
    if (op.exchange) {
        from->names[op.name] = target_id;
        if (target->is_directory) target->parent = from_id;
    } else if (target->is_directory) {
        target->is_removed = true;
    } else {
        --target->links;
    }
    return true;
}

bool Model::look(const Operation& op) {
    if (op.is_uncertain) return true;
    NodeId id = 0;
    Node* node = nullptr;
    std::vector<int> errors;
    if (op.kind == Kind::get) {
        node = find(op.ino, &id);
        if (node == nullptr) return is_of_the_lost(op);
        bool is_gone = node->is_directory ? node->is_removed : node->links == 0;
        // Until it is purged an unlinked file can be told by its number; whether it still is, is not promised.
        if (is_gone) return op.code == ENOENT || op.code == ESTALE || (op.code == 0 && op.seen.links == 0);
    } else {
        Node* directory = find(op.directory);
        if (directory == nullptr) return is_of_the_lost(op);
        if (directory->is_removed) add(errors, kGone);
        node = child(*directory, op.name, &id);
        if (node == nullptr) errors.push_back(ENOENT);
    }
    if (!has_answered(op, errors)) return false;
    if (!errors.empty()) return true;
    if (!shows(id, op.seen)) return false;
    if (op.is_name_alone) return true;
    if (op.seen.mode != node->mode) return false;
    return node->is_directory || op.seen.links == node->links;
}

bool Model::set_mode(const Operation& op) {
    NodeId id = 0;
    Node* node = find(op.ino, &id);
    if (node == nullptr) return is_of_the_lost(op);
    bool is_gone = node->is_directory ? node->is_removed : node->links == 0;
    if (is_gone) {
        if (op.is_uncertain) return false;
        return op.code == ENOENT || op.code == ESTALE || op.code == 0;
    }
    if (!has_answered(op, {})) return false;
    node->mode = op.mode;
    return op.is_uncertain || (shows(id, op.seen) && op.seen.mode == op.mode);
}

bool Model::list(const Operation& op) {
    if (op.is_uncertain) return true;
    Node* directory = find(op.directory);
    if (directory == nullptr) return is_of_the_lost(op);
    if (directory->is_removed) return op.code == ENOENT || op.code == ESTALE || (op.code == 0 && op.listed.empty());
    if (op.code != 0 || op.listed.size() != directory->names.size()) return false;
    for (const auto& [name, seen] : op.listed) {
        NodeId id = 0;
        if (child(*directory, name, &id) == nullptr || !shows(id, seen)) return false;
    }
    return true;
}

std::string Model::fingerprint() const {
    Encoder out;
    for (const auto& [id, node] : nodes_) {
        out.u32(id).u64(raw(node.ino)).u8(node.is_directory).u8(node.is_removed).u32(node.mode).u32(node.links);
        out.u32(node.parent).varint(node.names.size());
        for (const auto& [name, child_id] : node.names) out.string(name).u32(child_id);
    }
    return out.take();
}

std::string Model::text() const {
    std::string out;
    for (const auto& [id, node] : nodes_) {
        out += "    " + hex(raw(node.ino)) + (node.is_directory ? " directory" : " file");
        if (node.is_removed || (!node.is_directory && node.links == 0)) out += " gone";
        for (const auto& [name, child_id] : node.names) out += " " + name + "=" + hex(raw(nodes_.at(child_id).ino));
        out += "\n";
    }
    return out;
}

const char* name_of(Kind kind) {
    switch (kind) {
        case Kind::create: return "create";
        case Kind::mkdir: return "mkdir";
        case Kind::unlink: return "unlink";
        case Kind::rmdir: return "rmdir";
        case Kind::rename: return "rename";
        case Kind::link: return "link";
        case Kind::lookup: return "lookup";
        case Kind::get: return "get";
        case Kind::set_mode: return "set_mode";
        case Kind::list: return "list";
    }
    return "?";
}

std::string Operation::text() const {
    std::string out = std::to_string(asked) + ".." + (answered == UINT64_MAX ? "" : std::to_string(answered));
    out += " client " + std::to_string(client) + ": " + name_of(kind);
    if (kind == Kind::get || kind == Kind::set_mode || kind == Kind::link) out += " " + hex(raw(ino));
    if (kind != Kind::get && kind != Kind::set_mode) out += " " + hex(raw(directory)) + "/" + name;
    if (kind == Kind::rename) out += " to " + hex(raw(to_directory)) + "/" + to_name;
    if (no_replace) out += " no_replace";
    if (exchange) out += " exchange";
    if (is_uncertain) return out + " -> nobody knows (" + (code == 0 ? "died" : errno_name(code)) + ")";
    out += std::string(" -> ") + (code == 0 ? "ok" : errno_name(code));
    if (code == 0 && seen.ino != Ino{}) {
        out += " " + hex(raw(seen.ino)) + (seen.is_directory ? " directory" : " links " + std::to_string(seen.links));
        out += " mode " + std::to_string(seen.mode);
    }
    for (const auto& [entry, what] : listed) out += " " + entry + "=" + hex(raw(what.ino));
    return out;
}

}  // namespace meshfs::sim
