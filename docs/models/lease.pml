/* The lease of one node: never do two collectors run a mutation on it, and it always finds somebody again.
 *
 * A parent, a child A in full, and a second candidate B who is told at once and starts at once, which is the worst
 * that a second candidate can do. Letters are lost, late by any time, and overtake each other (WAY 2); whoever
 * decides may wait for any time (a pause); the parent and A may each start anew, with their disk and without.
 * The parent gives the node, takes it and renews leases whenever the rules let it, without a reason: so no policy of
 * placing is left out. Times are what is left of them, in units that all clocks share: a story may last for ever.
 *
 * README.md says what the names are in the code, which bounds are checked, and which rules are broken on purpose
 * (BREAK_...) to see that it is found out.
 */

#ifndef LEASE
#define LEASE 2      /* how long a lease lasts */
#endif
#ifndef RUN
#define RUN 1        /* how long a mutation is under way, exactly: the longest there is */
#endif
#ifndef P_FALLS
#define P_FALLS 1    /* how often the parent starts anew */
#endif
#ifndef A_FALLS
#define A_FALLS 1
#endif
#ifndef SELF
#define SELF 0       /* whether B is the parent itself */
#endif
#ifndef WAY
#define WAY 1        /* letters on their way to A at once */
#endif
#ifndef MOVES
#define MOVES 2      /* how often the parent gives the node to somebody */
#endif
#ifndef UNSHARES
#define UNSHARES 1   /* whether B may be listed no more */
#endif
#ifndef ASKINGS
#define ASKINGS 0    /* how often A asks for a longer lease, or gives it back */
#endif
#ifndef UP
#define UP 1         /* letters on their way from A at once */
#endif
#define ROUNDS (LEASE + RUN + 2)    /* after which somebody has the node again */

#define NONE 0
#define A 1
#define B 2

mtype = { hello, delta, check, tell, reserve, reserved, back };

/* To A: kind, life of the parent, life of A as the parent knows it, upto, then
 *   hello: what is left of its lease, counted from when it was written; 0: none
 *   delta, tell: number of A's lease, or 0: the node is none of its business; whether it is shared
 *   check: number of a lease that is asked whether it is let go; of one that is asked whether it is bound;
 *          neither: whether A has anything to do with the node
 *   reserved: number of the asking */
chan down = [WAY] of { mtype, byte, byte, byte, byte, byte };
/* From A: kind, life of A, life of the parent as A knows it, have, then
 *   hello: has (0 nothing of its runs, 1 it may)
 *   check: left, bound
 *   reserve, back: number of the lease, number of the asking, or of the giving back */
chan up = [UP] of { mtype, byte, byte, byte, byte, byte };
/* What was read last is no part of the state. */
hidden mtype kind;
hidden byte l, yl, one, two, three, n;

/* The world. */
byte a_busy, b_busy;             /* how long a mutation of theirs is still under way */
bit shared_wish;                 /* the node lists B, too */
byte moves;
bit p_fell, over;
byte a_fell;

/* The parent. */
byte p_life = 1, p_a_life;       /* lives; 0: not known */
bit p_heard;                     /* A said hello to this life */
byte holder, number, epoch;
bit shared, alone, known;
bit leaving, let_go;
byte leaving_epoch, promise;     /* how long what was promised to A still binds */
byte p_lease, p_asked;           /* how long without what was asked for; number of the last asking */
bit former;                      /* only what a former life may have promised is longer than LEASE */
bit strange_a, strange_b;
byte p_quiet;                    /* SELF: how long what a forgotten life started may still run */
byte upto = 1, acked, dirty;     /* the feed to A: its last serial, what A holds (0: not whole), the change untold */

/* A. */
byte a_life = 1, a_p_life;
bit a_has, a_shared;
byte a_epoch, a_ends, a_quiet;   /* a_quiet: how long what a forgotten life started may still run */
byte a_reserved, a_asked;        /* how long the node is A's beyond that; would be, by what it last asked for */
byte a_number;                   /* of that asking, or of giving back */
bit a_blind;                     /* the mutation under way is of a life that is forgotten */
byte a_have;
byte g_upto, g_left;             /* a lease that counts when the feed is held; 0: none */

bit b_has;

#define A_RUNS (a_busy != 0)
#define B_RUNS (b_busy != 0)
#define A_IS_STILL ((!A_RUNS || a_blind) && a_quiet == 0)
#if SELF
#define B_IS_STILL (p_quiet == 0)
#else
#define B_IS_STILL (!B_RUNS)
#endif
#define OURS_FOR (a_ends > a_reserved -> a_ends : a_reserved)
#define TOLD (epoch * (holder == A))

#ifdef BREAK_ALONE
#define BOUND_BY_WORD 0
#else
#define BOUND_BY_WORD alone
#endif

/* Whether nothing of A's can be running on a node taken from it. */
#ifdef BREAK_WAIT
#define LEFT_OVER let_go
#else
#define LEFT_OVER (let_go || (!BOUND_BY_WORD && promise == 0))
#endif

#ifdef BREAK_STRANGE
#define CLEAR_OF(stranger) 1
#else
#define CLEAR_OF(stranger) (known || !stranger)
#endif

#define FREE_FOR_B (holder == NONE && (leaving -> LEFT_OVER : CLEAR_OF(strange_a)))
#define FREE_FOR_A (holder == NONE && (leaving || CLEAR_OF(strange_b)))

#ifdef BREAK_BOUND
#define ENDS_IN_TIME 1
#else
#define ENDS_IN_TIME ((a_blind || a_busy <= OURS_FOR) && a_quiet <= OURS_FOR)
#endif

#ifdef BREAK_FORGOT
#define HAS a_has
#else
#define HAS (a_has || !A_IS_STILL)
#endif

#ifdef BREAK_ABSOLVE
#define ABSOLVES 1
#else
#define ABSOLVES (two == 0)
#endif

/* Whether A, as far as it knows, needs no more than the common lease. */
#ifdef BREAK_RUNS
#define GIVES_BACK 1
#else
#define GIVES_BACK ((a_blind || a_busy <= a_ends) && a_quiet <= a_ends)
#endif

#ifdef BREAK_AFTER
#define IS_ITS_LAST_WORD 1
#else
#define IS_ITS_LAST_WORD (three > p_asked)
#endif

#ifdef BREAK_HELD
#define HOLDS_IT 1
#else
#define HOLDS_IT (a_have != 0 && a_have >= g_upto)
#endif

#ifdef BREAK_END
#define FITS (OURS_FOR != 0)
#else
#define FITS (RUN <= OURS_FOR)
#endif

/* -- letters: what does not fit is lost ------------------------------------------------------- */

inline send_down(k, x, y, z) {
    if
    :: nfull(down) -> down!k,p_life,p_a_life,x,y,z
    :: full(down)
    fi
}

inline send_up(k, x, y) {
    if
    :: nfull(up) -> up!k,a_life,a_p_life,a_have,x,y
    :: full(up)
    fi
}

#include "lease_parent.pml"
#include "lease_child.pml"

/* The second candidate: as quick as can be. */
proctype other() {
    do
    :: d_step { !over && b_has && !B_RUNS ->
        assert(!A_RUNS);
        b_busy = RUN }
    od
}

/* -- the wire, and time ----------------------------------------------------------------------- */

/* Any letter may be lost, and may be overtaken by those behind it. */
proctype letters() {
    do
    :: d_step { !over && nempty(down) -> down?_,_,_,_,_,_ }
    :: d_step { !over && nempty(up) -> up?_,_,_,_,_,_ }
    :: d_step { !over && len(down) > 1 -> down?kind,l,yl,one,two,three; down!kind,l,yl,one,two,three }
    :: d_step { !over && len(up) > 1 -> up?kind,l,yl,one,two,three; up!kind,l,yl,one,two,three }
    od
}

inline less(left) {
    if
    :: left > 0 -> left--
    :: else
    fi
}

/* A unit passes, for letters on their way, too. */
inline pass() {
    less(a_busy); less(b_busy); less(promise); less(p_lease); less(p_quiet);
    less(a_ends); less(a_quiet); less(a_reserved); less(a_asked); less(g_left);
    a_blind = a_blind && a_busy != 0;
    former = former && promise > LEASE;
    if
    :: g_left == 0 -> g_upto = 0
    :: else
    fi;
    n = len(down);
    do
    :: n > 0 ->
        n--;
        down?kind,l,yl,one,two,three;
        if
        :: kind == hello -> less(two)
        :: else
        fi;
        down!kind,l,yl,one,two,three
    :: n == 0 -> break
    od;
    n = 0
}

proctype time() {
    do
    :: d_step { !over -> pass() }
    od
}

#ifdef RECOVERS
#include "lease_recovers.pml"
#endif

init {
    atomic {
        run parent(); run child(); run other(); run letters(); run time();
#ifdef RECOVERS
        run recovery(B, 1); run recovery(A, 1); run recovery(B, 0)
#endif
    }
}
