/* Breaking S with acknowledgements: who wants to change a group that others answer from memory.
 * NOT BUILT YET: the code has no S lease.  This is the design (metadata.md, "Leases"), with what it leaves open decided.
 * lease.pml has S and its break by waiting alone; here are the messages that shorten the wait.
 *
 * quick: -DBREAKS=1
 * full:  -DBREAKS=2
 * Break: each of these must give a counterexample:
 *   -DNO_B            the lease stays S until all have acknowledged      (who has acknowledged reads it anew, and keeps that)
 *   -DREGISTRY_FIRST  sessions are those of before B                     (one that joined between is not asked)
 *   -DNO_WAIT         who does not acknowledge is waited for T/2, not T  (its answers are stale)
 *   -DFROM_REPLY      a window counts from the reply, not from the sending of the read    (the same, after T)
 *   -DDEAD_SKIPPED    who is declared dead need not acknowledge          (windows of S outlive it: its last read may have been
 *                     sent just before; only if S answered in the session's own window as well could it be skipped)
 *   -DCACHE_ONLY      an acknowledgement forgets what is kept, not what is being read     (the reply comes after it)
 *   -DANY_ANSWER -DBREAKS=2  an acknowledgement does not say of which break it is                (one of an earlier break counts)
 *   -DENTRY_FIRST     a session that ends leaves the registry before it forgets           (it is not asked, and answers)
 *
 * A window ends at a tick, or, where the clock is slow, at the second; a wait of T ends at the second.  Everybody may stand still
 * at any point, for ever; messages come late or never.  Sessions 0 and 1 read; 1 joins late and may end; either may be declared
 * dead after two ticks without a beat, while its reads go on.  The breaker changes the value and makes the group S again. */
#ifndef BREAKS
#define BREAKS 2
#endif
#ifdef NO_WAIT
#define T 1
#else
#define T 2
#endif
mtype = { S, B, X };
mtype kind = S; byte epoch = 1; byte stored;            /* the group */
bool entry[2]; bool dead[2];                            /* the registry; session objects */
byte now_value;                                         /* what every answer must be */

/* Each reader's memory, and what is left of its windows. */
bool has[2]; byte kept[2]; byte window[2]; byte sent[2]; bool slow[2];
bool reading[2]; byte found[2]; bool is_found[2]; bool is_void[2];
byte silence[2];                                        /* ticks since the last beat: 2 is T */
byte wait;                                              /* of the breaker */

/* The broadcast: a question on its way to each, and the answers. */
byte asked[2]; byte acked[2];                           /* the epoch of the break; 0: none */

active proctype Clock() {
    byte i;
end: do
    :: atomic { i = 0;
        do
        :: i < 2 ->
            if
            :: !slow[i] && (window[i] || sent[i]) -> slow[i] = true
            :: slow[i] = false; window[i] = 0; sent[i] = 0
            fi;
            if :: silence[i] < 2 -> silence[i]++ :: else fi; i++
        :: else -> break
        od; i = 0;
        if :: wait -> wait-- :: else fi }
    od
}
proctype Reader(byte i) {
    entry[i] = true;
end: do
    :: atomic { entry[i] && !dead[i] && silence[i] -> silence[i] = 0 }          /* a beat */
    :: atomic { !has[i] && !reading[i] && entry[i] -> reading[i] = true; sent[i] = 1; is_void[i] = false }
    :: atomic { reading[i] && !is_found[i] && kind == S -> is_found[i] = true; found[i] = stored }     /* at the store */
    :: atomic { reading[i] && !is_found[i] && kind != S -> reading[i] = false; sent[i] = 0 }           /* not to be kept */
    :: atomic { reading[i] && is_found[i] -> reading[i] = false; is_found[i] = false;                  /* the reply */
#ifdef CACHE_ONLY
            has[i] = true;
#else
            has[i] = !is_void[i];
#endif
            if :: has[i] -> kept[i] = found[i];
#ifdef FROM_REPLY
                    window[i] = 1
#else
                    window[i] = sent[i]
#endif
               :: else fi;
            found[i] = 0; sent[i] = 0 }
    :: atomic { has[i] && window[i] -> assert(kept[i] == now_value) }           /* an answer from memory */
    :: atomic { has[i] && !window[i] -> has[i] = false; kept[i] = 0 }
    :: atomic { asked[i] -> has[i] = false; kept[i] = 0; window[i] = 0; is_void[i] = true; acked[i] = asked[i]; asked[i] = 0 }
    :: atomic { i == 1 && entry[i] ->                   /* it ends */
#ifndef ENTRY_FIRST
            has[i] = false; kept[i] = 0; window[i] = 0; is_void[i] = true;
#endif
            entry[i] = false }
    od
}
#ifdef ANY_ANSWER
#define ANSWERED(i) (acked[i] != 0)
#else
#define ANSWERED(i) (acked[i] == e)
#endif
#ifdef DEAD_SKIPPED
#define SKIPPED(i) dead[i]
#else
#define SKIPPED(i) false
#endif
proctype Breaker() {
    byte e; bool must[2]; byte breaks;
end: do
    :: breaks < BREAKS ->
        breaks++;
#ifdef REGISTRY_FIRST
        atomic { must[0] = entry[0]; must[1] = entry[1] };
#endif
        atomic { epoch++; e = epoch; wait = T;
#ifndef NO_B
            kind = B
#endif
        };
#ifndef REGISTRY_FIRST
        atomic { must[0] = entry[0]; must[1] = entry[1] };
#endif
        atomic { if :: must[0] -> asked[0] = e :: else fi; if :: must[1] -> asked[1] = e :: else fi };
end2:   if
        :: atomic { (!must[0] || ANSWERED(0) || SKIPPED(0)) && (!must[1] || ANSWERED(1) || SKIPPED(1)) -> kind = X }
        :: atomic { wait == 0 -> kind = X }
        fi;
        atomic { epoch++; stored++; now_value = stored; must[0] = false; must[1] = false; e = 0; wait = 0 };
        atomic { kind = S; epoch++ }
    :: else -> break
    od
}
proctype Judge() {
end: do
    :: atomic { silence[0] == 2 && entry[0] && !dead[0] -> dead[0] = true }
    :: atomic { silence[1] == 2 && entry[1] && !dead[1] -> dead[1] = true }
    od
}
init { atomic { run Reader(0); run Reader(1); run Breaker(); run Judge() } }
