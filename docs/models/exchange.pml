/* The exchange over one direction of a link: the reader's copy becomes equal to what the writer has.
 *
 * Two keys, whose documents change, come and go at the writer, who remembers them. Letters are lost, doubled and
 * kept back for any time (so that others overtake them, those of later lives, too), TROUBLES of them; each side may
 * start anew once, the reader with its copy or without. When nothing is under way and nothing is due, time
 * passes: a round, in which both sides say hello and send again what was not answered. A delta carries one
 * key, as if feed.ROWS_MAX were 1, and a comparison fits one answer.
 *
 * Asserted: where the feed has nothing to tell and the session is one for both, the copies are equal; a document
 * is never replaced by an older one; and when changes and troubles are over, the copies are equal after ROUNDS rounds.
 *
 * README.md says what the names are in the code, which bounds are checked, and which rules are broken on purpose
 * (BREAK_...) to see that it is found out.
 */

#ifndef CHANGES
#define CHANGES 2    /* of documents */
#endif
#ifndef TROUBLES
#define TROUBLES 1   /* on the wire */
#endif
#ifndef ROUNDS
#define ROUNDS 3     /* after which copies are equal */
#endif
#ifndef W_FALLS
#define W_FALLS 1    /* whether the writer may start anew */
#endif
#ifndef R_FALLS
#define R_FALLS 1
#endif
#ifndef SPOILS
#define SPOILS 0     /* how often the reader's copy of key 1 is lost by itself */
#endif
#ifndef FIRST
#define FIRST 1      /* the document of key 0 at first; 0: none */
#endif

#define NOT 15       /* have: not whole; digest: something is still to be told; described: not asked for */

mtype = { hello, delta, ack, ask, tell };

/* To the reader: kind, life of the writer, life of the reader as the writer knows it, then
 *   hello: upto, the documents of key 0 and of key 1 (in place of their digest), -
 *   delta: upto, key, its document (0: gone), -
 *   tell: upto, the documents of key 0 and of key 1 (in place of fingerprints), number */
chan down = [4] of { mtype, byte, byte, byte, byte, byte, byte };
/* To the writer: kind, life of the reader, life of the writer as the reader knows it, then
 *   hello, ack: have, -
 *   ask: keys wanted, as bits (0: everything is to be described), number */
chan up = [4] of { mtype, byte, byte, byte, byte };
/* Kept back. */
chan late_down = [1] of { mtype, byte, byte, byte, byte, byte, byte };
chan late_up = [1] of { mtype, byte, byte, byte, byte };

/* What was read last is no part of the state. */
hidden mtype kind;
hidden byte l, yl, one, two, three, four;

byte version = 2;
byte changes, troubles, rounds;
byte spoils;
bit w_fell, r_fell, calm, spoilt;     /* spoilt: what the reader holds is not what it was told */

/* The writer, and its feed. */
byte w_life = 1, w_r_life, w_doc[2];
bit w_up, w_greets, w_again;     /* it owes a hello; it may send a delta again */
byte upto, acked = NOT, dirty[2], sent;

/* The reader, its copy, and the comparison under way: 0 none, 1 to be asked, 2 asked. */
byte r_life = 1, r_w_life, r_doc[2];
bit r_up, r_greets, r_again, r_acks;
byte have = NOT, comparing, since = NOT, want, number, differs;

#define SAME (w_doc[0] == r_doc[0] && w_doc[1] == r_doc[1])
#define CLEAN (dirty[0] == 0 && dirty[1] == 0)
#define ONE_SESSION (w_r_life == r_life && r_w_life == w_life)
#define DELTA_DUE (w_up && acked != NOT && !CLEAN && (sent == 0 || w_again))
#define ASK_DUE (r_up && (comparing == 1 || (comparing == 2 && r_again)))
#define DUE (w_greets || r_greets || r_acks || DELTA_DUE || ASK_DUE)
#define ALL_CAME (empty(down) && empty(up))

inline mark(k) {
    upto++;
    dirty[k] = upto
}

inline acknowledge(held) {
    if
    :: held == NOT || held > upto || (acked != NOT && held < acked)
    :: else ->
        acked = held;
        if
        :: dirty[0] <= held -> dirty[0] = 0
        :: else
        fi;
        if
        :: dirty[1] <= held -> dirty[1] = 0
        :: else
        fi;
        if
        :: sent <= held -> sent = 0
        :: else
        fi;
        assert(!(CLEAN && ONE_SESSION && !spoilt) || SAME)
    fi
}

proctype writer() {
end:
    do
    :: d_step { w_greets && nfull(down) ->
        w_greets = 0;
        if
        :: CLEAN || acked == NOT -> down!hello,w_life,w_r_life,upto,w_doc[0],w_doc[1],0
        :: else -> down!hello,w_life,w_r_life,upto,NOT,NOT,0
        fi }
    :: d_step { DELTA_DUE && nfull(down) ->
        w_again = 0;
        if                                               /* in order of their latest change */
#ifdef BREAK_ORDER
        :: dirty[0] != 0 && (dirty[1] == 0 || dirty[0] > dirty[1]) ->
#else
        :: dirty[0] != 0 && (dirty[1] == 0 || dirty[0] < dirty[1]) ->
#endif
            sent = dirty[0]; down!delta,w_life,w_r_life,dirty[0],0,w_doc[0],0
        :: else ->
            sent = dirty[1]; down!delta,w_life,w_r_life,dirty[1],1,w_doc[1],0
        fi }
    :: d_step { nempty(up) && nfull(down) ->             /* room for an answer */
        up?kind,l,yl,one,two;
        if
        :: kind == hello && l > w_r_life ->              /* a new session */
            w_r_life = l; w_up = 0; w_greets = 1; w_again = 0;
            upto = 0; acked = NOT; dirty[0] = 0; dirty[1] = 0; sent = 0
        :: else
        fi;
        if
#ifdef BREAK_SESSION
        :: kind == hello && (l != w_r_life || yl != w_life) ->
#else
        :: l != w_r_life || yl != w_life ->
#endif
            if
            :: l == w_r_life || kind != hello -> w_greets = 1
            :: else
            fi
        :: else ->
            if
            :: kind == hello ->
                if
                :: !w_up -> w_up = 1; w_greets = 1
                :: else
                fi;
                acknowledge(one)
            :: kind == ack -> acknowledge(one)
            :: kind == ask ->
                if
                :: one == 0 -> down!tell,w_life,w_r_life,upto,w_doc[0],w_doc[1],two
                :: else -> down!tell,w_life,w_r_life,upto,NOT,NOT,two
                fi;
                if
                :: one & 1 -> mark(0)
                :: else
                fi;
                if
                :: one & 2 -> mark(1)
                :: else
                fi
            :: else
            fi
        fi }
    od
}

inline compare(k, theirs) {
    if
#ifdef BREAK_EXTRA
    :: theirs == 0 -> r_doc[k] = 0
#else
    :: theirs == 0 && (have == NOT || one >= have) -> r_doc[k] = 0   /* the writer has no such key */
#endif
    :: theirs != 0 && theirs != r_doc[k] -> want = want | (1 << k)
    :: else
    fi
}

inline hear_hello() {
    if
    :: !r_up -> r_up = 1; r_greets = 1
    :: else
    fi;
    if
    :: comparing != 0 -> skip
    :: comparing == 0 && have != NOT && (two == NOT || have != one) -> differs = 0
    :: else ->
        if
#ifdef BREAK_HELLO
        :: have == NOT || (two == r_doc[0] && three == r_doc[1]) ->
#else
        :: two == r_doc[0] && three == r_doc[1] ->
#endif
            if
            :: have != one -> r_acks = 1
            :: else
            fi;
            have = one; differs = 0
        :: else ->
            differs++;
            if
            :: have == NOT || differs == 2 -> comparing = 1; since = NOT; want = 0; differs = 0
            :: else
            fi
        fi
    fi
}

inline hear_tell() {
#ifdef BREAK_LAST
    since = one;
#else
    if
    :: since == NOT -> since = one
    :: else
    fi;
#endif
    if
    :: want == 0 -> compare(0, two); compare(1, three)
    :: else -> want = 0
    fi;
    if
    :: want != 0 -> comparing = 1
    :: else ->
        comparing = 0; spoilt = 0;
        if
        :: have == NOT || have < since -> have = since; r_acks = 1
        :: else
        fi;
        since = NOT
    fi
}

proctype reader() {
end:
    do
    :: d_step { r_greets && nfull(up) -> r_greets = 0; up!hello,r_life,r_w_life,have,0 }
    :: d_step { r_acks && nfull(up) ->
        r_acks = 0;
        if
        :: have != NOT && r_up -> up!ack,r_life,r_w_life,have,0
        :: else
        fi }
    :: d_step { ASK_DUE && nfull(up) ->
        r_again = 0;
        if
        :: comparing == 1 -> number++; comparing = 2
        :: else
        fi;
        up!ask,r_life,r_w_life,want,number }
    :: d_step { down?kind,l,yl,one,two,three,four ->
        if
        :: kind == hello && l > r_w_life ->              /* a new session */
            r_w_life = l; r_up = 0; r_greets = 1; r_again = 0; r_acks = 0;
            have = NOT; comparing = 0; since = NOT; want = 0; number = 0; differs = 0
        :: else
        fi;
        if
#ifdef BREAK_SESSION
        :: kind == hello && (l != r_w_life || yl != r_life) ->
#else
        :: l != r_w_life || yl != r_life ->
#endif
            if
            :: l == r_w_life || kind != hello -> r_greets = 1
            :: else
            fi
        :: else ->
            if
            :: kind == hello -> hear_hello()
            :: kind == delta ->
                r_acks = 1;
                if
#ifdef BREAK_LATE
                :: have != NOT ->
#else
                :: have != NOT && one > have ->
#endif
                    if
                    :: one > have -> have = one
                    :: else
                    fi;
                    assert(three == 0 || three >= r_doc[two]);
#ifdef BREAK_GONE
                    if
                    :: three != 0 -> r_doc[two] = three
                    :: else
                    fi
#else
                    r_doc[two] = three
#endif
                :: else
                fi
            :: kind == tell && comparing == 2 && four == number -> hear_tell()
            :: else
            fi
        fi }
    od
}

inline r_falls() {
    r_fell = 1; spoilt = 0; r_life = 2; r_w_life = 0; r_up = 0; r_greets = 1; r_again = 0; r_acks = 0;
    have = NOT; comparing = 0; since = NOT; want = 0; number = 0; differs = 0
}

/* What the world does to them. */
proctype world() {
end:
    do
    :: d_step { changes < CHANGES && !calm -> changes++; version++; w_doc[0] = version; mark(0) }
    :: d_step { changes < CHANGES && !calm -> changes++; version++; w_doc[1] = version; mark(1) }
    :: d_step { changes < CHANGES && !calm && w_doc[0] != 0 -> changes++; w_doc[0] = 0; mark(0) }

    :: d_step { troubles < TROUBLES && !calm && nempty(down) ->      /* lost */
        troubles++; down?kind,l,yl,one,two,three,four }
    :: d_step { troubles < TROUBLES && !calm && nempty(up) ->
        troubles++; up?kind,l,yl,one,two }
    :: d_step { troubles < TROUBLES && !calm && nempty(down) && empty(late_down) ->  /* kept back */
        troubles++; down?kind,l,yl,one,two,three,four; late_down!kind,l,yl,one,two,three,four }
    :: d_step { troubles < TROUBLES && !calm && nempty(up) && empty(late_up) ->
        troubles++; up?kind,l,yl,one,two; late_up!kind,l,yl,one,two }
    :: d_step { troubles < TROUBLES && !calm && nempty(down) && empty(late_down) ->  /* doubled */
        troubles++; down?<kind,l,yl,one,two,three,four>; late_down!kind,l,yl,one,two,three,four }
    :: d_step { troubles < TROUBLES && !calm && nempty(up) && empty(late_up) ->
        troubles++; up?<kind,l,yl,one,two>; late_up!kind,l,yl,one,two }
    :: d_step { nempty(late_down) && nfull(down) ->                  /* and it comes */
        late_down?kind,l,yl,one,two,three,four; down!kind,l,yl,one,two,three,four }
    :: d_step { nempty(late_up) && nfull(up) ->
        late_up?kind,l,yl,one,two; up!kind,l,yl,one,two }

    :: d_step { W_FALLS && !w_fell && !calm ->                       /* it knows its documents */
        w_fell = 1; w_life = 2; w_r_life = 0; w_up = 0; w_greets = 1; w_again = 0;
        upto = 0; acked = NOT; dirty[0] = 0; dirty[1] = 0; sent = 0 }
    :: d_step { R_FALLS && !r_fell && !calm -> r_falls() }
    :: d_step { R_FALLS && !r_fell && !calm -> r_falls(); r_doc[0] = 0; r_doc[1] = 0 }

    :: d_step { spoils < SPOILS && !calm && r_up && have != NOT && comparing == 0 && r_doc[1] != 0 ->
        spoils++; spoilt = 1; r_doc[1] = 0 }

    :: d_step { !calm && empty(late_down) && empty(late_up) -> 
        calm = 1; changes = CHANGES; troubles = TROUBLES; spoils = SPOILS; version = 0; w_fell = 1; r_fell = 1 }

    /* A round. After the last one of those that are enough nothing happens any more. */
    :: d_step { ALL_CAME && !DUE && (!calm || !SAME || have == NOT) ->
        if
        :: calm -> rounds++; assert(rounds <= ROUNDS)                /* in the end */
        :: else
        fi;
        w_greets = 1; r_greets = 1;
#ifndef BREAK_RESEND
        w_again = (sent != 0);
#endif
        r_again = (comparing == 2) }
    od
}

init {
    atomic {
        w_doc[0] = FIRST; w_doc[1] = 2;
        run writer(); run reader(); run world()
    }
}
