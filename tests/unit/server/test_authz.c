/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of rights is whole: every call, every message of one that is checked by its fields,
 * every field that names data and every entry of the log has its row. And the rules say what they
 * should: all of a transaction is looked at, however deep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/server/authz.h"

#define SEEN_MAX 64u

/* Messages reachable from one, each once. */
struct seen {
    const ProtobufCMessageDescriptor *messages[SEEN_MAX];
    size_t count;
};

static void collect(struct seen *seen, const ProtobufCMessageDescriptor *message)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->messages[i] == message) {
            return;
        }
    }
    assert_true(seen->count < SEEN_MAX);
    seen->messages[seen->count++] = message;
    for (unsigned f = 0; f < message->n_fields; f++) {
        if (message->fields[f].type == PROTOBUF_C_TYPE_MESSAGE) {
            collect(seen, message->fields[f].descriptor);
        }
    }
}

static bool rule_names(const struct authz_rule *rule, const char *field)
{
    return str_equal(rule->field, field) || str_equal(rule->end, field) ||
           str_equal(rule->only_if, field);
}

static bool has_rule(const ProtobufCMessageDescriptor *message, const char *field)
{
    for (size_t i = 0; i < AUTHZ_RULE_COUNT; i++) {
        if (AUTHZ_RULES[i].message == message &&
            (field == NULL || rule_names(&AUTHZ_RULES[i], field))) {
            return true;
        }
    }
    return false;
}

/* Fields of requests by which data is named or told; values are not among them. */
static bool names_data(const ProtobufCFieldDescriptor *field)
{
    static const char *const names[] = {"key", "range_end", "prev_kv", "lease"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(field->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Telling what was there before: reading the run is asked anyway. A lease in a comparison is a
 * number to compare with. */
static bool is_covered(const ProtobufCMessageDescriptor *message, const char *field)
{
    return (message == &etcdserverpb__watch_create_request__descriptor &&
            strcmp(field, "prev_kv") == 0) ||
           (message == &etcdserverpb__compare__descriptor && strcmp(field, "lease") == 0);
}

static void every_call_has_a_row(void **state)
{
    (void)state;
    for (int i = 0; i < RPC_COUNT; i++) {
        if (AUTHZ_ROWS[i].need == AUTHZ_MISSING) {
            fail_msg("%s has no row in AUTHZ_ROWS", RPC_SPECS[i].path);
        }
    }
}

static void every_message_that_is_checked_by_its_fields_has_rules(void **state)
{
    (void)state;
    size_t messages = 0;
    for (int i = 0; i < RPC_COUNT; i++) {
        struct seen seen = {.count = 0};
        collect(&seen, RPC_SPECS[i].request);
        for (size_t m = 0; m < seen.count && AUTHZ_ROWS[i].need == AUTHZ_FIELDS; m++) {
            if (!has_rule(seen.messages[m], NULL)) {
                fail_msg("%s: %s has no rule in AUTHZ_RULES", RPC_SPECS[i].path,
                         seen.messages[m]->name);
            }
            messages++;
        }
    }
    assert_true(messages > 15);
}

static void every_field_that_names_data_is_asked_for(void **state)
{
    (void)state;
    size_t fields = 0;
    for (int i = 0; i < RPC_COUNT; i++) {
        struct seen seen = {.count = 0};
        enum authz_need need = AUTHZ_ROWS[i].need;
        collect(&seen, RPC_SPECS[i].request);
        if (need == AUTHZ_ROOT || need == AUTHZ_PARTS) {
            continue; /* all is root's, or checked call by call */
        }
        for (size_t m = 0; m < seen.count; m++) {
            for (unsigned f = 0; f < seen.messages[m]->n_fields; f++) {
                const ProtobufCFieldDescriptor *field = &seen.messages[m]->fields[f];
                if (!names_data(field) || is_covered(seen.messages[m], field->name)) {
                    continue;
                }
                fields++;
                if (need != AUTHZ_FIELDS || !has_rule(seen.messages[m], field->name)) {
                    fail_msg("%s: %s.%s is not asked for", RPC_SPECS[i].path,
                             seen.messages[m]->name, field->name);
                }
            }
        }
    }
    assert_true(fields > 10);
}

static void the_rules_name_fields_that_are_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < AUTHZ_RULE_COUNT; i++) {
        const char *names[] = {AUTHZ_RULES[i].field, AUTHZ_RULES[i].end, AUTHZ_RULES[i].only_if};
        for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
            if (names[n] != NULL) {
                assert_non_null(protobuf_c_message_descriptor_get_field_by_name(
                    AUTHZ_RULES[i].message, names[n]));
            }
        }
    }
}

static void every_entry_of_the_log_has_a_row(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *entry = &etcdserverpb__internal_raft_request__descriptor;
    size_t rows = 0;
    for (unsigned f = 0; f < entry->n_fields; f++) {
        size_t found = 0;
        if (entry->fields[f].type != PROTOBUF_C_TYPE_MESSAGE ||
            strcmp(entry->fields[f].name, "header") == 0) {
            continue;
        }
        for (size_t i = 0; i < AUTHZ_ENTRY_COUNT; i++) {
            found += AUTHZ_ENTRIES[i].field == entry->fields[f].id ? 1 : 0;
        }
        if (found != 1) {
            fail_msg("entry %s (%u) has %zu rows in AUTHZ_ENTRIES", entry->fields[f].name,
                     entry->fields[f].id, found);
        }
        rows++;
    }
    assert_int_equal(rows, AUTHZ_ENTRY_COUNT);
}

/* ---- what the rules say ---- */

/* al may read and write "k", read "r"; lease 1 has key "other". */
struct rig {
    struct auth *auth;
    struct lessor *lessor;
    struct store_batch batch;
    struct authz al, nobody;
};

static void rig_make(struct rig *rig)
{
    static const struct lessor_config config = {.min_ttl_s = 1, .seed = 1};
    Etcdserverpb__AuthUserAddRequest add = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    Etcdserverpb__AuthRoleGrantPermissionRequest grant =
        ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
    Authpb__Permission perm = AUTHPB__PERMISSION__INIT;
    int64_t ttl;
    rig->auth = auth_new(NULL, NULL);
    rig->lessor = lessor_new(&config);
    store_batch_init(&rig->batch);
    assert_int_equal(lessor_grant(rig->lessor, 1, 60, 0, &rig->batch, &ttl), ETCD_OK);
    struct mvcc_lease_hook hook = lessor_hook(rig->lessor);
    hook.attach(hook.ctx, bytes_of_str("other"), 1);
    add.name = (char *)(uintptr_t)AUTH_ROOT;
    assert_int_equal(auth_user_add(rig->auth, &add, &rig->batch), ETCD_OK);
    add.name = (char *)(uintptr_t) "al";
    assert_int_equal(auth_user_add(rig->auth, &add, &rig->batch), ETCD_OK);
    assert_int_equal(auth_role_add(rig->auth, "rw", &rig->batch), ETCD_OK);
    grant.name = (char *)(uintptr_t) "rw";
    grant.perm = &perm;
    perm.permtype = AUTHPB__PERMISSION__TYPE__READWRITE;
    perm.key = proto_binary(bytes_of_str("k"));
    assert_int_equal(auth_role_grant_permission(rig->auth, &grant, &rig->batch), ETCD_OK);
    perm.permtype = AUTHPB__PERMISSION__TYPE__READ;
    perm.key = proto_binary(bytes_of_str("r"));
    assert_int_equal(auth_role_grant_permission(rig->auth, &grant, &rig->batch), ETCD_OK);
    assert_int_equal(auth_user_grant_role(rig->auth, "al", "rw", &rig->batch), ETCD_OK);
    assert_int_equal(auth_user_grant_role(rig->auth, AUTH_ROOT, AUTH_ROOT, &rig->batch), ETCD_OK);
    assert_int_equal(auth_enable(rig->auth, &rig->batch), ETCD_OK);
    rig->nobody = (struct authz){rig->auth, rig->lessor, {"", 0}, false};
    rig->al = (struct authz){rig->auth, rig->lessor, {"al", auth_revision(rig->auth)}, true};
}

static void rig_drop(struct rig *rig)
{
    auth_free(rig->auth);
    lessor_free(rig->lessor);
    store_batch_free(&rig->batch);
}

static Etcdserverpb__PutRequest put_of(const char *key)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = proto_binary(bytes_of_str(key));
    return put;
}

/* A put alone, and then inside of more and more transactions, in each branch. */
static void assert_put(struct rig *rig, Etcdserverpb__PutRequest put, enum etcd_error want)
{
    Etcdserverpb__RequestOp ops[5];
    Etcdserverpb__TxnRequest txns[5];
    Etcdserverpb__RequestOp *lists[5];
    assert_int_equal(authz_message(&rig->al, &put.base), want);
    for (size_t depth = 0; depth < ARRAY_COUNT(txns); depth++) {
        etcdserverpb__request_op__init(&ops[depth]);
        etcdserverpb__txn_request__init(&txns[depth]);
        lists[depth] = &ops[depth];
        if (depth == 0) {
            ops[0].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
            ops[0].request_put = &put;
        } else {
            ops[depth].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
            ops[depth].request_txn = &txns[depth - 1];
        }
        if (depth % 2 == 0) {
            txns[depth].success = &lists[depth];
            txns[depth].n_success = 1;
        } else {
            txns[depth].failure = &lists[depth];
            txns[depth].n_failure = 1;
        }
        assert_int_equal(authz_message(&rig->al, &txns[depth].base), want);
    }
}

static void puts_are_checked_however_deep(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig);
    Etcdserverpb__PutRequest put = put_of("k");
    assert_put(&rig, put, ETCD_OK);
    put.prev_kv = 1;
    assert_put(&rig, put, ETCD_OK);
    put.lease = 2; /* there is none */
    assert_put(&rig, put, ETCD_OK);
    put.lease = 1;
    assert_put(&rig, put, ETCD_ERR_PERMISSION_DENIED);
    assert_put(&rig, put_of("r"), ETCD_ERR_PERMISSION_DENIED);
    assert_put(&rig, put_of("other"), ETCD_ERR_PERMISSION_DENIED);
    rig_drop(&rig);
}

static enum etcd_error watch_of(const struct authz *who, const char *key, struct bytes range_end)
{
    Etcdserverpb__WatchRequest watch = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    create.key = proto_binary(bytes_of_str(key));
    create.range_end = proto_binary(range_end);
    watch.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    watch.create_request = &create;
    return authz_message(who, &watch.base);
}

static void watches_are_checked_by_their_whole_run(void **state)
{
    static const uint8_t zero = 0;
    (void)state;
    struct rig rig;
    Etcdserverpb__WatchRequest progress = ETCDSERVERPB__WATCH_REQUEST__INIT;
    rig_make(&rig);
    assert_int_equal(watch_of(&rig.al, "k", (struct bytes){NULL, 0}), ETCD_OK);
    assert_int_equal(watch_of(&rig.al, "k", bytes_of(&zero, 1)), ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(watch_of(&rig.al, "", bytes_of(&zero, 1)), ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(watch_of(&rig.al, "", (struct bytes){NULL, 0}), ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(watch_of(&rig.nobody, "k", (struct bytes){NULL, 0}), ETCD_ERR_USER_EMPTY);
    assert_int_equal(authz_message(&rig.nobody, &progress.base), ETCD_OK);
    rig_drop(&rig);
}

static void leases_are_checked_by_their_keys(void **state)
{
    (void)state;
    struct rig rig;
    Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    Etcdserverpb__LeaseTimeToLiveRequest ttl = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    Etcdserverpb__LeaseLeasesRequest all = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    rig_make(&rig);
    revoke.id = ttl.id = 1;
    assert_int_equal(authz_message(&rig.al, &revoke.base), ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(authz_message(&rig.al, &ttl.base), ETCD_OK);
    assert_int_equal(authz_message(&rig.nobody, &ttl.base), ETCD_ERR_USER_EMPTY);
    ttl.keys = 1;
    assert_int_equal(authz_message(&rig.al, &ttl.base), ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(authz_message(&rig.al, &all.base), ETCD_ERR_PERMISSION_DENIED);
    rig.al.who.name = AUTH_ROOT;
    assert_int_equal(authz_message(&rig.al, &revoke.base), ETCD_OK);
    assert_int_equal(authz_message(&rig.al, &all.base), ETCD_OK);
    rig_drop(&rig);
}

static void what_the_table_does_not_know_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    Etcdserverpb__InternalRaftRequest entry = ETCDSERVERPB__INTERNAL_RAFT_REQUEST__INIT;
    Etcdserverpb__RangeResponse strange = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    rig_make(&rig);
    rig.al.who.name = AUTH_ROOT;
    assert_int_equal(authz_message(&rig.al, &strange.base), ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(authz_entry(&rig.al, &entry), ETCD_ERR_PERMISSION_DENIED);
    rig_drop(&rig);
}

static void an_answer_that_was_not_checked_does_not_leave(void **state)
{
    (void)state;
    struct request request = {.is_call = true, .method = RPC_RANGE};
    assert_false(authz_may_leave(&request));
    request.authorized = true;
    assert_true(authz_may_leave(&request));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_has_a_row),
        cmocka_unit_test(every_message_that_is_checked_by_its_fields_has_rules),
        cmocka_unit_test(every_field_that_names_data_is_asked_for),
        cmocka_unit_test(the_rules_name_fields_that_are_there),
        cmocka_unit_test(every_entry_of_the_log_has_a_row),
        cmocka_unit_test(puts_are_checked_however_deep),
        cmocka_unit_test(watches_are_checked_by_their_whole_run),
        cmocka_unit_test(leases_are_checked_by_their_keys),
        cmocka_unit_test(what_the_table_does_not_know_is_refused),
        cmocka_unit_test(an_answer_that_was_not_checked_does_not_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
