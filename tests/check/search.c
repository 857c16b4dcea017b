/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revisions without an acknowledged write: each was an unknown operation or the end of a lease.
 *
 * Each such revision (a gap) gets the list of what could have made it: the effect fits what was
 * told of the revision, and it was asked for before anybody saw the revision. Where the effect is
 * settled (a watch over everything shows it, or a unique value names its writer) only the cause is
 * open, and causes are matched to gaps by augmenting paths. Where the effect is open, the replay
 * goes on with the likeliest and comes back to try the others when something does not fit: a
 * depth-first search over linearizations in the manner of Wing and Gong, bounded by steps.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/check/judge.h"

#define CANDIDATES_MAX 64u
#define LEASE_CAUSE    JUDGE_NONE

struct gap {
    int64_t revision;
    struct judge_cause *candidates;
    uint32_t count, pick;
    bool is_settled; /* all candidates change the same */
    bool is_visited; /* by the augmenting path that is under way */
};

/* What a gap was taken for. */
struct way {
    int64_t revision;
    struct judge_cause cause;
};

/* The choices, and how they were when the search for a way beyond fail_revision began. */
struct judge_search {
    struct gap *gaps;
    uint32_t depth, capacity;
    uint32_t *gap_of;                   /* by op: the gap that uses it, plus one */
    uint32_t open;                      /* gaps that are not settled */
    int64_t frozen;                     /* up to there causes are what judge->causes says */
    int64_t settled;                    /* mismatches up to there have been dealt with */
    bool is_searching, is_cut, is_lost; /* a list was cut; a search ended without a result */
    int64_t fail_revision;
    struct judge_mismatch fail;
    struct way *fail_ways; /* one per gap */
    uint32_t fail_depth;
};

void judge_search_begin(struct judge *judge)
{
    struct judge_search *search = mem_zalloc(sizeof(*search));
    search->gap_of = mem_array(judge->history->op_count, sizeof(*search->gap_of));
    search->frozen = 1;
    search->settled = 1;
    judge->search = search;
}

static void gap_drop(struct judge *judge)
{
    struct judge_search *search = judge->search;
    struct gap *gap = &search->gaps[--search->depth];
    uint32_t op = gap->candidates[gap->pick].op;
    if (op != LEASE_CAUSE) {
        search->gap_of[op] = 0;
        judge->is_placed[op] = false;
    }
    search->open -= !gap->is_settled;
    mem_free(gap->candidates);
}

void judge_search_end(struct judge *judge)
{
    struct judge_search *search = judge->search;
    for (uint32_t i = 0; i < search->depth; i++) {
        mem_free(search->gaps[i].candidates);
    }
    mem_free(search->gaps);
    mem_free(search->gap_of);
    mem_free(search->fail_ways);
    mem_free(search);
    judge->search = NULL;
}

/* ---- what could have made a revision ---- */

bool judge_evidence_holds(struct judge *judge, int64_t revision)
{
    for (uint32_t i = judge->evidence_at[revision]; i != JUDGE_NONE; i = judge->evidence[i].next) {
        const struct judge_evidence *told = &judge->evidence[i];
        const struct model_version *version = model_at(&judge->model, told->key, revision);
        if (version == NULL || version->revision != revision ||
            version->is_delete != told->is_delete ||
            (!told->is_delete && !told->has_versions && version->create_revision != revision)) {
            return false;
        }
        if (!told->is_delete && told->has_versions &&
            !judge_kv_equal(&told->kv, version, !told->has_value)) {
            return false;
        }
    }
    return true;
}

static uint32_t cause_apply(struct judge *judge, int64_t revision, struct judge_cause cause)
{
    if (cause.op == LEASE_CAUSE) {
        return model_end_lease(&judge->model, revision, &judge->model.leases[cause.lease]);
    }
    return judge_execute(judge, cause.op, revision, JUDGE_APPLY);
}

/* A watch shows the events of that key at that revision, and showed none. */
static bool is_contradicted(const struct judge *judge, const struct model_change *change)
{
    for (uint32_t i = judge->evidence_at[change->revision]; i != JUDGE_NONE;
         i = judge->evidence[i].next) {
        if (judge->evidence[i].key == change->key) {
            return false;
        }
    }
    bool is_delete = judge->model.keys[change->key].versions[change->version].is_delete;
    for (uint32_t i = 0; i < judge->cover_count; i++) {
        const struct judge_cover *cover = &judge->covers[i];
        if (cover->from <= change->revision && change->revision <= cover->to &&
            cover->range.lo <= change->key && change->key < cover->range.hi &&
            !(is_delete ? cover->no_delete : cover->no_put)) {
            return true;
        }
    }
    return false;
}

enum fit { FIT_NOT, FIT_POORLY, FIT_WELL };

/* Tries a cause on the replay and takes it back. */
static enum fit cause_fit(struct judge *judge, int64_t revision, struct judge_cause cause)
{
    struct judge_mismatch before = judge->found;
    size_t log_before = judge->model.log_count;
    enum fit fit = FIT_NOT;
    judge->is_impossible = false;
    if (cause_apply(judge, revision, cause) > 0 && !judge->is_impossible &&
        judge_evidence_holds(judge, revision)) {
        fit = FIT_WELL;
        for (size_t i = log_before; i < judge->model.log_count && fit == FIT_WELL; i++) {
            fit = is_contradicted(judge, &judge->model.log[i]) ? FIT_POORLY : FIT_WELL;
        }
        if (cause.op == LEASE_CAUSE && judge_lease_is_early(judge, cause.lease, revision)) {
            fit = FIT_POORLY;
        }
    }
    model_rewind(&judge->model, revision - 1);
    judge->found = before;
    return fit;
}

struct candidates {
    struct judge *judge;
    int64_t revision;
    uint64_t seen_ns;
    struct judge_cause *well, *poorly;
    uint32_t well_count, poorly_count;
    uint32_t fit_count; /* with those that other gaps use */
    bool takes_used;    /* also what another gap uses */
};

static void candidate_add(struct candidates *all, struct judge_cause cause)
{
    struct judge_search *search = all->judge->search;
    if (cause.op != LEASE_CAUSE && all->judge->history->ops[cause.op].invoke_ns > all->seen_ns) {
        return;
    }
    enum fit fit = cause_fit(all->judge, all->revision, cause);
    if (fit == FIT_NOT) {
        return;
    }
    all->fit_count++;
    if (cause.op != LEASE_CAUSE && (search->gap_of[cause.op] == JUDGE_NONE ||
                                    (search->gap_of[cause.op] != 0 && !all->takes_used))) {
        return;
    }
    uint32_t *count = fit == FIT_WELL ? &all->well_count : &all->poorly_count;
    if (*count == CANDIDATES_MAX) {
        search->is_cut = true;
        return;
    }
    (fit == FIT_WELL ? all->well : all->poorly)[(*count)++] = cause;
}

static void add_writers(struct candidates *all, uint32_t value)
{
    const struct judge *judge = all->judge;
    uint32_t last = JUDGE_NONE;
    for (uint32_t i = judge->writer_at[value]; i != JUDGE_NONE; i = judge->writers[i].next) {
        uint32_t op = judge->writers[i].op;
        if (op != last && judge->history->ops[op].outcome == HISTORY_UNKNOWN) {
            candidate_add(all, (struct judge_cause){.op = op});
        }
        last = op;
    }
}

/* The lease that a key hangs on. */
static void add_lease_of(struct candidates *all, uint32_t key)
{
    const struct model_version *now = model_now(&all->judge->model, key);
    struct model_lease *lease = now == NULL ? NULL : model_lease(&all->judge->model, now->lease);
    if (lease != NULL) {
        uint32_t index = (uint32_t)(lease - all->judge->model.leases);
        candidate_add(all, (struct judge_cause){.op = LEASE_CAUSE, .lease = index});
    }
}

/* What was invoked last comes first: most unknown operations happen at once or never. */
static void add_all(struct candidates *all)
{
    const struct judge *judge = all->judge;
    for (uint32_t i = judge->unknown_count; i-- > 0;) {
        candidate_add(all, (struct judge_cause){.op = judge->unknown[i]});
    }
}

/* Gives whether the effect is settled by what was told. */
static bool candidates_find(struct candidates *all)
{
    const struct judge *judge = all->judge;
    const struct judge_evidence *put = NULL, *deleted = NULL;
    bool is_any = false;
    for (uint32_t i = judge->evidence_at[all->revision]; i != JUDGE_NONE;
         i = judge->evidence[i].next) {
        const struct judge_evidence *told = &judge->evidence[i];
        is_any = true;
        put = !told->is_delete && told->has_value ? told : put;
        deleted = told->is_delete ? told : deleted;
    }
    bool is_covered = judge->is_covered[all->revision];
    if (put != NULL && !judge->keeps_values) {
        uint32_t writer = judge->writer_at[put->kv.value];
        bool is_unique = writer != JUDGE_NONE && judge->writers[writer].next == JUDGE_NONE;
        all->takes_used = is_unique || is_covered;
        add_writers(all, put->kv.value);
        if (all->well_count > 0 || is_unique) {
            return all->takes_used && all->well_count > 0;
        }
        all->poorly_count = all->fit_count = 0; /* all of them come again */
    }
    all->takes_used = is_covered;
    add_all(all);
    if (deleted != NULL) {
        add_lease_of(all, deleted->key);
    }
    for (uint32_t i = 0; !is_any && i < judge->model.lease_count; i++) {
        if (judge->model.leases[i].alive > 0) {
            candidate_add(all, (struct judge_cause){.op = LEASE_CAUSE, .lease = i});
        }
    }
    return is_covered && all->well_count > 0;
}

/* ---- matching causes to gaps whose effect is settled ---- */

static bool gap_takes(struct judge *judge, uint32_t index)
{
    struct judge_search *search = judge->search;
    struct gap *gap = &search->gaps[index];
    gap->is_visited = true;
    for (uint32_t i = 0; i < gap->count; i++) {
        uint32_t op = gap->candidates[i].op;
        uint32_t user = op == LEASE_CAUSE ? 0 : search->gap_of[op];
        if (user == index + 1) {
            continue;
        }
        if (user == 0 || (search->gaps[user - 1].is_settled && !search->gaps[user - 1].is_visited &&
                          gap_takes(judge, user - 1))) {
            gap->pick = i;
            judge->causes[gap->revision] = gap->candidates[i];
            if (op != LEASE_CAUSE) {
                search->gap_of[op] = index + 1;
                judge->is_placed[op] = true;
            }
            return true;
        }
    }
    return false;
}

/* ---- gaps ---- */

static struct gap *gap_push(struct judge_search *search, int64_t revision)
{
    if (search->depth == search->capacity) {
        search->capacity = search->capacity == 0 ? 64 : search->capacity * 2;
        search->gaps = mem_realloc(search->gaps, search->capacity * sizeof(*search->gaps));
    }
    struct gap *gap = &search->gaps[search->depth++];
    *gap = (struct gap){.revision = revision};
    return gap;
}

/* What is wrong with a revision that nothing explains. */
static void gap_mismatch(struct judge *judge, int64_t revision)
{
    uint32_t first = judge->evidence_at[revision];
    if (first == JUDGE_NONE) {
        judge_mismatch(judge, CHECK_REVISION_GAP, revision,
                       "no acknowledged write has revision %lld, and no unknown one, nor the end "
                       "of a lease, can have made it",
                       (long long)revision);
        return;
    }
    const struct judge_evidence *told = &judge->evidence[first];
    struct judge_text key = judge_key_text(judge, judge->model.keys[told->key].text);
    if (told->is_delete || !told->has_value) {
        judge_mismatch(judge, CHECK_INVENTED, revision,
                       "%s was %s at revision %lld, and nobody can have done it", key.text,
                       told->is_delete ? "deleted" : "created", (long long)revision);
        return;
    }
    enum check_name name = CHECK_INVENTED;
    const char *why = "no client ever wrote that";
    uint32_t writer = judge->writer_at[told->kv.value];
    while (writer != JUDGE_NONE &&
           judge->writers[writer].key != judge->model.keys[told->key].text) {
        writer = judge->writers[writer].next;
    }
    uint32_t op = writer == JUDGE_NONE ? JUDGE_NONE : judge->writers[writer].op;
    if (op != JUDGE_NONE) {
        const struct history_op *by = &judge->history->ops[op];
        if (by->outcome == HISTORY_FAILED) {
            why = "the write of it failed for sure";
        } else if (by->outcome == HISTORY_OK || judge->is_placed[op]) {
            name = CHECK_APPLIED_TWICE;
            why = "the write of it happened at another revision";
        } else if (judge_floor(judge, by->invoke_ns) >= revision) {
            name = CHECK_REAL_TIME;
            why = "the revision had been seen before the write of it was asked for";
        } else {
            name = CHECK_DIVERGED;
            why = "the write of it cannot have left it so there";
        }
    }
    judge_mismatch(judge, name, revision, "%s was shown for revision %lld: %s%s%s",
                   judge_kv_text(judge, &told->kv).text, (long long)revision, why,
                   op == JUDGE_NONE ? "" : ": ",
                   op == JUDGE_NONE ? "" : judge_op_text(judge, op).text);
}

/* Nobody explains it: what was told of it is taken as it is, so that the replay can go on. */
static void gap_adopt(struct judge *judge, int64_t revision)
{
    judge->causes[revision] = (struct judge_cause){LEASE_CAUSE, JUDGE_NONE, false};
    for (uint32_t i = judge->evidence_at[revision]; i != JUDGE_NONE; i = judge->evidence[i].next) {
        const struct judge_evidence *told = &judge->evidence[i];
        if (!told->is_delete && !told->has_versions) {
            continue;
        }
        struct model_version version = {revision,       told->kv.create_revision, told->kv.version,
                                        told->kv.lease, told->kv.value,           told->is_delete};
        if (!told->is_delete || model_now(&judge->model, told->key) != NULL) {
            model_force(&judge->model, told->key, &version);
        }
    }
}

static void gap_use(struct judge *judge, uint32_t index)
{
    struct gap *gap = &judge->search->gaps[index];
    struct judge_cause cause = gap->candidates[gap->pick];
    judge->causes[gap->revision] = cause;
    if (cause.op != LEASE_CAUSE) {
        judge->search->gap_of[cause.op] = index + 1;
        judge->is_placed[cause.op] = true;
    }
}

/* Leaves out what other gaps use. */
static uint32_t keep_unused(const struct judge_search *search, struct judge_cause *causes,
                            uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (causes[i].op == LEASE_CAUSE || search->gap_of[causes[i].op] == 0) {
            causes[kept++] = causes[i];
        }
    }
    return kept;
}

static bool gap_open(struct judge *judge, int64_t revision)
{
    struct judge_search *search = judge->search;
    struct judge_cause well[CANDIDATES_MAX], poorly[CANDIDATES_MAX];
    struct candidates all = {.judge = judge,
                             .revision = revision,
                             .seen_ns = judge_first_seen(judge, revision),
                             .well = well,
                             .poorly = poorly};
    bool is_settled = candidates_find(&all);
    if (!is_settled) {
        all.well_count = keep_unused(search, well, all.well_count);
        all.poorly_count = keep_unused(search, poorly, all.poorly_count);
    }
    uint32_t count = all.well_count > 0 ? all.well_count : all.poorly_count;
    if (count == 0) {
        gap_mismatch(judge, revision);
        return false;
    }
    if (all.well_count == 0 && search->open > 0 && !judge_search_is_settled(judge, revision)) {
        judge_mismatch(
            judge, poorly[0].op == LEASE_CAUSE ? CHECK_LEASE_EARLY : CHECK_WATCH_RELIABLE, revision,
            "revision %lld can only be what a watch should have shown, or a lease's end "
            "before its time",
            (long long)revision);
        return false;
    }
    struct gap *gap = gap_push(search, revision);
    gap->candidates = mem_dup(all.well_count > 0 ? well : poorly, count * sizeof(*well));
    gap->count = count;
    gap->candidates[0].is_only = all.fit_count == 1;
    gap->is_settled = is_settled;
    search->open += !is_settled;
    judge->verdict->choices += count > 1;
    if (!is_settled) { /* none of these is used */
        gap_use(judge, search->depth - 1);
        return true;
    }
    for (uint32_t i = 0; i < search->depth; i++) {
        search->gaps[i].is_visited = false;
    }
    if (gap_takes(judge, search->depth - 1)) {
        return true;
    }
    search->depth--;
    mem_free(search->gaps[search->depth].candidates);
    gap_mismatch(judge, revision);
    return false;
}

bool judge_search_explain(struct judge *judge, int64_t revision)
{
    struct judge_search *search = judge->search;
    bool is_known = revision <= search->frozen;
    if (!is_known) { /* a choice that the search came back to? */
        is_known = search->depth > 0 && search->gaps[search->depth - 1].revision == revision;
    }
    if (!is_known && !gap_open(judge, revision)) {
        judge->found.is_content = false;
        if (judge_search_is_settled(judge, revision)) {
            gap_adopt(judge, revision);
        }
        return false;
    }
    struct judge_cause cause = judge->causes[revision];
    if (cause.op == LEASE_CAUSE && cause.lease == JUDGE_NONE) {
        gap_adopt(judge, revision);
    } else {
        (void)cause_apply(judge, revision, cause);
    }
    return true;
}

/* ---- the search ---- */

bool judge_search_is_open(const struct judge *judge)
{
    return judge->search->open > 0;
}

bool judge_search_is_settled(const struct judge *judge, int64_t revision)
{
    return revision <= judge->search->settled;
}

void judge_search_passed(struct judge *judge, int64_t revision)
{
    struct judge_search *search = judge->search;
    judge->verdict->search_steps += search->is_searching;
    if (search->is_searching && revision >= search->fail_revision) {
        search->is_searching = false;
    }
}

/* Takes the last choice that has another way to that way; 0: there is none. */
static int64_t next_way(struct judge *judge)
{
    struct judge_search *search = judge->search;
    while (search->depth > 0) {
        uint32_t index = search->depth - 1;
        struct gap *gap = &search->gaps[index];
        uint32_t used = gap->candidates[gap->pick].op;
        if (used != LEASE_CAUSE) {
            search->gap_of[used] = 0;
            judge->is_placed[used] = false;
        }
        for (uint32_t pick = gap->pick + 1; pick < gap->count; pick++) {
            uint32_t op = gap->candidates[pick].op;
            if (op == LEASE_CAUSE || search->gap_of[op] == 0) {
                gap->pick = pick;
                gap_use(judge, index);
                return gap->revision;
            }
        }
        gap_drop(judge);
    }
    return 0;
}

static void begin(struct judge *judge, int64_t revision)
{
    struct judge_search *search = judge->search;
    search->is_searching = true;
    search->fail_revision = revision;
    search->fail = judge->found;
    search->fail_depth = search->depth;
    mem_free(search->fail_ways);
    search->fail_ways = mem_array((size_t)search->depth + 1, sizeof(*search->fail_ways));
    for (uint32_t i = 0; i < search->depth; i++) {
        const struct gap *gap = &search->gaps[i];
        search->fail_ways[i] = (struct way){gap->revision, gap->candidates[gap->pick]};
    }
}

/* No way leads beyond: the first choices hold from now on, and the mismatch is what it is. */
static int64_t give_up(struct judge *judge, bool is_certain)
{
    struct judge_search *search = judge->search;
    while (search->depth > 0) {
        gap_drop(judge);
    }
    int64_t first = search->fail_depth > 0 ? search->fail_ways[0].revision : search->fail_revision;
    for (uint32_t i = 0; i < search->fail_depth; i++) {
        struct judge_cause cause = search->fail_ways[i].cause;
        judge->causes[search->fail_ways[i].revision] = cause;
        if (cause.op != LEASE_CAUSE) {
            search->gap_of[cause.op] = JUDGE_NONE; /* by a gap that is not open any more */
            judge->is_placed[cause.op] = true;
        }
    }
    bool has_last = search->fail_depth > 0 &&
                    search->fail_ways[search->fail_depth - 1].revision == search->fail_revision;
    search->frozen = has_last ? search->fail_revision : search->fail_revision - 1;
    search->settled = search->fail_revision;
    search->is_searching = false;
    search->is_lost |= !is_certain;
    judge->found = search->fail;
    if (search->is_lost) {
        judge->verdict->undecided++;
        judge->found.is_set = false;
    } else {
        judge_tell_found(judge);
    }
    model_rewind(&judge->model, first - 1);
    return first;
}

/* The state is certain, so the mismatch is: told, and the revision done once more. */
static int64_t go_on(struct judge *judge, int64_t revision)
{
    struct judge_search *search = judge->search;
    search->settled = revision;
    if (search->is_lost) {
        judge->verdict->undecided++;
        judge->found.is_set = false;
    } else {
        judge_tell_found(judge);
    }
    model_rewind(&judge->model, revision - 1);
    return revision;
}

int64_t judge_search_retry(struct judge *judge, int64_t revision)
{
    struct judge_search *search = judge->search;
    judge->verdict->search_steps += search->is_searching;
    if (!search->is_searching) {
        if (judge->found.is_content && search->open == 0) {
            return go_on(judge, revision);
        }
        begin(judge, revision);
    }
    if (judge->verdict->search_steps >= judge->config->search_steps_max) {
        return give_up(judge, false);
    }
    int64_t again = next_way(judge);
    if (again == 0) {
        return give_up(judge, !search->is_cut);
    }
    model_rewind(&judge->model, again - 1);
    return again;
}
