/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to make a right history wrong. */
#include "tests/unit/check/lib_mutations.h"

#include "tests/check/judge.h"

/* Records may be written here: they lie in the history's own memory. */
#define WRITABLE(type, pointer) ((type *)(uintptr_t)(pointer))

typedef bool (*op_test)(const struct history *history, const struct history_op *op);

/* A random operation that passes, or NULL. */
static struct history_op *pick_op(struct history *history, struct rng *rng, op_test test)
{
    size_t first = rng_below(rng, history->op_count);
    for (size_t i = 0; i < history->op_count; i++) {
        struct history_op *op = &history->ops[(first + i) % history->op_count];
        if (test(history, op)) {
            return op;
        }
    }
    return NULL;
}

/* A random event of a watch other than the first, with its message; skip leaves out so many first
 * events of the watch. NULL: there is none. */
static struct history_event *pick_event(struct history *history, struct rng *rng, bool any_watch,
                                        bool (*test)(const struct history_event *event),
                                        struct history_message **out_message)
{
    size_t first = rng_below(rng, history->message_count);
    for (size_t i = 0; i < history->message_count; i++) {
        struct history_message *message = &history->messages[(first + i) % history->message_count];
        if (!any_watch && message->watch == 1) {
            continue;
        }
        for (uint32_t j = 0; j < message->event_count; j++) {
            struct history_event *event = WRITABLE(struct history_event, &message->events[j]);
            if (test(event)) {
                *out_message = message;
                return event;
            }
        }
    }
    return NULL;
}

static bool is_write(const struct history_op *op)
{
    return op->outcome == HISTORY_OK && op->request->kind <= HISTORY_TXN &&
           judge_is_write(op->request, op->response);
}

static bool is_acked_put(const struct history *history, const struct history_op *op)
{
    (void)history;
    return op->outcome == HISTORY_OK && op->request->kind == HISTORY_PUT &&
           op->request->value != HISTORY_EMPTY;
}

static bool is_read_with_kv(const struct history *history, const struct history_op *op)
{
    (void)history;
    return op->outcome == HISTORY_OK && op->request->kind == HISTORY_RANGE &&
           op->response->kv_count > 0 && !op->request->keys_only;
}

static bool is_linear_with_kv(const struct history *history, const struct history_op *op)
{
    return is_read_with_kv(history, op) && !op->request->is_serializable;
}

static struct history_kv *kv_of(const struct history_op *op, struct rng *rng)
{
    return WRITABLE(struct history_kv, &op->response->kvs[rng_below(rng, op->response->kv_count)]);
}

/* ---- operations ---- */

static bool forget_a_write(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_acked_put);
    if (op == NULL) {
        return false;
    }
    *op = history->ops[--history->op_count]; /* the whole watch still shows it */
    return true;
}

static bool call_a_write_failed(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_acked_put);
    if (op == NULL) {
        return false;
    }
    op->outcome = HISTORY_FAILED;
    op->error = HISTORY_ERROR_OTHER;
    op->response = NULL;
    return true;
}

static bool swap_two_revisions(struct history *history, struct rng *rng)
{
    struct history_op *first = pick_op(history, rng, is_acked_put);
    for (size_t i = 0; first != NULL && i < history->op_count; i++) {
        struct history_op *second = &history->ops[i];
        if (is_acked_put(history, second) && first->return_ns < second->invoke_ns) {
            int64_t revision = first->revision;
            first->revision = second->revision;
            second->revision = revision;
            return true;
        }
    }
    return false;
}

static bool share_a_revision(struct history *history, struct rng *rng)
{
    struct history_op *first = pick_op(history, rng, is_acked_put);
    struct history_op *second = pick_op(history, rng, is_acked_put);
    if (first == NULL || first == second) {
        return false;
    }
    first->revision = second->revision;
    return true;
}

static bool age_a_read(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_linear_with_kv);
    for (size_t i = 0; op != NULL && i < history->op_count; i++) {
        const struct history_op *before = &history->ops[i];
        if (is_write(before) && before->return_ns < op->invoke_ns && before->revision > 2) {
            op->revision = before->revision - 1;
            return true;
        }
    }
    return false;
}

/* An older version of a key that a read shows, from another answer. */
static bool show_an_older_version(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_linear_with_kv);
    struct history_kv *kv = op == NULL ? NULL : kv_of(op, rng);
    for (size_t i = 0; kv != NULL && i < history->message_count; i++) {
        for (uint32_t j = 0; j < history->messages[i].event_count; j++) {
            const struct history_event *event = &history->messages[i].events[j];
            if (!event->is_delete && event->kv.key == kv->key &&
                event->kv.mod_revision < kv->mod_revision) {
                *kv = event->kv;
                return true;
            }
        }
    }
    return false;
}

static bool drop_a_key(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_read_with_kv);
    if (op == NULL || op->response->more) {
        return false;
    }
    struct history_response *response = WRITABLE(struct history_response, op->response);
    response->kv_count--;
    response->count--;
    return true;
}

static bool invent_a_value(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_read_with_kv);
    if (op == NULL) {
        return false;
    }
    kv_of(op, rng)->value = history_intern_str(history, "never written");
    return true;
}

static bool change_a_version(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_linear_with_kv);
    if (op == NULL) {
        return false;
    }
    kv_of(op, rng)->version++;
    return true;
}

static bool is_serial_with_kv(const struct history *history, const struct history_op *op)
{
    return is_read_with_kv(history, op) && op->request->is_serializable;
}

static bool change_a_serializable_read(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_serial_with_kv);
    if (op == NULL) {
        return false;
    }
    kv_of(op, rng)->create_revision++;
    return true;
}

static bool is_put_with_prev(const struct history *history, const struct history_op *op)
{
    return is_acked_put(history, op) && op->response->kv_count > 0;
}

static bool change_a_previous_value(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_put_with_prev);
    if (op == NULL) {
        return false;
    }
    kv_of(op, rng)->version++;
    return true;
}

static bool lose_a_previous_value(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_put_with_prev);
    if (op == NULL) {
        return false;
    }
    WRITABLE(struct history_response, op->response)->kv_count = 0;
    return true;
}

static bool is_delete_of_some(const struct history *history, const struct history_op *op)
{
    (void)history;
    return op->outcome == HISTORY_OK && op->request->kind == HISTORY_DELETE &&
           op->response->count > 0;
}

static bool count_one_deletion_more(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_delete_of_some);
    if (op == NULL) {
        return false;
    }
    WRITABLE(struct history_response, op->response)->count++;
    return true;
}

static bool is_txn_with_one_compare(const struct history *history, const struct history_op *op)
{
    (void)history;
    return op->outcome == HISTORY_OK && op->request->kind == HISTORY_TXN &&
           op->request->compare_count == 1 &&
           op->request->compares[0].target != HISTORY_TARGET_VALUE;
}

static bool turn_a_compare_round(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_txn_with_one_compare);
    if (op == NULL) {
        return false;
    }
    struct history_compare *compare = WRITABLE(struct history_compare, op->request->compares);
    switch ((enum history_result)compare->result) {
    case HISTORY_EQUAL:
        compare->result = HISTORY_NOT_EQUAL;
        break;
    case HISTORY_NOT_EQUAL:
        compare->result = HISTORY_EQUAL;
        break;
    case HISTORY_GREATER: /* not greater: less than the next */
        compare->result = HISTORY_LESS;
        compare->number++;
        break;
    case HISTORY_LESS:
        compare->result = HISTORY_GREATER;
        compare->number--;
        break;
    }
    return true;
}

static bool is_late_answer(const struct history *history, const struct history_op *op)
{
    return op->outcome == HISTORY_OK && op->member != 0 && op->invoke_ns > 1000000000 &&
           op->request->kind == HISTORY_RANGE && history != NULL;
}

static bool lower_a_term(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_late_answer);
    if (op == NULL) {
        return false;
    }
    op->term = 1;
    return true;
}

static bool is_acked_compaction(const struct history *history, const struct history_op *op)
{
    (void)history;
    return op->outcome == HISTORY_OK && op->request->kind == HISTORY_COMPACT &&
           op->request->revision > 2;
}

static bool read_what_is_compacted(struct history *history, struct rng *rng)
{
    const struct history_op *compaction = pick_op(history, rng, is_acked_compaction);
    for (size_t i = 0; compaction != NULL && i < history->op_count; i++) {
        struct history_op *op = &history->ops[i];
        if (is_linear_with_kv(history, op) && op->invoke_ns > compaction->return_ns) {
            WRITABLE(struct history_request, op->request)->revision = 1;
            struct history_response *none = WRITABLE(struct history_response, op->response);
            *none = (struct history_response){0};
            return true;
        }
    }
    return false;
}

static bool is_compacted_refusal(const struct history *history, const struct history_op *op)
{
    return op->outcome == HISTORY_FAILED && op->error == HISTORY_ERROR_COMPACTED &&
           op->request->kind == HISTORY_RANGE && history != NULL;
}

static bool refuse_for_nothing(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_compacted_refusal);
    if (op == NULL) {
        return false;
    }
    WRITABLE(struct history_request, op->request)->revision = 1000000;
    return true;
}

/* Everything after a revision moves up by one: the revision between has no owner. */
static void move_kv(const struct history_kv *kvs, uint32_t count, int64_t after)
{
    for (uint32_t i = 0; i < count; i++) {
        struct history_kv *kv = WRITABLE(struct history_kv, &kvs[i]);
        kv->mod_revision += kv->mod_revision > after;
        kv->create_revision += kv->create_revision > after;
    }
}

static void move_response(const struct history_response *response, int64_t after)
{
    move_kv(response->kvs, response->kv_count, after);
    for (uint32_t i = 0; i < response->response_count; i++) {
        move_response(&response->responses[i], after);
    }
}

static bool leave_out_a_revision(struct history *history, struct rng *rng)
{
    struct history_op *put = pick_op(history, rng, is_acked_put);
    int64_t after = put == NULL ? 0 : put->revision;
    for (size_t i = 0; i < history->op_count && put != NULL; i++) {
        struct history_op *op = &history->ops[i];
        op->revision += op->revision > after;
        if (op->response != NULL) {
            move_response(op->response, after);
        }
    }
    for (size_t i = 0; i < history->message_count && put != NULL; i++) {
        struct history_message *message = &history->messages[i];
        message->revision += message->revision > after;
        for (uint32_t j = 0; j < message->event_count; j++) {
            const struct history_event *event = &message->events[j];
            move_kv(&event->kv, 1, after);
            move_kv(&event->prev, event->has_prev, after);
        }
    }
    for (size_t i = 0; i < history->hash_count; i++) {
        history->hashes[i].revision++;
    }
    return put != NULL;
}

/* ---- leases and members ---- */

/* The lease was granted before, is not as old as its TTL, and nobody asked for its end. */
static bool is_young_lease(const struct history *history, const struct history_op *op)
{
    bool is_young = false;
    if (op->outcome != HISTORY_OK || op->request->kind < HISTORY_KEEPALIVE ||
        op->response->count < 0) {
        return false;
    }
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *other = &history->ops[i];
        bool is_ours = other->request->lease == op->request->lease ||
                       (other->response != NULL && other->response->lease == op->request->lease);
        if (is_ours && other->request->kind == HISTORY_REVOKE) {
            return false;
        }
        if (is_ours && other->request->kind == HISTORY_GRANT) {
            if (is_young || other->outcome != HISTORY_OK || other->return_ns >= op->invoke_ns ||
                op->return_ns >= other->invoke_ns + (uint64_t)other->response->count * 1000000000) {
                return false;
            }
            is_young = true;
        }
    }
    return is_young;
}

static bool call_a_lease_gone(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_young_lease);
    if (op == NULL) {
        return false;
    }
    WRITABLE(struct history_response, op->response)->count =
        op->request->kind == HISTORY_KEEPALIVE ? 0 : -1;
    return true;
}

static bool is_lease_put(const struct history *history, const struct history_op *op)
{
    return is_acked_put(history, op) && op->request->lease != 0;
}

static bool hang_on_no_lease(struct history *history, struct rng *rng)
{
    struct history_op *op = pick_op(history, rng, is_lease_put);
    if (op == NULL) {
        return false;
    }
    WRITABLE(struct history_request, op->request)->lease = 123456789;
    return true;
}

static bool change_a_hash(struct history *history, struct rng *rng)
{
    history->hashes[rng_below(rng, history->hash_count)].hash ^= 1;
    return true;
}

/* ---- watches ---- */

static bool any_event(const struct history_event *event)
{
    return event->kv.key != HISTORY_EMPTY;
}

static bool update_event(const struct history_event *event)
{
    return !event->is_delete && event->kv.version > 1;
}

static bool event_with_prev(const struct history_event *event)
{
    return event->has_prev;
}

static bool put_event(const struct history_event *event)
{
    return !event->is_delete;
}

/* Is there an event of the same watch after this message? */
static bool goes_on(const struct history *history, const struct history_message *message)
{
    for (const struct history_message *later = message + 1;
         later < history->messages + history->message_count; later++) {
        if (later->watch == message->watch && later->event_count > 0) {
            return true;
        }
    }
    return false;
}

static bool drop_an_event(struct history *history, struct rng *rng)
{
    struct history_message *message;
    struct history_event *event = pick_event(history, rng, false, any_event, &message);
    if (event == NULL || !goes_on(history, message)) {
        return false;
    }
    size_t after = (size_t)(message->events + message->event_count - (event + 1));
    memmove(event, event + 1, after * sizeof(*event));
    message->event_count--;
    message->is_fragment = message->is_fragment && message->event_count > 0;
    return true;
}

static bool repeat_a_message(struct history *history, struct rng *rng)
{
    struct history_message *message;
    if (pick_event(history, rng, true, any_event, &message) == NULL) {
        return false;
    }
    struct history_message copy = *message;
    copy.time_ns = history->messages[history->message_count - 1].time_ns;
    history_add_message(history, &copy);
    return true;
}

static bool swap_two_messages(struct history *history, struct rng *rng)
{
    struct history_message *message;
    if (pick_event(history, rng, true, any_event, &message) == NULL) {
        return false;
    }
    for (struct history_message *later = message + 1;
         later < history->messages + history->message_count; later++) {
        if (later->watch == message->watch && later->event_count > 0) {
            struct history_message copy = *later;
            later->events = message->events;
            later->event_count = message->event_count;
            message->events = copy.events;
            message->event_count = copy.event_count;
            return true;
        }
    }
    return false;
}

static bool split_a_revision(struct history *history, struct rng *rng)
{
    size_t first = rng_below(rng, history->message_count);
    for (size_t i = 0; i < history->message_count; i++) {
        struct history_message *message = &history->messages[(first + i) % history->message_count];
        if (message->is_fragment) {
            const struct history_message *next = message + 1;
            while (next->watch != message->watch) {
                next++;
            }
            if (message->events[message->event_count - 1].kv.mod_revision ==
                next->events[0].kv.mod_revision) {
                message->is_fragment = false;
                return true;
            }
        }
    }
    return false;
}

static bool tell_a_creation(struct history *history, struct rng *rng)
{
    struct history_message *message;
    struct history_event *event = pick_event(history, rng, false, update_event, &message);
    if (event == NULL) {
        return false;
    }
    event->kv.create_revision = event->kv.mod_revision;
    event->kv.version = 1;
    return true;
}

static bool change_an_event(struct history *history, struct rng *rng)
{
    struct history_message *message;
    struct history_event *event = pick_event(history, rng, false, put_event, &message);
    if (event == NULL) {
        return false;
    }
    event->kv.value = history_intern_str(history, "never written");
    return true;
}

static bool change_an_events_prev(struct history *history, struct rng *rng)
{
    struct history_message *message;
    struct history_event *event = pick_event(history, rng, true, event_with_prev, &message);
    if (event == NULL) {
        return false;
    }
    event->prev.version++;
    return true;
}

static bool bring_another_key(struct history *history, struct rng *rng)
{
    for (size_t i = 0; i < history->message_count; i++) {
        struct history_message *message = &history->messages[i];
        const struct history_watch *watch = history->watches;
        while (watch->id != message->watch && watch + 1 < history->watches + history->watch_count) {
            watch++;
        }
        if (message->event_count > 0 && watch->range_end == HISTORY_EMPTY &&
            rng_below(rng, 4) == 0) {
            WRITABLE(struct history_event, message->events)->kv.key =
                history_intern_str(history, "zzz");
            return true;
        }
    }
    return false;
}

static bool note_too_early(struct history *history, struct rng *rng)
{
    struct history_message *message;
    struct history_event *event = pick_event(history, rng, false, any_event, &message);
    if (event == NULL || event != message->events) {
        return false;
    }
    struct history_message *slot =
        message - 1; /* any message before will do: it becomes the note */
    if (slot < history->messages || slot->is_created || slot->is_canceled || slot->watch == 1 ||
        slot->watch == 0) {
        return false;
    }
    *slot = (struct history_message){.watch = message->watch,
                                     .stream = message->stream,
                                     .time_ns = message->time_ns,
                                     .member = 1,
                                     .revision = event->kv.mod_revision};
    return true;
}

static bool lower_a_header(struct history *history, struct rng *rng)
{
    struct history_message *message;
    struct history_event *event = pick_event(history, rng, true, any_event, &message);
    if (event == NULL || event->kv.mod_revision < 3) {
        return false;
    }
    message->revision = message->events[message->event_count - 1].kv.mod_revision - 1;
    return true;
}

static bool end_a_watch_by_compaction(struct history *history, struct rng *rng)
{
    size_t first = rng_below(rng, history->message_count);
    for (size_t i = 0; i < history->message_count; i++) {
        struct history_message *message = &history->messages[(first + i) % history->message_count];
        if (message->compact_revision != 0) {
            message->compact_revision += 100000;
            return true;
        }
    }
    return false;
}

static bool start_a_watch_later(struct history *history, struct rng *rng)
{
    struct history_message *message;
    struct history_event *event = pick_event(history, rng, false, any_event, &message);
    for (size_t i = 0; event != NULL && i < history->watch_count; i++) {
        struct history_watch *watch = &history->watches[i];
        if (watch->id == message->watch) {
            watch->start_revision = event->kv.mod_revision + 100000;
            return true;
        }
    }
    return false;
}

const struct mutation MUTATIONS[] = {
    {"an acknowledged write is forgotten", CHECK_INVENTED, forget_a_write},
    {"a write is called failed", CHECK_INVENTED, call_a_write_failed},
    {"two revisions are swapped", CHECK_REAL_TIME, swap_two_revisions},
    {"a revision is shared", CHECK_REVISION_SHARED, share_a_revision},
    {"a revision is left out", CHECK_REVISION_GAP, leave_out_a_revision},
    {"a read is older", CHECK_STALE_READ, age_a_read},
    {"a read shows an older version", CHECK_LOST_WRITE, show_an_older_version},
    {"a read misses a key", CHECK_LOST_WRITE, drop_a_key},
    {"a read shows an invented value", CHECK_INVENTED, invent_a_value},
    {"a read shows another version", CHECK_DIVERGED, change_a_version},
    {"a serializable read is wrong", CHECK_SERIALIZABLE_READ, change_a_serializable_read},
    {"a previous value is wrong", CHECK_WRITE_ANSWER, change_a_previous_value},
    {"a previous value is lost", CHECK_WRITE_ANSWER, lose_a_previous_value},
    {"one deletion more is counted", CHECK_WRITE_ANSWER, count_one_deletion_more},
    {"a compare is turned round", CHECK_TXN_ANSWER, turn_a_compare_round},
    {"a term is lower", CHECK_HEADER_BACKWARDS, lower_a_term},
    {"a compacted revision is read", CHECK_COMPACTION, read_what_is_compacted},
    {"a refusal has no reason", CHECK_READ_ERROR, refuse_for_nothing},
    {"a living lease is called gone", CHECK_LEASE_EARLY, call_a_lease_gone},
    {"a key hangs on no lease", CHECK_LEASE_UNKNOWN, hang_on_no_lease},
    {"a hash differs", CHECK_HASH_EQUAL, change_a_hash},
    {"an event is dropped", CHECK_WATCH_RELIABLE, drop_an_event},
    {"a message comes twice", CHECK_WATCH_UNIQUE, repeat_a_message},
    {"two messages are swapped", CHECK_WATCH_ORDERED, swap_two_messages},
    {"a revision is split", CHECK_WATCH_ATOMIC, split_a_revision},
    {"an update is told as a creation", CHECK_WATCH_IS_CREATE, tell_a_creation},
    {"an event's value is wrong", CHECK_WATCH_CONTENT, change_an_event},
    {"an event's previous value is wrong", CHECK_WATCH_PREV_KV, change_an_events_prev},
    {"an event has another key", CHECK_WATCH_FILTER, bring_another_key},
    {"a progress note comes too early", CHECK_WATCH_BOOKMARKABLE, note_too_early},
    {"a header is lower than its events", CHECK_WATCH_HEADER, lower_a_header},
    {"a watch ends by a compaction of nobody", CHECK_WATCH_COMPACTED, end_a_watch_by_compaction},
    {"a watch from the future brings the past", CHECK_WATCH_FUTURE, start_a_watch_later},
};
const size_t MUTATION_COUNT = ARRAY_COUNT(MUTATIONS);
