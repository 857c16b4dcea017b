/* SPDX-License-Identifier: Apache-2.0 */
/* Random transactions, three deep, and chains as deep as the limit of operations lets them be. See
 * generate.h. */
#include "base/defs.h"
#include "tests/differential/generate.h"

#define DEPTH_MAX   3
#define TXN_OPS_MAX 128 /* --max-txn-ops */

static Etcdserverpb__RequestOp *new_op(struct generate *gen)
{
    Etcdserverpb__RequestOp *op = arena_zalloc(&gen->arena, sizeof(*op));
    etcdserverpb__request_op__init(op);
    return op;
}

/* Most compare what they say; some carry a value of another kind, or none. */
static void set_operand(struct generate *gen, Etcdserverpb__Compare *compare)
{
    static const Etcdserverpb__Compare__TargetUnionCase CASES[] = {
        ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION,
        ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION,
        ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION,
        ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE,
        ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE,
        ETCDSERVERPB__COMPARE__TARGET_UNION__NOT_SET,
    };
    size_t at = (size_t)compare->target < 5 ? (size_t)compare->target : 0;
    if (generate_once_in(gen, 25)) {
        at = (size_t)generate_below(gen, (int64_t)ARRAY_COUNT(CASES));
    }
    compare->target_union_case = CASES[at];
    switch (compare->target_union_case) {
    case ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE:
        compare->value = generate_value(gen);
        break;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE:
        compare->lease = generate_once_in(gen, 2) ? 0 : generate_lease(gen);
        break;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION:
        compare->version = generate_below(gen, 5);
        break;
    default:
        compare->mod_revision =
            generate_once_in(gen, 3) ? 0 : gen->seen.revision - generate_below(gen, 200);
        break;
    }
}

static Etcdserverpb__Compare *generate_compare(struct generate *gen)
{
    Etcdserverpb__Compare *compare = arena_zalloc(&gen->arena, sizeof(*compare));
    etcdserverpb__compare__init(compare);
    compare->target = (Etcdserverpb__Compare__CompareTarget)generate_below(gen, 5);
    compare->result = (Etcdserverpb__Compare__CompareResult)generate_below(gen, 4);
    compare->key = generate_key(gen);
    if (generate_once_in(gen, 4)) {
        compare->range_end = generate_end(gen, compare->key);
    }
    set_operand(gen, compare);
    if (generate_once_in(gen, 150)) {
        compare->target = (Etcdserverpb__Compare__CompareTarget)(generate_below(gen, 9) + 4);
    }
    if (generate_once_in(gen, 150)) {
        compare->result = (Etcdserverpb__Compare__CompareResult)(generate_below(gen, 9) + 3);
    }
    return compare;
}

static Etcdserverpb__RequestOp *generate_request_op(struct generate *gen, int depth)
{
    Etcdserverpb__RequestOp *op = new_op(gen);
    int64_t choice = generate_below(gen, 100);
    if (choice < 1) {
        return op; /* none of all */
    }
    if (choice < 36) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = generate_put(gen);
    } else if (choice < 70) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = generate_range(gen);
    } else if (choice < 84 || depth >= DEPTH_MAX) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range = generate_delete(gen);
    } else {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        op->request_txn = generate_txn(gen, depth + 1);
    }
    return op;
}

static void generate_branch(struct generate *gen, int depth, size_t *out_count,
                            Etcdserverpb__RequestOp ***out_ops)
{
    *out_count = (size_t)generate_below(gen, 4);
    *out_ops = arena_zalloc(&gen->arena, (*out_count + 1) * sizeof(**out_ops));
    for (size_t i = 0; i < *out_count; i++) {
        (*out_ops)[i] = generate_request_op(gen, depth);
    }
}

/* Around the limit of operations: puts of keys that differ, all at once or partly nested. */
static void generate_many(struct generate *gen, Etcdserverpb__TxnRequest *txn, int depth)
{
    size_t count = (size_t)(TXN_OPS_MAX - 3 + generate_below(gen, 6));
    size_t in_here = depth < DEPTH_MAX && generate_once_in(gen, 2)
                         ? (size_t)generate_below(gen, (int64_t)count)
                         : count;
    size_t at = 0;
    txn->success = arena_zalloc(&gen->arena, (in_here + 1) * sizeof(*txn->success));
    for (; at < in_here; at++) {
        Etcdserverpb__RequestOp *op = new_op(gen);
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = generate_put(gen);
        op->request_put->key = generate_bulk_key(gen, (int64_t)at);
        op->request_put->lease = 0;
        op->request_put->ignore_value = op->request_put->ignore_lease = false;
        op->request_put->value.len = BASE_MIN(op->request_put->value.len, 100u);
        txn->success[txn->n_success++] = op;
    }
    if (in_here < count) {
        Etcdserverpb__RequestOp *op = new_op(gen);
        Etcdserverpb__TxnRequest *inner = arena_zalloc(&gen->arena, sizeof(*inner));
        etcdserverpb__txn_request__init(inner);
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        op->request_txn = inner;
        inner->success = arena_zalloc(&gen->arena, (count - at) * sizeof(*inner->success));
        for (; at < count; at++) {
            Etcdserverpb__RequestOp *read = new_op(gen);
            read->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
            read->request_range = arena_zalloc(&gen->arena, sizeof(*read->request_range));
            etcdserverpb__range_request__init(read->request_range);
            read->request_range->key = generate_bulk_key(gen, (int64_t)at);
            inner->success[inner->n_success++] = read;
        }
        txn->success[txn->n_success++] = op;
    }
}

/* One inside the other; each takes one of the operations that are allowed. */
static Etcdserverpb__TxnRequest *generate_deep(struct generate *gen)
{
    size_t depth = generate_once_in(gen, 2) ? (size_t)generate_below(gen, 20) + 3
                                            : (size_t)(TXN_OPS_MAX - 3 + generate_below(gen, 6));
    Etcdserverpb__TxnRequest *inner = NULL;
    for (size_t level = 0; level < depth; level++) {
        Etcdserverpb__TxnRequest *txn = arena_zalloc(&gen->arena, sizeof(*txn));
        Etcdserverpb__RequestOp *op = new_op(gen);
        etcdserverpb__txn_request__init(txn);
        if (inner == NULL) {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
            op->request_put = generate_put(gen);
        } else {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
            op->request_txn = inner;
        }
        txn->compare = arena_zalloc(&gen->arena, sizeof(*txn->compare));
        if (generate_once_in(gen, 3)) {
            txn->compare[txn->n_compare++] = generate_compare(gen);
        }
        Etcdserverpb__RequestOp ***branch =
            generate_once_in(gen, 8) ? &txn->failure : &txn->success;
        *branch = arena_zalloc(&gen->arena, sizeof(**branch));
        (*branch)[0] = op;
        *(branch == &txn->success ? &txn->n_success : &txn->n_failure) = 1;
        inner = txn;
    }
    return inner;
}

static bool has_open_delete(const Etcdserverpb__TxnRequest *txn);

static bool branch_has_open_delete(size_t count, Etcdserverpb__RequestOp *const *ops)
{
    for (size_t i = 0; i < count; i++) {
        if ((ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE &&
             ops[i]->request_delete_range->range_end.len == 1 &&
             ops[i]->request_delete_range->range_end.data[0] == 0) ||
            (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN &&
             has_open_delete(ops[i]->request_txn))) {
            return true;
        }
    }
    return false;
}

static bool has_open_delete(const Etcdserverpb__TxnRequest *txn)
{
    return branch_has_open_delete(txn->n_success, txn->success) ||
           branch_has_open_delete(txn->n_failure, txn->failure);
}

static void branch_say_values(size_t count, Etcdserverpb__RequestOp *const *ops)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT) {
            ops[i]->request_put->ignore_value = ops[i]->request_put->ignore_lease = false;
        } else if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            branch_say_values(ops[i]->request_txn->n_success, ops[i]->request_txn->success);
            branch_say_values(ops[i]->request_txn->n_failure, ops[i]->request_txn->failure);
        }
    }
}

/* A put that keeps the value of a key that the same transaction has deleted stops etcd, for good:
 * the entry is in its log. Only a delete with an open end gets past its checks. */
static void spare_etcd(Etcdserverpb__TxnRequest *txn)
{
    if (has_open_delete(txn)) {
        branch_say_values(txn->n_success, txn->success);
        branch_say_values(txn->n_failure, txn->failure);
    }
}

/* Older etcd does not look into nested transactions when it asks who may and whether there is room,
 * nor at leases and at the values before. */
static bool is_spared(const struct generate *gen)
{
    return (gen->seen.is_auth_on && gen->user != USER_ROOT) || gen->alarm_left > 0;
}

static void spare_rights(struct generate *gen, size_t count, Etcdserverpb__RequestOp **ops)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT) {
            ops[i]->request_put->prev_kv = false;
            ops[i]->request_put->lease = 0;
        } else if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            ops[i]->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
            ops[i]->request_range = generate_range(gen);
        }
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE) {
            generate_turn_round(ops[i]->request_range->key, &ops[i]->request_range->range_end);
        } else if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE) {
            generate_turn_round(ops[i]->request_delete_range->key,
                                &ops[i]->request_delete_range->range_end);
        }
    }
}

Etcdserverpb__TxnRequest *generate_txn(struct generate *gen, int depth)
{
    if (depth == 1 && generate_once_in(gen, 60) && !is_spared(gen)) {
        return generate_deep(gen);
    }
    Etcdserverpb__TxnRequest *txn = arena_zalloc(&gen->arena, sizeof(*txn));
    etcdserverpb__txn_request__init(txn);
    txn->n_compare = (size_t)generate_below(gen, generate_once_in(gen, 2) ? 4 : 2);
    if (generate_once_in(gen, 200)) {
        txn->n_compare = (size_t)(TXN_OPS_MAX - 2 + generate_below(gen, 5));
    }
    txn->compare = arena_zalloc(&gen->arena, (txn->n_compare + 1) * sizeof(*txn->compare));
    for (size_t i = 0; i < txn->n_compare; i++) {
        txn->compare[i] = generate_compare(gen);
    }
    if (generate_once_in(gen, 100)) {
        generate_many(gen, txn, depth);
    } else {
        generate_branch(gen, depth, &txn->n_success, &txn->success);
    }
    generate_branch(gen, depth, &txn->n_failure, &txn->failure);
    if (depth == 1 && is_spared(gen)) {
        spare_rights(gen, txn->n_success, txn->success);
        spare_rights(gen, txn->n_failure, txn->failure);
        for (size_t i = 0; i < txn->n_compare; i++) {
            generate_turn_round(txn->compare[i]->key, &txn->compare[i]->range_end);
        }
    }
    if (depth == 1) {
        spare_etcd(txn);
    }
    return txn;
}
