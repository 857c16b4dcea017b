/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one change in flight, as journaled in status.operation before its first step, and the
 * finished ones in status.lastOperations. Decisions come from live state; the journal gives start
 * times, the count of replacements for the storm brake, and the story for a person.
 */
#ifndef CONTROLLER_MODEL_OPERATION_H
#define CONTROLLER_MODEL_OPERATION_H

#include "base/defs.h"
#include "base/json.h"

#define OPERATIONS_KEPT_MAX 10u
#define OPERATION_NAME_MAX  80u
#define OPERATION_TEXT_MAX  256u

enum operation_type {
    OPERATION_NONE,
    OPERATION_BOOTSTRAP,
    OPERATION_SCALE_UP,
    OPERATION_SCALE_DOWN,
    OPERATION_REPLACE,
    OPERATION_RECREATE,
    OPERATION_UPDATE,
    OPERATION_TYPE_COUNT
};

enum operation_step {
    STEP_NONE,
    STEP_START_SEED,
    STEP_LATCH,
    STEP_MOVE_LEADER,
    STEP_REMOVE_MEMBER,
    STEP_DELETE_POD,
    STEP_ADD_MEMBER,
    STEP_START_MEMBER,
    STEP_CATCH_UP,
    STEP_PROMOTE,
    STEP_COUNT
};

enum operation_result { RESULT_NONE, RESULT_SUCCEEDED, RESULT_FAILED, RESULT_SUPERSEDED };

/* A plain value: copy freely. */
struct operation {
    enum operation_type type;
    enum operation_step step;
    enum operation_result result;
    char target[OPERATION_NAME_MAX];      /* the member it is about */
    char replacement[OPERATION_NAME_MAX]; /* Replace: the fresh member, "" until known */
    char message[OPERATION_TEXT_MAX];     /* evidence, or why it failed */
    int64_t started_ms;
    int64_t deadline_ms;
    int64_t finished_ms;
    int64_t attempt;
};

const char *operation_type_text(enum operation_type type);
const char *operation_step_text(enum operation_step step);
const char *operation_result_text(enum operation_result result);

/* Reads one operation as status holds it; NULL or unreadable gives OPERATION_NONE. */
void operation_read(const struct json *object, struct operation *out);

/* Gives the JSON of an operation (json_free). */
struct json *operation_json(const struct operation *operation);

/* Counts started replacements of the last hour: status.operation and status.lastOperations. */
int64_t operation_replacements_since(const struct json *status, int64_t since_ms);

#endif
