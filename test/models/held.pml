/* How held groups are written: what is unborn first, whole, then a batch of each group.
 * Code: fs/meta/held_flush.cc (flush_in_turn, insist, finish), fs/meta/held_groups.cc (take, let_go).
 *
 * quick: -DPARENTS=1 -DCHILDS=1 -DTURNS=2
 * guards: -DPARENTS=1 -DCHILDS=2 -DTURNS=2
 * full:  -DPARENTS=2 -DCHILDS=2 -DTURNS=3 -DBOTH
 * Break: each of these must give a counterexample:
 *   -DONE_WAVE       births and batches are sent at once           (a name without a group)
 *   -DBIRTHS_FIRST   what is unborn is looked for before the batches are frozen      (the same)
 *   -DNO_STOP        batches are sent although a birth failed                        (the same)
 *   -DNO_BIRTHS      a free group is changed without writing births first            (the same)
 *   -DNO_GUARD       a batch is not guarded on the lease           (what a dead mount had sent lands on another's)
 *   -DNO_RAISE       a batch does not raise the epoch              (its second copy lands on a newer one)
 *   -DANY_LEASE      a batch is sent again whoever has the lease   (a mount that was declared dead overwrites)
 *   -DNO_INSIST      a lost answer counts as "it is written"       (fsync lies)
 *   -DNO_ABSENT      a birth is not guarded on absence             (its second copy undoes what was written since)
 *   -DNO_PUT_BACK    what a failed batch had is not written again  (fsync lies)
 *   -DNO_FLUSH       who lets go does not write first              (what was answered is gone)
 *   -DOLD_TURN       fsync is told how the flush under way went    (it had been frozen before)
 *   -DKEEPS_REMOVED  a birth that is sent again says what is there, and not what is gone since the first try (a name that
 *                    was removed, and fsynced, is back).  So the code did once: README.md, "Found", 2
 *
 * One mount holds P, which is in the store, makes C and names it in P; it changes both: P's record is a name of C that is
 * renamed again and again, C's a name that comes (odd changes) and goes (even ones).  Whatever is sent may arrive at any later
 * time, twice, or never; the mount may be declared dead, and stop, at any moment; another then takes P and C over.  Or
 * it recalls P.  Windows and the wait of T are lease.pml's subject: a mount that is dead answers and changes nothing. */
#ifndef PARENTS
#define PARENTS 3                                       /* changes of P: each names C */
#endif
#ifndef CHILDS
#define CHILDS 3                                        /* changes of C */
#endif
#ifndef TURNS
#define TURNS 4                                         /* flushes */
#endif
#ifndef TRIES
#define TRIES 1                                         /* of sending one batch again */
#endif
#define P 0
#define C 1
#define OTHERS 9                                        /* what another wrote who took a group over */

/* In the store. */
bool exists[2]; byte holder[2]; byte epoch[2]; byte stored[2];  /* holder: 0 nobody, 1 the mount, 2 another; the last change */
bool alive = true;

/* In the mount's memory. */
bool held[2]; byte my_epoch[2]; byte mem[2]; bool dirty[2]; bool unborn; bool is_letting_go; bool was_recalled;
byte turns;                                             /* flushes begun */

/* What was promised. */
byte acked[2]; bool taken[2];

/* What is on its way: of P, of C, and one older copy of either. */
mtype = { nothing, birth, batch };
mtype way[3] = nothing; byte way_epoch[3]; byte way_change[3]; bool way_none[3]; byte old_of = 2;
#define OLD 2
mtype = { none, ok, refused };
mtype answer[2] = none; bool waits[2];

/* A frozen batch of each group. */
mtype frozen[2] = nothing; byte frozen_epoch[2]; byte frozen_change[2]; bool frozen_none[2];

#ifdef NO_GUARD
#define LEASE_IS(g, m) exists[g]
#else
#define LEASE_IS(g, m) (exists[g] && holder[g] == 1 && epoch[g] == way_epoch[m])
#endif
#ifdef NO_ABSENT
#define ABSENT(g) true
#else
#define ABSENT(g) !exists[g]
#endif
#ifdef NO_RAISE
#define RAISE 0
#else
#define RAISE 1
#endif
inline check() { assert(!stored[P] || exists[C]) }      /* a name leads to a living group */
inline forget(m) { way[m] = nothing; way_epoch[m] = 0; way_change[m] = 0; way_none[m] = false }
inline keep(g) { way[OLD] = way[g]; way_epoch[OLD] = way_epoch[g]; way_change[OLD] = way_change[g]; way_none[OLD] = way_none[g]; old_of = g }
inline take_effect(g, m) {
    if
    :: way[m] == birth && ABSENT(g) ->
        if :: !exists[g] -> holder[g] = 1; epoch[g] = 1 :: else fi;
        exists[g] = true; stored[g] = way_change[m]; r = ok
    :: way[m] == batch && LEASE_IS(g, m) ->
        if :: way_none[m] && stored[g] % 2 == 1 :: else -> stored[g] = way_change[m] fi; epoch[g] = epoch[g] + RAISE; r = ok
    :: else -> r = refused
    fi;
    assert(stored[g] >= acked[g]);
    assert(!taken[g] || stored[g] == OTHERS);
    check();
    if
    :: m == OLD -> forget(OLD); old_of = 2
    :: m != OLD && waits[g] -> answer[g] = r; waits[g] = false; forget(m)
    :: m != OLD -> if :: old_of == 2 -> keep(g) :: true fi; forget(m)           /* not heard of, and perhaps it comes once more */
    fi;
    r = none
}
proctype Network() {
    mtype r = none;
end: do
    :: atomic { way[P] != nothing -> take_effect(P, P) }
    :: atomic { way[C] != nothing -> take_effect(C, C) }
    :: atomic { way[OLD] != nothing && old_of == P -> take_effect(P, OLD) }
    :: atomic { way[OLD] != nothing && old_of == C -> take_effect(C, OLD) }
    od
}
inline send(g) {
    if :: way[g] != nothing && old_of == 2 -> keep(g) :: else fi;
    way[g] = frozen[g]; way_epoch[g] = frozen_epoch[g]; way_change[g] = frozen_change[g]; way_none[g] = frozen_none[g];
    waits[g] = true; answer[g] = none
}
inline thaw(g) { frozen[g] = nothing; frozen_epoch[g] = 0; frozen_change[g] = 0; frozen_none[g] = false }
inline freeze(g) {
    if :: held[g] && dirty[g] && !(g == C && unborn) ->
            frozen[g] = batch; frozen_epoch[g] = my_epoch[g]; frozen_change[g] = mem[g]; dirty[g] = false :: else fi
}
inline freeze_birth() {
    if :: unborn -> frozen[C] = birth; frozen_change[C] = mem[C]; dirty[C] = false;
#ifdef KEEPS_REMOVED
            frozen_none[C] = (mem[C] % 2 == 0)
#endif
       :: else fi
}
inline lose(g) { held[g] = false; dirty[g] = false; if :: g == C -> unborn = false :: else fi; thaw(g) }
inline finish_ok(g) {
    if :: frozen[g] == birth -> my_epoch[g] = 1 :: else -> my_epoch[g] = frozen_epoch[g] + RAISE fi;
    if :: g == C -> unborn = false :: else fi;
    thaw(g)
}
inline put_back(g) {                                    /* what an unborn group has is taken whole the next time */
#ifndef NO_PUT_BACK
    dirty[g] = true;
#endif
    thaw(g)
}
/* Waits for what was sent of g; a lost answer: looks whose it is and sends it again, or gives up. */
inline insist(g) {
    tries = 0;
    do
    :: frozen[g] == nothing -> break
    :: atomic { frozen[g] != nothing && answer[g] == ok -> answer[g] = none; finish_ok(g); break }
#ifdef NO_INSIST
    :: atomic { frozen[g] != nothing && waits[g] -> waits[g] = false; finish_ok(g); break }
#endif
    :: atomic { frozen[g] != nothing && (answer[g] == refused || waits[g]) -> answer[g] = none; waits[g] = false; /* refused, or ETIMEDOUT */
            if
            :: !exists[g] && frozen[g] == birth && tries < TRIES -> tries++; send(g)
            :: !exists[g] && frozen[g] != birth -> lose(g); went_well = false; break
#ifdef ANY_LEASE
            :: exists[g] && tries < TRIES -> tries++;
#else
            :: exists[g] && holder[g] != 1 -> lose(g); went_well = false; break
            :: exists[g] && holder[g] == 1 && tries < TRIES -> tries++;
#endif
                    frozen[g] = batch; frozen_epoch[g] = epoch[g];
#ifdef ANY_LEASE
                    holder[g] = 1;
#endif
                    send(g)
            :: put_back(g); went_well = false; break    /* all tries are made, and the store has not said */
            fi }
    od
}
proctype Flusher() {                                    /* one flush at a time */
    bool went_well; bool is_birth; byte tries; byte want[2];
    do
    :: turns < TURNS ->
#ifdef BIRTHS_FIRST
        atomic { turns++; went_well = true; want[P] = mem[P]; want[C] = mem[C]; freeze_birth() };
        atomic { freeze(P); freeze(C); is_birth = (frozen[C] == birth); if :: is_birth -> send(C) :: else fi };
#else
        atomic { turns++; went_well = true; want[P] = mem[P]; want[C] = mem[C]; freeze(P); freeze(C) };
        atomic { freeze_birth(); is_birth = (frozen[C] == birth); if :: is_birth -> send(C) :: else fi };
#endif
        if
#ifndef ONE_WAVE
        :: is_birth -> insist(C)
#endif
        :: else
        fi;
        atomic {
#ifndef NO_STOP
            if :: !went_well && frozen[P] != nothing -> put_back(P) :: else fi;
#endif
            if :: frozen[P] != nothing -> send(P) :: else fi;
            if :: frozen[C] == batch && !is_birth -> send(C) :: else fi
        };
        insist(C); insist(P);
        atomic {                                        /* commit() is told */
#ifdef OLD_TURN
            want[P] = mem[P]; want[C] = mem[C];
#endif
            if :: went_well && held[P] && (held[C] || !want[C]) ->
                    acked[P] = want[P]; acked[C] = want[C]; assert(stored[P] >= acked[P] && stored[C] >= acked[C]) :: else fi;
            want[P] = 0; want[C] = 0; went_well = false; is_birth = false; tries = 0 }
    :: turns == TURNS -> break
    od
}
proctype User() {                                       /* what is answered at once */
    bool made;
end: do
    :: atomic { alive && !made -> made = true; held[C] = true; unborn = true; dirty[C] = true }
    :: atomic { alive && held[C] && mem[P] > 0 && mem[C] < CHILDS -> mem[C]++; dirty[C] = true }
    :: atomic { alive && held[P] && !is_letting_go && held[C] && mem[P] < PARENTS -> mem[P]++; dirty[P] = true }
    :: atomic { alive && !held[P] && was_recalled && holder[P] == 0 && mem[P] < PARENTS && held[C] &&  /* P is free: taken by its first change */
#ifdef NO_BIRTHS
            true ->
#else
            !unborn ->                                  /* once a flush has written it */
#endif
            mem[P]++; stored[P] = mem[P]; holder[P] = 1; epoch[P]++; held[P] = true; my_epoch[P] = epoch[P]; check() }
    od
}
proctype Keeper() {                                     /* P is wanted by another */
end: atomic { held[P] && alive -> is_letting_go = true; was_recalled = true };
end2: atomic {
#ifndef NO_FLUSH
        !dirty[P] && frozen[P] == nothing;              /* once a flush has written it */
#endif
        if :: held[P] && holder[P] == 1 && epoch[P] == my_epoch[P] -> assert(stored[P] == mem[P]); holder[P] = 0; epoch[P]++ :: else fi;
        held[P] = false; dirty[P] = false; is_letting_go = false }
}
proctype Visitor() {                                    /* declares the mount dead; then its groups are taken over, and changed */
    alive = false;
end: atomic { holder[P] == 1 -> holder[P] = 2; epoch[P]++; assert(stored[P] >= acked[P]); check() };
    atomic { if :: exists[C] && stored[P] -> holder[C] = 2; epoch[C]++; assert(stored[C] >= acked[C]); stored[C] = OTHERS; taken[C] = true :: else fi };
    atomic { if :: stored[P] -> stored[P] = OTHERS; taken[P] = true :: else fi }
}
init { atomic { exists[P] = true; holder[P] = 1; epoch[P] = 1; held[P] = true; my_epoch[P] = 1;
                run Network(); run User(); run Flusher();
#ifdef BOTH
                run Keeper(); run Visitor()
#else
                if :: run Keeper() :: run Visitor() :: skip fi
#endif
       } }
