/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict: what is counted, what is told, and the order in which the rules are asked. */
#include "tests/check/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "tests/check/judge.h"

static const char *const TEXTS[CHECK_COUNT] = {
#define X(name, text, promise) text,
    CHECK_NAMES(X)
#undef X
};

static const char *const PROMISES[CHECK_COUNT] = {
#define X(name, text, promise) promise,
    CHECK_NAMES(X)
#undef X
};

const char *check_name_text(enum check_name name)
{
    ASSERT(name < CHECK_COUNT);
    return TEXTS[name];
}

const char *check_name_promise(enum check_name name)
{
    ASSERT(name < CHECK_COUNT);
    return PROMISES[name];
}

void check_config_init(struct check_config *config)
{
    *config = (struct check_config){.clock_drift_ppm = 100000, .search_steps_max = 2000000};
}

/* ---- violations ---- */

static void tell(struct judge *judge, enum check_name name, int64_t revision, const char *story)
{
    struct check_verdict *verdict = judge->verdict;
    verdict->by_name[name]++;
    if (verdict->violation_count++ >= CHECK_VIOLATIONS_MAX) {
        return;
    }
    struct check_violation *told = &verdict->violations[verdict->violation_count - 1];
    told->name = name;
    told->revision = revision;
    (void)snprintf(told->story, sizeof(told->story), "%s", story);
}

void judge_violation(struct judge *judge, enum check_name name, int64_t revision,
                     const char *format, ...)
{
    char story[CHECK_STORY_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(story, sizeof(story), format, args);
    va_end(args);
    tell(judge, name, revision, story);
}

void judge_mismatch(struct judge *judge, enum check_name name, int64_t revision, const char *format,
                    ...)
{
    if (judge->found.is_set) {
        return;
    }
    judge->found.is_set = true;
    judge->found.is_content = true;
    judge->found.name = name;
    judge->found.revision = revision;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(judge->found.story, sizeof(judge->found.story), format, args);
    va_end(args);
}

void judge_tell_found(struct judge *judge)
{
    ASSERT(judge->found.is_set);
    tell(judge, judge->found.name, judge->found.revision, judge->found.story);
    judge->found.is_set = false;
}

/* ---- texts for stories ---- */

static struct judge_text cut(struct buf *line)
{
    struct judge_text text;
    size_t size =
        line->size > 0 && line->data[line->size - 1] == '\n' ? line->size - 1 : line->size;
    if (size < sizeof(text.text)) {
        (void)snprintf(text.text, sizeof(text.text), "%.*s", (int)size,
                       size == 0 ? "" : (const char *)line->data);
    } else {
        (void)snprintf(text.text, sizeof(text.text), "%.*s...", (int)sizeof(text.text) - 4,
                       (const char *)line->data);
    }
    buf_free(line);
    return text;
}

struct judge_text judge_op_text(const struct judge *judge, uint32_t op)
{
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    history_print_op(judge->history, &judge->history->ops[op], &line);
    return cut(&line);
}

struct judge_text judge_key_text(const struct judge *judge, uint32_t text)
{
    struct bytes bytes = history_bytes(judge->history, text);
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    for (size_t i = 0; i < bytes.size && i < 64; i++) {
        uint8_t byte = bytes.data[i];
        (void)buf_printf(&line, byte > 0x20 && byte < 0x7f ? "%c" : "%%%02x", byte);
    }
    return cut(&line);
}

struct judge_text judge_kv_text(const struct judge *judge, const struct history_kv *kv)
{
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    (void)buf_printf(&line, "%s=%.40s (create %lld, mod %lld, version %lld, lease %lld)",
                     judge_key_text(judge, kv->key).text, judge_key_text(judge, kv->value).text,
                     (long long)kv->create_revision, (long long)kv->mod_revision,
                     (long long)kv->version, (long long)kv->lease);
    return cut(&line);
}

struct judge_text judge_cause_text(const struct judge *judge, int64_t revision)
{
    struct judge_text text = {"nobody"};
    if (revision < 2 || revision > judge->last) {
        return text;
    }
    if (judge->owner[revision] != JUDGE_NONE) {
        return judge_op_text(judge, judge->owner[revision]);
    }
    struct judge_cause cause = judge->causes[revision];
    if (cause.op != JUDGE_NONE) {
        return judge_op_text(judge, cause.op);
    }
    if (cause.lease != JUDGE_NONE) {
        (void)snprintf(text.text, sizeof(text.text), "the end of lease %lld",
                       (long long)judge->model.leases[cause.lease].id);
    }
    return text;
}

/* ---- the run ---- */

static void count(struct judge *judge)
{
    struct check_verdict *verdict = judge->verdict;
    for (uint32_t i = 0; i < judge->history->op_count; i++) {
        const struct history_op *op = &judge->history->ops[i];
        verdict->operations++;
        verdict->failed += op->outcome == HISTORY_FAILED;
        verdict->unknown += op->outcome == HISTORY_UNKNOWN;
        verdict->unknown_placed += judge->is_placed[i];
        if (op->outcome == HISTORY_OK && op->request->kind <= HISTORY_TXN) {
            bool is_write = judge_is_write(op->request, op->response);
            verdict->writes += is_write;
            verdict->reads += !is_write;
        }
    }
    verdict->last_revision = judge->last;
}

void check_run(const struct history *history, const struct check_config *config,
               struct check_verdict *out)
{
    memset(out, 0, sizeof(*out));
    struct judge judge = {.history = history, .config = config, .verdict = out};
    judge_prepare(&judge);
    judge_order(&judge);
    judge_leases_prepare(&judge);
    judge_watches_prepare(&judge);
    judge_replay(&judge);
    judge_errors(&judge);
    judge_leases(&judge);
    judge_watches(&judge);
    count(&judge);
    judge_free(&judge);
}
