/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's words and its JSON. */
#include "controller/model/operation.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/model/rfc3339.h"

static const char *const TYPES[] = {"",        "Bootstrap", "ScaleUp", "ScaleDown",
                                    "Replace", "Recreate",  "Update"};
_Static_assert(ARRAY_COUNT(TYPES) == OPERATION_TYPE_COUNT, "every type has a word");

static const char *const STEPS[] = {
    "",          "StartSeed", "Latch",       "MoveLeader", "RemoveMember",
    "DeletePod", "AddMember", "StartMember", "CatchUp",    "Promote"};
_Static_assert(ARRAY_COUNT(STEPS) == STEP_COUNT, "every step has a word");

static const char *const RESULTS[] = {"", "Succeeded", "Failed", "Superseded"};

/* The index of text in words, or 0. */
static size_t word_index(const char *const *words, size_t count, const char *text)
{
    for (size_t i = 1; i < count; i++) {
        if (str_equal(words[i], text)) {
            return i;
        }
    }
    return 0;
}

const char *operation_type_text(enum operation_type type)
{
    ASSERT(type < OPERATION_TYPE_COUNT);
    return TYPES[type];
}

const char *operation_step_text(enum operation_step step)
{
    ASSERT(step < STEP_COUNT);
    return STEPS[step];
}

const char *operation_result_text(enum operation_result result)
{
    ASSERT(result < ARRAY_COUNT(RESULTS));
    return RESULTS[result];
}

void operation_read(const struct json *object, struct operation *out)
{
    memset(out, 0, sizeof(*out));
    if (object == NULL) {
        return;
    }
    out->type = (enum operation_type)word_index(TYPES, ARRAY_COUNT(TYPES),
                                                json_str(json_get(object, "type"), ""));
    out->step = (enum operation_step)word_index(STEPS, ARRAY_COUNT(STEPS),
                                                json_str(json_get(object, "step"), ""));
    out->result = (enum operation_result)word_index(RESULTS, ARRAY_COUNT(RESULTS),
                                                    json_str(json_get(object, "result"), ""));
    snprintf(out->target, sizeof(out->target), "%s", json_str(json_get(object, "target"), ""));
    snprintf(out->replacement, sizeof(out->replacement), "%s",
             json_str(json_get(object, "replacement"), ""));
    snprintf(out->message, sizeof(out->message), "%s", json_str(json_get(object, "message"), ""));
    out->started_ms = rfc3339_parse(json_str(json_get(object, "startedAt"), NULL));
    out->deadline_ms = rfc3339_parse(json_str(json_get(object, "deadline"), NULL));
    out->finished_ms = rfc3339_parse(json_str(json_get(object, "finishedAt"), NULL));
    out->attempt = json_i64(json_get(object, "attempt"), 0);
}

static void set_time(struct json *object, const char *key, int64_t time_ms)
{
    if (time_ms > 0) {
        json_set_str(object, key, rfc3339_format(time_ms).text);
    }
}

static void set_word(struct json *object, const char *key, const char *word)
{
    if (word[0] != '\0') {
        json_set_str(object, key, word);
    }
}

struct json *operation_json(const struct operation *operation)
{
    struct json *object = json_object();
    set_word(object, "type", operation_type_text(operation->type));
    set_word(object, "target", operation->target);
    set_word(object, "replacement", operation->replacement);
    set_word(object, "step", operation_step_text(operation->step));
    set_word(object, "result", operation_result_text(operation->result));
    set_word(object, "message", operation->message);
    set_time(object, "startedAt", operation->started_ms);
    set_time(object, "deadline", operation->deadline_ms);
    set_time(object, "finishedAt", operation->finished_ms);
    if (operation->attempt > 0) {
        json_set_int(object, "attempt", operation->attempt);
    }
    return object;
}

static bool counts_as_replacement(const struct operation *operation, int64_t since_ms)
{
    return operation->type == OPERATION_REPLACE && operation->started_ms >= since_ms;
}

int64_t operation_replacements_since(const struct json *status, int64_t since_ms)
{
    int64_t count = 0;
    struct operation operation;
    operation_read(json_get(status, "operation"), &operation);
    count += counts_as_replacement(&operation, since_ms) ? 1 : 0;
    const struct json *last = json_get(status, "lastOperations");
    for (size_t i = 0; i < json_count(last); i++) {
        operation_read(json_at(last, i), &operation);
        count += counts_as_replacement(&operation, since_ms) ? 1 : 0;
    }
    return count;
}
