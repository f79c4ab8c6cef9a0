/* Directory moves that cross: /1 below /2/3 while /2 goes below /1.
 * Code: fs/meta/ops/rename_across.cc (volume.move).
 *
 * quick:
 * full:
 * Break: each of these must give a counterexample:
 *   -DNO_LEASE     no volume lease                                 (both moves happen: a loop, all below is lost)
 *   -DWALK_FIRST   ancestors are walked before the lease is held   (the walk is stale)
 *   -DNO_ALIVE     the intent is not guarded on the session being alive (a move by who woke up after its death)
 *   -DNO_FINISH    the lease of a dead session is taken without finishing its intent (the walk misses a move)
 *   -DEARLY        the lease is let go before the steps are done   (the same, with everybody alive)
 *
 * Sessions 0 and 1 move; either may stop anywhere.  Session 2 declares silent ones dead and moves /3 below /1.
 * Group leases are rename.pml's subject: here a step is guarded on the moved directory's epoch alone. */
#define FREE 255
byte parent[4];                                         /* in each directory's header; /3 starts below /2 */
byte epoch[4];                                          /* of the directory's header */
byte holder = FREE;                                     /* the volume lease */
bool alive[3] = true; bool intent[3];
byte moved[3]; byte below[3]; byte at_epoch[3];
bool working[3];                                        /* does not let go of the volume lease */

inline step(s) { if :: epoch[moved[s]] == at_epoch[s] -> parent[moved[s]] = below[s]; epoch[moved[s]]++ :: else fi }
inline check_tree() {                                   /* from everywhere the root is three steps away at most */
    assert(parent[parent[parent[1]]] == 0 && parent[parent[parent[2]]] == 0 && parent[parent[parent[3]]] == 0) }
inline walk() {                                         /* one read of the store at a time */
    at = into;
    do :: atomic { at == what -> loop = true; break } :: atomic { at == 0 -> break }
       :: atomic { at != what && at != 0 -> at = parent[at] } od }

proctype Network(byte s) {                              /* a step that arrives late, and again */
end: do :: atomic { intent[s] -> step(s); check_tree() } od
}
proctype Mover(byte s; byte what; byte into) {
    byte at; bool loop; byte d; byte e;
    if :: s == 2 -> if :: alive[0] = false :: skip fi; if :: alive[1] = false :: skip fi :: else fi;
    working[s] = true;
#ifdef WALK_FIRST
    walk();
#endif
#ifndef NO_LEASE
    do
    :: atomic { !alive[s] -> goto out }
    :: atomic { alive[s] && holder == FREE -> holder = s; break }
    :: atomic { alive[s] && holder != FREE && alive[holder] && !working[holder] -> holder = FREE }   /* recalled */
    :: atomic { holder != FREE && !alive[holder] -> d = holder };
#ifndef NO_FINISH
       atomic { if :: intent[d] -> step(d); check_tree() :: else fi };
#endif
       atomic { if :: holder == d -> holder = s; break :: else fi }
    od;
#endif
    e = epoch[what];                                    /* the header's lease is held from here */
#ifndef WALK_FIRST
    walk();
#endif
    if :: loop -> goto out :: else fi;                  /* EINVAL, or ELOOP's cousin: refused */
    atomic { moved[s] = what; below[s] = into; at_epoch[s] = e };
    atomic {
#ifndef NO_ALIVE
        if :: !alive[s] -> goto out :: else fi;
#endif
        intent[s] = true };                             /* the commit point */
#ifdef EARLY
    working[s] = false;
#endif
    atomic { step(s); check_tree() };
    atomic { if :: alive[s] -> intent[s] = false :: else fi };
out: working[s] = false
}
init { atomic { parent[3] = 2; run Network(0); run Network(1); run Network(2);
                run Mover(0, 1, 3); run Mover(1, 2, 1); run Mover(2, 3, 1) } }
