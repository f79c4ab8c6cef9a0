// The copy in memory of one object's xattrs and keys: what is known of them, and what the store has not got yet.
//
// Of a key it is known what it has, or that it is not there, or nothing.  Runs of keys are known completely where a page
// of them was read.  What is known here is newer than what an answer of the store says.  Threads: one at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "fs/meta/format.h"
#include "fs/store/store.h"

namespace meshfs {

class Mirror {
public:
    // What the store has to be told.
    struct Changes {
        std::vector<Key> set;
        std::vector<std::string> removed;
        std::optional<std::string> about;
        bool empty() const { return set.empty() && removed.empty() && !about; }
    };

    // From here on everything is known: nothing is there but what is applied.
    void know_all();
    void set_lease(std::string value);
    // A guard of a mutation that was done: what it says was so.
    void learn(const Guard& guard);
    // What `query` asked, as the store answered; where more was known here, that stays.
    void learn(const Query& query, const Answer& answer);

    // None: some of it is not known.  Only for queries of xattrs, keys and ranges, without guards.
    std::optional<Answer> answer(const Query& query) const;
    // The same in place, for who has no use for copies.  A key: none: not known; null: it is not there.
    std::optional<const std::string*> value(std::string_view key) const;
    // Of all that begin with `prefix`; false: some may not be known.
    bool visit(const std::string& prefix, const std::function<void(const std::string& key, const std::string& value)>& one) const;
    const About* about() const;  // null: not known, or damaged
    // A query for what is not known of it.
    Query missing(const Query& query) const;
    // None: not known.
    std::optional<bool> holds(const Guard& guard) const;

    // set_keys, remove_keys, set_xattr of `about`.  is_stored: the store has it already.
    void apply(const std::vector<Effect>& effects, bool is_stored);
    bool is_dirty() const { return !dirty_.empty() || is_about_dirty_; }
    size_t dirty_keys() const { return dirty_.size(); }
    size_t dirty_bytes() const { return dirty_bytes_; }
    // They are under way to the store from now on; then it has them, or they were put back.
    Changes take_changes();
    void put_back(const Changes& changes);
    void forget_removed(const Changes& changes);  // that they are not there need not be remembered any more
    // Everything, for an object that is made only now; takes the changes.  With what is known not to be there: an
    // earlier try to make it may have succeeded unheard, with what was removed since.
    Changes take_all();

    size_t bytes() const { return bytes_; }
    // What is not known is asked for again.  Only while nothing is dirty, under way or being asked.
    void forget_all();

private:
    using Keys = std::map<std::string, std::optional<std::string>, std::less<>>;

    void set_about(std::string value);
    void know_xattrs(std::map<std::string, std::string> xattrs);  // that the object has these, and no others
    bool is_known(std::string_view key) const;
    // Of the complete run with that key: where it ends; none: there is none.  "": it has no end.
    std::optional<std::string_view> complete_until(std::string_view key) const;
    void add_complete(std::string from, std::string until);
    void put(const std::string& key, std::optional<std::string> value);
    std::optional<RangeAnswer> answer_range(const Query::Range& range) const;
    void note_dirty(const std::string& key, size_t value_size);

    std::optional<std::map<std::string, std::string>> xattrs_;
    std::string lease_, about_;  // newer than xattrs_; empty: not known
    mutable std::optional<About> decoded_about_;  // of about_, once somebody looked
    Keys keys_;                  // none: known not to be there
    std::map<std::string, std::string, std::less<>> complete_;  // from, until; disjoint, "": no end
    std::set<std::string, std::less<>> dirty_;
    bool is_about_dirty_ = false;
    size_t bytes_ = 0, dirty_bytes_ = 0;
};

}  // namespace meshfs
