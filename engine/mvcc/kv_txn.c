/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions. Three passes over the same tree, in the same order: decide (all compares, nested
 * ones too, on the state before the transaction), check (what would fail, before anything is
 * written), carry out. The branch decisions travel as a list in that order.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"
#include "engine/mvcc/kv_wire.h"

/* One decision per transaction that runs, outer before inner. */
struct decisions {
    bool *taken;
    size_t count;
    size_t capacity;
    size_t next; /* read position of the pass that runs */
};

static void decisions_add(struct decisions *decisions, bool taken)
{
    if (decisions->count == decisions->capacity) {
        decisions->capacity = decisions->capacity == 0 ? 8 : decisions->capacity * 2;
        decisions->taken = mem_realloc(decisions->taken, decisions->capacity);
    }
    decisions->taken[decisions->count++] = taken;
}

/* The operations of the branch that the next decision takes. */
struct branch {
    Etcdserverpb__RequestOp *const *ops;
    size_t count;
    bool succeeded;
};

static struct branch branch_next(struct decisions *decisions,
                                 const Etcdserverpb__TxnRequest *request)
{
    ASSERT(decisions->next < decisions->count);
    if (decisions->taken[decisions->next++]) {
        return (struct branch){request->success, request->n_success, true};
    }
    return (struct branch){request->failure, request->n_failure, false};
}

/* ---- decide ---- */

static int order_of(int64_t a, int64_t b)
{
    return a < b ? -1 : (a > b ? 1 : 0);
}

static bool result_holds(const Etcdserverpb__Compare *compare, int order)
{
    switch (compare->result) {
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL:
        return order == 0;
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL:
        return order != 0;
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER:
        return order > 0;
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__LESS:
        return order < 0;
    default:
        return true;
    }
}

/* The number compared with; a union of another kind than the target counts as zero. */
static int64_t wanted_number(const Etcdserverpb__Compare *compare,
                             Etcdserverpb__Compare__TargetUnionCase kind, int64_t number)
{
    return compare->target_union_case == kind ? number : 0;
}

static bool compare_meta(const Etcdserverpb__Compare *compare, const struct mvcc_meta *meta)
{
    int64_t want;
    int order = 0;
    switch (compare->target) {
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION:
        want =
            wanted_number(compare, ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION, compare->version);
        order = order_of(meta->version, want);
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
        want = wanted_number(compare, ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION,
                             compare->create_revision);
        order = order_of(meta->create_revision, want);
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
        want = wanted_number(compare, ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION,
                             compare->mod_revision);
        order = order_of(meta->mod_revision, want);
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
        want = wanted_number(compare, ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE, compare->lease);
        order = order_of(meta->lease, want);
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE:
    default:
        break;
    }
    return result_holds(compare, order);
}

struct compare_walk {
    struct mvcc *mvcc;
    const Etcdserverpb__Compare *compare;
    bool any;
    bool holds;
    int rc;
};

static bool compare_item(void *ctx, const struct mvcc_item *item)
{
    struct compare_walk *walk = ctx;
    const Etcdserverpb__Compare *compare = walk->compare;
    walk->any = true;
    ASSERT(item->meta != NULL); /* compares read the newest state */
    if (compare->target != ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE) {
        walk->holds = compare_meta(compare, item->meta);
        return walk->holds;
    }
    struct bytes record;
    struct keyvalue kv;
    struct bytes want = {NULL, 0};
    if (compare->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE) {
        want = proto_bytes(compare->value);
    }
    walk->rc = mvcc_item_record(walk->mvcc, item, &record);
    if (walk->rc == 0) {
        walk->rc = keyvalue_decode(record, &kv);
    }
    walk->holds = walk->rc == 0 && result_holds(compare, bytes_compare(kv.value, want));
    return walk->holds;
}

/* Every key of the range must hold. Without any key, a value is never right, and numbers are zero.
 */
static int compare_one(struct mvcc *mvcc, const Etcdserverpb__Compare *compare, bool *out_holds)
{
    struct key_span span = key_span_of(proto_bytes(compare->key), proto_bytes(compare->range_end));
    struct compare_walk walk = {mvcc, compare, false, true, 0};
    mvcc_walk(mvcc, &span, 0, compare_item, &walk);
    if (!walk.any) {
        struct mvcc_meta none = {0};
        walk.holds = compare->target != ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE &&
                     compare_meta(compare, &none);
    }
    *out_holds = walk.holds;
    return walk.rc;
}

static int decide(struct mvcc *mvcc, const Etcdserverpb__TxnRequest *request,
                  struct decisions *decisions)
{
    bool holds = true;
    for (size_t i = 0; i < request->n_compare && holds; i++) {
        int rc = compare_one(mvcc, request->compare[i], &holds);
        if (rc != 0) {
            return rc;
        }
    }
    decisions_add(decisions, holds);
    Etcdserverpb__RequestOp *const *ops = holds ? request->success : request->failure;
    size_t count = holds ? request->n_success : request->n_failure;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            int rc = decide(mvcc, ops[i]->request_txn, decisions);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* ---- check ---- */

/* The deletes that will have run before the operation that is looked at. */
struct check_pass {
    const struct kv_env *env;
    struct decisions *decisions;
    struct key_span *deletes;
    size_t delete_count;
    size_t delete_capacity;
};

static void note_delete(struct check_pass *pass, const Etcdserverpb__DeleteRangeRequest *request)
{
    if (pass->delete_count == pass->delete_capacity) {
        pass->delete_capacity = pass->delete_capacity == 0 ? 8 : pass->delete_capacity * 2;
        pass->deletes = mem_realloc(pass->deletes, pass->delete_capacity * sizeof(*pass->deletes));
    }
    pass->deletes[pass->delete_count++] =
        key_span_of(proto_bytes(request->key), proto_bytes(request->range_end));
}

/* An operation that keeps the value or the lease needs the key: before the transaction, and still
 * when its turn comes (a delete with an open end before it is the one way to lose it; etcd crashes
 * there). */
static int check_put(struct check_pass *pass, const Etcdserverpb__PutRequest *request)
{
    struct mvcc_meta meta;
    struct bytes key = proto_bytes(request->key);
    if (request->ignore_value || request->ignore_lease) {
        if (!mvcc_stat(pass->env->mvcc, key, &meta)) {
            return ETCD_ERR_KEY_NOT_FOUND;
        }
        for (size_t i = 0; i < pass->delete_count; i++) {
            if (key_span_contains(&pass->deletes[i], key)) {
                return ETCD_ERR_KEY_NOT_FOUND;
            }
        }
    }
    return kv_lease_known(pass->env, request->lease) ? 0 : ETCD_ERR_LEASE_NOT_FOUND;
}

static int check_range(const struct mvcc *mvcc, const Etcdserverpb__RangeRequest *request)
{
    if (request->revision == 0) {
        return 0;
    }
    if (request->revision > mvcc_revision(mvcc)) {
        return ETCD_ERR_FUTURE_REV;
    }
    return request->revision < mvcc_compact_revision(mvcc) ? ETCD_ERR_COMPACTED : 0;
}

static int check_branch(struct check_pass *pass, const Etcdserverpb__TxnRequest *request)
{
    struct branch branch = branch_next(pass->decisions, request);
    int rc = 0;
    for (size_t i = 0; i < branch.count && rc == 0; i++) {
        const Etcdserverpb__RequestOp *op = branch.ops[i];
        switch (op->request_case) {
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
            rc = check_range(pass->env->mvcc, op->request_range);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
            rc = check_put(pass, op->request_put);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
            note_delete(pass, op->request_delete_range);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
            rc = check_branch(pass, op->request_txn);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET:
        default:
            break;
        }
    }
    return rc;
}

static int check_all(const struct kv_env *env, const Etcdserverpb__TxnRequest *request,
                     struct decisions *decisions)
{
    struct check_pass pass = {.env = env, .decisions = decisions};
    decisions->next = 0;
    int rc = check_branch(&pass, request);
    mem_free(pass.deletes);
    return rc;
}

/* ---- carry out ---- */

static int run_branch(const struct kv_env *env, const Etcdserverpb__TxnRequest *request,
                      struct decisions *decisions, struct buf *out);

/* Headers inside a transaction hold the revision alone. */
static void append_header(struct buf *out, int64_t revision)
{
    uint8_t header[1 + PROTO_VARINT_MAX];
    header[0] = KV_HEADER_REVISION << 3 | KV_WIRE_VARINT;
    size_t size = 1 + proto_varint_put(header + 1, (uint64_t)revision);
    kv_wire_message(out, KV_RESPONSE_HEADER, bytes_of(header, size));
}

/* Body of one operation: without header into `body`; the header says the revision after it. */
static int run_op(const struct kv_env *env, const Etcdserverpb__RequestOp *op,
                  struct decisions *decisions, struct buf *body, int64_t *out_revision)
{
    int rc = 0;
    switch (op->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        return kv_range(env, op->request_range, body, out_revision);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        rc = kv_put_within(env, op->request_put, body);
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        rc = kv_delete_within(env, op->request_delete_range, body);
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
        return run_branch(env, op->request_txn, decisions, body);
    case ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET:
    default:
        break;
    }
    *out_revision = mvcc_txn_revision(env->mvcc);
    return rc;
}

/* Response op n holds in field n what request op n asked for: the numbers are the same in both. */
static int append_response(const struct kv_env *env, const Etcdserverpb__RequestOp *op,
                           struct decisions *decisions, struct buf *out)
{
    struct buf body;
    struct buf response;
    struct buf wrapped;
    int64_t revision = 0;
    buf_init(&body, out->max_size);
    buf_init(&response, out->max_size);
    buf_init(&wrapped, out->max_size);
    int rc = run_op(env, op, decisions, &body, &revision);
    if (rc == 0) {
        if (op->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            kv_wire_message(&response, KV_RESPONSE_HEADER, (struct bytes){NULL, 0});
        } else {
            append_header(&response, revision);
        }
        (void)buf_append(&response, body.data, body.size);
        if (op->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET) {
            kv_wire_message(&wrapped, (unsigned)op->request_case, buf_bytes(&response));
        }
        kv_wire_message(out, KV_TXN_RESPONSES, buf_bytes(&wrapped));
        out->overflowed =
            out->overflowed || body.overflowed || response.overflowed || wrapped.overflowed;
    }
    buf_free(&body);
    buf_free(&response);
    buf_free(&wrapped);
    return rc;
}

static int run_branch(const struct kv_env *env, const Etcdserverpb__TxnRequest *request,
                      struct decisions *decisions, struct buf *out)
{
    struct branch branch = branch_next(decisions, request);
    kv_wire_number(out, KV_TXN_SUCCEEDED, branch.succeeded ? 1 : 0);
    for (size_t i = 0; i < branch.count; i++) {
        int rc = append_response(env, branch.ops[i], decisions, out);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int run_all(const struct kv_env *env, struct store_batch *batch,
                   const Etcdserverpb__TxnRequest *request, struct decisions *decisions,
                   struct buf *out)
{
    decisions->next = 0;
    if (kv_txn_is_read_only(request)) {
        return run_branch(env, request, decisions, out);
    }
    mvcc_txn_begin(env->mvcc, batch);
    int rc = run_branch(env, request, decisions, out);
    (void)mvcc_txn_end(env->mvcc);
    /* The check pass has found everything that a client can be told; what is left would be half
     * done. */
    ASSERT(rc <= 0 || PLANT(txn_half_done));
    return rc;
}

int kv_txn(const struct kv_env *env, struct store_batch *batch,
           const Etcdserverpb__TxnRequest *request, struct buf *out, int64_t *out_revision)
{
    struct decisions decisions = {0};
    int rc = decide(env->mvcc, request, &decisions);
    if (rc == 0 && !PLANT(txn_half_done)) {
        rc = check_all(env, request, &decisions);
    }
    if (rc == 0) {
        rc = run_all(env, batch, request, &decisions, out);
    }
    if (rc == 0) {
        *out_revision = mvcc_revision(env->mvcc);
    }
    mem_free(decisions.taken);
    return rc;
}
