#include "test/sim/history.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <unordered_set>

namespace meshfs::sim {
namespace {

class Search {
public:
    Search(const std::vector<Operation>& history, uint64_t states_max) : history_(history), states_max_(states_max) {
        for (const Operation& op : history) certain_ += !op.is_uncertain;
    }

    Judgement run() {
        std::vector<bool> done(history_.size());
        bool found = step(Model(), done, 0);
        Judgement judgement{.states = seen_.size()};
        if (found) return judgement;
        judgement.kind = is_exhausted_ ? Judgement::Kind::undecided : Judgement::Kind::wrong;
        judgement.explanation = explanation_;
        return judgement;
    }

private:
    bool step(const Model& model, std::vector<bool>& done, size_t certain_done) {
        if (certain_done == certain_) return true;
        if (seen_.size() >= states_max_) {
            is_exhausted_ = true;
            return false;
        }
        std::string state(done.begin(), done.end());
        if (!seen_.insert(state + model.fingerprint()).second) return false;

        // Next can be what was asked before the first answer among those that are left.
        uint64_t first_answer = UINT64_MAX;
        for (size_t i = 0; i < history_.size(); ++i)
            if (!done[i] && !history_[i].is_uncertain) first_answer = std::min(first_answer, history_[i].answered);
        if (certain_done >= best_) remember(model, done, certain_done, first_answer);
        // A look that is right now changes nothing: where it can come later in an order, it can come now.
        for (size_t i = 0; i < history_.size(); ++i) {
            const Operation& op = history_[i];
            if (done[i] || op.is_uncertain || op.asked > first_answer || !op.is_look()) continue;
            Model next = model;
            if (!next.apply(op, static_cast<uint32_t>(i)) || next.fingerprint() != model.fingerprint()) continue;
            done[i] = true;
            bool found = step(next, done, certain_done + 1);
            done[i] = false;
            return found;
        }
        for (int pass = 0; pass < 2; ++pass)  // what was answered first: uncertain ones widen the search
            for (size_t i = 0; i < history_.size(); ++i) {
                const Operation& op = history_[i];
                if (done[i] || op.is_uncertain != (pass == 1) || op.asked > first_answer) continue;
                if (op.is_uncertain && op.is_look()) continue;  // says nothing and does nothing
                Model next = model;
                if (!next.apply(op, static_cast<uint32_t>(i))) continue;
                done[i] = true;
                bool found = step(next, done, certain_done + !op.is_uncertain);
                done[i] = false;
                if (found) return true;
            }
        return false;
    }

    void remember(const Model& model, const std::vector<bool>& done, size_t certain_done, uint64_t first_answer) {
        best_ = certain_done;
        explanation_ = "  " + std::to_string(certain_done) + " of " + std::to_string(certain_) +
                       " answers can be explained, then the tree is\n" + model.text() + "  and none of these can be next:\n";
        for (size_t i = 0; i < history_.size(); ++i)
            if (!done[i] && history_[i].asked <= first_answer) explanation_ += "    " + history_[i].text() + "\n";
    }

    const std::vector<Operation>& history_;
    const uint64_t states_max_;
    size_t certain_ = 0, best_ = 0;
    std::unordered_set<std::string> seen_;
    bool is_exhausted_ = false;
    std::string explanation_;
};

}  // namespace

std::vector<Operation> with_lists_by_name(const std::vector<Operation>& history) {
    std::set<std::string> all;
    for (const Operation& op : history)
        for (const std::string& name : {op.name, op.to_name})
            if (!name.empty()) all.insert(name);
    std::vector<Operation> apart;
    for (const Operation& op : history) {
        if (!op.is_of_ranges || op.code != 0 || op.is_uncertain) {
            apart.push_back(op);
            continue;
        }
        std::set<std::string> names = all;
        for (const auto& [name, seen] : op.listed) names.insert(name);
        for (const std::string& name : names) {
            Operation look = op;
            look.kind = Operation::Kind::lookup;
            look.name = name;
            look.is_name_alone = true;
            auto found = op.listed.find(name);
            if (found != op.listed.end()) look.seen = found->second;
            else look.code = ENOENT;
            apart.push_back(std::move(look));
        }
    }
    return apart;
}

Judgement judge(const std::vector<Operation>& history, uint64_t states_max) { return Search(history, states_max).run(); }

}  // namespace meshfs::sim
