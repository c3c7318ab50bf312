/* The parent of lease.pml: who has the node, what A is told of it, and what A says. */

inline mark() {
    upto++;
    dirty = upto
}

inline give_a() {
    number++; epoch = number; holder = A; shared = shared_wish; alone = 1;
    leaving = 0; leaving_epoch = 0; let_go = 0; known = 1;
    mark()
}

inline give_b() {
    number++; holder = B; shared = 0; alone = 0;
    leaving = 0; leaving_epoch = 0; let_go = 0; known = 1;
    b_has = 1
}

inline take_from_a() {
    holder = NONE; leaving = 1; leaving_epoch = epoch; let_go = 0; epoch = 0; shared = 0;
    mark()
}

inline tidy() {
    leaving = 0; leaving_epoch = 0; let_go = 0; alone = 0; known = 1
}

inline share() {
    shared_wish = 1;
    if
    :: holder == A && !shared -> number++; epoch = number; shared = 1; mark()
    :: else
    fi
}

inline unshare() {
    shared_wish = 0;
    if
    :: holder == A && shared -> number++; epoch = number; shared = 0; alone = 1; mark()
    :: else
    fi
}

inline greet_a() {
    if
    :: p_heard ->
        if
        :: promise < LEASE -> promise = LEASE
        :: else
        fi;
        if
        :: p_lease < LEASE -> p_lease = LEASE
        :: else
        fi;
        send_down(hello, upto, LEASE, 0)
    :: else -> send_down(hello, upto, 0, 0)
    fi
}

/* A asked, and is answered with a description; what differs is marked, and comes after it. */
inline describe() {
    if
    :: holder == A && dirty == 0 -> mark()
    :: else
    fi;
    if
    :: dirty == 0 -> n = upto
    :: else -> n = dirty - 1
    fi;
    send_down(tell, n, TOLD, shared);
    n = 0
}

inline tell_change() {
    send_down(delta, dirty, TOLD, shared);
#ifdef BREAK_ONCE
    dirty = 0
#endif
}

#define WHO_HAS_IT (holder == NONE && !leaving && !known && strange_a)
#define ASKS (leaving && !let_go || holder == A && shared && alone || WHO_HAS_IT)

inline ask_a() {
    if
    :: leaving -> send_down(check, upto, leaving_epoch, 0)
    :: !leaving && holder == A -> send_down(check, upto, 0, epoch)
    :: else -> send_down(check, upto, 0, 0)
    fi
}

inline parent_hears() {
    up?kind,l,yl,one,two,three;
    if
    :: kind == hello && l > p_a_life ->             /* a new life of A */
        p_a_life = l; p_heard = 0; acked = 0; dirty = 0; upto = 1; p_asked = 0
    :: else
    fi;
    if
    :: l != p_a_life || yl != p_life                /* of another session */
    :: else ->
        if
        :: kind == hello ->
            p_heard = 1;
            if
            :: two == 0 -> strange_a = 0
            :: else
            fi;
            if
            :: ABSOLVES && former -> former = 0; promise = (promise < LEASE -> promise : LEASE)
            :: else
            fi;
            if
            :: ABSOLVES && p_lease > LEASE -> p_lease = LEASE
            :: else
            fi;
            if
            :: one > acked && one <= upto -> acked = one
            :: else
            fi;
            if
            :: acked >= dirty -> dirty = 0
            :: else
            fi
        :: kind == check && p_heard ->
            if
            :: two != 0 && leaving && two == leaving_epoch -> let_go = 1
            :: three != 0 && holder == A && three == epoch -> alone = 0
            :: two == 0 && three == 0 -> strange_a = 0
            :: else
            fi
        :: kind == reserve && p_heard && holder == A && two == epoch ->
#ifndef BREAK_RESERVE
            former = 0;
            if
            :: promise < RUN -> promise = RUN
            :: else
            fi;
#endif
            if
            :: three > p_asked -> p_asked = three
            :: else
            fi;
            send_down(reserved, upto, three, 0)
        :: kind == back && p_heard && holder == A && two == epoch && IS_ITS_LAST_WORD ->
            promise = p_lease; former = promise > LEASE
        :: else
        fi
    fi
}

/* A new life of the parent. What A wrote to the former one does nothing any more. */
inline parent_falls() {
    p_fell = 1; p_life = 2; p_a_life = 0; p_heard = 0; acked = 0; dirty = 0; upto = 1; let_go = 0;
#ifdef BREAK_PROMISE
    promise = 0; p_lease = 0;
#else
    promise = LEASE + RUN; p_lease = promise; former = 1;
#endif
    do
    :: nempty(up) -> up?_,_,_,_,_,_
    :: empty(up) -> break
    od;
    p_asked = 0
}

inline parent_loses_disk() {
    holder = NONE; leaving = 0; leaving_epoch = 0; epoch = 0; shared = 0; alone = 0; known = 0;
    strange_a = 1;
#if SELF
    b_has = 0; p_quiet = RUN;
#endif
#ifndef BREAK_SELF
    strange_b = 1;
#endif
    number++                                        /* numbers of another life: never the same */
}

/* A letter that could do nothing, now or later, is not written: there is no need to look at it. */
proctype parent() {
    do
    :: d_step { !over && moves < MOVES && FREE_FOR_A -> moves++; give_a() }
    :: d_step { !over && moves < MOVES && shared_wish && FREE_FOR_B -> moves++; give_b() }
    :: d_step { !over && holder == A && shared_wish -> take_from_a() }
    :: d_step { !over && holder == B && !B_RUNS ->  /* B lets go at once, when it runs nothing */
        holder = NONE; b_has = 0 }
    :: d_step { !over && leaving && LEFT_OVER -> tidy() }
    :: d_step { !over && !shared_wish -> share() }  /* others may come to have it, or not */
    :: d_step { !over && UNSHARES && moves < MOVES && shared_wish && holder != B -> moves++; unshare() }
    :: d_step { !over && strange_b && B_IS_STILL && holder != B -> b_has = 0; strange_b = 0 }

    :: d_step { !over && (p_heard || a_p_life != p_life) && nfull(down) -> greet_a() }
    :: d_step { !over && p_heard && acked == 0 && a_have == 0 && nfull(down) -> describe() }
    :: d_step { !over && p_heard && acked != 0 && dirty > a_have && nfull(down) ->
        tell_change() }
    :: d_step { !over && p_heard && ASKS && nfull(down) -> ask_a() }
    :: d_step { !over && nempty(up) -> parent_hears() }

    :: d_step { !over && P_FALLS && !p_fell -> parent_falls() }
    :: d_step { !over && P_FALLS && !p_fell -> parent_falls(); parent_loses_disk() }
    od
}
