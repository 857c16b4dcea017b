/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Periodic mode remembers the revision of ten moments per retention period and compacts to the one
 * that is just old enough, as etcd does; revision mode keeps the newest N, looked at every five
 * minutes.
 */
#include "engine/server/compactor.h"

#include "base/alloc.h"
#include "base/log.h"

#define FIELD_COMPACTION     7u
#define SAMPLES_PER_PERIOD   10
#define SAMPLES_MAX          16u
#define REVISION_INTERVAL_MS 300000u

struct compactor {
    int64_t samples[SAMPLES_MAX]; /* oldest first */
    uint32_t count;
    uint64_t next_ms;
    bool running;
};

struct compactor *compactor_new(void)
{
    return mem_zalloc(sizeof(struct compactor));
}

void compactor_free(struct compactor *compactor)
{
    mem_free(compactor);
}

static void compacted(struct server *server, struct request *request, enum etcd_error error)
{
    server->compactor->running = false;
    if (error == ETCD_OK) {
        LOG_INFO("completed auto compaction", LOG_I64("revision", request->number_signed));
    } else if (error != ETCD_ERR_COMPACTED) {
        LOG_WARN("failed auto compaction", LOG_I64("revision", request->number_signed),
                 LOG_STR("error", etcd_error_text(error)));
    }
}

static void propose(struct server *server, int64_t revision)
{
    if (revision <= 0 || revision <= mvcc_compact_revision(server->mvcc) ||
        server->compactor->running || !atomic_load(&server->shared.is_leader)) {
        return;
    }
    Etcdserverpb__CompactionRequest compaction = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    struct request *request = request_internal(compacted);
    compaction.revision = revision;
    request->number_signed = revision;
    server->compactor->running = true;
    LOG_INFO("starting auto compaction", LOG_I64("revision", revision));
    propose_message(server, request, FIELD_COMPACTION, &compaction.base);
}

/* Notes the newest revision; when a whole period is noted, the oldest note may go. */
static void check_periodic(struct server *server)
{
    struct compactor *compactor = server->compactor;
    if (compactor->count == SAMPLES_PER_PERIOD) {
        propose(server, compactor->samples[0]);
        for (uint32_t i = 1; i < compactor->count; i++) {
            compactor->samples[i - 1] = compactor->samples[i];
        }
        compactor->count--;
    }
    compactor->samples[compactor->count++] = mvcc_revision(server->mvcc);
}

void compactor_check(struct server *server)
{
    struct compactor *compactor = server->compactor;
    const struct server_config *config = server->config;
    uint64_t now = server_now_ms(server);
    if (config->auto_compaction_retention == 0 || now < compactor->next_ms) {
        return;
    }
    if (config->auto_compaction_mode == COMPACTION_REVISION) {
        compactor->next_ms = now + REVISION_INTERVAL_MS;
        propose(server, mvcc_revision(server->mvcc) - config->auto_compaction_retention);
    } else {
        compactor->next_ms =
            now + (uint64_t)(config->auto_compaction_retention / SAMPLES_PER_PERIOD);
        check_periodic(server);
    }
}
