/* SPDX-License-Identifier: Apache-2.0 */
/* Faults that tests switch on, and the count of writes by user agent. Thread-safe. */
#ifndef PLAYGROUND_APISERVER_FAULTS_H
#define PLAYGROUND_APISERVER_FAULTS_H

#include <pthread.h>

#include "base/json.h"

enum fault {
    FAULT_CONFLICT,        /* 409 to a write of an object that is there */
    FAULT_GONE,            /* 410 to a list page or a watch */
    FAULT_TOO_MANY,        /* 429 with Retry-After: 1 */
    FAULT_INTERNAL,        /* 500 before anything is done */
    FAULT_CUT_BEFORE,      /* connection cut before the request is carried out */
    FAULT_CUT_AFTER,       /* connection cut after it was carried out: the answer is lost */
    FAULT_CUT_WATCH,       /* a watch is cut; asked once per event */
    FAULT_DUPLICATE_EVENT, /* a watch event is sent twice */
    FAULT_DELAY_EVENT,     /* a watch event waits up to delayMs */
    FAULT_STALE_LIST,      /* a list with resourceVersion=0 shows an older state */
    FAULT_STALE_ANY_LIST,  /* any list does */
    FAULT_COUNT,
};

struct faults {
    pthread_mutex_t lock;
    uint8_t percent[FAULT_COUNT];
    int64_t delay_ms;
    int64_t stale_changes;
    char *user_agent; /* only clients whose user agent starts so; NULL: all */
    struct json *writes;
};

void faults_init(struct faults *faults);
void faults_free(struct faults *faults);

/* Sets from JSON ({"conflict": 10, "delayMs": 200}); what is not named becomes 0. */
BASE_MUST_CHECK int faults_set(struct faults *faults, const struct json *wanted, struct err *err);

/* Gives what is set. */
struct json *faults_get(struct faults *faults);

/* Rolls the die for one fault and one client. */
bool faults_hit(struct faults *faults, enum fault fault, const char *user_agent);

int64_t faults_delay_ms(struct faults *faults);
int64_t faults_stale_changes(struct faults *faults);

void faults_count_write(struct faults *faults, const char *user_agent, const char *verb,
                        const char *resource);

/* Gives {"total": n, "byUserAgent": {agent: {"total": n, "patch pods": n}}}. */
struct json *faults_writes(struct faults *faults);

#endif
