/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a range, each a slice of kv.h's. */
#include "engine/server/range_stream.h"

#include "base/alloc.h"
#include "engine/proto/pbwire.h"
#include "engine/server/authz.h"
#include "engine/server/metrics.h"

/* The first part is small, so that it comes soon (as etcd's); those that follow are as large as a
 * turn of the state thread should be long. */
#define FIRST_KEYS  10u
#define PART_KEYS   10000u
#define PART_BYTES  (256u * 1024u)
#define FIELD_RANGE 1u /* of RangeStreamResponse */

struct range_stream {
    struct request *request;
    struct kv_range_job job;
    uint64_t auth_revision; /* that the request was checked at */
    bool began;
    uint64_t busy_ns;
};

const char *range_stream_unsupported(const Etcdserverpb__RangeRequest *request)
{
    bool by_key = request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY &&
                  request->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    if (request->sort_order != ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE && !by_key) {
        return "RangeStream does not support custom sort orders";
    }
    if (request->min_mod_revision != 0 || request->max_mod_revision != 0 ||
        request->min_create_revision != 0 || request->max_create_revision != 0) {
        return "RangeStream does not support revision filters";
    }
    return NULL;
}

static uint64_t now_ns(const struct server *server)
{
    return server->clock->monotonic_ns(server->clock->ctx);
}

enum etcd_error range_stream_new(struct server *server, struct request *request,
                                 struct range_stream **out_stream)
{
    struct kv_env env;
    struct range_stream *stream = mem_zalloc(sizeof(*stream));
    Etcdserverpb__RangeRequest *range = (Etcdserverpb__RangeRequest *)request->message;
    range->sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY; /* see unsupported */
    stream->request = request;
    stream->auth_revision = auth_revision(server->auth);
    kv_env_fill(server, &env);
    metric_add(&METRIC_RANGE_TOTAL, 1);
    int rc = kv_range_begin(&env, range, &stream->job);
    if (rc != 0) {
        metrics_observe_range(false, 0);
        request_free(request);
        mem_free(stream);
        return (enum etcd_error)rc;
    }
    kv_range_unpin(&env, &stream->job);
    *out_stream = stream;
    return ETCD_OK;
}

void range_stream_free(struct server *server, struct range_stream *stream)
{
    struct kv_env env;
    if (stream == NULL) {
        return;
    }
    kv_env_fill(server, &env);
    kv_range_end(&env, &stream->job);
    metrics_observe_range(stream->job.done, stream->busy_ns);
    request_free(stream->request);
    mem_free(stream);
}

/* What was allowed when it began may be forbidden now. */
static enum etcd_error check_again(struct server *server, struct range_stream *stream)
{
    uint64_t revision = auth_revision(server->auth);
    if (revision == stream->auth_revision) {
        return ETCD_OK;
    }
    stream->auth_revision = revision;
    return authz_check(server, stream->request, stream->request->message);
}

enum etcd_error range_stream_pull(struct server *server, struct range_stream *stream,
                                  struct buf *out, bool *out_done)
{
    struct kv_env env;
    struct buf part;
    uint64_t start = now_ns(server);
    enum etcd_error error = check_again(server, stream);
    if (error != ETCD_OK) {
        return error;
    }
    buf_init(&part, BUF_NO_LIMIT);
    kv_env_fill(server, &env);
    int rc = kv_range_slice(&env, &stream->job, stream->began ? PART_KEYS : FIRST_KEYS, PART_BYTES,
                            &part);
    stream->began = true;
    if (rc < 0) {
        server_fatal(server, "failed to read the key space", err_code_text(rc));
    }
    if (rc == 0 && stream->job.done) {
        kv_range_append_tail(&stream->job, &part);
        header_append(server, stream->job.header_revision, &part);
    }
    if (rc == 0 && part.size > 0) {
        pbwire_put_bytes(out, FIELD_RANGE, buf_bytes(&part));
    }
    buf_free(&part);
    stream->busy_ns += now_ns(server) - start;
    *out_done = stream->job.done;
    return (enum etcd_error)rc;
}
