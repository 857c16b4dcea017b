/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maintenance.Hash: crc32c over all that the store holds, table by table, but for what each member
 * counts for itself. For tests of whole members; HashKV is what members compare.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"

struct store_hash {
    struct server *server;
    struct request *request;
    uint32_t hash;
    int code;
    uint64_t start_ns;
};

static void hash_done(void *ctx)
{
    struct store_hash *job = ctx;
    struct server *server = job->server;
    Etcdserverpb__HashResponse response = ETCDSERVERPB__HASH_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    metric_observe(&METRIC_HASH_SECONDS,
                   server->clock->monotonic_ns(server->clock->ctx) - job->start_ns);
    if (job->code == E_CORRUPT) {
        server_fatal(server, "failed to read the store for its hash", err_code_text(job->code));
    }
    if (job->code != 0) {
        request_fail_text(server, job->request, GRPC_UNKNOWN, err_code_text(job->code));
    } else {
        header_of(server, mvcc_revision(server->mvcc), &header);
        response.header = &header;
        response.hash = job->hash;
        request_reply_message(server, job->request, &response.base);
    }
    mem_free(job);
}

static bool is_own_count(enum store_table table, struct bytes key)
{
    return table == STORE_META && (bytes_equal(key, bytes_of_str(STORE_META_CONSISTENT_INDEX)) ||
                                   bytes_equal(key, bytes_of_str(STORE_META_TERM)));
}

static int hash_table(const struct store_seam *store, struct store_view *view,
                      enum store_table table, uint32_t *hash)
{
    const char *name = store_table_name(table);
    struct store_item item;
    *hash = crc32c(*hash, name, strlen(name));
    int rc = store->view_seek(view, table, bytes_of(NULL, 0), &item);
    while (rc == 0) {
        if (!is_own_count(table, item.key)) {
            *hash = crc32c(*hash, item.key.data, item.key.size);
            *hash = crc32c(*hash, item.value.data, item.value.size);
        }
        rc = store->view_next(view, table, &item);
    }
    return rc == E_NOT_FOUND ? 0 : rc;
}

/* Store thread: no commit runs meanwhile. The tables in the order of their names. */
static void store_hash_all(void *ctx)
{
    static const enum store_table by_name[] = {
        STORE_ALARM, STORE_AUTH,  STORE_AUTH_ROLES, STORE_AUTH_USERS,      STORE_CLUSTER,
        STORE_KEY,   STORE_LEASE, STORE_MEMBERS,    STORE_MEMBERS_REMOVED, STORE_META,
    };
    struct store_hash *job = ctx;
    const struct store_seam *store = &job->server->store;
    struct store_view *view;
    job->code = store->view_begin(store->ctx, &view);
    if (job->code == 0) {
        for (size_t i = 0; i < ARRAY_COUNT(by_name) && job->code == 0; i++) {
            job->code = hash_table(store, view, by_name[i], &job->hash);
        }
        store->view_end(view);
    }
    loop_post(job->server->state.loop, hash_done, job);
}

/* State thread: the store holds all that is applied. */
static void begin_hash(struct server *server, void *ctx)
{
    struct request *request = ctx;
    if (server->installing || server->ended) {
        request_fail(server, request, ETCD_ERR_STOPPED);
        return;
    }
    struct store_hash *job = mem_zalloc(sizeof(*job));
    job->server = server;
    job->request = request;
    job->start_ns = server->clock->monotonic_ns(server->clock->ctx);
    loop_post(server->store_worker.loop, store_hash_all, job);
}

void rpc_hash(struct server *server, struct request *request)
{
    batch_cut_then(server, begin_hash, request);
}
