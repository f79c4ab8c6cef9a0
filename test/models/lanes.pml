/* Changes of a free group: each happens once or never, whatever is lost, late or doubled.
 * Code: fs/meta/group_change.cc (ChangeLoop), fs/meta/hints.h (Lanes, SlotReserve).
 *
 * quick: -DOPS=2 -DNUMBERS=3 -DCHANGES=1
 * full:  -DOPS=3 -DNUMBERS=4 -DCHANGES=2
 * Break: each of these must give a counterexample:
 *   -DNO_LANE         a change is not guarded on its lane's number  (a late copy does it a second time)
 *   -DNO_LEASE        a change is not guarded on the lease          (it lands while another has X)
 *   -DNO_KEYS         a change is not guarded on the names as read  (two mounts make the same name)
 *   -DNO_SETTLE       a lost answer counts as "it did not happen"   (it is done again)
 *   -DNO_CONSUME      settling looks and consumes nothing           (what did not happen yet is done again, and then happens)
 *   -DLEASE_FIRST     settling looks at the lease before the number (it happened, X was taken: it is done again)
 *   -DNO_OWN          a retry does not look for its own number      (EEXIST because of the own file)
 *   -DONE_LANE        two operations use one lane at once           (one hides the other's number)
 *   -DANSWERED_TWICE -DCHANGES=2  a store lets another copy take effect after its answer (told EEXIST, made later): store.h forbids it
 *   -DGIVE_BACK       the slot of a change of which nobody knows whether it happened is used again (two files, one number).
 *                     So the code did once: README.md, "Found", 1
 *
 * A worker creates and unlinks a name, one operation after the other in one lane; whatever it sends and is not answered may
 * arrive at any later time, twice, or never, in any order (stores promise order on an object: here it is not needed).  Others
 * change the same name; their lost answers are nobody's business here.  A third party takes X, may take the name away under
 * it, and may remove the group.  That a first change takes X itself is the same as X taken just behind it (LEASE_FIRST).
 * With the group its lanes go: a change that is then told ENOENT may have happened, and been undone by others, before. */
#ifndef OPS
#define OPS 3                                           /* operations */
#endif
#ifndef NUMBERS
#define NUMBERS 4                                       /* that the worker consumes, in all */
#endif
#ifndef CHANGES
#define CHANGES 2                                       /* by others */
#endif
#define OTHERS 9                                        /* as the maker of a name */

/* In the store: the group.  Each change of the lease raises the epoch, so equal epochs are equal leases. */
bool gone; bool is_x; byte epoch; byte name;            /* absent, or who made it */
byte lane;                                              /* z<session><lane>: the last number in it */

/* What is true. */
bool landed[OPS];                                       /* the operation took effect */
mtype = { pending, yes, no, unknown, no_group };
mtype told[OPS] = pending;
bool used[3];                                           /* slots, each of one file for ever */

/* The worker's mutations on their way.  More than two: one is lost. */
mtype = { nothing, consume, create, unlink };
mtype way[2] = nothing;
byte way_epoch[2]; byte way_lane[2]; byte way_name[2]; byte way_number[2]; byte way_op[2]; byte way_slot[2];
byte awaited = 2;                                       /* which of them it waits for */
mtype = { none, ok, canceled };
mtype answer = none;
bool spare[3];                                          /* slots reserved and not used */

/* What a mutation is guarded on. */
#ifdef NO_LEASE
#define LEASE_IS(m) true
#else
#define LEASE_IS(m) (way_epoch[m] == epoch)
#endif
#ifdef NO_LANE
#define LANE_IS(m) true
#else
#define LANE_IS(m) (way_lane[m] == lane)
#endif
#ifdef NO_KEYS
#define NAME_IS(m) true
#else
#define NAME_IS(m) (way_name[m] == name)
#endif

inline forget(m) { way[m] = nothing; way_epoch[m] = 0; way_lane[m] = 0; way_name[m] = 0; way_number[m] = 0; way_op[m] = 0; way_slot[m] = 0 }
inline take_effect(m) {
    if
    :: !gone && LEASE_IS(m) && LANE_IS(m) && (way[m] == consume || NAME_IS(m)) ->
        lane = way_number[m]; r = ok;
        if
        :: way[m] == consume
        :: else ->
            assert(!landed[way_op[m]] && told[way_op[m]] != no); landed[way_op[m]] = true;
            assert(!is_x);
            if
            :: way[m] == create -> assert(!name); name = way_op[m] + 1; assert(!used[way_slot[m]]); used[way_slot[m]] = way_slot[m]
            :: else -> name = 0
            fi
        fi
    :: else -> r = canceled
    fi;
    if
    :: awaited == m -> answer = r; awaited = 2;
#ifndef ANSWERED_TWICE
        forget(m)
#endif
    :: forget(m)
    :: true                                             /* not heard of, and another copy will come */
    fi
}
proctype Network() {
    mtype r = none;
end: do
    :: atomic { way[0] != nothing -> take_effect(0); r = none }
    :: atomic { way[1] != nothing -> take_effect(1); r = none }
    od
}
inline send(what_) {
    if :: way[0] == nothing -> m = 0 :: way[0] != nothing && way[1] == nothing -> m = 1 :: way[0] != nothing && way[1] != nothing -> if :: m = 0 :: m = 1 fi fi;
    numbers++;
    way[m] = what_; way_epoch[m] = my_epoch; way_lane[m] = my_lane; way_number[m] = numbers;
    if :: what_ == consume -> way_name[m] = 0; way_op[m] = 0; way_slot[m] = 0
       :: else -> way_name[m] = my_name; way_op[m] = op; way_slot[m] = slot; number = numbers fi;
    awaited = m; answer = none; m = 0
}
proctype Worker() {
    byte op; byte m; byte number; byte numbers; byte my_epoch; byte my_lane; byte my_name; byte slot; mtype what;
    do
    :: op < OPS ->
        if :: what = create :: what = unlink fi;
again:  atomic {                                        /* one query, and what the builder decides from it */
            (!is_x || gone);                            /* who meets X waits */
            if
            :: gone -> told[op] = no_group; goto over
#ifndef NO_OWN
            :: !gone && number && lane == number -> told[op] = yes; assert(landed[op]); slot = 0; goto over
#endif
            :: else
            fi;
            my_epoch = epoch; my_lane = lane; my_name = name;
            if
            :: (what == create) == (name != 0) -> told[op] = no; assert(!landed[op]); goto over  /* EEXIST, ENOENT */
            :: else
            fi;
            if :: numbers == NUMBERS -> goto stop :: else fi;
            if :: what == create && !slot ->
                    if :: spare[1] -> slot = 1; spare[1] = false
                       :: !spare[1] && spare[2] -> slot = 2; spare[2] = false
                       :: else fi                       /* others are reserved in the same mutation */
               :: else fi;
            send(what)
        };
        if
        :: atomic { answer == ok -> answer = none; told[op] = yes; slot = 0; goto over }
        :: atomic { answer == canceled -> answer = none; goto again }
        :: atomic { awaited < 2 -> awaited = 2 }        /* ETIMEDOUT */
        fi;
#ifdef NO_SETTLE
        goto again;
#endif
settle: atomic {
            if
            :: gone -> goto again
#ifdef LEASE_FIRST
            :: !gone && epoch != my_epoch -> number = 0; goto again
#endif
            :: !gone && lane == number -> told[op] = yes; assert(landed[op]); slot = 0; goto over
            :: !gone && lane != number && (lane != my_lane || epoch != my_epoch) -> goto again
            :: else
            fi;
#ifdef NO_CONSUME
            goto again;
#endif
            if
            :: numbers < NUMBERS -> send(consume)
            :: told[op] = unknown;                      /* the store does not answer: ETIMEDOUT */
#ifdef GIVE_BACK
                if :: slot -> spare[slot] = true :: else fi;
#endif
                slot = 0; goto over
            fi
        };
        if
        :: atomic { answer == ok -> answer = none; goto again }
        :: atomic { answer == canceled -> answer = none; goto settle }
        :: atomic { awaited < 2 -> awaited = 2; goto settle }
        fi;
over:   atomic { if :: slot -> spare[slot] = true; slot = 0 :: else fi; op++; number = 0; my_epoch = 0; my_lane = 0; my_name = 0 }
    :: else -> break
    od;
stop: skip
}
proctype Others() {
    byte n;
end: do
    :: atomic { n < CHANGES && !is_x && !gone -> n++; if :: name -> name = 0 :: else -> name = OTHERS fi;
#ifdef ONE_LANE
        lane = 99 + n
#endif
       }
    od
}
proctype Taker() {                                      /* under X nobody else changes the group; then it is free, or gone */
    byte saw;
    atomic { !is_x -> is_x = true; epoch++; saw = name };
    if :: atomic { assert(name == saw); name = 0; saw = 0 } :: skip fi;
    if
    :: atomic { assert(name == saw); is_x = false; epoch++; saw = 0 }
    :: atomic { saw == 0 -> assert(name == saw); gone = true }
    fi
}
init { atomic { spare[1] = true; spare[2] = true; run Network(); run Worker(); run Others(); run Taker() } }
