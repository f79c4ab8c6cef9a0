// The reference: a tree of names in plain memory, and what each operation on it must answer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fs/base/types.h"

namespace meshfs::sim {

// What was asked of a Meta, and what it answered.
struct Operation {
    enum class Kind : uint8_t { create, mkdir, unlink, rmdir, rename, link, lookup, get, set_mode, list };
    Kind kind = Kind::lookup;
    uint32_t client = 0;
    Ino directory{}, to_directory{};
    std::string name, to_name;
    bool no_replace = false, exchange = false;
    Ino ino{};           // link, get, set_mode: of what
    uint32_t mode = 0;   // create, mkdir, set_mode: permissions

    // When it was asked and answered, in one order of the whole run.
    uint64_t asked = 0, answered = UINT64_MAX;
    // Nobody knows: the client died, or the error does not tell.  It happened once, or it will, or never.
    bool is_uncertain = false;
    int code = 0;
    struct Seen {
        Ino ino{};
        bool is_directory = false;
        uint32_t mode = 0;
        uint32_t links = 0;  // of files; 0 also if not told
        auto operator<=>(const Seen&) const = default;
    };
    bool is_of_ranges = false;  // a list: they are read one after the other
    // Name and attributes were read one after the other: a `get` has the attributes.
    bool is_name_alone = false;
    Seen seen;                           // create, mkdir, link, lookup, get, set_mode; unlink, rename: what went
    std::map<std::string, Seen> listed;  // ino and kind only

    bool is_look() const { return kind == Kind::lookup || kind == Kind::get || kind == Kind::list; }
    std::string text() const;
};

// States differ only in what can be seen; nodes are known by the operation that made them (its place in the
// history), so that two orders that come to the same are the same.
class Model {
public:
    Model();

    // Lets `op`, the `number`th of the history, happen now.  False: it cannot have answered what it did, or, of
    // an uncertain one, it cannot have happened now.  Then the model must not be used any more.
    bool apply(const Operation& op, uint32_t number);
    std::string fingerprint() const;
    std::string text() const;

private:
    using NodeId = uint32_t;  // 0: root; else number of the operation + 1
    struct Node {
        Ino ino{};  // 0: nobody has been told yet
        bool is_directory = false;
        bool is_removed = false;  // a directory that is no more
        uint32_t mode = 0;
        uint32_t links = 0;  // of files: how many names
        NodeId parent = 0;   // of directories
        std::map<std::string, NodeId, std::less<>> names;
    };

    Node* find(Ino ino, NodeId* id = nullptr);
    Node* child(Node& directory, std::string_view name, NodeId* id = nullptr);
    bool is_inside(NodeId directory, NodeId of) const;  // it is, or lies below, `of`
    // What it is about is not there: it was lost with the mount that made it, or somebody's answer is wrong.
    static bool is_of_the_lost(const Operation& op);
    bool has_answered(const Operation& op, const std::vector<int>& errors) const;
    bool shows(NodeId id, const Operation::Seen& seen);

    bool make(const Operation& op, uint32_t number);
    bool remove(const Operation& op);
    bool link(const Operation& op);
    bool rename(const Operation& op);
    bool look(const Operation& op);
    bool set_mode(const Operation& op);
    bool list(const Operation& op);
    std::vector<int> why_no_rename(const Operation& op, Node& from, Node& to, NodeId from_id, NodeId to_id);

    std::map<NodeId, Node> nodes_;
};

const char* name_of(Operation::Kind kind);

}  // namespace meshfs::sim
