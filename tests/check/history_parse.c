/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the text form back into records. Trees are built in scratch memory that dies with the
 * line; the history copies what it keeps. Any input is safe; a wrong line adds nothing.
 */
#include <stdio.h>

#include "tests/check/history.h"
#include "tests/check/words.h"

#define LIST_MAX 1000000u /* elements of one list in one line */

/* A line on its way: word is the next one, size 0 at the end. failed is sticky. */
struct line {
    struct history *history;
    struct arena scratch;
    struct bytes rest;
    struct bytes word;
    struct err *err;
    uint32_t column;
    bool failed;
};

static void advance(struct line *line)
{
    size_t size = 0;
    while (size < line->rest.size && line->rest.data[size] != ' ') {
        size++;
    }
    line->column++;
    line->word = bytes_of(line->rest.data, size);
    size += size < line->rest.size ? 1 : 0;
    line->rest = bytes_of(line->rest.data + size, line->rest.size - size);
}

static void fail(struct line *line, const char *wanted)
{
    if (!line->failed) {
        line->failed = true;
        (void)err_set(line->err, E_INVALID, "word %u (\"%.*s\"): %s expected", line->column,
                      (int)BASE_MIN(line->word.size, 40u), (const char *)line->word.data, wanted);
    }
}

static bool word_is(const struct line *line, const char *text)
{
    return !line->failed && bytes_equal(line->word, bytes_of_str(text));
}

/* Takes the word when it is that one. */
static bool take(struct line *line, const char *text)
{
    if (!word_is(line, text)) {
        return false;
    }
    advance(line);
    return true;
}

static void must(struct line *line, const char *text)
{
    if (!take(line, text)) {
        fail(line, text);
    }
}

/* The index of the word among words, taken; 0 and failed when it is none. */
static uint8_t take_of(struct line *line, const char *const *words, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        if (take(line, words[i])) {
            return (uint8_t)i;
        }
    }
    fail(line, what);
    return 0;
}

/* ---- numbers and bytes ---- */

static bool parse_unsigned(struct bytes word, unsigned base, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < word.size; i++) {
        uint8_t byte = word.data[i];
        unsigned digit = byte >= '0' && byte <= '9'   ? (unsigned)byte - '0'
                         : byte >= 'a' && byte <= 'f' ? (unsigned)byte - 'a' + 10
                                                      : 99;
        if (digit >= base || value > (UINT64_MAX - digit) / base) {
            return false;
        }
        value = value * base + digit;
    }
    *out = value;
    return word.size > 0;
}

static bool parse_signed(struct bytes word, int64_t *out)
{
    bool negative = word.size > 0 && word.data[0] == '-';
    uint64_t value = 0;
    if (!parse_unsigned(negative ? bytes_of(word.data + 1, word.size - 1) : word, 10, &value) ||
        value > (uint64_t)INT64_MAX) {
        return false;
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

static uint64_t take_unsigned(struct line *line, unsigned base)
{
    uint64_t value = 0;
    if (line->failed || !parse_unsigned(line->word, base, &value)) {
        fail(line, base == 16 ? "a hexadecimal number" : "a number");
        return 0;
    }
    advance(line);
    return value;
}

static int64_t take_signed(struct line *line)
{
    int64_t value = 0;
    if (line->failed || !parse_signed(line->word, &value)) {
        fail(line, "a number");
        return 0;
    }
    advance(line);
    return value;
}

static uint64_t take_time(struct line *line)
{
    uint64_t value = take_unsigned(line, 10);
    if (value > HISTORY_TIME_MAX) {
        fail(line, "an earlier time");
    }
    return value;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static uint32_t take_text(struct line *line)
{
    if (line->failed || line->word.size == 0) {
        fail(line, "bytes");
        return HISTORY_EMPTY;
    }
    struct bytes word = line->word;
    if (word.size == 1 && word.data[0] == '%') {
        advance(line);
        return HISTORY_EMPTY;
    }
    uint8_t *plain = arena_zalloc(&line->scratch, word.size);
    size_t size = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] != '%') {
            plain[size++] = word.data[i];
            continue;
        }
        int high = i + 2 < word.size ? hex_digit(word.data[i + 1]) : -1;
        int low = i + 2 < word.size ? hex_digit(word.data[i + 2]) : -1;
        if (high < 0 || low < 0) {
            fail(line, "% and two hexadecimal digits");
            return HISTORY_EMPTY;
        }
        plain[size++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    advance(line);
    return history_intern(line->history, bytes_of(plain, size));
}

/* Takes "name=NUMBER"; false when the word is something else. */
static bool take_option(struct line *line, const char *name, int64_t *out)
{
    size_t size = strlen(name);
    if (line->failed || line->word.size <= size || line->word.data[size] != '=' ||
        memcmp(line->word.data, name, size) != 0) {
        return false;
    }
    if (!parse_signed(bytes_of(line->word.data + size + 1, line->word.size - size - 1), out)) {
        fail(line, "a number behind =");
        return false;
    }
    advance(line);
    return true;
}

/* A list in scratch memory: room for one more. */
static void *list_add(struct line *line, void *list, uint32_t *count, size_t element_bytes)
{
    if ((*count & (*count - 1)) == 0) { /* 0 or a power of two: full */
        size_t capacity = *count == 0 ? 1 : (size_t)*count * 2;
        void *larger = arena_zalloc(&line->scratch, capacity * element_bytes);
        if (*count > 0) {
            memcpy(larger, list, *count * element_bytes);
        }
        list = larger;
    }
    (*count)++;
    if (*count > LIST_MAX) {
        fail(line, "a shorter list");
    }
    return list;
}

static void take_versions(struct line *line, struct history_kv *kv)
{
    kv->value = take_text(line);
    kv->create_revision = take_signed(line);
    kv->mod_revision = take_signed(line);
    kv->version = take_signed(line);
    kv->lease = take_signed(line);
}

/* ---- requests ---- */

static bool take_sort(struct line *line, struct history_request *request)
{
    for (uint8_t target = 0; target < WORDS_SORTS; target++) {
        for (uint8_t order = 0; order < WORDS_ORDERS; order++) {
            char text[32];
            (void)snprintf(text, sizeof(text), "sort=%s:%s", WORDS_SORT[target],
                           WORDS_ORDER[order]);
            if (take(line, text)) {
                request->sort_target = target;
                request->sort_order = order;
                return true;
            }
        }
    }
    return false;
}

static void take_range(struct line *line, struct history_request *request)
{
    struct history_filter filter = {0};
    bool has_filter = false;
    for (bool more = true; more && !line->failed;) {
        if (take(line, "serial")) {
            request->is_serializable = true;
        } else if (take(line, "keys")) {
            request->keys_only = true;
        } else if (take(line, "count")) {
            request->count_only = true;
        } else if (take_option(line, "minmod", &filter.min_mod) ||
                   take_option(line, "maxmod", &filter.max_mod) ||
                   take_option(line, "mincreate", &filter.min_create) ||
                   take_option(line, "maxcreate", &filter.max_create)) {
            has_filter = true;
        } else {
            more = take_option(line, "rev", &request->revision) ||
                   take_option(line, "limit", &request->limit) || take_sort(line, request);
        }
    }
    if (has_filter) {
        struct history_filter *kept = arena_zalloc(&line->scratch, sizeof(filter));
        *kept = filter;
        request->filter = kept;
    }
}

static void take_put(struct line *line, struct history_request *request)
{
    request->key = take_text(line);
    request->value = take_text(line);
    for (bool more = true; more && !line->failed;) {
        if (take(line, "prev")) {
            request->wants_prev_kv = true;
        } else if (take(line, "ignore-value")) {
            request->ignore_value = true;
        } else if (take(line, "ignore-lease")) {
            request->ignore_lease = true;
        } else {
            more = take_option(line, "lease", &request->lease);
        }
    }
}

static void take_request(struct line *line, struct history_request *request, unsigned depth);

static struct history_request *take_requests(struct line *line, uint32_t *out_count, unsigned depth)
{
    struct history_request *list = NULL;
    must(line, "(");
    while (!line->failed && !take(line, ")")) {
        list = list_add(line, list, out_count, sizeof(*list));
        take_request(line, &list[*out_count - 1], depth);
    }
    return list;
}

static void take_txn(struct line *line, struct history_request *request, unsigned depth)
{
    struct history_compare *compares = NULL;
    must(line, "[");
    while (!line->failed && !take(line, "]")) {
        compares = list_add(line, compares, &request->compare_count, sizeof(*compares));
        struct history_compare *compare = &compares[request->compare_count - 1];
        compare->target = take_of(line, WORDS_TARGET, WORDS_TARGETS, "what to compare");
        compare->result = take_of(line, WORDS_RESULT, WORDS_RESULTS, "=, >, < or !=");
        compare->key = take_text(line);
        compare->range_end = take_text(line);
        if (compare->target == HISTORY_TARGET_VALUE) {
            compare->value = take_text(line);
        } else {
            compare->number = take_signed(line);
        }
    }
    request->compares = compares;
    request->then_requests = take_requests(line, &request->then_count, depth + 1);
    request->else_requests = take_requests(line, &request->else_count, depth + 1);
}

static void take_request(struct line *line, struct history_request *request, unsigned depth)
{
    *request = (struct history_request){0};
    request->kind = take_of(line, WORDS_KIND, WORDS_KINDS, "an operation");
    if (depth > HISTORY_DEPTH_MAX || (depth > 0 && request->kind > HISTORY_TXN)) {
        fail(line, "an operation that may stand here");
        return;
    }
    switch ((enum history_kind)request->kind) {
    case HISTORY_PUT:
        take_put(line, request);
        break;
    case HISTORY_DELETE:
    case HISTORY_RANGE:
        request->key = take_text(line);
        request->range_end = take_text(line);
        if (request->kind == HISTORY_RANGE) {
            take_range(line, request);
        } else {
            request->wants_prev_kv = take(line, "prev");
        }
        break;
    case HISTORY_TXN:
        take_txn(line, request, depth);
        break;
    case HISTORY_COMPACT:
        request->revision = take_signed(line);
        break;
    case HISTORY_GRANT:
        request->lease = take_signed(line);
        request->limit = take_signed(line);
        break;
    case HISTORY_REVOKE:
    case HISTORY_KEEPALIVE:
    case HISTORY_TIME_TO_LIVE:
        request->lease = take_signed(line);
        break;
    }
}

/* ---- answers ---- */

static void take_kvs(struct line *line, struct history_response *response)
{
    struct history_kv *kvs = NULL;
    while (take(line, "kv")) {
        kvs = list_add(line, kvs, &response->kv_count, sizeof(*kvs));
        kvs[response->kv_count - 1].key = take_text(line);
        take_versions(line, &kvs[response->kv_count - 1]);
    }
    response->kvs = kvs;
}

static void take_response(struct line *line, const struct history_request *request,
                          struct history_response *response);

static void take_txn_response(struct line *line, const struct history_request *request,
                              struct history_response *response)
{
    response->succeeded = take(line, "yes");
    if (!response->succeeded) {
        must(line, "no");
    }
    response->response_count = response->succeeded ? request->then_count : request->else_count;
    const struct history_request *branch =
        response->succeeded ? request->then_requests : request->else_requests;
    must(line, "(");
    if (response->response_count > 0 && !line->failed) {
        struct history_response *list =
            arena_zalloc(&line->scratch, response->response_count * sizeof(*list));
        for (uint32_t i = 0; i < response->response_count && !line->failed; i++) {
            take_response(line, &branch[i], &list[i]);
        }
        response->responses = list;
    }
    must(line, ")");
}

static void take_response(struct line *line, const struct history_request *request,
                          struct history_response *response)
{
    must(line, WORDS_KIND[request->kind]);
    switch ((enum history_kind)request->kind) {
    case HISTORY_PUT:
        take_kvs(line, response);
        break;
    case HISTORY_DELETE:
    case HISTORY_RANGE:
        response->count = take_signed(line);
        response->more = take(line, "more");
        take_kvs(line, response);
        break;
    case HISTORY_TXN:
        take_txn_response(line, request, response);
        break;
    case HISTORY_GRANT:
        response->lease = take_signed(line);
        response->count = take_signed(line);
        break;
    case HISTORY_KEEPALIVE:
        response->count = take_signed(line);
        break;
    case HISTORY_TIME_TO_LIVE:
        response->count = take_signed(line);
        response->granted_ttl = take_signed(line);
        break;
    case HISTORY_COMPACT:
    case HISTORY_REVOKE:
        break;
    }
}

/* ---- records ---- */

static void take_outcome(struct line *line, struct history_op *op)
{
    if (take(line, "ok")) {
        op->outcome = HISTORY_OK;
    } else if (take(line, "unknown")) {
        op->outcome = HISTORY_UNKNOWN;
    } else {
        op->outcome = HISTORY_FAILED;
        op->error = take_of(line, WORDS_ERROR, WORDS_ERRORS, "an outcome");
        op->error = op->error == HISTORY_ERROR_NONE ? HISTORY_ERROR_OTHER : op->error;
    }
}

static bool ends(struct line *line)
{
    if (!line->failed && line->word.size != 0) {
        fail(line, "the end of the line");
    }
    return !line->failed;
}

static void parse_op(struct line *line)
{
    struct history_op op = {.return_ns = HISTORY_NEVER};
    struct history_request request = {0};
    struct history_response response = {0};
    op.client = (uint32_t)take_unsigned(line, 10);
    op.invoke_ns = take_time(line);
    if (!take(line, "-")) {
        op.return_ns = take_time(line);
    }
    take_outcome(line, &op);
    op.member = take_unsigned(line, 16);
    op.term = take_unsigned(line, 10);
    op.revision = take_signed(line);
    take_request(line, &request, 0);
    op.request = &request;
    if (op.outcome == HISTORY_OK) {
        must(line, "->");
        if (!line->failed) {
            take_response(line, &request, &response);
        }
        op.response = &response;
    }
    if (op.return_ns < op.invoke_ns ||
        (op.outcome == HISTORY_OK && op.return_ns > HISTORY_TIME_MAX)) {
        fail(line, "a return after the invocation");
    }
    if (ends(line)) {
        history_add_op(line->history, &op);
    }
}

static void parse_watch(struct line *line)
{
    struct history_watch watch = {0};
    watch.id = take_unsigned(line, 10);
    watch.stream = take_unsigned(line, 10);
    watch.client = (uint32_t)take_unsigned(line, 10);
    watch.time_ns = take_time(line);
    watch.key = take_text(line);
    watch.range_end = take_text(line);
    watch.start_revision = take_signed(line);
    watch.no_put = take(line, "noput");
    watch.no_delete = take(line, "nodelete");
    watch.wants_prev_kv = take(line, "prev");
    watch.progress_notify = take(line, "progress");
    watch.may_fragment = take(line, "fragment");
    if (ends(line)) {
        history_add_watch(line->history, &watch);
    }
}

static void take_event(struct line *line, struct history_event *event)
{
    event->is_delete = take(line, "del");
    if (!event->is_delete) {
        must(line, "put");
    }
    event->kv.key = take_text(line);
    if (event->is_delete) {
        event->kv.mod_revision = take_signed(line);
    } else {
        take_versions(line, &event->kv);
    }
    event->has_prev = take(line, "prev");
    if (event->has_prev) {
        event->prev.key = event->kv.key;
        take_versions(line, &event->prev);
    }
}

static void parse_message(struct line *line, bool is_of_stream)
{
    struct history_message message = {0};
    struct history_event *events = NULL;
    *(is_of_stream ? &message.stream : &message.watch) = take_unsigned(line, 10);
    message.time_ns = take_time(line);
    message.member = take_unsigned(line, 16);
    message.revision = take_signed(line);
    if (!is_of_stream) {
        message.is_created = take(line, "created");
        message.is_canceled = take(line, "canceled");
        message.is_fragment = take(line, "fragment");
        (void)take_option(line, "compact", &message.compact_revision);
        while (!line->failed && line->word.size > 0) {
            events = list_add(line, events, &message.event_count, sizeof(*events));
            take_event(line, &events[message.event_count - 1]);
        }
        message.events = events;
    }
    if (ends(line)) {
        history_add_message(line->history, &message);
    }
}

static void parse_hash(struct line *line)
{
    struct history_hash hash = {0};
    hash.time_ns = take_time(line);
    hash.member = take_unsigned(line, 16);
    hash.revision = take_signed(line);
    hash.compact_revision = take_signed(line);
    uint64_t value = take_unsigned(line, 16);
    if (value > UINT32_MAX) {
        fail(line, "a hash of 32 bits");
    }
    hash.hash = (uint32_t)value;
    if (ends(line)) {
        history_add_hash(line->history, &hash);
    }
}

static void parse_restart(struct line *line)
{
    struct history_restart restart = {0};
    restart.time_ns = take_time(line);
    restart.member = take_unsigned(line, 16);
    if (ends(line)) {
        history_add_restart(line->history, &restart);
    }
}

int history_parse_line(struct history *history, struct bytes text, struct err *err)
{
    if (text.size == 0 || text.data[0] == '#' ||
        bytes_equal(text, bytes_of_str(HISTORY_FIRST_LINE))) {
        return 0;
    }
    struct line line = {.history = history, .rest = text, .err = err};
    arena_init(&line.scratch, BUF_NO_LIMIT);
    advance(&line);
    if (take(&line, "op")) {
        parse_op(&line);
    } else if (take(&line, "msg")) {
        parse_message(&line, false);
    } else if (take(&line, "watch")) {
        parse_watch(&line);
    } else if (take(&line, "progress")) {
        parse_message(&line, true);
    } else if (take(&line, "hash")) {
        parse_hash(&line);
    } else if (take(&line, "restart")) {
        parse_restart(&line);
    } else {
        fail(&line, "a record");
    }
    arena_free(&line.scratch);
    return line.failed ? E_INVALID : 0;
}
