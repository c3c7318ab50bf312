/* A of lease.pml: what it knows of its lease, and when it starts a mutation. */

inline take_note() {
    a_have = one;
    if
    :: two == 0 -> a_has = 0; a_shared = 0; a_epoch = 0
    :: two != 0 && kind == delta -> a_has = 1; a_shared = three; a_epoch = two
    :: else                                         /* what differs comes with a delta */
    fi
}

inline a_hears() {
    down?kind,l,yl,one,two,three;
    if
    :: kind == hello && l > a_p_life ->             /* a new life of the parent */
        a_p_life = l; a_have = 0; g_upto = 0; g_left = 0
    :: else
    fi;
    if
    :: l != a_p_life || yl != a_life
    :: else ->
        if
        :: kind == hello && two != 0 ->
#ifdef BREAK_ARRIVAL
            g_upto = one; g_left = LEASE
#else
            g_upto = one; g_left = two
#endif
        :: kind == tell && a_have == 0 -> take_note()
        :: kind == delta && a_have != 0 && one > a_have -> take_note()
        :: kind == check && a_have >= one && a_have != 0 ->
            if
#ifndef BREAK_LEFT
            :: three == 0 && !a_has && A_IS_STILL -> send_up(check, two, 0)
#endif
#ifndef BREAK_WORD
            :: three != 0 && a_has && a_shared && a_epoch == three && ENDS_IN_TIME -> send_up(check, 0, three)
#endif
            :: else
            fi
#ifdef BREAK_NUMBER
        :: kind == reserved ->
#else
        :: kind == reserved && two == a_number ->
#endif
            if
            :: a_asked > a_reserved -> a_reserved = a_asked
            :: else
            fi;
            a_asked = 0
        :: else
        fi;
        if
        :: g_left != 0 && HOLDS_IT ->
            if
            :: a_ends < g_left -> a_ends = g_left
            :: else
            fi;
            g_upto = 0; g_left = 0
        :: else
        fi
    fi
}

/* A new life, with its disk; its mutation goes on in the world. What was written to the former one does nothing. */
inline a_falls() {
    a_fell++; a_life++; a_p_life = 0; a_have = 0; a_ends = 0; g_upto = 0; g_left = 0;
    a_reserved = 0; a_asked = 0;
    if                                              /* what it did not know, it does not know now */
#ifdef BREAK_TWICE
    :: a_quiet != 0 -> a_quiet = 0
#else
    :: a_quiet != 0 -> a_quiet = RUN
#endif
    :: else
    fi;
    do
    :: nempty(down) -> down?_,_,_,_,_,_
    :: empty(down) -> break
    od;
    n = 0
}

inline a_loses_disk() {
    a_has = 0; a_shared = 0; a_epoch = 0; a_quiet = RUN; a_blind = A_RUNS
}

#define HELLO_TELLS (a_life != p_a_life || a_p_life == p_life && (!p_heard || a_have > acked || (strange_a || former) && !HAS))

proctype child() {
    do
    :: d_step { !over && a_has && (!A_RUNS || a_blind) && (!a_shared || FITS) ->
        assert(!B_RUNS);
        a_busy = RUN; a_blind = 0 }
    :: d_step { !over && HELLO_TELLS && nfull(up) -> send_up(hello, HAS, 0) }
    :: d_step { !over && a_has && a_shared && a_number < ASKINGS && nfull(up) ->
        a_number++; a_asked = RUN;
        send_up(reserve, a_epoch, a_number) }
    :: d_step { !over && a_has && a_shared && a_number < ASKINGS && GIVES_BACK && nfull(up) ->
        a_number++; a_asked = 0; a_reserved = 0;
        send_up(back, a_epoch, a_number) }
    :: d_step { !over && nempty(down) -> a_hears() }
    :: d_step { !over && a_fell < A_FALLS -> a_falls() }
    :: d_step { !over && a_fell < A_FALLS -> a_falls(); a_loses_disk() }
    od
}
