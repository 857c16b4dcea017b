/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges. The plain kind (key order, no filter) streams stored bytes in slices; the other kind
 * collects everything, filters, sorts and cuts, as etcd does.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/kv_wire.h"

#define SORT_NONE    ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE
#define SORT_ASCEND  ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND
#define SORT_DESCEND ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND
#define TARGET_KEY   ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY

static bool has_filter(const Etcdserverpb__RangeRequest *request)
{
    return request->min_mod_revision != 0 || request->max_mod_revision != 0 ||
           request->min_create_revision != 0 || request->max_create_revision != 0;
}

/* Key order ascending is the order of the index. */
static bool is_plain(const Etcdserverpb__RangeRequest *request)
{
    return !has_filter(request) && request->sort_target == TARGET_KEY &&
           request->sort_order != SORT_DESCEND;
}

static struct key_span span_of(const Etcdserverpb__RangeRequest *request)
{
    return key_span_of(proto_bytes(request->key), proto_bytes(request->range_end));
}

int kv_range_begin(const struct kv_env *env, const Etcdserverpb__RangeRequest *request,
                   struct kv_range_job *out_job)
{
    struct mvcc *mvcc = env->mvcc;
    int64_t newest = mvcc_txn_revision(mvcc);
    int rc = mvcc_check_revision(mvcc, request->revision);
    if (rc != 0) {
        return kv_error_of(rc);
    }
    *out_job = (struct kv_range_job){
        .request = request,
        .revision = request->revision <= 0 ? newest : request->revision,
        .header_revision = newest,
    };
    struct key_span span = span_of(request);
    out_job->counted = mvcc_count_fast(mvcc, &span, out_job->revision, &out_job->count);
    out_job->done = request->count_only && out_job->counted;
    buf_init(&out_job->next_key, BUF_NO_LIMIT);
    (void)buf_append(&out_job->next_key, span.begin.data, span.begin.size);
    mvcc_pin(mvcc, out_job->revision);
    return 0;
}

void kv_range_end(const struct kv_env *env, struct kv_range_job *job)
{
    mvcc_unpin(env->mvcc, job->revision);
    buf_free(&job->next_key);
}

void kv_range_append_tail(const struct kv_range_job *job, struct buf *out)
{
    kv_wire_number(out, KV_RANGE_MORE, job->more ? 1 : 0);
    kv_wire_number(out, KV_RANGE_COUNT, (int64_t)job->count);
}

/* ---- plain ---- */

struct slice {
    struct mvcc *mvcc;
    struct kv_range_job *job;
    struct buf *out;
    size_t keys_left;
    size_t bytes_end;
    bool stopped; /* the budget ended before the range */
    int rc;
};

static int emit_item(struct slice *slice, const struct mvcc_item *item)
{
    struct bytes record;
    bool keys_only = slice->job->request->keys_only;
    if (keys_only && item->meta != NULL) {
        struct keyvalue kv = {
            .key = item->key,
            .create_revision = item->meta->create_revision,
            .mod_revision = item->meta->mod_revision,
            .version = item->meta->version,
            .lease = item->meta->lease,
        };
        kv_wire_keyvalue(slice->out, KV_RANGE_KVS, &kv);
        return 0;
    }
    int rc = mvcc_item_record(slice->mvcc, item, &record);
    if (rc == 0 && keys_only) {
        struct keyvalue kv;
        rc = keyvalue_decode(record, &kv);
        if (rc == 0) {
            kv.value = (struct bytes){NULL, 0};
            kv_wire_keyvalue(slice->out, KV_RANGE_KVS, &kv);
        }
    } else if (rc == 0) {
        kv_wire_message(slice->out, KV_RANGE_KVS, record);
    }
    return rc;
}

static bool visit_plain(void *ctx, const struct mvcc_item *item)
{
    struct slice *slice = ctx;
    struct kv_range_job *job = slice->job;
    const Etcdserverpb__RangeRequest *request = job->request;
    if (slice->keys_left == 0 || slice->out->size >= slice->bytes_end) {
        buf_clear(&job->next_key);
        (void)buf_append(&job->next_key, item->key.data, item->key.size);
        slice->stopped = true;
        return false;
    }
    slice->keys_left--;
    job->count += job->counted ? 0 : 1;
    if (request->count_only) {
        return true;
    }
    if (request->limit > 0 && job->emitted == (uint64_t)request->limit) {
        job->more = true;
        return !job->counted; /* the rest is only counted, if it must be */
    }
    slice->rc = emit_item(slice, item);
    job->emitted++;
    return slice->rc == 0;
}

static int slice_plain(struct slice *slice)
{
    struct kv_range_job *job = slice->job;
    struct key_span span = span_of(job->request);
    uint64_t limit = job->request->limit > 0 ? (uint64_t)job->request->limit : UINT64_MAX;
    struct bytes start = buf_bytes(&job->next_key);
    span.begin = span.kind == SPAN_ONE ? span.begin : start;
    mvcc_walk(slice->mvcc, &span, job->revision, visit_plain, slice);
    job->done = !slice->stopped || (job->counted && job->more);
    ASSERT(slice->rc != 0 || !job->done || job->request->count_only ||
           job->emitted == BASE_MIN(limit, job->count));
    return slice->rc;
}

/* ---- sorted or filtered ---- */

struct collected {
    struct mvcc *mvcc;
    const Etcdserverpb__RangeRequest *request;
    struct keyvalue *kvs;
    size_t count;
    size_t capacity;
    uint64_t limit; /* of what is fetched; UINT64_MAX: everything */
    uint64_t fetched;
    int rc;
};

static bool passes(const Etcdserverpb__RangeRequest *request, const struct keyvalue *kv)
{
    if (request->max_mod_revision != 0 && kv->mod_revision > request->max_mod_revision) {
        return false;
    }
    if (request->min_mod_revision != 0 && kv->mod_revision < request->min_mod_revision) {
        return false;
    }
    if (request->max_create_revision != 0 && kv->create_revision > request->max_create_revision) {
        return false;
    }
    return request->min_create_revision == 0 || kv->create_revision >= request->min_create_revision;
}

static bool visit_collect(void *ctx, const struct mvcc_item *item)
{
    struct collected *all = ctx;
    struct bytes record;
    struct keyvalue kv;
    if (all->fetched++ == all->limit) {
        return false;
    }
    all->rc = mvcc_item_record(all->mvcc, item, &record);
    if (all->rc == 0) {
        all->rc = keyvalue_decode(record, &kv);
    }
    if (all->rc != 0) {
        return false;
    }
    if (!passes(all->request, &kv)) {
        return true;
    }
    if (all->count == all->capacity) {
        all->capacity = all->capacity == 0 ? 64 : all->capacity * 2;
        all->kvs = mem_realloc(all->kvs, all->capacity * sizeof(*all->kvs));
    }
    all->kvs[all->count++] = kv;
    return true;
}

static int by_number(int64_t a, int64_t b)
{
    return a < b ? -1 : (a > b ? 1 : 0);
}

static int by_key(const void *a, const void *b)
{
    return bytes_compare(((const struct keyvalue *)a)->key, ((const struct keyvalue *)b)->key);
}

/* Ties, which etcd leaves open, are in key order: every member answers the same. */
#define BY_FIELD(name, comparison)                                                                 \
    static int name(const void *left, const void *right)                                           \
    {                                                                                              \
        const struct keyvalue *a = left;                                                           \
        const struct keyvalue *b = right;                                                          \
        int order = comparison;                                                                    \
        return order != 0 ? order : by_key(left, right);                                           \
    }

BY_FIELD(by_version, by_number(a->version, b->version))
BY_FIELD(by_version_down, by_number(b->version, a->version))
BY_FIELD(by_create, by_number(a->create_revision, b->create_revision))
BY_FIELD(by_create_down, by_number(b->create_revision, a->create_revision))
BY_FIELD(by_mod, by_number(a->mod_revision, b->mod_revision))
BY_FIELD(by_mod_down, by_number(b->mod_revision, a->mod_revision))
BY_FIELD(by_value, bytes_compare(a->value, b->value))
BY_FIELD(by_value_down, bytes_compare(b->value, a->value))

static int by_key_down(const void *a, const void *b)
{
    return by_key(b, a);
}

typedef int (*compare_fn)(const void *, const void *);

/* By sort_target; ascending, descending. */
static const compare_fn COMPARES[][2] = {
    {by_key, by_key_down}, {by_version, by_version_down}, {by_create, by_create_down},
    {by_mod, by_mod_down}, {by_value, by_value_down},
};

static void sort_collected(struct collected *all)
{
    const Etcdserverpb__RangeRequest *request = all->request;
    if (request->sort_target == TARGET_KEY && request->sort_order != SORT_DESCEND) {
        return;
    }
    ASSERT((size_t)request->sort_target < ARRAY_COUNT(COMPARES));
    size_t down = request->sort_order == SORT_DESCEND ? 1 : 0;
    if (all->count > 1) {
        qsort(all->kvs, all->count, sizeof(*all->kvs), COMPARES[request->sort_target][down]);
    }
}

/* etcd fetches everything only when an order or a filter is asked for; a bare sort_target with a
 * limit sorts the first limit + 1 keys, and so do we. */
static uint64_t fetch_limit(const Etcdserverpb__RangeRequest *request)
{
    bool everything =
        request->limit <= 0 || request->sort_order != SORT_NONE || has_filter(request);
    return everything ? UINT64_MAX : (uint64_t)request->limit + 1;
}

static int slice_collected(struct mvcc *mvcc, struct kv_range_job *job, struct buf *out)
{
    const Etcdserverpb__RangeRequest *request = job->request;
    struct key_span span = span_of(request);
    struct collected all = {.mvcc = mvcc, .request = request, .limit = fetch_limit(request)};
    if (!job->counted) {
        job->count = mvcc_count(mvcc, &span, job->revision);
        job->counted = true;
    }
    job->done = true;
    if (request->count_only) {
        return 0;
    }
    mvcc_walk(mvcc, &span, job->revision, visit_collect, &all);
    if (all.rc == 0) {
        sort_collected(&all);
        size_t emit = all.count;
        if (request->limit > 0 && all.count > (uint64_t)request->limit) {
            emit = (size_t)request->limit;
            job->more = true;
        }
        for (size_t i = 0; i < emit; i++) {
            if (request->keys_only) {
                all.kvs[i].value = (struct bytes){NULL, 0};
            }
            kv_wire_keyvalue(out, KV_RANGE_KVS, &all.kvs[i]);
        }
        job->emitted = emit;
    }
    mem_free(all.kvs);
    return all.rc;
}

int kv_range_slice(const struct kv_env *env, struct kv_range_job *job, size_t key_budget,
                   size_t byte_budget, struct buf *out)
{
    if (job->done) {
        return 0;
    }
    ASSERT(key_budget > 0 && byte_budget > 0);
    if (!is_plain(job->request)) {
        return slice_collected(env->mvcc, job, out);
    }
    size_t bytes_end = byte_budget > SIZE_MAX - out->size ? SIZE_MAX : out->size + byte_budget;
    struct slice slice = {env->mvcc, job, out, key_budget, bytes_end, false, 0};
    return slice_plain(&slice);
}

int kv_range(const struct kv_env *env, const Etcdserverpb__RangeRequest *request, struct buf *out,
             int64_t *out_revision)
{
    struct kv_range_job job;
    int rc = kv_range_begin(env, request, &job);
    if (rc != 0) {
        return rc;
    }
    rc = kv_range_slice(env, &job, SIZE_MAX, SIZE_MAX, out);
    if (rc == 0) {
        ASSERT(job.done);
        kv_range_append_tail(&job, out);
        *out_revision = job.header_revision;
    }
    kv_range_end(env, &job);
    return rc;
}
