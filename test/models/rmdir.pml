/* mkdir, rmdir and create on one name, with crashes between any two steps.
 * Code: fs/meta/ops/mkdir.cc, rmdir.cc, create.cc, group_change.cc.
 *
 * quick: -DTRIES=1 -DMAKERS=1
 * guards: -DTRIES=3 -DMAKERS=2
 * full:  -DTRIES=3 -DMAKERS=2
 * Break: each of these must give a counterexample:
 *   -DNO_GUARD     a create in a free group is not guarded on its lease   (a file in a removed directory)
 *   -DABSENT_FREE  "free" is stored as no xattr at all     (a late create makes the removed group anew)
 *   -DNAME_FIRST   mkdir writes the name before the group                 (a crash leaves a name without a group)
 *   -DNO_EMPTY     rmdir trusts the emptiness it saw before taking X      (an acknowledged file is lost)
 *   -DNO_FINISH    X of a dead session is taken without finishing its intent  (a name of a dead group)
 *   -DNO_PARENT    mkdir's name is not guarded on its absence         (two directories, one lost with all in it)
 *
 * Group 0 is the parent.  The name leads to group 1 at first; a later mkdir makes group 2 or 3. */
#ifndef TRIES
#define TRIES 3                                         /* of each create and mkdir */
#endif
#ifndef MAKERS
#define MAKERS 2                                        /* who make the directory anew */
#endif
#define FREE 255
#define NONE 0
bool exists[4]; bool dead[4]; byte holder[4] = FREE; byte epoch[4];
byte name = 1;                                          /* in group 0: which group it leads to, or NONE */
bool file[4];                                           /* in each group */
bool alive[4] = true; bool intent; byte at[2]; bool pinned; /* session 0, which removes */
bool created; byte created_in; bool removed; byte made; /* truth: what was acknowledged */

inline step(g, e) {                                     /* of the removal: kill the group, or take out its name */
    if :: exists[g] && holder[g] == 0 && epoch[g] == e -> epoch[g]++;
          if :: g == 0 -> name = NONE; holder[0] = FREE
             :: else -> dead[g] = true; holder[g] = FREE; if :: exists[g] = false; :: skip fi  /* purged at once, or later */
          fi
       :: else fi }
inline finish() {
#ifndef NO_FINISH
    if :: intent -> atomic { step(1, at[1]) }; atomic { step(0, at[0]) } :: else fi
#else
    skip
#endif
}
/* Everyone else's way past a lease of session 0. */
inline free_group(g) {
    if
    :: holder[g] == FREE
    :: atomic { holder[g] == 0 && alive[0] && !pinned && !intent -> holder[g] = FREE; epoch[g]++ }     /* recalled */
    :: atomic { holder[g] == 0 && !alive[0] -> skip };  finish();
       atomic { if :: exists[g] && holder[g] == 0 -> holder[g] = FREE; epoch[g]++ :: else fi }
    fi }

proctype Remover() {                                    /* rmdir: X on parent and child, in order of objects */
    bool no_names; byte my[2];
#ifdef NO_EMPTY
    no_names = !file[1];
#endif
    pinned = true;
    if :: atomic { alive[0] && holder[0] == FREE -> holder[0] = 0; epoch[0]++; my[0] = epoch[0] } :: !alive[0] -> goto out fi;
    if :: atomic { alive[0] && holder[1] == FREE -> holder[1] = 0; epoch[1]++; my[1] = epoch[1] } :: !alive[0] -> goto out fi;
#ifndef NO_EMPTY
    no_names = !file[1];
#endif
    if :: no_names ->
        at[0] = my[0]; at[1] = my[1];
        atomic { if :: alive[0] -> intent = true; removed = true :: else -> goto out fi };
        atomic { step(1, at[1]) };
        atomic { step(0, at[0]) };
        atomic { if :: alive[0] -> intent = false :: else fi }
    :: else fi;
out: pinned = false
}
proctype Late() {                                       /* steps that arrive late, or again */
end: do :: atomic { intent -> step(1, at[1]) } :: atomic { intent -> step(0, at[0]) } od }

proctype Creator() {                                    /* create in the directory that the name led to some time ago */
    byte g; byte e; byte tries;
    g = name;
    do
    :: tries < TRIES && g != NONE -> tries++;
        free_group(g);
        e = epoch[g];                                   /* a read; the mutation arrives any time later */
        atomic {
            if
#ifdef ABSENT_FREE
            :: !exists[g] -> exists[g] = true; dead[g] = false; file[g] = true; created = true; created_in = g; break
#endif
#ifdef NO_GUARD
            :: exists[g] && !dead[g] ->
#else
            :: exists[g] && !dead[g] && holder[g] == FREE && epoch[g] == e ->
#endif
                file[g] = true; created = true; created_in = g; break
            :: else
            fi }
    :: tries == TRIES || g == NONE -> break
    od
}
proctype Maker(byte new) {                              /* mkdir: EEXIST, or group first and then the name */
    byte e; byte tries;
    do
    :: tries < TRIES -> tries++;
        free_group(0);
        e = epoch[0];
        if
        :: name == NONE ->
#ifndef NAME_FIRST
            atomic { exists[new] = true; if :: goto out :: skip fi };          /* may stop here: garbage only */
#endif
#ifdef NO_PARENT
            atomic { name = new; made++ };
#else
            atomic { if :: holder[0] == FREE && epoch[0] == e && name == NONE -> name = new; made++ :: else -> goto again fi };
#endif
#ifdef NAME_FIRST
            atomic { if :: goto out :: exists[new] = true fi };
#endif
            break
        :: else -> break
        fi;
again:  skip
    :: tries == TRIES -> break
    od;
out: skip
}
/* A visitor: where nothing is held, the name leads to a living group, and what was promised is so. */
proctype Visitor() {
    if :: alive[0] = false :: skip fi;
    free_group(0);
    atomic { if :: holder[0] == FREE && name != NONE -> assert(exists[name] && !dead[name]) :: else fi };
}
active proctype Truth() {
end: do
    :: atomic { created && removed && created_in == 1 -> assert(false) }
    :: atomic { made > 1 -> assert(false) }                                 /* there is one removal to make room */
    :: atomic { created && (!exists[created_in] || dead[created_in]) -> assert(false) }
    od
}
init { atomic { exists[0] = true; exists[1] = true;
        run Remover(); run Late(); run Creator(); run Maker(2); if :: MAKERS > 1 -> run Maker(3) :: else fi; run Visitor() } }
