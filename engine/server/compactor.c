/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Automatic compaction with etcd's rules. Periodic: the revision is noted ten times per period (or
 * hour, if the period is longer), and the key space is compacted to the note that is one period
 * old, at first after one period, then once per period or hour. Revision: the newest N stay, looked
 * at every five minutes.
 */
#include "engine/server/compactor.h"

#include "base/alloc.h"
#include "base/log.h"

#define FIELD_COMPACTION     7u
#define NOTES_PER_INTERVAL   10u
#define HOUR_MS              3600000u
#define REVISION_INTERVAL_MS 300000u

struct compactor {
    int64_t *notes; /* oldest first */
    size_t count, capacity;
    bool began, any_done;
    uint64_t next_ms;
    uint64_t done_ms; /* of the last success, or of the beginning */
    int64_t done_revision;
    bool running;
};

struct compactor *compactor_new(void)
{
    return mem_zalloc(sizeof(struct compactor));
}

void compactor_free(struct compactor *compactor)
{
    if (compactor != NULL) {
        mem_free(compactor->notes);
        mem_free(compactor);
    }
}

static void note(struct compactor *compactor, int64_t revision, size_t max)
{
    if (compactor->count == max) {
        compactor->count--;
        memmove(compactor->notes, compactor->notes + 1,
                compactor->count * sizeof(*compactor->notes));
    }
    if (compactor->count == compactor->capacity) {
        compactor->capacity = BASE_MAX(compactor->capacity * 2, 16u);
        compactor->notes =
            mem_realloc(compactor->notes, compactor->capacity * sizeof(*compactor->notes));
    }
    compactor->notes[compactor->count++] = revision;
}

static int64_t due_by_age(struct compactor *compactor, uint64_t period_ms, uint64_t now_ms,
                          int64_t revision)
{
    uint64_t interval_ms = BASE_MIN(period_ms, HOUR_MS);
    uint64_t step_ms = BASE_MAX(interval_ms / NOTES_PER_INTERVAL, 1u);
    uint64_t wait_ms = compactor->any_done ? interval_ms : period_ms;
    int64_t oldest = compactor->count > 0 ? compactor->notes[0] : 0;
    bool waited = now_ms - compactor->done_ms >= wait_ms;
    compactor->next_ms = now_ms + step_ms;
    note(compactor, revision, (size_t)(period_ms / step_ms) + 1);
    return waited && oldest != compactor->done_revision ? oldest : 0;
}

int64_t compactor_due(struct compactor *compactor, const struct server_config *config,
                      uint64_t now_ms, int64_t revision, bool may_act)
{
    int64_t due = 0;
    if (config->auto_compaction_retention <= 0 || now_ms < compactor->next_ms) {
        return 0;
    }
    if (!compactor->began) {
        compactor->began = true;
        compactor->done_ms = now_ms;
    }
    if (config->auto_compaction_mode == COMPACTION_PERIODIC) {
        due = due_by_age(compactor, (uint64_t)config->auto_compaction_retention, now_ms, revision);
    } else {
        compactor->next_ms = now_ms + REVISION_INTERVAL_MS;
        due = revision - config->auto_compaction_retention;
    }
    return may_act && due > 0 && due != compactor->done_revision ? due : 0;
}

void compactor_succeeded(struct compactor *compactor, int64_t revision, uint64_t now_ms)
{
    compactor->done_revision = revision;
    compactor->done_ms = now_ms;
    compactor->any_done = true;
}

static void compacted(struct server *server, struct request *request, enum etcd_error error)
{
    server->compactor->running = false;
    if (error == ETCD_OK) {
        LOG_INFO("completed auto compaction", LOG_I64("revision", request->number_signed));
    } else if (error != ETCD_ERR_COMPACTED) {
        LOG_WARN("failed auto compaction", LOG_I64("revision", request->number_signed),
                 LOG_STR("error", etcd_error_text(error)));
        return;
    }
    compactor_succeeded(server->compactor, request->number_signed, server_now_ms(server));
}

void compactor_check(struct server *server)
{
    struct compactor *compactor = server->compactor;
    bool may_act = atomic_load(&server->shared.is_leader) && !compactor->running;
    int64_t revision = compactor_due(compactor, server->config, server_now_ms(server),
                                     mvcc_revision(server->mvcc), may_act);
    if (revision == 0) {
        return;
    }
    Etcdserverpb__CompactionRequest compaction = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    struct request *request = request_internal(compacted);
    compaction.revision = revision;
    request->number_signed = revision;
    compactor->running = true;
    LOG_INFO("starting auto compaction", LOG_I64("revision", revision));
    propose_message(server, request, FIELD_COMPACTION, &compaction.base);
}
