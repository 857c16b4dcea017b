/* SPDX-License-Identifier: Apache-2.0 */
/* Histories as text, one line per record (README.md). */
#include <inttypes.h>

#include "base/assert.h"
#include "tests/check/history.h"
#include "tests/check/words.h"

static void put_text(const struct history *history, uint32_t text, struct buf *out)
{
    static const char DIGITS[] = "0123456789abcdef";
    struct bytes bytes = history_bytes(history, text);
    (void)buf_append_byte(out, ' ');
    if (bytes.size == 0) {
        (void)buf_append_byte(out, '%');
        return;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        if (byte > 0x20 && byte < 0x7f && byte != '%') {
            (void)buf_append_byte(out, byte);
            continue;
        }
        (void)buf_append_byte(out, '%');
        (void)buf_append_byte(out, (uint8_t)DIGITS[byte >> 4]);
        (void)buf_append_byte(out, (uint8_t)DIGITS[byte & 15]);
    }
}

static void put_number(int64_t number, struct buf *out)
{
    (void)buf_printf(out, " %" PRId64, number);
}

static void put_option(const char *name, int64_t number, struct buf *out)
{
    if (number != 0) {
        (void)buf_printf(out, " %s=%" PRId64, name, number);
    }
}

static void put_flag(const char *name, bool is_set, struct buf *out)
{
    if (is_set) {
        (void)buf_printf(out, " %s", name);
    }
}

static void put_versions(const struct history *history, const struct history_kv *kv,
                         struct buf *out)
{
    put_text(history, kv->value, out);
    put_number(kv->create_revision, out);
    put_number(kv->mod_revision, out);
    put_number(kv->version, out);
    put_number(kv->lease, out);
}

/* ---- requests ---- */

static void put_range(const struct history_request *request, struct buf *out)
{
    put_option("rev", request->revision, out);
    put_option("limit", request->limit, out);
    put_flag("serial", request->is_serializable, out);
    put_flag("keys", request->keys_only, out);
    put_flag("count", request->count_only, out);
    if (request->sort_order != HISTORY_ORDER_NONE || request->sort_target != HISTORY_SORT_KEY) {
        (void)buf_printf(out, " sort=%s:%s", WORDS_SORT[request->sort_target],
                         WORDS_ORDER[request->sort_order]);
    }
    if (request->filter != NULL) {
        put_option("minmod", request->filter->min_mod, out);
        put_option("maxmod", request->filter->max_mod, out);
        put_option("mincreate", request->filter->min_create, out);
        put_option("maxcreate", request->filter->max_create, out);
    }
}

static void put_request(const struct history *history, const struct history_request *request,
                        struct buf *out);

static void put_txn(const struct history *history, const struct history_request *request,
                    struct buf *out)
{
    (void)buf_append_str(out, " [");
    for (uint32_t i = 0; i < request->compare_count; i++) {
        const struct history_compare *compare = &request->compares[i];
        (void)buf_printf(out, " %s %s", WORDS_TARGET[compare->target],
                         WORDS_RESULT[compare->result]);
        put_text(history, compare->key, out);
        put_text(history, compare->range_end, out);
        if (compare->target == HISTORY_TARGET_VALUE) {
            put_text(history, compare->value, out);
        } else {
            put_number(compare->number, out);
        }
    }
    (void)buf_append_str(out, " ] (");
    for (uint32_t i = 0; i < request->then_count; i++) {
        put_request(history, &request->then_requests[i], out);
    }
    (void)buf_append_str(out, " ) (");
    for (uint32_t i = 0; i < request->else_count; i++) {
        put_request(history, &request->else_requests[i], out);
    }
    (void)buf_append_str(out, " )");
}

static void put_request(const struct history *history, const struct history_request *request,
                        struct buf *out)
{
    (void)buf_printf(out, " %s", WORDS_KIND[request->kind]);
    switch ((enum history_kind)request->kind) {
    case HISTORY_PUT:
        put_text(history, request->key, out);
        put_text(history, request->value, out);
        put_option("lease", request->lease, out);
        put_flag("prev", request->wants_prev_kv, out);
        put_flag("ignore-value", request->ignore_value, out);
        put_flag("ignore-lease", request->ignore_lease, out);
        break;
    case HISTORY_DELETE:
        put_text(history, request->key, out);
        put_text(history, request->range_end, out);
        put_flag("prev", request->wants_prev_kv, out);
        break;
    case HISTORY_RANGE:
        put_text(history, request->key, out);
        put_text(history, request->range_end, out);
        put_range(request, out);
        break;
    case HISTORY_TXN:
        put_txn(history, request, out);
        break;
    case HISTORY_COMPACT:
        put_number(request->revision, out);
        break;
    case HISTORY_GRANT:
        put_number(request->lease, out);
        put_number(request->limit, out);
        break;
    case HISTORY_REVOKE:
    case HISTORY_KEEPALIVE:
    case HISTORY_TIME_TO_LIVE:
        put_number(request->lease, out);
        break;
    }
}

/* ---- answers ---- */

static void put_kvs(const struct history *history, const struct history_response *response,
                    struct buf *out)
{
    for (uint32_t i = 0; i < response->kv_count; i++) {
        (void)buf_append_str(out, " kv");
        put_text(history, response->kvs[i].key, out);
        put_versions(history, &response->kvs[i], out);
    }
}

static void put_response(const struct history *history, const struct history_request *request,
                         const struct history_response *response, struct buf *out)
{
    (void)buf_printf(out, " %s", WORDS_KIND[request->kind]);
    switch ((enum history_kind)request->kind) {
    case HISTORY_PUT:
        put_kvs(history, response, out);
        break;
    case HISTORY_RANGE:
    case HISTORY_DELETE:
        put_number(response->count, out);
        put_flag("more", response->more, out);
        put_kvs(history, response, out);
        break;
    case HISTORY_TXN: {
        uint32_t count = response->succeeded ? request->then_count : request->else_count;
        const struct history_request *branch =
            response->succeeded ? request->then_requests : request->else_requests;
        ASSERT(response->response_count == count);
        (void)buf_append_str(out, response->succeeded ? " yes (" : " no (");
        for (uint32_t i = 0; i < count; i++) {
            put_response(history, &branch[i], &response->responses[i], out);
        }
        (void)buf_append_str(out, " )");
        break;
    }
    case HISTORY_GRANT:
        put_number(response->lease, out);
        put_number(response->count, out);
        break;
    case HISTORY_KEEPALIVE:
        put_number(response->count, out);
        break;
    case HISTORY_TIME_TO_LIVE:
        put_number(response->count, out);
        put_number(response->granted_ttl, out);
        break;
    case HISTORY_COMPACT:
    case HISTORY_REVOKE:
        break;
    }
}

/* ---- records ---- */

void history_print_op(const struct history *history, const struct history_op *op, struct buf *out)
{
    (void)buf_printf(out, "op %u %" PRIu64, op->client, op->invoke_ns);
    if (op->return_ns == HISTORY_NEVER) {
        (void)buf_append_str(out, " -");
    } else {
        (void)buf_printf(out, " %" PRIu64, op->return_ns);
    }
    const char *outcome = op->outcome == HISTORY_OK        ? "ok"
                          : op->outcome == HISTORY_UNKNOWN ? "unknown"
                                                           : WORDS_ERROR[op->error];
    (void)buf_printf(out, " %s %" PRIx64 " %" PRIu64 " %" PRId64, outcome, op->member, op->term,
                     op->revision);
    put_request(history, op->request, out);
    if (op->outcome == HISTORY_OK) {
        (void)buf_append_str(out, " ->");
        put_response(history, op->request, op->response, out);
    }
    (void)buf_append_byte(out, '\n');
}

void history_print_watch(const struct history *history, const struct history_watch *watch,
                         struct buf *out)
{
    (void)buf_printf(out, "watch %" PRIu64 " %" PRIu64 " %u %" PRIu64, watch->id, watch->stream,
                     watch->client, watch->time_ns);
    put_text(history, watch->key, out);
    put_text(history, watch->range_end, out);
    put_number(watch->start_revision, out);
    put_flag("noput", watch->no_put, out);
    put_flag("nodelete", watch->no_delete, out);
    put_flag("prev", watch->wants_prev_kv, out);
    put_flag("progress", watch->progress_notify, out);
    put_flag("fragment", watch->may_fragment, out);
    (void)buf_append_byte(out, '\n');
}

static void put_event(const struct history *history, const struct history_event *event,
                      struct buf *out)
{
    (void)buf_append_str(out, event->is_delete ? " del" : " put");
    put_text(history, event->kv.key, out);
    if (event->is_delete) {
        put_number(event->kv.mod_revision, out);
    } else {
        put_versions(history, &event->kv, out);
    }
    if (event->has_prev) {
        (void)buf_append_str(out, " prev");
        put_versions(history, &event->prev, out);
    }
}

void history_print_message(const struct history *history, const struct history_message *message,
                           struct buf *out)
{
    if (message->watch == 0) {
        (void)buf_printf(out, "progress %" PRIu64, message->stream);
    } else {
        (void)buf_printf(out, "msg %" PRIu64, message->watch);
    }
    (void)buf_printf(out, " %" PRIu64 " %" PRIx64 " %" PRId64, message->time_ns, message->member,
                     message->revision);
    put_flag("created", message->is_created, out);
    put_flag("canceled", message->is_canceled, out);
    put_flag("fragment", message->is_fragment, out);
    put_option("compact", message->compact_revision, out);
    for (uint32_t i = 0; i < message->event_count; i++) {
        put_event(history, &message->events[i], out);
    }
    (void)buf_append_byte(out, '\n');
}

void history_print_hash(const struct history_hash *hash, struct buf *out)
{
    (void)buf_printf(out, "hash %" PRIu64 " %" PRIx64 " %" PRId64 " %" PRId64 " %x\n",
                     hash->time_ns, hash->member, hash->revision, hash->compact_revision,
                     hash->hash);
}

void history_print_restart(const struct history_restart *restart, struct buf *out)
{
    (void)buf_printf(out, "restart %" PRIu64 " %" PRIx64 "\n", restart->time_ns, restart->member);
}

void history_print(const struct history *history, struct buf *out)
{
    (void)buf_append_str(out, HISTORY_FIRST_LINE "\n");
    for (size_t i = 0; i < history->op_count; i++) {
        history_print_op(history, &history->ops[i], out);
    }
    for (size_t i = 0; i < history->watch_count; i++) {
        history_print_watch(history, &history->watches[i], out);
    }
    for (size_t i = 0; i < history->message_count; i++) {
        history_print_message(history, &history->messages[i], out);
    }
    for (size_t i = 0; i < history->hash_count; i++) {
        history_print_hash(&history->hashes[i], out);
    }
    for (size_t i = 0; i < history->restart_count; i++) {
        history_print_restart(&history->restarts[i], out);
    }
}
