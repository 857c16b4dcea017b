/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the checker share: indexes over the history, the replay, and the verdict. */
#ifndef TESTS_CHECK_JUDGE_H
#define TESTS_CHECK_JUDGE_H

#include "tests/check/check.h"
#include "tests/check/model.h"

#define JUDGE_NONE UINT32_MAX

/* Up to time_ns (inclusive) revision had been shown to somebody; both grow along the array. */
struct judge_seen {
    uint64_t time_ns;
    int64_t revision;
};

/* A put that writes a value; a chain per value. */
struct judge_writer {
    uint32_t op, next;
    uint32_t key;
};

/* What somebody saw of a revision that no acknowledged write owns; a chain per revision. */
struct judge_evidence {
    uint32_t key, next;
    bool is_delete;
    bool has_value, has_versions; /* else only that the key was created then */
    bool from_watch;
    uint32_t source; /* op, or message when from_watch */
    struct history_kv kv;
};

/* What explains a revision without an acknowledged write: an unknown operation or a lease's end. */
struct judge_cause {
    uint32_t op;    /* JUDGE_NONE: a lease's end */
    uint32_t lease; /* index in the model */
    bool is_only;   /* nothing else came in question */
};

/* The first thing of a step that does not fit. */
struct judge_mismatch {
    bool is_set;
    bool is_content; /* a matter of the state alone: who caused a revision does not count */
    enum check_name name;
    int64_t revision;
    char story[CHECK_STORY_BYTES];
};

/* From from to to (both included) a watch claims to have shown every event of its range. */
struct judge_cover {
    struct model_range range;
    int64_t from, to;
    bool no_put, no_delete, is_whole;
};

struct judge_search;

struct judge {
    const struct history *history;
    const struct check_config *config;
    struct check_verdict *verdict;
    struct model model;
    struct judge_seen *seen;
    size_t seen_count;
    int64_t last;               /* revisions 2 to last are explained */
    uint32_t *owner;            /* by revision: acknowledged write, or JUDGE_NONE */
    struct judge_cause *causes; /* by revision, where owner is JUDGE_NONE */
    uint32_t *looks_at;         /* by revision: where its looks begin in looks; last + 2 of them */
    uint32_t *looks;            /* operations that show the state after a revision */
    uint32_t *events_at;        /* by revision: where its events begin in events; as looks_at */
    const struct history_event **events;
    uint32_t *evidence_at; /* by revision: chain in evidence */
    struct judge_evidence *evidence;
    uint32_t evidence_count, evidence_capacity;
    uint32_t *writer_at; /* by text: chain in writers */
    struct judge_writer *writers;
    uint32_t writer_count, writer_capacity;
    uint32_t *unknown; /* write operations of unknown outcome, by invocation */
    uint32_t unknown_count;
    bool keeps_values; /* an unknown put with ignore_value is among them */
    bool *is_placed;   /* by op: an unknown one that took effect */
    struct judge_cover *covers;
    uint32_t cover_count;
    bool *is_covered;           /* by revision: a watch over everything shows all of it */
    struct judge_lease *leases; /* as in the model */
    struct judge_seen *compacted, *compactable; /* acknowledged by then; asked for by then */
    size_t compacted_count, compactable_count;
    struct judge_mismatch found;
    bool is_impossible; /* the executed operation cannot have succeeded */
    struct judge_search *search;
};

/* ---- the verdict ---- */

/* Tells and counts a violation. */
void judge_violation(struct judge *judge, enum check_name name, int64_t revision,
                     const char *format, ...) BASE_PRINTF(4, 5);
/* Notes the first thing that does not fit in this step. */
void judge_mismatch(struct judge *judge, enum check_name name, int64_t revision, const char *format,
                    ...) BASE_PRINTF(4, 5);
/* Tells what judge->found holds, and clears it. */
void judge_tell_found(struct judge *judge);

#define JUDGE_TEXT_BYTES 200u
/* A record's line, cut to what fits; for stories. */
struct judge_text {
    char text[JUDGE_TEXT_BYTES];
};
struct judge_text judge_op_text(const struct judge *judge, uint32_t op);
struct judge_text judge_key_text(const struct judge *judge, uint32_t text);
struct judge_text judge_kv_text(const struct judge *judge, const struct history_kv *kv);
/* Who wrote a revision. */
struct judge_text judge_cause_text(const struct judge *judge, int64_t revision);

/* ---- prepare.c: indexes ---- */

void judge_prepare(struct judge *judge);
void judge_free(struct judge *judge);

/* The greatest revision that anybody had been shown before that time. */
int64_t judge_floor(const struct judge *judge, uint64_t time_ns);
/* When a revision of at least that was first shown; HISTORY_NEVER. */
uint64_t judge_first_seen(const struct judge *judge, int64_t revision);

/* The greatest revision whose compaction was acknowledged before that time; asked for by it. */
int64_t judge_compacted(const struct judge *judge, uint64_t time_ns);
int64_t judge_compactable(const struct judge *judge, uint64_t time_ns);

/* True when the answer of an acknowledged operation says that it changed something. */
bool judge_is_write(const struct history_request *request, const struct history_response *response);
/* True when the request may change keys. */
bool judge_may_write(const struct history_request *request);
/* True when the answer must be at least as new as what was seen before. */
bool judge_is_linearizable(const struct history_request *request);

/* ---- execute.c: one operation against the replay ---- */

enum judge_mode { JUDGE_APPLY, JUDGE_LOOK };

/* Executes at that revision (JUDGE_LOOK: after it, changing nothing); compares with the answer when
 * the operation has one. Gives the number of changes. Mismatches go to judge->found. */
uint32_t judge_execute(struct judge *judge, uint32_t op, int64_t revision, enum judge_mode mode);

/* True when kv tells that version; is_key_only leaves the value out. */
bool judge_kv_equal(const struct history_kv *kv, const struct model_version *version,
                    bool is_key_only);

/* ---- replay.c ---- */

void judge_replay(struct judge *judge);

/* ---- search.c: revisions without an acknowledged write ---- */

void judge_search_begin(struct judge *judge);
void judge_search_end(struct judge *judge);
/* Explains a revision and applies it; false (and judge->found) when nothing does. */
bool judge_search_explain(struct judge *judge, int64_t revision);
/* After a mismatch (judge->found) at revision: takes the replay back to another choice, or, when
 * none is left, to the first choices again, where the mismatch is told or counted as undecided.
 * Gives the revision to go on with. */
int64_t judge_search_retry(struct judge *judge, int64_t revision);
/* The step at revision fits: ends a search that had to get beyond it. */
void judge_search_passed(struct judge *judge, int64_t revision);
/* True when mismatches at this revision were dealt with before. */
bool judge_search_is_settled(const struct judge *judge, int64_t revision);
/* True when a gap's effect is open, so that a mismatch may be the fault of a choice. */
bool judge_search_is_open(const struct judge *judge);
/* True when what was told of the revision agrees with the replay after it. */
bool judge_evidence_holds(struct judge *judge, int64_t revision);

/* ---- leases.c ---- */

/* What clients asked and learned about one lease. */
struct judge_lease {
    int64_t ttl;               /* granted; 0: not known */
    uint64_t grant_invoke_ns;  /* HISTORY_NEVER: nobody granted it */
    uint64_t granted_ns;       /* when the grant was told; HISTORY_NEVER */
    uint64_t ended_ns;         /* when somebody had seen its end; HISTORY_NEVER */
    uint64_t revoke_invoke_ns; /* the first that may have succeeded */
    uint64_t revoked_ns;       /* when the first success was told */
    uint64_t lives_until_ns;   /* no earlier end than that is right */
    uint64_t ends_by_ns;       /* by then it has run out; HISTORY_NEVER: not known */
    bool is_regranted;         /* an id used twice: times say nothing */
};

void judge_leases_prepare(struct judge *judge);
/* True when an end of the lease at that revision would have come too early. */
bool judge_lease_is_early(const struct judge *judge, uint32_t lease, int64_t revision);

/* ---- rules over the finished replay ---- */

void judge_order(struct judge *judge);  /* real time, stale reads, headers */
void judge_errors(struct judge *judge); /* refusals, compaction, hashes */
void judge_leases(struct judge *judge);
void judge_watches_prepare(struct judge *judge); /* covers, before the replay */
void judge_watches(struct judge *judge);

#endif
