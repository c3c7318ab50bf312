/* From wherever the story of lease.pml is, let troubles cease: the node has a runner again after ROUNDS rounds.
 *
 * In a round a unit passes, then both say hello, what is due is told, asked and answered, and nothing is lost. It is
 * tried from every state, in each of three ways: B is wanted, A is wanted, or A is never heard again and B is wanted.
 * In the last, B gets the node unless A may think that it is alone with it (or a parent that forgot who has it
 * cannot ask A): then only A's word, or a person, frees it.
 */

hidden byte lap, step;

inline deliver() {
    do
    :: nempty(up) -> parent_hears()
    :: empty(up) && nempty(down) -> a_hears()
    :: empty(up) && empty(down) -> break
    od;
    n = 0
}

/* All that is under way is lost. */
inline cut() {
    do
    :: nempty(up) -> up?_,_,_,_,_,_
    :: empty(up) && nempty(down) -> down?_,_,_,_,_,_
    :: empty(up) && empty(down) -> break
    od;
    n = 0
}

/* The parent gives the node to whom it should have, as soon as it may. */
inline place() {
    share();
    if
    :: strange_b && B_IS_STILL && holder != B -> b_has = 0; strange_b = 0
    :: else
    fi;
    if
    :: holder == A && wanted == B -> take_from_a()
    :: holder == B && wanted == A && !B_RUNS -> holder = NONE; b_has = 0
    :: else
    fi;
    if
    :: wanted == A && FREE_FOR_A -> give_a()
    :: wanted == B && FREE_FOR_B -> give_b()
    :: else
    fi
}

inline speak() {
    if
    :: step == 1 -> greet_a()
    :: step == 3 && p_heard && acked == 0 -> describe()
    :: step == 5 && p_heard && acked != 0 && dirty != 0 -> tell_change()
    :: step == 7 && p_heard && ASKS -> ask_a()
    :: step % 2 == 0 -> send_up(hello, HAS, 0)
    :: else
    fi
}

/* The end of all stories is one state. */
inline end_here() {
    over = 1;
    a_busy = 0; b_busy = 0; shared_wish = 0; moves = 0; p_fell = 0; a_fell = 0;
    p_life = 0; p_a_life = 0; p_heard = 0; holder = 0; number = 0; epoch = 0; shared = 0; alone = 0; known = 0;
    leaving = 0; let_go = 0; leaving_epoch = 0; promise = 0; p_lease = 0; p_asked = 0; former = 0;
    strange_a = 0; strange_b = 0; p_quiet = 0;
    upto = 0; acked = 0; dirty = 0;
    a_life = 0; a_p_life = 0; a_has = 0; a_shared = 0; a_epoch = 0; a_ends = 0; a_quiet = 0; a_have = 0;
    a_blind = 0; a_reserved = 0; a_asked = 0; a_number = 0;
    g_upto = 0; g_left = 0; b_has = 0
}

proctype recovery(byte wanted; bit is_heard) {
    do
    :: d_step { !over ->
        lap = 0;
        do
        :: lap < ROUNDS ->
            lap++;
            pass();
            if
            :: is_heard -> deliver()
            :: else -> cut()
            fi;
            place();
            step = 0;
            do
            :: is_heard && step < 8 -> speak(); deliver(); step++
            :: else -> break
            od
        :: else -> break
        od;
        assert(!is_heard || holder == wanted);
        assert(!is_heard || wanted != B || b_has);
        assert(!is_heard || wanted != A || a_has && a_epoch == epoch && a_shared == shared);
        assert(!is_heard || wanted != A || !alone && a_ends == LEASE);
        assert(is_heard || holder == B && b_has || alone || strange_a && !known);
        end_here() }
    :: over -> skip
    od
}
