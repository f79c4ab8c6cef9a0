/* A file moves between two groups by an intent kept in the session object.
 * Code: fs/meta/lease.cc, joint_change.cc, intent.cc, ops/rename_across.cc.
 * The code does away records before the steps that pass leases on, here they come after: both keep them under the leases (UNPIN).
 *
 * quick:
 * full:
 * Break: each of these must give a counterexample:
 *   -DNO_FINISH    leases of a dead session are taken without finishing its intents   (file in no place)
 *   -DNO_RAISE     a step does not raise the epoch         (a repeated step brings back an unlinked file)
 *   -DNO_GUARD     a step is not guarded on the lease      (the same, from a message that comes late)
 *   -DNO_ALIVE     the intent is written without guarding on the session being alive  (promised, never done)
 *   -DNO_ORDER     leases are taken in the order of the arguments, not of the objects (deadlock)
 *   -DBLIND_AWAY   the away record is written without guarding on its old value    (a number leads astray)
 *   -DUNPIN        leases are let go before the away record is in                   (the same)
 *   -DREAD_FIRST   what was read before the leases were taken is trusted              (an unlinked file is moved)
 *
 * Sessions 0 and 1 work: 0 moves the file from group 0 to group 1, 1 moves it back; the mover may then
 * unlink it.  Its number is found by the away record.  Either may stop at any point, for ever or for a while; whatever it has
 * sent arrives at any later time, steps perhaps twice.  Session 2 declares the silent ones dead and, like
 * both others, finishes what they left. */
#define SESSIONS 3
#define FREE 255
#ifdef NO_RAISE
#define RAISE 0
#else
#define RAISE 1
#endif
byte holder[2] = FREE; byte epoch[2]; bool here[2];     /* per group: lease, and whether the file is in it */
bool alive[SESSIONS] = true;                            /* session objects */
bool intent[SESSIONS]; byte from[SESSIONS]; byte from_epoch[SESSIONS]; byte to_epoch[SESSIONS];
bool pinned[SESSIONS];                                  /* works on several groups: does not let go when asked */

byte place;                                             /* truth, as promised: 0, 1, or 2 once unlinked */
#define AGREES (here[0] == (place == 0) && here[1] == (place == 1) && (place == 2 || away == place))

byte away; byte moves; byte old_moves[SESSIONS];        /* the away record: where the file's number leads */
bool way_away[2]; byte way_moves[2]; byte way_to[2];    /* a write of it on its way */
inline note(to, m) {
#ifdef BLIND_AWAY
    away = to
#else
    if :: moves == m -> away = to; moves++ :: else fi
#endif
}

/* Steps on their way: [session * 2 + group], guarded on the epoch, remove or put the file. */
bool way[4]; byte way_epoch[4]; bool way_put[4];

inline step(s, g, e, put) {                             /* one guarded mutation of one group */
#ifdef NO_GUARD
    here[g] = put
#else
    if :: holder[g] == s && epoch[g] == e -> here[g] = put;
#ifndef NO_RAISE
            epoch[g] = epoch[g] + 1
#endif
       :: else
    fi
#endif
}
proctype Network(byte s; byte g) {                      /* steps that arrive late, or a second time */
end: do :: atomic { way[s*2+g] -> step(s, g, way_epoch[s*2+g], way_put[s*2+g]);
            if :: way[s*2+g] = false :: skip fi; } :: atomic { way[s*2+g] -> way[s*2+g] = false }
    :: atomic { g == 0 && way_away[s] -> note(way_to[s], way_moves[s]); way_away[s] = false } od
}
/* Finishes the intent of a dead session: any visitor, several at once, each step by itself. */
inline finish(d) {
#ifndef NO_FINISH
    if :: intent[d] -> 
            atomic { step(d, from[d], from_epoch[d], false) };
            atomic { step(d, (1 - from[d]), to_epoch[d], true) };
            atomic { note((1 - from[d]), old_moves[d]) };
       :: else
    fi
#else
    skip
#endif
}
/* Takes the lease of group g for session s; waits while a living session has it pinned. */
inline take(s, g) {
    do
    :: atomic { !alive[s] -> goto dead }
    :: atomic { alive[s] && holder[g] == s -> break }
    :: atomic { alive[s] && holder[g] == FREE -> holder[g] = s; epoch[g] = epoch[g] + 1; break }
    :: atomic { alive[s] && holder[g] != FREE && holder[g] != s && alive[holder[g]] && !pinned[holder[g]] && !intent[holder[g]] ->
            holder[g] = FREE; epoch[g] = epoch[g] + 1 }              /* recalled, and let go */
    :: atomic { holder[g] != FREE && holder[g] != s && !alive[holder[g]] -> d = holder[g] };
            finish(d);
            atomic { if :: holder[g] == d -> holder[g] = s; epoch[g] = epoch[g] + 1; d = 0; break :: else -> d = 0 fi }
    od
}
proctype Worker(byte s; byte src) {
    byte d; byte dst = 1 - src; bool saw; byte my_epoch[2];
#ifdef READ_FIRST
    saw = here[src];
#endif
    pinned[s] = true;
#ifdef NO_ORDER
    take(s, src); take(s, dst);
#else
    take(s, 0); take(s, 1);
#endif
    my_epoch[0] = epoch[0]; my_epoch[1] = epoch[1];
#ifndef READ_FIRST
    atomic { if :: holder[src] == s && holder[dst] == s -> saw = here[src] :: else -> goto dead fi };
#endif
    if
    :: saw ->
        /* The commit point: one mutation of the own session object, guarded on its being alive. */
        atomic { from[s] = src; old_moves[s] = moves; from_epoch[s] = my_epoch[src]; to_epoch[s] = my_epoch[dst] };
        atomic {
#ifndef NO_ALIVE
            if :: !alive[s] -> goto dead :: else fi;
#endif
            assert(place == src); intent[s] = true; place = dst };   /* rename(2) may return now */
        /* The steps are sent; they arrive when they arrive. */
        atomic { way[s*2+src] = true; way_epoch[s*2+src] = from_epoch[s]; way_put[s*2+src] = false };
        atomic { way[s*2+dst] = true; way_epoch[s*2+dst] = to_epoch[s]; way_put[s*2+dst] = true };
        /* Lost ones are sent again until the epochs say that both are done (or that the lease is lost). */
        atomic { step(s, src, from_epoch[s], false) };
        atomic { step(s, dst, to_epoch[s], true) };
#ifdef UNPIN
        pinned[s] = false; atomic { if :: alive[s] -> intent[s] = false :: else fi };
#endif
        atomic { way_away[s] = true; way_to[s] = dst; way_moves[s] = old_moves[s] };
        atomic { note(dst, old_moves[s]) };
        if
        :: true ->                                     /* goes on working before the intent is cleared: unlink */
            atomic { if :: holder[dst] == s && epoch[dst] == to_epoch[s] + RAISE && here[dst] ->
                         here[dst] = false; epoch[dst] = epoch[dst] + RAISE; place = 2 :: else fi }
        :: true
        fi;
        atomic { if :: alive[s] -> intent[s] = false :: else -> goto dead fi }
    :: else
    fi;
dead: pinned[s] = false
}
/* Declares dead who may be slow, stopped or gone; then needs both groups itself. */
proctype Judge() {
    byte d; byte s = 2;
    if :: alive[0] = false :: alive[1] = false :: skip fi;
    if :: alive[0] = false :: alive[1] = false :: skip fi;
    pinned[s] = true;
    take(s, 0); take(s, 1);
    /* Both are mine and nobody else's: the file is where it was last promised to be. */
    atomic { if :: holder[0] == s && holder[1] == s -> assert(AGREES) :: else fi };
dead: pinned[s] = false
}
init { atomic { here[0] = true; run Network(0,0); run Network(0,1); run Network(1,0); run Network(1,1);
                run Worker(0, 0); run Worker(1, 1); run Judge() };
       /* At rest, with nobody pinning and no intent left: again as promised. */
       _nr_pr == 5 -> atomic { if :: !intent[0] && !intent[1] -> assert(AGREES) :: else fi } }
