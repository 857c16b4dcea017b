/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes over a history: what was seen when, who owns a revision, who wrote a value, what was told
 * of revisions that nobody owns, and which answers show the state after a revision. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/check/judge.h"

#define REVISION_SLACK 100

/* ---- what a request is ---- */

bool judge_may_write(const struct history_request *request)
{
    if (request->kind == HISTORY_PUT || request->kind == HISTORY_DELETE) {
        return true;
    }
    for (uint32_t i = 0; i < request->then_count; i++) {
        if (judge_may_write(&request->then_requests[i])) {
            return true;
        }
    }
    for (uint32_t i = 0; i < request->else_count; i++) {
        if (judge_may_write(&request->else_requests[i])) {
            return true;
        }
    }
    return false;
}

bool judge_is_write(const struct history_request *request, const struct history_response *response)
{
    if (request->kind == HISTORY_PUT) {
        return true;
    }
    if (request->kind == HISTORY_DELETE) {
        return response->count > 0;
    }
    const struct history_request *branch =
        response->succeeded ? request->then_requests : request->else_requests;
    for (uint32_t i = 0; request->kind == HISTORY_TXN && i < response->response_count; i++) {
        if (judge_is_write(&branch[i], &response->responses[i])) {
            return true;
        }
    }
    return false;
}

static bool is_serializable(const struct history_request *request)
{
    if (request->kind == HISTORY_RANGE) {
        return request->is_serializable;
    }
    bool all = request->kind == HISTORY_TXN;
    for (uint32_t i = 0; all && i < request->then_count; i++) {
        all = is_serializable(&request->then_requests[i]);
    }
    for (uint32_t i = 0; all && i < request->else_count; i++) {
        all = is_serializable(&request->else_requests[i]);
    }
    return all;
}

bool judge_is_linearizable(const struct history_request *request)
{
    return request->kind <= HISTORY_TXN && !is_serializable(request);
}

/* ---- what was seen when ---- */

static int compare_seen(const void *a, const void *b)
{
    const struct judge_seen *left = a, *right = b;
    return left->time_ns < right->time_ns ? -1 : left->time_ns > right->time_ns;
}

/* Sorts and makes revisions grow along the array. */
static void seen_sort(struct judge_seen *seen, size_t count)
{
    qsort(seen, count, sizeof(*seen), compare_seen);
    for (size_t i = 1; i < count; i++) {
        seen[i].revision = BASE_MAX(seen[i].revision, seen[i - 1].revision);
    }
}

static void prepare_seen(struct judge *judge)
{
    const struct history *history = judge->history;
    size_t count = 0;
    struct judge_seen *seen = mem_array(
        history->op_count + history->message_count + history->hash_count + 1, sizeof(*seen));
    for (size_t i = 0; i < history->op_count; i++) {
        if (history->ops[i].outcome == HISTORY_OK) {
            seen[count++] =
                (struct judge_seen){history->ops[i].return_ns, history->ops[i].revision};
        }
    }
    for (size_t i = 0; i < history->message_count; i++) {
        const struct history_message *message = &history->messages[i];
        seen[count++] = (struct judge_seen){message->time_ns, message->revision};
    }
    for (size_t i = 0; i < history->hash_count; i++) {
        seen[count++] =
            (struct judge_seen){history->hashes[i].time_ns, history->hashes[i].revision};
    }
    seen_sort(seen, count);
    judge->seen = seen;
    judge->seen_count = count;
    judge->last = count == 0 ? 1 : BASE_MAX(seen[count - 1].revision, 1);
}

static void prepare_compactions(struct judge *judge)
{
    const struct history *history = judge->history;
    size_t count = 0;
    for (size_t i = 0; i < history->op_count; i++) {
        count += history->ops[i].request->kind == HISTORY_COMPACT;
    }
    judge->compacted = mem_array(count, sizeof(*judge->compacted));
    judge->compactable = mem_array(count, sizeof(*judge->compactable));
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (op->request->kind != HISTORY_COMPACT || op->outcome == HISTORY_FAILED) {
            continue;
        }
        judge->compactable[judge->compactable_count++] =
            (struct judge_seen){op->invoke_ns, op->request->revision};
        if (op->outcome == HISTORY_OK) {
            judge->compacted[judge->compacted_count++] =
                (struct judge_seen){op->return_ns, op->request->revision};
        }
    }
    seen_sort(judge->compacted, judge->compacted_count);
    seen_sort(judge->compactable, judge->compactable_count);
}

/* The revision of the last one before that time. */
static int64_t seen_before(const struct judge_seen *seen, size_t count, uint64_t time_ns)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (seen[middle].time_ns < time_ns) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo == 0 ? 0 : seen[lo - 1].revision;
}

int64_t judge_floor(const struct judge *judge, uint64_t time_ns)
{
    return seen_before(judge->seen, judge->seen_count, time_ns);
}

int64_t judge_compacted(const struct judge *judge, uint64_t time_ns)
{
    return seen_before(judge->compacted, judge->compacted_count, time_ns);
}

int64_t judge_compactable(const struct judge *judge, uint64_t time_ns)
{
    return seen_before(judge->compactable, judge->compactable_count, time_ns + 1);
}

uint64_t judge_first_seen(const struct judge *judge, int64_t revision)
{
    size_t lo = 0, hi = judge->seen_count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (judge->seen[middle].revision < revision) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo == judge->seen_count ? HISTORY_NEVER : judge->seen[lo].time_ns;
}

/* ---- who owns a revision ---- */

/* A revision far beyond all writes together is one lie about a revision, and not as many gaps. */
static void limit_last(struct judge *judge)
{
    int64_t possible = REVISION_SLACK;
    for (size_t i = 0; i < judge->history->op_count; i++) {
        const struct history_request *request = judge->history->ops[i].request;
        possible += request->kind == HISTORY_GRANT || judge_may_write(request) ? 2 : 0;
    }
    if (judge->last > possible) {
        judge_violation(judge, CHECK_REVISION_GAP, judge->last,
                        "revision %lld was shown, which is far more than was ever asked for",
                        (long long)judge->last);
        judge->last = possible;
    }
}

static void prepare_owners(struct judge *judge)
{
    const struct history *history = judge->history;
    limit_last(judge);
    size_t size = (size_t)judge->last + 2;
    judge->owner = mem_alloc(size * sizeof(*judge->owner));
    memset(judge->owner, 0xff, size * sizeof(*judge->owner));
    for (uint32_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (op->outcome != HISTORY_OK || !judge_is_write(op->request, op->response) ||
            op->revision > judge->last) {
            continue;
        }
        if (op->revision < 2) {
            judge_violation(judge, CHECK_HISTORY, op->revision,
                            "a write was acknowledged without a revision of its own: %s",
                            judge_op_text(judge, i).text);
        } else if (judge->owner[op->revision] != JUDGE_NONE) {
            judge_violation(judge, CHECK_REVISION_SHARED, op->revision,
                            "two writes were acknowledged at revision %lld: %s; %s",
                            (long long)op->revision,
                            judge_op_text(judge, judge->owner[op->revision]).text,
                            judge_op_text(judge, i).text);
        } else {
            judge->owner[op->revision] = i;
        }
    }
}

static int compare_invocations(const void *a, const void *b, void *context)
{
    const struct history *history = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    uint64_t at_left = history->ops[left].invoke_ns, at_right = history->ops[right].invoke_ns;
    return at_left != at_right ? (at_left < at_right ? -1 : 1) : (left < right ? -1 : left > right);
}

static void prepare_unknown(struct judge *judge)
{
    const struct history *history = judge->history;
    judge->unknown = mem_array(history->op_count, sizeof(*judge->unknown));
    judge->is_placed = mem_array(history->op_count, sizeof(*judge->is_placed));
    for (uint32_t i = 0; i < history->op_count; i++) {
        if (history->ops[i].outcome == HISTORY_UNKNOWN &&
            judge_may_write(history->ops[i].request)) {
            judge->unknown[judge->unknown_count++] = i;
        }
    }
    qsort_r(judge->unknown, judge->unknown_count, sizeof(*judge->unknown), compare_invocations,
            (void *)(uintptr_t)history);
}

/* ---- who wrote a value ---- */

static void note_writers(struct judge *judge, uint32_t op, const struct history_request *request)
{
    if (request->kind == HISTORY_PUT) {
        judge->keeps_values |=
            request->ignore_value && judge->history->ops[op].outcome == HISTORY_UNKNOWN;
        if (judge->writer_count == judge->writer_capacity) {
            judge->writer_capacity =
                judge->writer_capacity == 0 ? 1024 : judge->writer_capacity * 2;
            judge->writers =
                mem_realloc(judge->writers, judge->writer_capacity * sizeof(*judge->writers));
        }
        judge->writers[judge->writer_count] =
            (struct judge_writer){op, judge->writer_at[request->value], request->key};
        judge->writer_at[request->value] = judge->writer_count++;
    }
    for (uint32_t i = 0; i < request->then_count; i++) {
        note_writers(judge, op, &request->then_requests[i]);
    }
    for (uint32_t i = 0; i < request->else_count; i++) {
        note_writers(judge, op, &request->else_requests[i]);
    }
}

static void prepare_writers(struct judge *judge)
{
    size_t bytes = judge->history->text_count * sizeof(*judge->writer_at);
    judge->writer_at = mem_alloc(bytes);
    memset(judge->writer_at, 0xff, bytes);
    for (uint32_t i = 0; i < judge->history->op_count; i++) {
        note_writers(judge, i, judge->history->ops[i].request);
    }
}

/* ---- what was told of revisions that nobody owns ---- */

struct sighting {
    uint32_t source;
    bool from_watch, is_key_only;
};

/* Keeps the first of what was told; more exact ones take its place. A contradiction is one only
 * when both are exact: the replay takes the first, so the second does not fit it where it was seen.
 */
static void note_evidence(struct judge *judge, int64_t revision,
                          const struct judge_evidence *evidence)
{
    if (revision < 2 || revision > judge->last || judge->owner[revision] != JUDGE_NONE) {
        return;
    }
    for (uint32_t i = judge->evidence_at[revision]; i != JUDGE_NONE;) {
        struct judge_evidence *known = &judge->evidence[i];
        if (known->key == evidence->key) {
            bool is_better = evidence->has_versions &&
                             (!known->has_versions || (evidence->has_value && !known->has_value));
            if (is_better && known->is_delete == evidence->is_delete) {
                uint32_t next = known->next;
                *known = *evidence;
                known->next = next;
            }
            return;
        }
        i = known->next;
    }
    if (judge->evidence_count == judge->evidence_capacity) {
        judge->evidence_capacity =
            judge->evidence_capacity == 0 ? 256 : judge->evidence_capacity * 2;
        judge->evidence =
            mem_realloc(judge->evidence, judge->evidence_capacity * sizeof(*judge->evidence));
    }
    struct judge_evidence *added = &judge->evidence[judge->evidence_count];
    *added = *evidence;
    added->next = judge->evidence_at[revision];
    judge->evidence_at[revision] = judge->evidence_count++;
}

static void note_kv(struct judge *judge, const struct history_kv *kv, struct sighting sighting)
{
    struct judge_evidence evidence = {
        .key = judge->model.rank_of[kv->key],
        .has_value = !sighting.is_key_only,
        .has_versions = true,
        .from_watch = sighting.from_watch,
        .source = sighting.source,
        .kv = *kv,
    };
    note_evidence(judge, kv->mod_revision, &evidence);
    if (kv->create_revision != kv->mod_revision) {
        evidence.has_value = false;
        evidence.has_versions = false;
        note_evidence(judge, kv->create_revision, &evidence);
    }
}

static void note_answer(struct judge *judge, uint32_t op, const struct history_request *request,
                        const struct history_response *response)
{
    struct sighting sighting = {.source = op, .is_key_only = request->keys_only};
    for (uint32_t i = 0; i < response->kv_count; i++) {
        note_kv(judge, &response->kvs[i], sighting);
    }
    const struct history_request *branch =
        response->succeeded ? request->then_requests : request->else_requests;
    for (uint32_t i = 0; i < response->response_count; i++) {
        note_answer(judge, op, &branch[i], &response->responses[i]);
    }
}

static void prepare_evidence(struct judge *judge)
{
    const struct history *history = judge->history;
    size_t bytes = ((size_t)judge->last + 2) * sizeof(*judge->evidence_at);
    judge->evidence_at = mem_alloc(bytes);
    memset(judge->evidence_at, 0xff, bytes);
    /* Watches first: where they and an answer differ, they see each event by itself. */
    for (uint32_t i = 0; i < history->message_count; i++) {
        const struct history_message *message = &history->messages[i];
        struct sighting sighting = {.source = i, .from_watch = true};
        for (uint32_t j = 0; j < message->event_count; j++) {
            const struct history_event *event = &message->events[j];
            if (event->is_delete) {
                struct judge_evidence evidence = {.key = judge->model.rank_of[event->kv.key],
                                                  .is_delete = true,
                                                  .has_value = true,
                                                  .has_versions = true,
                                                  .from_watch = true,
                                                  .source = i};
                note_evidence(judge, event->kv.mod_revision, &evidence);
            } else {
                note_kv(judge, &event->kv, sighting);
            }
            if (event->has_prev) {
                note_kv(judge, &event->prev, sighting);
            }
        }
    }
    for (uint32_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (op->outcome == HISTORY_OK) {
            note_answer(judge, i, op->request, op->response);
        }
    }
}

/* ---- which answers show a state ---- */

/* The revision whose state the answer shows; 0: none. */
static int64_t look_revision(const struct history_op *op)
{
    if (op->outcome != HISTORY_OK) {
        return 0;
    }
    switch ((enum history_kind)op->request->kind) {
    case HISTORY_RANGE:
        return op->request->revision > 0 ? op->request->revision : op->revision;
    case HISTORY_DELETE:
    case HISTORY_TXN:
        return judge_is_write(op->request, op->response) ? 0 : op->revision;
    case HISTORY_REVOKE:
        return op->revision;
    case HISTORY_PUT:
    case HISTORY_COMPACT:
    case HISTORY_GRANT:
    case HISTORY_KEEPALIVE:
    case HISTORY_TIME_TO_LIVE:
        return 0;
    }
    return 0;
}

static void prepare_looks(struct judge *judge)
{
    const struct history *history = judge->history;
    size_t size = (size_t)judge->last + 2;
    uint32_t *starts = mem_array(size + 1, sizeof(*starts));
    for (size_t i = 0; i < history->op_count; i++) {
        int64_t revision = look_revision(&history->ops[i]);
        if (revision > 0 && revision <= judge->last) {
            starts[revision + 1]++;
        }
    }
    for (size_t i = 1; i <= size; i++) {
        starts[i] += starts[i - 1];
    }
    judge->looks = mem_array(starts[size] + 1u, sizeof(*judge->looks));
    uint32_t *next = mem_dup(starts, (size + 1) * sizeof(*starts));
    for (uint32_t i = 0; i < history->op_count; i++) {
        int64_t revision = look_revision(&history->ops[i]);
        if (revision > 0 && revision <= judge->last) {
            judge->looks[next[revision]++] = i;
        }
    }
    mem_free(next);
    judge->looks_at = starts;
}

/* Events of watches show states as well: what they tell of the key, and of the key before. */
static void prepare_events(struct judge *judge)
{
    const struct history *history = judge->history;
    size_t size = (size_t)judge->last + 2;
    uint32_t *starts = mem_array(size + 1, sizeof(*starts));
    for (size_t i = 0; i < history->message_count; i++) {
        for (uint32_t j = 0; j < history->messages[i].event_count; j++) {
            int64_t revision = history->messages[i].events[j].kv.mod_revision;
            starts[revision > 0 && revision <= judge->last ? revision + 1 : 1]++;
        }
    }
    for (size_t i = 1; i <= size; i++) {
        starts[i] += starts[i - 1];
    }
    judge->events = mem_array(starts[size] + 1u, sizeof(*judge->events));
    uint32_t *next = mem_dup(starts, (size + 1) * sizeof(*starts));
    for (size_t i = 0; i < history->message_count; i++) {
        for (uint32_t j = 0; j < history->messages[i].event_count; j++) {
            const struct history_event *event = &history->messages[i].events[j];
            int64_t revision = event->kv.mod_revision;
            judge->events[next[revision > 0 && revision <= judge->last ? revision : 0]++] = event;
        }
    }
    mem_free(next);
    judge->events_at = starts;
}

/* ---- all ---- */

void judge_prepare(struct judge *judge)
{
    model_init(&judge->model, judge->history);
    prepare_seen(judge);
    prepare_owners(judge);
    judge->causes = mem_alloc(((size_t)judge->last + 2) * sizeof(*judge->causes));
    for (int64_t i = 0; i < judge->last + 2; i++) {
        judge->causes[i] = (struct judge_cause){JUDGE_NONE, JUDGE_NONE, false};
    }
    judge->is_covered = mem_array((size_t)judge->last + 2, sizeof(*judge->is_covered));
    prepare_unknown(judge);
    prepare_writers(judge);
    prepare_evidence(judge);
    prepare_looks(judge);
    prepare_events(judge);
    prepare_compactions(judge);
}

void judge_free(struct judge *judge)
{
    model_free(&judge->model);
    mem_free(judge->seen);
    mem_free(judge->owner);
    mem_free(judge->causes);
    mem_free(judge->looks_at);
    mem_free(judge->looks);
    mem_free(judge->events_at);
    mem_free(judge->events);
    mem_free(judge->evidence_at);
    mem_free(judge->evidence);
    mem_free(judge->writer_at);
    mem_free(judge->writers);
    mem_free(judge->unknown);
    mem_free(judge->is_placed);
    mem_free(judge->covers);
    mem_free(judge->leases);
    mem_free(judge->compacted);
    mem_free(judge->compactable);
    mem_free(judge->is_covered);
}
