/* What is unlinked and open somewhere: who purges it, and when.
 * Code: fs/meta/ops/purge.cc, ops/opened.cc, open_files.cc, session_broadcast.cc (ask_everybody), ops/publish.cc (O_TMPFILE).
 *
 * quick:
 * full:
 * Break: each of these must give a counterexample:
 *   -DLOOK_FIRST     open looks for the name, then enters the table (bytes of an open file go)
 *   -DNO_ASK         nobody is asked                                (the same)
 *   -DASK_FIRST      all are asked before the name is gone          (the same)
 *   -DSILENT_NO      who does not answer in time has it not open    (the same)
 *   -DOLD_REGISTRY   sessions are those of before the name went     (the same, of one that joined)
 *   -DNO_COMMIT      bytes go while the unlink is in memory only    (a crash brings back a name without bytes)
 *   -DRECORD_FIRST   u<number> goes before the bytes                (a crash leaves bytes that nothing leads to)
 *   -DNO_WANTED      who closes last does not purge what was wanted (nobody does, if who asked died)
 *   -DNO_AGAIN       who is told "open" does not ask again          (nobody does, if who has it open dies)
 *   -DLOOK_ONCE      u<number> is not read again after the answers  (a file of O_TMPFILE that was named and closed meanwhile
 *                    loses its bytes).  So the code did once: README.md, "Found", 3
 *
 * Session 0 has the group of the file for itself: it unlinks the name in memory, writes that later, and purges.  Sessions 1 and
 * 2 open and close the file; 2 joins late.  Or (is_unnamed) the file was made by session 1 without a name (O_TMPFILE), which gives
 * it one, or not, and closes it, while gc of session 0 has found u<number>.   0 or 1 may die anywhere.  A question is
 * answered at the moment it arrives; who was told "open", or nothing, asks again. */
/* In the store. */
bool name = true; bool u; bool bytes = true;
bool joined[3]; bool dead[3];
bool is_unnamed;
/* In memory. */
bool unlinked;                                          /* by session 0, and not written yet */
bool table[3]; bool wanted[3]; bool has_open[3]; bool due[3];   /* due: it shall look at u */
bool told[3];                                           /* somebody was told that it has it open */
bool early_open; bool early_joined[3];                  /* before the name went: for ASK_FIRST, OLD_REGISTRY */

inline check() {
    assert(bytes || !((has_open[0] && !dead[0]) || (has_open[1] && !dead[1]) || (has_open[2] && !dead[2])));
    assert(bytes || !name);
    assert(!bytes || u || name)                         /* something leads to the bytes */
}
#ifdef OLD_REGISTRY
#define IS_ASKED(i) early_joined[i]
#else
#define IS_ASKED(i) joined[i]
#endif

inline ask(s, i) {                                      /* one question, one answer */
    if
    :: i == s || no_answer
    :: atomic { i != s && !no_answer && !IS_ASKED(i) -> skip }
    :: atomic { i != s && !no_answer && IS_ASKED(i) && dead[i] -> skip }
    :: atomic { i != s && !no_answer && IS_ASKED(i) && !dead[i] ->
            if :: table[i] -> wanted[i] = true; told[i] = true; is_open = true :: else fi }
    :: atomic { i != s && !no_answer && IS_ASKED(i) && !dead[i] ->     /* silent: nothing is known */
#ifndef SILENT_NO
            no_answer = true
#endif
       }
    fi
}
proctype Purger(byte s) {
    bool is_open; bool no_answer;
end: do
    :: atomic { due[s] && !dead[s] -> due[s] = false };
#ifndef NO_COMMIT
       atomic { if :: s == 0 && unlinked && !dead[s] -> unlinked = false; name = false; u = true; check() :: else fi };
#endif
       atomic { if :: !u && !(s == 0 && unlinked) -> goto over :: else fi };
       atomic { if :: table[s] -> wanted[s] = true; goto over :: else fi };     /* looked at again when it is closed here */
#ifdef ASK_FIRST
       is_open = early_open;
#else
#ifndef NO_ASK
       ask(s, 0); ask(s, 1); ask(s, 2);
#endif
#endif
       if
       :: atomic { no_answer -> due[s] = true }
       :: atomic { !no_answer && is_open ->
#ifndef NO_AGAIN
            due[s] = true
#endif
          }
       :: atomic { !no_answer && !is_open ->
#ifndef LOOK_ONCE
            if :: !u && !(s == 0 && unlinked) -> goto over :: else fi
#endif
          };
#ifdef RECORD_FIRST
          atomic { if :: !dead[s] -> u = false; check() :: else fi };
#endif
          atomic { if :: !dead[s] -> bytes = false; check() :: else fi };
          atomic { if :: !dead[s] -> u = false; check() :: else fi }
       fi;
over:  atomic { is_open = false; no_answer = false }
    od
}
proctype Unlinker() {                                   /* session 0 */
end: atomic { !dead[0] ->
        early_open = table[1] || table[2];
        early_joined[0] = joined[0]; early_joined[1] = joined[1]; early_joined[2] = joined[2] };
end2: atomic { !dead[0] -> unlinked = true; due[0] = true };
    if
    :: atomic { unlinked && !dead[0] -> unlinked = false; name = false; u = true; check() }     /* a commit */
    :: !unlinked || dead[0]
    fi
}
#define HAS_NAME (name && (!unlinked || dead[0]))       /* what is in memory, its holder answers for, until it is dead */
inline close(s) {
    atomic { has_open[s] = false; table[s] = false;
#ifndef NO_WANTED
             if :: wanted[s] -> due[s] = true :: else fi;
#endif
             wanted[s] = false }
}
proctype Opener(byte s) {
    bool saw;
    joined[s] = true;
#ifdef LOOK_FIRST
    saw = HAS_NAME;
    atomic { if :: saw -> table[s] = true; has_open[s] = true; check() :: else -> goto out fi };
#else
    table[s] = true;
    atomic { if :: HAS_NAME && !dead[s] -> has_open[s] = true; check() :: else fi };
    if :: !has_open[s] -> close(s); goto out :: else fi;
#endif
    close(s);
out: skip
}
proctype Maker() {                                      /* session 1: O_TMPFILE, link, close */
    if :: atomic { !dead[1] -> name = true; u = false; check() } :: skip fi;
    close(1);
}
proctype Death() { if :: dead[0] = true :: dead[1] = true :: skip fi }
init {
    atomic {
        joined[0] = true; run Purger(0); run Purger(1); run Death();
        if
        :: is_unnamed = true; name = false; u = true; joined[1] = true; table[1] = true; has_open[1] = true; due[0] = true; due[1] = true;
                early_joined[0] = true; early_joined[1] = true;
                run Maker()
        :: run Unlinker(); run Opener(1); run Opener(2); run Purger(2)
        fi
    };
end: timeout ->
    /* At rest: what has no name and is open nowhere is gone, if who asked or who was asked lives. */
    atomic { if :: u && !(has_open[1] && !dead[1]) && !(has_open[2] && !dead[2]) ->
                    assert(dead[0]); assert(!told[1] || dead[1]); assert(!told[2]) :: else fi }
}
