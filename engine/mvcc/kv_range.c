/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges. The plain kind (key order, no filter) streams stored bytes in slices; the other kind
 * notes where everything is, filters, sorts and cuts, as etcd does, and then streams the records in
 * that order.
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

/* One key of the answer: what it is sorted by and where its record is. */
struct kv_range_row {
    int64_t number;
    int64_t main;
    uint32_t sub;
    uint32_t place; /* in key order */
};

/* What is to be emitted, once all of it is collected and in its order. */
struct kv_range_rows {
    struct kv_range_row *rows;
    size_t count;
    size_t capacity;
    uint64_t fetched;
    bool sorted;
};

static void rows_free(struct kv_range_rows *rows)
{
    if (rows != NULL) {
        mem_free(rows->rows);
        mem_free(rows);
    }
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
    out_job->pinned = true;
    return 0;
}

void kv_range_unpin(const struct kv_env *env, struct kv_range_job *job)
{
    if (job->pinned) {
        mvcc_unpin(env->mvcc, job->revision);
        job->pinned = false;
    }
}

void kv_range_forget(struct kv_range_job *job)
{
    rows_free(job->rows);
    job->rows = NULL;
    buf_free(&job->next_key);
}

void kv_range_end(const struct kv_env *env, struct kv_range_job *job)
{
    kv_range_unpin(env, job);
    kv_range_forget(job);
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

static bool passes(const Etcdserverpb__RangeRequest *request, const struct mvcc_meta *meta)
{
    if (request->max_mod_revision != 0 && meta->mod_revision > request->max_mod_revision) {
        return false;
    }
    if (request->min_mod_revision != 0 && meta->mod_revision < request->min_mod_revision) {
        return false;
    }
    if (request->max_create_revision != 0 && meta->create_revision > request->max_create_revision) {
        return false;
    }
    return request->min_create_revision == 0 ||
           meta->create_revision >= request->min_create_revision;
}

static int item_meta(struct mvcc *mvcc, const struct mvcc_item *item, struct mvcc_meta *out_meta)
{
    struct bytes record;
    struct keyvalue kv;
    if (item->meta != NULL) {
        *out_meta = *item->meta;
        return 0;
    }
    int rc = mvcc_item_record(mvcc, item, &record);
    if (rc == 0) {
        rc = keyvalue_decode(record, &kv);
    }
    if (rc == 0) {
        *out_meta = (struct mvcc_meta){kv.create_revision, kv.mod_revision, kv.version, kv.lease};
    }
    return rc;
}

static int64_t sort_number(const Etcdserverpb__RangeRequest *request, const struct mvcc_meta *meta)
{
    switch (request->sort_target) {
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION:
        return meta->version;
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE:
        return meta->create_revision;
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD:
        return meta->mod_revision;
    default: /* by key: the place says it; by value: see sort_by_value */
        return 0;
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

static void rows_add(struct kv_range_rows *rows, const struct mvcc_item *item, int64_t number)
{
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity == 0 ? 64 : rows->capacity * 2;
        rows->rows = mem_realloc(rows->rows, rows->capacity * sizeof(*rows->rows));
    }
    ASSERT(rows->count < UINT32_MAX);
    rows->rows[rows->count] = (struct kv_range_row){number, item->revision.main, item->revision.sub,
                                                    (uint32_t)rows->count};
    rows->count++;
}

static bool visit_collect(void *ctx, const struct mvcc_item *item)
{
    struct slice *slice = ctx;
    struct kv_range_job *job = slice->job;
    struct mvcc_meta meta;
    if (slice->keys_left == 0) {
        buf_clear(&job->next_key);
        (void)buf_append(&job->next_key, item->key.data, item->key.size);
        slice->stopped = true;
        return false;
    }
    slice->keys_left--;
    if (job->rows->fetched == fetch_limit(job->request)) {
        job->count += job->counted ? 0 : 1;
        return !job->counted; /* the rest is only counted, if it must be */
    }
    job->count += job->counted ? 0 : 1;
    job->rows->fetched++;
    slice->rc = item_meta(slice->mvcc, item, &meta);
    if (slice->rc == 0 && passes(job->request, &meta)) {
        rows_add(job->rows, item, sort_number(job->request, &meta));
    }
    return slice->rc == 0;
}

/* Ties, which etcd leaves open, are in key order: every member answers the same. */
static int by_number(const void *left, const void *right)
{
    const struct kv_range_row *a = left;
    const struct kv_range_row *b = right;
    if (a->number != b->number) {
        return a->number < b->number ? -1 : 1;
    }
    return a->place < b->place ? -1 : 1;
}

static int by_number_down(const void *left, const void *right)
{
    const struct kv_range_row *a = left;
    const struct kv_range_row *b = right;
    return a->number != b->number ? by_number(right, left) : by_number(left, right);
}

static int by_place_down(const void *left, const void *right)
{
    return by_number(right, left); /* the numbers are all 0 */
}

/* A row with the value that it is sorted by, borrowed from the store's view. */
struct valued_row {
    struct bytes value;
    struct kv_range_row row;
};

static int by_value(const void *left, const void *right)
{
    const struct valued_row *a = left;
    const struct valued_row *b = right;
    int order = bytes_compare(a->value, b->value);
    return order != 0 ? order : by_number(&a->row, &b->row);
}

static int by_value_down(const void *left, const void *right)
{
    const struct valued_row *a = left;
    const struct valued_row *b = right;
    int order = bytes_compare(b->value, a->value);
    return order != 0 ? order : by_number(&a->row, &b->row);
}

static int row_record(struct mvcc *mvcc, const struct kv_range_row *row, struct bytes *out_record)
{
    const struct mvcc_item item = {.revision = {row->main, row->sub, false}};
    return mvcc_item_record(mvcc, &item, out_record);
}

/* All at once, because the values live as long as the view of the store alone. */
static int sort_by_value(struct mvcc *mvcc, const struct kv_range_job *job)
{
    struct kv_range_rows *rows = job->rows;
    struct valued_row *valued = mem_array(rows->count + 1, sizeof(*valued));
    int rc = 0;
    for (size_t i = 0; i < rows->count && rc == 0; i++) {
        struct bytes record;
        struct keyvalue kv;
        rc = row_record(mvcc, &rows->rows[i], &record);
        rc = rc == 0 ? keyvalue_decode(record, &kv) : rc;
        if (rc == 0) {
            valued[i] = (struct valued_row){kv.value, rows->rows[i]};
        }
    }
    if (rc == 0) {
        qsort(valued, rows->count, sizeof(*valued),
              job->request->sort_order == SORT_DESCEND ? by_value_down : by_value);
        for (size_t i = 0; i < rows->count; i++) {
            rows->rows[i] = valued[i].row;
        }
    }
    mem_free(valued);
    return rc;
}

static int sort_rows(struct mvcc *mvcc, const struct kv_range_job *job)
{
    struct kv_range_rows *rows = job->rows;
    const Etcdserverpb__RangeRequest *request = job->request;
    bool down = request->sort_order == SORT_DESCEND;
    if (rows->count < 2) {
        return 0;
    }
    if (request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE) {
        return sort_by_value(mvcc, job);
    }
    if (request->sort_target == TARGET_KEY) {
        if (down) {
            qsort(rows->rows, rows->count, sizeof(*rows->rows), by_place_down);
        }
        return 0;
    }
    qsort(rows->rows, rows->count, sizeof(*rows->rows), down ? by_number_down : by_number);
    return 0;
}

static int emit_rows(struct slice *slice)
{
    struct kv_range_job *job = slice->job;
    struct kv_range_rows *rows = job->rows;
    uint64_t end = rows->count;
    if (job->request->limit > 0 && end > (uint64_t)job->request->limit) {
        end = (uint64_t)job->request->limit;
        job->more = true;
    }
    while (job->emitted < end && slice->keys_left > 0 && slice->out->size < slice->bytes_end) {
        const struct kv_range_row *row = &rows->rows[job->emitted];
        const struct mvcc_item item = {.revision = {row->main, row->sub, false}};
        int rc = emit_item(slice, &item);
        if (rc != 0) {
            return rc;
        }
        job->emitted++;
        slice->keys_left--;
    }
    job->done = job->emitted == end;
    return 0;
}

static int slice_collected(struct slice *slice)
{
    struct kv_range_job *job = slice->job;
    struct key_span span = span_of(job->request);
    if (job->rows == NULL) {
        job->rows = mem_zalloc(sizeof(*job->rows));
    }
    if (!job->rows->sorted) {
        span.begin = span.kind == SPAN_ONE ? span.begin : buf_bytes(&job->next_key);
        mvcc_walk(slice->mvcc, &span, job->revision, visit_collect, slice);
        if (slice->rc != 0 || slice->stopped) {
            return slice->rc;
        }
        job->counted = true;
        if (job->request->count_only) {
            job->done = true;
            return 0;
        }
        slice->rc = sort_rows(slice->mvcc, job);
        if (slice->rc != 0) {
            return slice->rc;
        }
        job->rows->sorted = true;
    }
    return emit_rows(slice);
}

void kv_range_restart(struct kv_range_job *job)
{
    struct key_span span = span_of(job->request);
    ASSERT(job->done);
    buf_clear(&job->next_key);
    (void)buf_append(&job->next_key, span.begin.data, span.begin.size);
    job->counted = true;
    job->emitted = 0;
    job->more = false;
    job->done = job->request->count_only;
}

bool kv_range_is_sorted(const Etcdserverpb__RangeRequest *request)
{
    return !is_plain(request);
}

int kv_range_slice(const struct kv_env *env, struct kv_range_job *job, size_t key_budget,
                   size_t byte_budget, struct buf *out)
{
    if (job->done) {
        return 0;
    }
    ASSERT(key_budget > 0 && byte_budget > 0);
    int rc = job->pinned ? 0 : mvcc_check_revision(env->mvcc, job->revision);
    if (rc != 0) {
        return kv_error_of(rc);
    }
    size_t bytes_end = byte_budget > SIZE_MAX - out->size ? SIZE_MAX : out->size + byte_budget;
    struct slice slice = {env->mvcc, job, out, key_budget, bytes_end, false, 0};
    return is_plain(job->request) ? slice_plain(&slice) : slice_collected(&slice);
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
