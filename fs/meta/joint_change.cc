#include "fs/meta/joint_change.h"

#include "fs/meta/merge.h"
#include "fs/meta/split.h"

namespace meshfs {

Result<JointChange> JointChange::begin(MetaCore& core, std::vector<Exclusive::Wish> objects) {
    auto held = Exclusive::take(core, std::move(objects));
    if (held.code() == ESTALE) return fail(ERESTART);
    if (!held.ok()) return held.error();
    return JointChange(core, std::move(held).value());
}

Result<GroupView> JointChange::read(const ObjectName& object, Wanted wanted) {
    Lease lease = TRY(held_.lease(object));
    wanted.keys.push_back(kSumKey);
    GroupView view = TRY(read_group_now(*core_, object, wanted));
    // A session that was declared dead while it stood still has lost it.
    if (view.lease != lease) return fail(ESHUTDOWN, "object " + object.name + " was taken over by another mount");
    return view;
}

JointChange::Draft& JointChange::draft_of(const GroupView& group) {
    return drafts_.try_emplace(group.object.name, Draft{.view = group, .effects = {}, .about = {}}).first->second;
}

ops::NameEffects& JointChange::at(const GroupView& group) { return draft_of(group).effects; }

Result<Slot> JointChange::new_slot(const GroupView& group) {
    if (auto slot = core_->slots.take(group.group())) return *slot;
    Draft& draft = draft_of(group);
    if (!draft.about) draft.about = group.about;
    uint32_t slot = raw(draft.about->next_slot);
    if (slot > kSlotMax) return fail(ENOSPC, "no slot is left in object " + group.object.name);
    draft.about->next_slot = Slot{slot + 1};
    if (slot % core_->slots_at_once() == 0) grown_.push_back(group.object);
    return Slot{slot};
}

void JointChange::set_about(const GroupView& group, About about) { draft_of(group).about = std::move(about); }

void JointChange::kill(const GroupView& object) { draft_of(object).next = Lease::Kind::dead; }

void JointChange::make(const ObjectName& object, std::vector<Key> records) {
    others_.push_back({.kind = IntentStep::Kind::make, .object = object, .next = free_lease(1), .set = std::move(records)});
}

void JointChange::free_new_group(const ObjectName& object, const Lease& lease) {
    others_.push_back({.object = object, .held = lease, .next = free_lease(lease.epoch + 1)});
}

// One step an object: its records as they are, raised by a move.
Status JointChange::add_away_steps() {
    std::map<std::string, std::vector<std::pair<Slot, std::optional<Place>>>> moves;
    for (const auto& [born, to] : away_) moves[away_object(born.group, born.slot).name].emplace_back(born.slot, to);
    for (const auto& [name, slots] : moves) {
        IntentStep step{.kind = IntentStep::Kind::away, .object = {kMetaPool, name}};
        std::vector<std::string> keys;
        for (const auto& [slot, to] : slots) keys.push_back(slot_key(slot));
        auto answer = core_->store.ask(std::move(Query(step.object).keys(keys)));
        if (!answer.ok() && answer.code() != ENOENT) return answer.error();
        for (const auto& [slot, to] : slots) {
            AwayRecord away{.is_linked = !to, .group = to ? to->group : GroupId{}, .slot = to ? to->slot : Slot{}, .moves = 1};
            std::string key = slot_key(slot);
            std::optional<std::string> before;
            if (answer.ok() && answer->keys.contains(key)) {
                before = answer->keys.at(key);
                away.moves = TRY(decode_at(decode_away, step.object, key, *before)).moves + 1;
            }
            step.read.emplace_back(key, std::move(before));
            step.set.emplace_back(std::move(key), encode(away));
        }
        others_.push_back(std::move(step));
    }
    return {};
}

Result<IntentStep> JointChange::step_of(const Draft& draft) {
    const GroupView& view = draft.view;
    IntentStep step{.object = view.object, .held = TRY(held_.lease(view.object))};
    step.next = {.kind = draft.next, .epoch = step.held.epoch + 1};
    if (draft.next == Lease::Kind::free && core_->held.was_held(view.object, step.held))
        step.next = core_->held.wants(view.object, step.next.epoch).value_or(step.next);
    if (draft.about) step.about = encode(*draft.about);
    // The last word on a key counts: a name may go and come again in one change.
    std::map<std::string, std::string> set(draft.effects.set.begin(), draft.effects.set.end());
    for (const auto& [key, value] : draft.effects.set) set[key] = value;
    if (draft.effects.delta != Sum{}) {
        Sum sum = TRY(view.record(decode_sum, kSumKey)).value_or(Sum{});
        sum += draft.effects.delta;
        set[kSumKey] = encode(sum);
        const bool is_cut = draft.about && draft.about->end != view.about.end;  // the names went with their range
        if (!is_cut && draft.next == Lease::Kind::free && is_time_to_merge(*core_, view.about, draft.effects.delta, sum))
            shrunk_.push_back(view.object);
    }
    for (const auto& key : draft.effects.removed)
        if (!set.contains(key)) step.removed.push_back(key);
    for (auto& [key, value] : set)
        if (value.size() > kValueMax) return fail(ENOSPC, "record of " + std::to_string(value.size()) + " bytes");
        else step.set.emplace_back(key, value);
    return step;
}

Status JointChange::commit() {
    TRY(add_away_steps());
    Intent intent = std::move(others_);
    for (const auto& [object, draft] : drafts_) {
        intent.push_back(TRY(step_of(draft)));
        if (draft.effects.delta != Sum{}) core_->sums.forget(draft.view.about.directory);
    }
    // An intent is there for good, and the names above what it moves must be as well: a mount that died now
    // would take a directory with it of which nobody has heard, and what was moved there.
    TRY(core_->held.write_all());
    for (const IntentStep& step : intent)
        if (step.next.is_free()) core_->held.wait_for_names(step.object);
    TRY(commit_intent(*core_, std::move(held_), std::move(intent)));
    for (const ObjectName& group : grown_) split_if_large(*core_, group);
    for (const ObjectName& group : shrunk_) merge_if_small(*core_, group);
    return {};
}

}  // namespace meshfs
