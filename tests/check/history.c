/* SPDX-License-Identifier: Apache-2.0 */
/* Histories in memory: texts kept once, records in growing arrays, trees in an arena. */
#include "tests/check/history.h"

#include "base/alloc.h"
#include "base/assert.h"

#define FIRST_CAPACITY 64u
#define FIRST_SLOTS    1024u

/* Where a text lies; bytes in the arena. */
struct history_text {
    struct bytes bytes;
};

void history_init(struct history *history)
{
    *history = (struct history){0};
    arena_init(&history->arena, BUF_NO_LIMIT);
    history->slot_count = FIRST_SLOTS;
    history->slots = mem_array(FIRST_SLOTS, sizeof(*history->slots));
    uint32_t empty = history_intern(history, bytes_of(NULL, 0));
    ASSERT(empty == HISTORY_EMPTY);
}

void history_free(struct history *history)
{
    arena_free(&history->arena);
    mem_free(history->texts);
    mem_free(history->slots);
    mem_free(history->ops);
    mem_free(history->watches);
    mem_free(history->messages);
    mem_free(history->hashes);
    mem_free(history->restarts);
    *history = (struct history){0};
}

/* Makes room for one more element in an array that grows by doubling. */
static void *grow(void *array, size_t count, size_t *capacity, size_t element_bytes)
{
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    ASSERT(*capacity < SIZE_MAX / element_bytes);
    return mem_realloc(array, *capacity * element_bytes);
}

/* ---- texts ---- */

static uint32_t text_hash(struct bytes text)
{
    uint64_t hash = 0xcbf29ce484222325u ^ text.size;
    for (size_t i = 0; i < text.size; i++) {
        hash = (hash ^ text.data[i]) * 0x100000001b3u;
    }
    return (uint32_t)(hash ^ hash >> 29);
}

/* Slots hold the number of a text plus one. */
static void slots_grow(struct history *history)
{
    mem_free(history->slots);
    history->slot_count *= 2;
    history->slots = mem_array(history->slot_count, sizeof(*history->slots));
    for (uint32_t i = 0; i < history->text_count; i++) {
        uint32_t at = text_hash(history->texts[i].bytes) & (history->slot_count - 1);
        while (history->slots[at] != 0) {
            at = (at + 1) & (history->slot_count - 1);
        }
        history->slots[at] = i + 1;
    }
}

uint32_t history_intern(struct history *history, struct bytes text)
{
    uint32_t at = text_hash(text) & (history->slot_count - 1);
    while (history->slots[at] != 0) {
        uint32_t known = history->slots[at] - 1;
        if (bytes_equal(history->texts[known].bytes, text)) {
            return known;
        }
        at = (at + 1) & (history->slot_count - 1);
    }
    ASSERT(history->text_count < UINT32_MAX / 4);
    size_t capacity = history->text_capacity;
    history->texts = grow(history->texts, history->text_count, &capacity, sizeof(*history->texts));
    history->text_capacity = (uint32_t)capacity;
    history->texts[history->text_count].bytes = arena_copy(&history->arena, text);
    history->slots[at] = ++history->text_count;
    if (history->text_count > history->slot_count / 2) {
        slots_grow(history);
    }
    return history->text_count - 1;
}

uint32_t history_intern_str(struct history *history, const char *text)
{
    return history_intern(history, bytes_of_str(text));
}

struct bytes history_bytes(const struct history *history, uint32_t text)
{
    ASSERT(text < history->text_count);
    return history->texts[text].bytes;
}

/* ---- copies of trees ---- */

static void *array_copy(struct history *history, const void *array, size_t count, size_t size)
{
    if (count == 0) {
        return NULL;
    }
    return (void *)(uintptr_t)arena_copy(&history->arena, bytes_of(array, count * size)).data;
}

static void request_fill(struct history *history, struct history_request *to,
                         const struct history_request *from, unsigned depth);

static struct history_request *requests_copy(struct history *history,
                                             const struct history_request *from, size_t count,
                                             unsigned depth)
{
    if (count == 0) {
        return NULL;
    }
    ASSERT(depth <= HISTORY_DEPTH_MAX);
    struct history_request *to = arena_zalloc(&history->arena, count * sizeof(*to));
    for (size_t i = 0; i < count; i++) {
        request_fill(history, &to[i], &from[i], depth);
    }
    return to;
}

static void request_fill(struct history *history, struct history_request *to,
                         const struct history_request *from, unsigned depth)
{
    *to = *from;
    to->filter =
        from->filter == NULL ? NULL : array_copy(history, from->filter, 1, sizeof(*from->filter));
    to->compares =
        array_copy(history, from->compares, from->compare_count, sizeof(*from->compares));
    to->then_requests = requests_copy(history, from->then_requests, from->then_count, depth + 1);
    to->else_requests = requests_copy(history, from->else_requests, from->else_count, depth + 1);
}

static struct history_response *responses_copy(struct history *history,
                                               const struct history_response *from, size_t count,
                                               unsigned depth)
{
    if (count == 0) {
        return NULL;
    }
    ASSERT(depth <= HISTORY_DEPTH_MAX);
    struct history_response *to = arena_zalloc(&history->arena, count * sizeof(*to));
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].kvs = array_copy(history, from[i].kvs, from[i].kv_count, sizeof(*from[i].kvs));
        to[i].responses =
            responses_copy(history, from[i].responses, from[i].response_count, depth + 1);
    }
    return to;
}

/* ---- records ---- */

void history_add_op(struct history *history, const struct history_op *op)
{
    ASSERT(op->request != NULL);
    ASSERT((op->outcome == HISTORY_OK) == (op->response != NULL));
    history->ops =
        grow(history->ops, history->op_count, &history->op_capacity, sizeof(*history->ops));
    struct history_op *added = &history->ops[history->op_count++];
    *added = *op;
    added->request = requests_copy(history, op->request, 1, 0);
    added->response = op->response == NULL ? NULL : responses_copy(history, op->response, 1, 0);
}

void history_add_watch(struct history *history, const struct history_watch *watch)
{
    history->watches = grow(history->watches, history->watch_count, &history->watch_capacity,
                            sizeof(*history->watches));
    history->watches[history->watch_count++] = *watch;
}

void history_add_message(struct history *history, const struct history_message *message)
{
    history->messages = grow(history->messages, history->message_count, &history->message_capacity,
                             sizeof(*history->messages));
    struct history_message *added = &history->messages[history->message_count++];
    *added = *message;
    added->events =
        array_copy(history, message->events, message->event_count, sizeof(*message->events));
}

void history_add_hash(struct history *history, const struct history_hash *hash)
{
    history->hashes = grow(history->hashes, history->hash_count, &history->hash_capacity,
                           sizeof(*history->hashes));
    history->hashes[history->hash_count++] = *hash;
}

void history_add_restart(struct history *history, const struct history_restart *restart)
{
    history->restarts = grow(history->restarts, history->restart_count, &history->restart_capacity,
                             sizeof(*history->restarts));
    history->restarts[history->restart_count++] = *restart;
}
