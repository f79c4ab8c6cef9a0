/* One group, its lease, and mounts that freeze at any moment.
 * Code: fs/meta/session.cc, session_judge.cc, held_groups.cc.  S and its break are not built yet: shared.pml.
 *
 * quick: -DEPOCHS=3 -DVALUES=1
 * guards: -DEPOCHS=4 -DVALUES=1
 * full:  -DEPOCHS=5 -DVALUES=2
 * Break: each of these must give a counterexample:
 *   -DNO_GUARD       a batch is not guarded on the lease             (late batch of a dead mount lands)
 *   -DNO_RAISE -DVALUES=2  a batch does not raise the epoch          (a second copy lands after a newer batch)
 *   -DNO_WINDOW      answers under X without looking at the clock    (a woken mount serves what is no longer so)
 *   -DREPLY_WINDOW   S counts from the reply, not from the sending   (a late reply is served too long)
 *   -DNO_WAIT        S is broken without waiting                     (others still serve the old names)
 *   -DSHORT_T        death is declared after T/2, not after T
 *   -DNO_BEAT_GUARD  death is declared without comparing the beat    (a mount that lives is declared dead)
 *   -DOLD_CACHE      under X, trusts what was read before X was taken
 *
 * Time is a tick that may come at any moment.  A window ends at the first tick, or at the second where the
 * mount's clock is slow; a wait of 2 ends at the second.  Every process may stand still for any number of
 * ticks (SIGSTOP, swap, a slow store); a batch on its way may be applied at any later time, and twice.
 */
#ifndef N
#define N 2
#endif
#ifndef VALUES
#define VALUES 2
#endif
#ifndef EPOCHS
#define EPOCHS 5
#endif
#ifdef SHORT_T
#define T 1
#else
#define T 2
#endif
#ifdef NO_WAIT
#define BREAK 0
#else
#define BREAK 2
#endif
mtype = { F, X, S, B };           /* free, exclusive, shared, breaking */

/* In the store. */
mtype kind = F; byte holder; byte epoch; byte stored;   /* the group: its lease, and a value (its names) */
bool alive[N]; byte beat[N];                            /* session objects */

/* What is true: the value every reader must get; the newest one promised durable. */
byte now_value; byte acked; byte next = 1;

/* Each mount's memory. */
bool has_x[N]; byte my_epoch[N]; byte mem[N]; bool dirty[N];
bool has_s[N]; byte cached[N]; byte seen[N];
bool gone[N];                                           /* has learnt that its session is dead */

/* Clocks: what is left, in ticks (windows begin with 1, waits with T and BREAK). */
bool slow[N];
byte window[N]; byte beat_sent[N]; byte s_window[N]; byte s_sent[N]; byte judge[N]; byte breaker[N];

/* A batch on its way (two copies at most), and its answer: 0 none, 1 done, 2 guard failed. */
bool way[N]; byte way_epoch[N]; byte way_value[N];
bool way2[N]; byte way2_epoch[N]; byte way2_value[N];
byte answer[N]; bool waiting[N];

inline apply(i, e, x, first) {
#ifdef NO_GUARD
    stored = x; if :: first -> answer[i] = 1 :: else fi
#else
    if
    :: kind == X && holder == i && epoch == e ->
        stored = x;
#ifndef NO_RAISE
        epoch = epoch + 1;
#endif
        if :: first -> answer[i] = 1 :: else fi
    :: else -> if :: first -> answer[i] = 2 :: else fi
    fi
#endif
}
inline lose(i) { gone[i] = true; has_x[i] = false; has_s[i] = false; dirty[i] = false; waiting[i] = false }

proctype Network(byte i) {
end: do
    :: atomic { way[i] -> apply(i, way_epoch[i], way_value[i], true); way[i] = false; way_epoch[i] = 0; way_value[i] = 0 }
    :: atomic { way2[i] -> apply(i, way2_epoch[i], way2_value[i], false); way2[i] = false; way2_epoch[i] = 0; way2_value[i] = 0 }
    od
}
active proctype Clock() {
    byte i;
end: do
    :: atomic { i = 0;
        do
        :: i < N ->
            if                                          /* a slow clock: at most every second tick is missed */
            :: !slow[i] && (window[i] || beat_sent[i] || s_window[i] || s_sent[i]) -> slow[i] = true
            :: slow[i] = false; window[i] = 0; beat_sent[i] = 0; s_window[i] = 0; s_sent[i] = 0
            fi;
            if :: judge[i] -> judge[i]-- :: else fi; if :: breaker[i] -> breaker[i]-- :: else fi;
            i++
        :: else -> break
        od; i = 0 }
    od
}

/* The heart: sends a beat; the store takes it later, if the session still lives; then the window moves. */
proctype Heart(byte i) {
    do
    :: atomic { !gone[i] && beat[i] < 2 -> beat_sent[i] = 1 };
       atomic { if :: alive[i] -> beat[i]++ :: else -> lose(i); goto end fi };
       atomic { window[i] = beat_sent[i]; beat_sent[i] = 0 }
    :: gone[i] || beat[i] >= 2 -> break
    od;
end: skip
}

proctype Mount(byte i) {
    byte jb; byte b_epoch; byte j = 1 - i;
end: do
    :: atomic { gone[i] -> break }
#ifdef OLD_CACHE   /* a read in the store, kept only to be misused */
    :: atomic { !gone[i] && !has_x[i] && kind == F && seen[i] != stored -> assert(stored == now_value); seen[i] = stored }
#endif
    /* X, taken from free; the content is read after the taking. */
    :: atomic { !gone[i] && kind == F && epoch < EPOCHS && window[i] ->
            kind = X; holder = i; epoch++; my_epoch[i] = epoch; has_x[i] = true; has_s[i] = false;
#ifdef OLD_CACHE
            mem[i] = seen[i]
#else
            mem[i] = stored
#endif
       }
    /* Answers from memory under X: a read, and a change. */
#ifdef NO_WINDOW
#define VALID(i) true
#else
#define VALID(i) window[i]
#endif
    :: atomic { !gone[i] && has_x[i] && VALID(i) -> assert(kind == X && holder == i); assert(mem[i] == now_value) }
    :: atomic { !gone[i] && has_x[i] && VALID(i) && next <= VALUES && !waiting[i] ->
            assert(kind == X && holder == i); mem[i] = next; now_value = next; next++; dirty[i] = true }
    /* fsync: the batch goes out, perhaps in two copies; the answer. */
    :: atomic { has_x[i] && dirty[i] && !waiting[i] && !way[i] ->
            way[i] = true; way_epoch[i] = my_epoch[i]; way_value[i] = mem[i]; waiting[i] = true; answer[i] = 0;
            if :: !way2[i] -> way2[i] = true; way2_epoch[i] = my_epoch[i]; way2_value[i] = mem[i] :: skip fi }
    :: atomic { waiting[i] && answer[i] == 1 -> waiting[i] = false; dirty[i] = false;
#ifndef NO_RAISE
            my_epoch[i] = my_epoch[i] + 1;
#endif
            if :: acked < mem[i] -> acked = mem[i] :: else fi; answer[i] = 0 }
    :: atomic { waiting[i] && answer[i] == 2 -> answer[i] = 0; 
            if :: kind == X && holder == i && epoch == my_epoch[i] + 1 ->   /* the other copy did it */
                    waiting[i] = false; dirty[i] = false; my_epoch[i] = epoch; acked = mem[i]
               :: else -> lose(i)
            fi }
    /* Recalled: nothing dirty, nothing on its way known to be needed. */
    :: atomic { has_x[i] && !dirty[i] && !waiting[i] && epoch < EPOCHS ->
            if :: kind == X && holder == i && epoch == my_epoch[i] -> kind = F; epoch++; has_x[i] = false :: else -> lose(i) fi }
    /* S: anyone makes it so; a read that finds it so may be kept for a window from its sending. */
    :: atomic { !gone[i] && kind == F && epoch < EPOCHS -> kind = S; epoch++ }
    :: atomic { !gone[i] && kind == S && !has_s[i] && !has_x[i] -> s_sent[i] = 1 };
       atomic { if :: kind == S -> cached[i] = stored; has_s[i] = true :: else fi };
       atomic { if :: has_s[i] ->
#ifdef REPLY_WINDOW
            s_window[i] = 1
#else
            s_window[i] = s_sent[i]
#endif
            :: else fi; s_sent[i] = 0 }
    :: atomic { has_s[i] && s_window[i] -> assert(cached[i] == now_value) }
    :: atomic { has_s[i] && !s_window[i] -> has_s[i] = false }
    /* Breaking: anyone marks; anyone who has seen the mark for the whole wait finishes. */
    :: atomic { !gone[i] && kind == S && epoch < EPOCHS && next <= VALUES -> kind = B; epoch++ }
    :: atomic { !gone[i] && kind == B && b_epoch != epoch -> b_epoch = epoch; breaker[i] = BREAK }
    :: atomic { !gone[i] && kind == B && b_epoch == epoch && !breaker[i] && epoch < EPOCHS -> kind = F; epoch++; b_epoch = 0 }
    /* Judging the holder: the same beat for T, then a guarded write; then the lease is taken away. */
    :: atomic { !gone[i] && kind == X && holder == j && alive[j] && (jb != beat[j] + 1) -> jb = beat[j] + 1; judge[i] = T }
    :: atomic { !gone[i] && kind == X && holder == j && alive[j] && jb && !judge[i] ->
#ifdef NO_BEAT_GUARD
            alive[j] = false
#else
            if :: jb == beat[j] + 1 -> alive[j] = false :: else fi
#endif
            ; jb = 0 }
    :: atomic { !gone[i] && kind == X && holder == j && !alive[j] && epoch < EPOCHS ->
            kind = F; epoch++; now_value = stored; assert(stored >= acked) }
    od
}
/* What was promised is in the store or, newer, on top of it. */
active proctype Durable() { end: do :: atomic { stored < acked -> assert(false) } od }
init { atomic { byte i; for (i : 0 .. N-1) { alive[i] = true; run Network(i); run Heart(i); run Mount(i) } } }
