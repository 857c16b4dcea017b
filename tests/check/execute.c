/* SPDX-License-Identifier: Apache-2.0 */
/* One operation against the replay: what it does, and whether its answer says the same. */
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/check/judge.h"

#define LONG(x) ((long long)(x))

/* One operation on its way through its requests. */
struct run {
    struct judge *judge;
    const struct history_op *op;
    uint32_t op_index;
    int64_t revision; /* the state before is that of revision - 1, or revision when looking */
    enum judge_mode mode;
    enum check_name answer_rule; /* for what answers of writes and transactions get wrong */
};

bool judge_kv_equal(const struct history_kv *kv, const struct model_version *version,
                    bool is_key_only)
{
    return kv->mod_revision == version->revision && !version->is_delete &&
           kv->create_revision == version->create_revision && kv->version == version->version &&
           kv->lease == version->lease &&
           (is_key_only ? kv->value == HISTORY_EMPTY : kv->value == version->value);
}

/* ---- kinds of mismatch ---- */

/* Did anybody ever ask for this value under this key? */
static bool was_written(const struct judge *judge, const struct history_kv *kv)
{
    for (uint32_t i = judge->writer_at[kv->value]; i != JUDGE_NONE; i = judge->writers[i].next) {
        if (judge->writers[i].key == kv->key &&
            judge->history->ops[judge->writers[i].op].outcome != HISTORY_FAILED) {
            return true;
        }
    }
    return false;
}

static bool is_plain_read(const struct run *run, const struct history_request *request)
{
    return run->op->request == request && request->kind == HISTORY_RANGE;
}

/* What a wrong kv breaks; state is the key's state in the replay (NULL: never was). */
static enum check_name kv_rule(const struct run *run, const struct history_request *request,
                               const struct history_kv *kv, const struct model_version *state)
{
    if (!request->keys_only && !was_written(run->judge, kv)) {
        return CHECK_INVENTED;
    }
    if (!is_plain_read(run, request)) {
        return run->answer_rule;
    }
    if (request->is_serializable) {
        return CHECK_SERIALIZABLE_READ;
    }
    if (state == NULL || kv->mod_revision > state->revision) {
        return CHECK_READ_CONTENT;
    }
    return kv->mod_revision == state->revision ? CHECK_DIVERGED : CHECK_LOST_WRITE;
}

static struct judge_text state_text(const struct run *run, uint32_t key,
                                    const struct model_version *state)
{
    if (state == NULL || state->is_delete) {
        struct judge_text text = {"nothing"};
        return text;
    }
    struct history_kv kv = {run->judge->model.keys[key].text,
                            state->value,
                            state->create_revision,
                            state->revision,
                            state->version,
                            state->lease};
    return judge_kv_text(run->judge, &kv);
}

static void wrong_kv(struct run *run, const struct history_request *request,
                     const struct history_kv *kv)
{
    uint32_t key = run->judge->model.rank_of[kv->key];
    const struct model_version *state = model_at(&run->judge->model, key, run->revision);
    judge_mismatch(run->judge, kv_rule(run, request, kv, state), run->revision,
                   "answered %s where the writes up to revision %lld leave %s (last written by: "
                   "%s): %s",
                   judge_kv_text(run->judge, kv).text, LONG(run->revision),
                   state_text(run, key, state).text,
                   judge_cause_text(run->judge, state == NULL ? 0 : state->revision).text,
                   judge_op_text(run->judge, run->op_index).text);
}

static void missing_key(struct run *run, const struct history_request *request, uint32_t key)
{
    const struct model_version *state = model_now(&run->judge->model, key);
    enum check_name rule = !is_plain_read(run, request) ? run->answer_rule
                           : request->is_serializable   ? CHECK_SERIALIZABLE_READ
                                                        : CHECK_LOST_WRITE;
    judge_mismatch(run->judge, rule, run->revision,
                   "%s is missing from what was answered of revision %lld (written by: %s): %s",
                   state_text(run, key, state).text, LONG(run->revision),
                   judge_cause_text(run->judge, state == NULL ? 0 : state->revision).text,
                   judge_op_text(run->judge, run->op_index).text);
}

static void wrong_number(struct run *run, const struct history_request *request, const char *what,
                         int64_t answered, int64_t expected)
{
    enum check_name rule = !is_plain_read(run, request) ? run->answer_rule
                           : request->is_serializable   ? CHECK_SERIALIZABLE_READ
                           : answered < expected        ? CHECK_LOST_WRITE
                                                        : CHECK_READ_CONTENT;
    judge_mismatch(run->judge, rule, run->revision,
                   "%s %lld was answered, %lld it is after revision %lld: %s", what, LONG(answered),
                   LONG(expected), LONG(run->revision),
                   judge_op_text(run->judge, run->op_index).text);
}

/* ---- ranges ---- */

/* The answer lists the first count living keys of the range, in key order. */
static void compare_in_order(struct run *run, const struct history_request *request,
                             const struct history_response *response, struct model_range range,
                             uint32_t count)
{
    const struct model *model = &run->judge->model;
    uint32_t at = range.lo, i = 0;
    for (; i < count; i++, at++) {
        at = model_next(model, at);
        if (i == response->kv_count) {
            missing_key(run, request, at);
            return;
        }
        const struct history_kv *kv = &response->kvs[i];
        uint32_t key = model->rank_of[kv->key];
        run->judge->verdict->values_compared++;
        if (key > at) {
            missing_key(run, request, at);
            return;
        }
        if (key < at || !judge_kv_equal(kv, model_now(model, at), request->keys_only)) {
            wrong_kv(run, request, kv);
            return;
        }
    }
    if (i < response->kv_count) {
        wrong_kv(run, request, &response->kvs[i]);
    }
}

/* A state to sort, for what does not come in key order. */
struct entry {
    struct model_version version;
    uint32_t key;
};

struct sorting {
    const struct model *model;
    enum history_sort target;
    bool is_descending;
};

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_by_target(const struct sorting *sorting, const struct entry *a,
                             const struct entry *b)
{
    int order = 0;
    switch (sorting->target) {
    case HISTORY_SORT_KEY:
        order = compare_numbers(a->key, b->key);
        break;
    case HISTORY_SORT_VERSION:
        order = compare_numbers(a->version.version, b->version.version);
        break;
    case HISTORY_SORT_CREATE:
        order = compare_numbers(a->version.create_revision, b->version.create_revision);
        break;
    case HISTORY_SORT_MOD:
        order = compare_numbers(a->version.revision, b->version.revision);
        break;
    case HISTORY_SORT_VALUE:
        order = bytes_compare(history_bytes(sorting->model->history, a->version.value),
                              history_bytes(sorting->model->history, b->version.value));
        break;
    }
    return sorting->is_descending ? -order : order;
}

static int compare_entries(const void *a, const void *b, void *sorting)
{
    int order = compare_by_target(sorting, a, b);
    return order != 0
               ? order
               : compare_numbers(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static bool passes(const struct history_filter *filter, const struct model_version *version)
{
    return filter == NULL ||
           ((filter->min_mod == 0 || version->revision >= filter->min_mod) &&
            (filter->max_mod == 0 || version->revision <= filter->max_mod) &&
            (filter->min_create == 0 || version->create_revision >= filter->min_create) &&
            (filter->max_create == 0 || version->create_revision <= filter->max_create));
}

/* Equal sort values may come in any order, so position i is compared by its sort value, and what
 * stands there by the state of its key. */
static void compare_sorted(struct run *run, const struct history_request *request,
                           const struct history_response *response, const struct entry *entries,
                           uint32_t count)
{
    const struct sorting sorting = {&run->judge->model, request->sort_target,
                                    request->sort_order == HISTORY_ORDER_DESCEND};
    for (uint32_t i = 0; i < count && i < response->kv_count; i++) {
        const struct history_kv *kv = &response->kvs[i];
        uint32_t key = run->judge->model.rank_of[kv->key];
        run->judge->verdict->values_compared++;
        const struct entry *match = NULL;
        for (uint32_t j = 0; j < count && match == NULL; j++) { /* mostly i itself */
            const struct entry *candidate = &entries[(i + j) % count];
            match = candidate->key == key ? candidate : NULL;
        }
        bool repeats = i > 0 && response->kvs[i - 1].key == kv->key;
        bool is_cut = match == NULL && request->limit > 0;
        if (repeats || (match == NULL && !is_cut) ||
            (match != NULL && (!judge_kv_equal(kv, &match->version, request->keys_only) ||
                               compare_by_target(&sorting, match, &entries[i]) != 0))) {
            wrong_kv(run, request, kv);
            return;
        }
    }
    if (count != response->kv_count) {
        wrong_number(run, request, "a number of keys of", response->kv_count, count);
    }
}

static void compare_gathered(struct run *run, const struct history_request *request,
                             const struct history_response *response, struct model_range range)
{
    struct model *model = &run->judge->model;
    struct entry *entries = mem_array((size_t)(range.hi - range.lo) + 1, sizeof(*entries));
    uint32_t all = 0, count = 0;
    for (uint32_t key = range.lo; key < range.hi; key++) {
        const struct model_version *version = request->revision > 0 && run->op->request != request
                                                  ? model_at(model, key, request->revision)
                                                  : model_now(model, key);
        if (version != NULL && !version->is_delete) {
            all++;
            if (passes(request->filter, version)) {
                entries[count++] = (struct entry){*version, key};
            }
        }
    }
    struct sorting sorting = {model, request->sort_target,
                              request->sort_order == HISTORY_ORDER_DESCEND};
    qsort_r(entries, count, sizeof(*entries), compare_entries, &sorting);
    bool more = request->limit > 0 && count > request->limit;
    if (response->count != all) {
        wrong_number(run, request, "count", response->count, all);
    } else if (!request->count_only) {
        compare_sorted(run, request, response, entries, more ? (uint32_t)request->limit : count);
        if (response->more != more) {
            wrong_number(run, request, "more", response->more, more);
        }
    }
    mem_free(entries);
}

static void compare_range(struct run *run, const struct history_request *request,
                          const struct history_response *response)
{
    struct model_range range = model_range_of(&run->judge->model, request->key, request->range_end);
    bool is_past = request->revision > 0 && run->op->request != request;
    if (is_past || request->filter != NULL || request->sort_target != HISTORY_SORT_KEY ||
        request->sort_order == HISTORY_ORDER_DESCEND) {
        compare_gathered(run, request, response, range);
        return;
    }
    uint32_t all = model_count(&run->judge->model, range);
    bool more = request->limit > 0 && all > request->limit && !request->count_only;
    if (request->count_only) {
        if (response->kv_count != 0) {
            wrong_number(run, request, "a number of keys of", response->kv_count, 0);
        }
    } else {
        compare_in_order(run, request, response, range, more ? (uint32_t)request->limit : all);
    }
    if (response->count != all) {
        wrong_number(run, request, "count", response->count, all);
    }
    if (response->more != more) {
        wrong_number(run, request, "more", response->more, more);
    }
}

/* ---- writes ---- */

static void compare_prev(struct run *run, const struct history_request *request,
                         const struct history_response *response, struct model_range range)
{
    if (!request->wants_prev_kv) {
        if (response->kv_count > 0) {
            wrong_number(run, request, "a number of previous values of", response->kv_count, 0);
        }
        return;
    }
    compare_in_order(run, request, response, range, model_count(&run->judge->model, range));
}

static uint32_t run_put(struct run *run, const struct history_request *request,
                        const struct history_response *response)
{
    struct model *model = &run->judge->model;
    uint32_t key = model->rank_of[request->key];
    const struct model_version *now = model_now(model, key);
    if (response != NULL) {
        compare_prev(run, request, response, (struct model_range){key, key + 1});
    }
    uint32_t value = request->value;
    int64_t lease = request->lease;
    if (request->ignore_value || request->ignore_lease) {
        if (now == NULL) {
            run->judge->is_impossible = true;
            judge_mismatch(run->judge, run->answer_rule, run->revision,
                           "a put that keeps the old value or lease succeeded where nothing was: "
                           "%s",
                           judge_op_text(run->judge, run->op_index).text);
            return 0;
        }
        value = request->ignore_value ? now->value : value;
        lease = request->ignore_lease ? now->lease : lease;
    }
    if (run->mode == JUDGE_APPLY) {
        model_put(model, run->revision, key, value, lease);
    }
    return 1;
}

static uint32_t run_delete(struct run *run, const struct history_request *request,
                           const struct history_response *response)
{
    struct model *model = &run->judge->model;
    struct model_range range = model_range_of(model, request->key, request->range_end);
    uint32_t count = model_count(model, range);
    if (response != NULL) {
        compare_prev(run, request, response, range);
        if (response->count != count) {
            wrong_number(run, request, "a number deleted of", response->count, count);
        }
    }
    for (uint32_t at = range.lo, i = 0; run->mode == JUDGE_APPLY && i < count; i++, at++) {
        at = model_next(model, at);
        model_delete(model, run->revision, at);
    }
    return count;
}

/* ---- transactions ---- */

static bool compare_holds(const struct history *history, const struct history_compare *compare,
                          const struct model_version *version)
{
    static const struct model_version NOTHING = {0};
    bool is_there = version != NULL && !version->is_delete;
    if (!is_there) {
        version = &NOTHING;
    }
    int order = 0;
    switch ((enum history_target)compare->target) {
    case HISTORY_TARGET_VERSION:
        order = compare_numbers(version->version, compare->number);
        break;
    case HISTORY_TARGET_CREATE:
        order = compare_numbers(version->create_revision, compare->number);
        break;
    case HISTORY_TARGET_MOD:
        order = compare_numbers(is_there ? version->revision : 0, compare->number);
        break;
    case HISTORY_TARGET_LEASE:
        order = compare_numbers(version->lease, compare->number);
        break;
    case HISTORY_TARGET_VALUE:
        if (!is_there) {
            return false;
        }
        order = bytes_compare(history_bytes(history, version->value),
                              history_bytes(history, compare->value));
        break;
    }
    switch ((enum history_result)compare->result) {
    case HISTORY_EQUAL:
        return order == 0;
    case HISTORY_GREATER:
        return order > 0;
    case HISTORY_LESS:
        return order < 0;
    case HISTORY_NOT_EQUAL:
        return order != 0;
    }
    return false;
}

/* All compares, nested ones too, see the state before the transaction. */
static bool compares_hold(const struct run *run, const struct history_request *request)
{
    const struct model *model = &run->judge->model;
    int64_t before = run->mode == JUDGE_APPLY ? run->revision - 1 : run->revision;
    for (uint32_t i = 0; i < request->compare_count; i++) {
        const struct history_compare *compare = &request->compares[i];
        struct model_range range = model_range_of(model, compare->key, compare->range_end);
        bool any = false;
        for (uint32_t key = range.lo; key < range.hi; key++) {
            const struct model_version *version = model_at(model, key, before);
            if (version != NULL && !version->is_delete) {
                any = true;
                if (!compare_holds(model->history, compare, version)) {
                    return false;
                }
            }
        }
        if (!any && !compare_holds(model->history, compare, NULL)) {
            return false;
        }
    }
    return true;
}

static uint32_t run_request(struct run *run, const struct history_request *request,
                            const struct history_response *response);

static uint32_t run_txn(struct run *run, const struct history_request *request,
                        const struct history_response *response)
{
    bool holds = compares_hold(run, request);
    if (response != NULL && response->succeeded != holds) {
        judge_mismatch(run->judge, CHECK_TXN_ANSWER, run->revision,
                       "the compares %s in the state before, but the answer took the other branch: "
                       "%s",
                       holds ? "hold" : "do not hold",
                       judge_op_text(run->judge, run->op_index).text);
        holds = response->succeeded; /* what it says that it did */
    }
    const struct history_request *branch = holds ? request->then_requests : request->else_requests;
    uint32_t count = holds ? request->then_count : request->else_count, changes = 0;
    if (response != NULL && response->response_count != count) {
        wrong_number(run, request, "a number of nested answers of", response->response_count,
                     count);
        response = NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        changes += run_request(run, &branch[i], response == NULL ? NULL : &response->responses[i]);
    }
    return changes;
}

static uint32_t run_request(struct run *run, const struct history_request *request,
                            const struct history_response *response)
{
    switch ((enum history_kind)request->kind) {
    case HISTORY_PUT:
        return run_put(run, request, response);
    case HISTORY_DELETE:
        return run_delete(run, request, response);
    case HISTORY_RANGE:
        if (response != NULL) {
            compare_range(run, request, response);
        }
        return 0;
    case HISTORY_TXN:
        return run_txn(run, request, response);
    case HISTORY_COMPACT:
    case HISTORY_GRANT:
    case HISTORY_REVOKE:
    case HISTORY_KEEPALIVE:
    case HISTORY_TIME_TO_LIVE:
        return 0;
    }
    return 0;
}

/* Nothing may hang on a lease after its revocation was acknowledged. */
static void look_at_revoked(struct run *run)
{
    struct model_lease *lease = model_lease(&run->judge->model, run->op->request->lease);
    for (uint32_t i = 0; lease != NULL && lease->alive > 0 && i < lease->key_count; i++) {
        const struct model_version *now = model_now(&run->judge->model, lease->keys[i]);
        if (now != NULL && now->lease == lease->id) {
            judge_mismatch(run->judge, CHECK_LEASE_REVOKED, run->revision,
                           "%s lives on at revision %lld, though its lease was revoked: %s",
                           state_text(run, lease->keys[i], now).text, LONG(run->revision),
                           judge_op_text(run->judge, run->op_index).text);
            return;
        }
    }
}

uint32_t judge_execute(struct judge *judge, uint32_t op_index, int64_t revision,
                       enum judge_mode mode)
{
    const struct history_op *op = &judge->history->ops[op_index];
    struct run run = {
        judge,    op,   op_index,
        revision, mode, op->request->kind == HISTORY_TXN ? CHECK_TXN_ANSWER : CHECK_WRITE_ANSWER};
    judge->is_impossible = false;
    if (op->request->kind == HISTORY_REVOKE) {
        look_at_revoked(&run);
        return 0;
    }
    return run_request(&run, op->request, op->response);
}
