/* A directory's range is split, and later merged again, while names come and go.
 * Code: fs/meta/split.cc, merge.cc, joint_change.cc, intent.cc (do_steps); fs/meta/group.cc (read_range), group_change.cc
 * (find_again, settle).
 *
 * quick: -DCLIENTS=1 -DOPS=1
 * full:  -DCLIENTS=1 -DOPS=2
 * Break: each of these must give a counterexample:
 *   -DTRUST_MAP     a remembered range map is not checked by what is read (a name of the other range is not seen)
 *   -DNO_GUARD      a change is not guarded on the group's lease          (a name is made in a range that was cut)
 *   -DREAD_FIRST    what a split moves is read before X is taken          (a name made meanwhile is lost)
 *   -DMERGE_FIRST   what a merge moves is read before X is taken          (the same)
 *   -DNO_FINISH     X of a dead mount is taken without finishing its intent       (the range is in no group, or in two)
 *   -DNO_ALIVE      the intent is not guarded on the session being alive          (nobody finishes it)
 *   -DFILL_LATE     the new group is filled after the intent    (a crash between loses the names)
 *   -DNO_FILL_GUARD filling is not guarded on the lease         (a late copy brings back what was unlinked)
 *   -DREAD_LATE     a merge's step reads the names when it is done, instead of having them in the intent    (they are gone)
 *   -DLEFT_FREE     the merged group is freed instead of dead   (who has an old map makes a name in it)
 *   -DEARLY_PURGE   the merged group goes before its directory  (a lost answer is settled as "never")
 *
 * Group 0 is the header, which has the map; 1 has the whole range at first, with x in its upper half; 2 is made by the split.
 * Session 0 splits, 1 merges; either may stop anywhere and be declared dead.  Steps are done in any order (they are sent at
 * once), late, and again.  Sessions 2 and 3 look x up, make it, unlink it, with maps as old as can be.  Away records and slots
 * (where a number leads) and steps without guards are rename.pml's subject: here a name is found or not. */
#ifndef OPS
#define OPS 1                                           /* changes by each client */
#endif
#ifndef CLIENTS
#define CLIENTS 2
#endif
#define FREE 255
byte holder[3] = FREE; byte epoch[3]; bool exists[3]; bool dead;        /* dead: group 2, merged */
bool x[3]; bool map; bool is_cut;                       /* the name; the header says 2; group 1 ends before x */
bool alive[2] = true; bool intent[2]; bool sent[2]; byte at[6]; bool moved[2];
bool busy[2];                                           /* does not let go when asked */
bool fill; bool fill_x;                                 /* a copy of what fills group 2 */
bool unsettled[2];

bool is_there;                                          /* what is true of x */

#define IS_STEP(s, g) (holder[g] == s && epoch[g] == at[s*3+g])
#ifdef NO_FILL_GUARD
#define IS_FILL true
#else
#define IS_FILL (holder[2] == 0 && epoch[2] == 1)
#endif
inline step(s, g) {
    if
    :: exists[g] && IS_STEP(s, g) ->
        if
        :: s == 0 && g == 0 -> map = true
        :: s == 0 && g == 1 -> is_cut = true; x[1] = false
        :: s == 1 && g == 0 -> map = false
#ifdef READ_LATE
        :: s == 1 && g == 1 -> is_cut = false; x[1] = exists[2] && x[2]
#else
        :: s == 1 && g == 1 -> is_cut = false; x[1] = moved[1]
#endif
#ifdef LEFT_FREE
        :: s == 1 && g == 2 -> x[2] = false
#else
        :: s == 1 && g == 2 -> dead = true; x[2] = false
#endif
        :: else
        fi;
        holder[g] = FREE; epoch[g]++
    :: else
    fi
}
proctype Late(byte s) {                                 /* steps on their way */
end: do
    :: atomic { sent[s] && IS_STEP(s, 0) -> step(s, 0) }
    :: atomic { sent[s] && IS_STEP(s, 1) -> step(s, 1) }
    :: atomic { sent[s] && IS_STEP(s, 2) -> step(s, 2) }
    :: atomic { s == 0 && fill && IS_FILL -> x[2] = fill_x; if :: fill = false :: skip fi }
    od
}
/* Everyone's way past another's lease. */
inline free_group(g) {
    if
    :: atomic { holder[g] == FREE }
    :: atomic { holder[g] != FREE && alive[holder[g]] && !busy[holder[g]] -> holder[g] = FREE; epoch[g]++ }
    :: atomic { holder[g] != FREE && !alive[holder[g]] -> d = holder[g] };
#ifndef NO_FINISH
        if :: intent[d] -> atomic { step(d, 0) }; atomic { step(d, 1) }; atomic { step(d, 2) } :: else fi;
#endif
        atomic { if :: holder[g] == d -> holder[g] = FREE; epoch[g]++ :: else fi; d = 0 }
    fi
}
inline take(s, g) {
    do
    :: atomic { !alive[s] -> goto stop }
    :: atomic { alive[s] && holder[g] == FREE -> holder[g] = s; epoch[g]++; at[s*3+g] = epoch[g]; break }
    :: atomic { alive[s] && holder[g] != FREE -> skip }; free_group(g)
    od
}
proctype Splitter() {
    byte d; bool saw;
#ifdef READ_FIRST
    saw = x[1];
#endif
    busy[0] = true;
    take(0, 0); take(0, 1);
#ifndef READ_FIRST
    atomic { if :: holder[1] == 0 && epoch[1] == at[1] -> saw = x[1] :: else -> goto stop fi };
#endif
    atomic { exists[2] = true; holder[2] = 0; epoch[2] = 1; at[2] = 1;
#ifndef FILL_LATE
             x[2] = saw;
#endif
             fill_x = saw; fill = true };
    atomic {
#ifndef NO_ALIVE
        if :: !alive[0] -> goto stop :: else fi;
#endif
        intent[0] = true };
    atomic { sent[0] = true };
#ifdef FILL_LATE
    atomic { if :: holder[2] == 0 && epoch[2] == 1 -> x[2] = saw :: else fi };
#endif
    atomic { epoch[0] != at[0] && epoch[1] != at[1] && epoch[2] != at[2] -> if :: alive[0] -> intent[0] = false :: else fi };
stop: busy[0] = false
}
proctype Merger() {
    byte d;
end: map;
#ifdef MERGE_FIRST
    moved[1] = x[2];
#endif
    busy[1] = true;
    take(1, 0); take(1, 1); take(1, 2);
#ifdef MERGE_FIRST
    atomic { if :: holder[2] == 1 && epoch[2] == at[5] && map && is_cut :: else -> goto stop fi };
#else
    atomic { if :: holder[2] == 1 && epoch[2] == at[5] && map && is_cut -> moved[1] = x[2] :: else -> goto stop fi };
#endif
    atomic { if :: !alive[1] -> goto stop :: else fi; intent[1] = true };
    sent[1] = true;
    atomic { epoch[0] != at[3] && epoch[1] != at[4] && epoch[2] != at[5] -> if :: alive[1] -> intent[1] = false :: else fi };
stop: atomic { busy[1] = false;                         /* what no intent gave away is let go, if it is still its own */
        if :: alive[1] && !sent[1] -> if :: holder[0] == 1 -> holder[0] = FREE; epoch[0]++ :: else fi;
                                     if :: holder[1] == 1 -> holder[1] = FREE; epoch[1]++ :: else fi;
                                     if :: holder[2] == 1 -> holder[2] = FREE; epoch[2]++ :: else fi
           :: else fi }
}
#ifdef EARLY_PURGE
proctype Purger() {
end: atomic { dead -> exists[2] = false }
}
#endif
#define COVERS(g) (exists[g] && ((g == 1 && !is_cut) || (g == 2 && !dead)))
proctype Client(byte c) {
    byte d; byte g = 1; byte e; bool saw; byte n;
    if :: skip :: goto heal fi;                         /* it knows the whole range, or asks for the map */
again: do
    :: n < OPS ->
        atomic {
            if
#ifndef TRUST_MAP
            :: !COVERS(g) && holder[g] == FREE -> goto heal
            :: !exists[g] -> goto heal
#endif
            :: else -> skip
            fi };
        free_group(g);
        atomic {
            if
#ifndef TRUST_MAP
            :: holder[g] != FREE || !COVERS(g) -> goto again
#else
            :: holder[g] != FREE || !exists[g] -> goto again
#endif
            :: else
            fi;
            e = epoch[g]; saw = x[g]; assert(saw == is_there) };    /* a look-up */
        atomic {
            if
#ifdef NO_GUARD
            :: exists[g] && x[g] == saw ->
#else
            :: exists[g] && holder[g] == FREE && epoch[g] == e && x[g] == saw ->
#endif
                assert(is_there == saw); x[g] = !saw; is_there = !saw; n++;
                if :: skip :: unsettled[c] = true fi            /* the answer is lost */
            :: else -> goto again
            fi };
        if
        :: atomic { unsettled[c] -> assert(exists[g]); unsettled[c] = false }  /* its lane is read where the change went */
        :: atomic { !unsettled[c] }
        fi
    :: n == OPS -> break
    od;
    goto over;
heal: free_group(0);
    atomic { if :: holder[0] == FREE -> g = 1 + map; goto again :: else -> goto heal fi };
over: skip
}
proctype Death() { if :: alive[0] = false :: skip fi; if :: alive[1] = false :: skip fi }
init {
    atomic { exists[0] = true; exists[1] = true; if :: x[1] = true; is_there = true :: skip fi;
             run Splitter(); run Merger(); run Late(0); run Late(1); run Client(0); if :: CLIENTS > 1 -> run Client(1) :: else fi; run Death() };
#ifdef EARLY_PURGE
    run Purger();
#endif
end: timeout ->
    atomic { if :: holder[0] == FREE && holder[1] == FREE && (holder[2] == FREE || !map) ->
                    assert(((x[1] && !is_cut) + (map && x[2])) == is_there); assert(map == is_cut) :: else fi }
}
