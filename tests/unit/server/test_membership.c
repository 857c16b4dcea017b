/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Membership: ids, URLs, what a change may do, and the forms that members exchange.
 * v2_store_3_6.json is what etcd 3.6 writes for the cluster that a_snapshot_of_etcd_is_read
 * expects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/json.h"
#include "engine/server/ids.h"
#include "engine/server/membership.h"
#include "engine/store/lmdb_store.h"

#define ID_A       0x1b907a9b4698b15u
#define ID_B       0x9a7e4203a8355e1cu
#define ID_C       0x738a2b514b7b858bu
#define ID_LEARNER 0x9c4b72be2e36a5acu
#define CLUSTER_ID 0xfcb2db824cbbe063u

#define THREE                                                                                      \
    "a=http://127.0.0.1:2380,b=http://127.0.0.1:12380,b=http://localhost:12381,c=https://"         \
    "[::1]:2380"

static struct membership *three(void)
{
    struct membership *membership = NULL;
    assert_int_equal(membership_parse_initial(THREE, "tok-1", 1, &membership, NULL), 0);
    return membership;
}

static int change_parse(enum raft_conf_change_type type, uint64_t id, const char *context,
                        struct membership_change *out_change)
{
    struct raftpb_conf_change wire = {.type = type, .node_id = id};
    wire.context = bytes_of_str(context);
    return membership_change_parse(&wire, out_change, NULL);
}

/* Parses, checks and, when allowed, applies. */
static enum etcd_error change_do(struct membership *membership, enum raft_conf_change_type type,
                                 uint64_t id, const char *context, struct store_batch *batch)
{
    struct membership_change change;
    assert_int_equal(change_parse(type, id, context, &change), 0);
    enum etcd_error error = membership_check(membership, &change);
    if (error == ETCD_OK) {
        membership_apply(membership, &change, batch);
    }
    membership_change_clear(&change);
    return error;
}

/* One line per member, for comparing whole memberships. */
static char *written(const struct membership *membership)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    membership_members_json(membership, &text);
    const char *version = membership_version(membership);
    buf_printf(&text, " %s %s", version != NULL ? version : "none",
               membership_is_removed(membership, ID_C) ? "c is removed" : "");
    char *copy = str_dup(buf_cstr(&text));
    buf_free(&text);
    return copy;
}

static void assert_same(const struct membership *a, const struct membership *b)
{
    char *x = written(a);
    char *y = written(b);
    assert_string_equal(x, y);
    mem_free(x);
    mem_free(y);
}

static void ids_are_etcds(void **state)
{
    (void)state;
    struct membership *membership = three();

    assert_int_equal(membership_count(membership), 3);
    assert_true(membership_find_name(membership, "a")->id == ID_A);
    assert_true(membership_find_name(membership, "b")->id == ID_B);
    assert_true(membership_find_name(membership, "c")->id == ID_C);
    assert_true(membership_cluster_id(membership) == CLUSTER_ID);
    assert_true(membership_at(membership, 0)->id == ID_A);
    assert_true(membership_at(membership, 1)->id == ID_C);
    const char *const urls[] = {"http://10.0.0.1:2380"};
    assert_true(ids_member(urls, 1, "", IDS_NO_TIME) == ID_LEARNER);
    assert_true(ids_member(urls, 1, "", 0) != ID_LEARNER);
    const char *const swapped[] = {"http://localhost:12381", "http://127.0.0.1:12380"};
    assert_true(ids_member(swapped, 2, "tok-1", IDS_NO_TIME) == ID_B);
    const uint64_t ids[] = {ID_B, ID_A, ID_C};
    assert_true(ids_cluster(ids, 3) == CLUSTER_ID);
    membership_free(membership);
}

static void a_bad_initial_cluster_is_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "a",
        "=http://127.0.0.1:1",
        "a=",
        "a=127.0.0.1:2380",
        "a=http://127.0.0.1",
        "a=http://127.0.0.1:2380/path",
        "a=ftp://127.0.0.1:2380",
        "a=http://127.0.0.1:port",
        "a=http://::1:2380",
        "a=http://h:1,b=http://h:1",
        "a=http://h:1,b=bad",
    };
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++) {
        struct membership *membership = NULL;
        struct err err = {""};
        assert_int_equal(membership_parse_initial(BAD[i], "t", 1, &membership, &err), E_INVALID);
        assert_null(membership);
        assert_true(err.text[0] != '\0');
    }
}

static void urls_are_trimmed_and_sorted(void **state)
{
    (void)state;
    const char *const urls[] = {" http://b:1", "http://a:2 ", "unix:///run/x.sock"};
    struct url_list list;

    assert_int_equal(url_list_parse(urls, 3, &list, NULL), 0);
    assert_string_equal(list.urls[0], "http://a:2");
    assert_string_equal(list.urls[1], "http://b:1");
    assert_string_equal(list.urls[2], "unix:///run/x.sock");
    url_list_free(&list);
    assert_int_equal(url_list_parse(urls, 0, &list, NULL), E_INVALID);
}

/* What an update names first stays first: members dial in that order, and clients see it. */
static void urls_that_are_read_stay_in_their_order(void **state)
{
    (void)state;
    const char *const urls[] = {" http://b:1", "http://a:2 "};
    const char *const bad[] = {"http://b:1", "b"};
    struct url_list list;

    assert_int_equal(url_list_read(urls, 2, &list, NULL), 0);
    assert_string_equal(list.urls[0], "http://b:1");
    assert_string_equal(list.urls[1], "http://a:2");
    url_list_free(&list);
    assert_int_equal(url_list_read(bad, 2, &list, NULL), E_INVALID);
}

static void a_member_is_added_once_and_never_after_its_removal(void **state)
{
    (void)state;
    struct membership *membership = three();
    const char *context = "{\"id\":4,\"peerURLs\":[\"http://d:1\"]}";

    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 4, context, NULL), ETCD_OK);
    assert_string_equal(membership_find(membership, 4)->name, "");
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 4, context, NULL),
                     ETCD_ERR_MEMBER_EXIST);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 5, context, NULL),
                     ETCD_ERR_PEER_URL_EXIST);
    assert_int_equal(change_do(membership, RAFT_CONF_REMOVE_NODE, 4, "", NULL), ETCD_OK);
    assert_null(membership_find(membership, 4));
    assert_true(membership_is_removed(membership, 4));
    assert_int_equal(change_do(membership, RAFT_CONF_REMOVE_NODE, 4, "", NULL),
                     ETCD_ERR_MEMBER_NOT_FOUND);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 4, context, NULL),
                     ETCD_ERR_MEMBER_NOT_FOUND);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 5, context, NULL), ETCD_OK);
    membership_free(membership);
}

static void learners_are_limited_and_promoted_once(void **state)
{
    (void)state;
    struct membership *membership = three();
    const char *first = "{\"id\":4,\"peerURLs\":[\"http://d:1\"],\"isLearner\":true}";
    const char *second = "{\"id\":5,\"peerURLs\":[\"http://e:1\"],\"isLearner\":true}";
    struct buf promote;
    buf_init(&promote, BUF_NO_LIMIT);
    membership_promote_context(4, &promote);
    assert_string_equal(buf_cstr(&promote), "{\"id\":4,\"peerURLs\":null,\"isPromote\":true}");

    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 4, buf_cstr(&promote), NULL),
                     ETCD_ERR_MEMBER_NOT_FOUND);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_LEARNER, 4, first, NULL), ETCD_OK);
    assert_int_equal(membership_voter_count(membership), 3);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_LEARNER, 5, second, NULL),
                     ETCD_ERR_TOO_MANY_LEARNERS);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 4, buf_cstr(&promote), NULL),
                     ETCD_OK);
    assert_int_equal(membership_voter_count(membership), 4);
    assert_int_equal(membership_find(membership, 4)->peer_urls.count, 1);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 4, buf_cstr(&promote), NULL),
                     ETCD_ERR_MEMBER_NOT_LEARNER);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_LEARNER, 5, second, NULL), ETCD_OK);
    buf_free(&promote);
    membership_free(membership);
}

static void an_update_keeps_the_attributes_and_may_keep_its_own_url(void **state)
{
    (void)state;
    struct membership *membership = three();
    const char *own = "{\"id\":1,\"peerURLs\":[\"http://127.0.0.1:2380\",\"http://n:1\"]}";
    const char *taken = "{\"id\":1,\"peerURLs\":[\"https://[::1]:2380\"]}";

    assert_int_equal(change_do(membership, RAFT_CONF_UPDATE_NODE, ID_A, own, NULL), ETCD_OK);
    const struct member *a = membership_find(membership, ID_A);
    assert_int_equal(a->peer_urls.count, 2);
    assert_string_equal(a->name, "a");
    assert_int_equal(change_do(membership, RAFT_CONF_UPDATE_NODE, ID_A, taken, NULL),
                     ETCD_ERR_PEER_URL_EXIST);
    assert_int_equal(change_do(membership, RAFT_CONF_UPDATE_NODE, 99, own, NULL),
                     ETCD_ERR_MEMBER_NOT_FOUND);
    membership_free(membership);
}

static void an_unreadable_change_is_no_change(void **state)
{
    (void)state;
    struct membership_change change;
    assert_int_equal(change_parse(RAFT_CONF_ADD_NODE, 1, "", &change), E_CORRUPT);
    assert_int_equal(change_parse(RAFT_CONF_ADD_NODE, 1, "[]", &change), E_CORRUPT);
    assert_int_equal(change_parse(RAFT_CONF_ADD_NODE, 1, "{\"peerURLs\":[1]}", &change), E_CORRUPT);
    assert_int_equal(change_parse(RAFT_CONF_UPDATE_NODE, 1, "{\"peerURLs\":7}", &change),
                     E_CORRUPT);
    assert_int_equal(change_parse((enum raft_conf_change_type)9, 1, "{}", &change), E_CORRUPT);
}

static void the_json_of_a_member_is_etcds(void **state)
{
    (void)state;
    struct member member = {0};
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    const char *json = "{\"peerURLs\":[\"http://d:1\"],\"isLearner\":true,\"name\":\"d\","
                       "\"clientURLs\":[\"http://d:2\"],\"later\":{}}";

    assert_int_equal(member_json_read(bytes_of_str(json), UINT64_MAX, &member, NULL), 0);
    member_json_write(&member, &out);
    assert_string_equal(buf_cstr(&out),
                        "{\"id\":18446744073709551615,\"peerURLs\":[\"http://d:1\"],"
                        "\"isLearner\":true,\"name\":\"d\",\"clientURLs\":[\"http://d:2\"]}");
    member_clear(&member);
    buf_clear(&out);
    assert_int_equal(member_json_read(bytes_of_str("{\"peerURLs\":null}"), 5, &member, NULL), 0);
    member_json_write(&member, &out);
    assert_string_equal(buf_cstr(&out), "{\"id\":5,\"peerURLs\":[]}");
    member_clear(&member);
    buf_free(&out);
}

static void the_list_of_the_peer_port_keeps_big_ids(void **state)
{
    (void)state;
    struct membership *membership = three();
    struct membership *back = NULL;
    struct buf json;
    buf_init(&json, BUF_NO_LIMIT);
    membership_members_json(membership, &json);

    assert_int_equal(membership_parse_members(buf_bytes(&json), &back, NULL), 0);
    assert_true(membership_find_name(back, "b")->id == ID_B);
    assert_same(membership, back);
    membership_free(back);
    const char *tricky = "[{\"id\":9223372036854775808,\"name\":\"\\\"12345678901234567890\","
                         "\"peerURLs\":[\"http://12345678901234567890:1\"]}]";
    assert_int_equal(membership_parse_members(bytes_of_str(tricky), &back, NULL), 0);
    assert_true(membership_at(back, 0)->id == (uint64_t)1 << 63);
    assert_string_equal(membership_at(back, 0)->name, "\"12345678901234567890");
    membership_free(back);
    static const char *const BAD[] = {
        "{}", "[{}]", "[{\"id\":18446744073709551616}]", "[{\"id\":-1}]", "[{\"id\":1},{\"id\":1}]",
        "[1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++) {
        assert_int_equal(membership_parse_members(bytes_of_str(BAD[i]), &back, NULL), E_CORRUPT);
    }
    buf_free(&json);
    membership_free(membership);
}

static void joining_takes_the_ids_of_the_running_cluster(void **state)
{
    (void)state;
    struct membership *local = three();
    struct membership *existing = NULL;
    const char *json =
        "[{\"id\":3,\"peerURLs\":[\"http://127.0.0.1:2380\"]},"
        "{\"id\":1,\"peerURLs\":[\"http://localhost:12381\",\"http://127.0.0.1:12380\"]},"
        "{\"id\":2,\"peerURLs\":[\"https://[::1]:2380\"],\"isLearner\":true}]";
    assert_int_equal(membership_parse_members(bytes_of_str(json), &existing, NULL), 0);

    assert_int_equal(membership_match_existing(local, existing, NULL), 0);
    assert_int_equal(membership_find_name(local, "a")->id, 3);
    assert_int_equal(membership_find_name(local, "b")->id, 1);
    assert_int_equal(membership_find_name(local, "c")->id, 2);
    assert_int_equal(membership_at(local, 0)->id, 1);
    assert_true(membership_find(local, 2)->is_learner);
    assert_int_equal(change_do(existing, RAFT_CONF_REMOVE_NODE, 1, "", NULL), ETCD_OK);
    assert_int_equal(membership_match_existing(local, existing, NULL), E_CONFLICT);
    assert_int_equal(
        change_do(existing, RAFT_CONF_ADD_NODE, 7, "{\"peerURLs\":[\"http://x:1\"]}", NULL),
        ETCD_OK);
    assert_int_equal(membership_match_existing(local, existing, NULL), E_CONFLICT);
    membership_free(existing);
    const char *twice = "[{\"id\":3,\"peerURLs\":[\"http://127.0.0.1:2380\"]},"
                        "{\"id\":1,\"peerURLs\":[\"http://127.0.0.1:2380\"]},"
                        "{\"id\":2,\"peerURLs\":[\"https://[::1]:2380\"]}]";
    assert_int_equal(membership_parse_members(bytes_of_str(twice), &existing, NULL), 0);
    assert_int_equal(membership_match_existing(local, existing, NULL), E_CONFLICT);
    membership_free(existing);
    membership_free(local);
}

/* ---- tables ---- */

struct tables {
    char dir[64];
    struct lmdb_store *store;
    const struct store_seam *seam;
    struct store_batch batch;
};

static void tables_open(struct tables *tables)
{
    strcpy(tables->dir, "/tmp/membership-test-XXXXXX");
    assert_non_null(mkdtemp(tables->dir));
    assert_int_equal(lmdb_store_open(tables->dir, 64u << 20, &tables->store, NULL), 0);
    tables->seam = lmdb_store_seam(tables->store);
    store_batch_init(&tables->batch);
}

static void tables_load(struct tables *tables, struct membership *membership)
{
    static uint64_t index = 1;
    tables->batch.consistent_index = index++;
    tables->batch.term = 1;
    assert_int_equal(tables->seam->commit(tables->seam->ctx, &tables->batch, NULL), 0);
    store_batch_free(&tables->batch);
    struct store_view *view = NULL;
    assert_int_equal(tables->seam->view_begin(tables->seam->ctx, &view), 0);
    assert_int_equal(membership_load(membership, tables->seam, view, NULL), 0);
    tables->seam->view_end(view);
}

static void tables_close(struct tables *tables)
{
    char path[128];
    store_batch_free(&tables->batch);
    lmdb_store_close(tables->store);
    snprintf(path, sizeof(path), "%s/quorate.lmdb", tables->dir);
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s/quorate.lmdb-lock", tables->dir);
    (void)unlink(path);
    assert_int_equal(rmdir(tables->dir), 0);
}

static void each_change_is_stored(void **state)
{
    (void)state;
    struct tables tables;
    tables_open(&tables);
    struct membership *membership = three();
    struct membership *loaded = membership_new(1);
    membership_store(membership, &tables.batch);
    tables_load(&tables, loaded);
    assert_same(membership, loaded);

    const char *const urls[] = {"http://a:2379"};
    const char *update = "{\"peerURLs\":[\"http://b:9\"]}";
    const char *learner = "{\"peerURLs\":[\"http://d:1\"],\"isLearner\":true}";
    struct store_batch *batch = &tables.batch;
    assert_int_equal(membership_set_attributes(membership, ID_A, "a", urls, 1, batch), 0);
    assert_int_equal(change_do(membership, RAFT_CONF_UPDATE_NODE, ID_B, update, batch), ETCD_OK);
    assert_int_equal(change_do(membership, RAFT_CONF_REMOVE_NODE, ID_C, "", batch), ETCD_OK);
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_LEARNER, 4, learner, batch), ETCD_OK);
    assert_int_equal(membership_set_version(membership, "3.6.0", batch), 0);
    membership_set_downgrade(membership, true, "3.5.0", batch);
    tables_load(&tables, loaded);
    assert_same(membership, loaded);
    assert_true(membership_is_removed(loaded, ID_C));
    assert_true(membership_downgrade_is_enabled(loaded));
    assert_string_equal(membership_downgrade_target(loaded), "3.5.0");
    assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, 4, "{\"isPromote\":true}", batch),
                     ETCD_OK);
    tables_load(&tables, loaded);
    assert_false(membership_find(loaded, 4)->is_learner);

    membership_free(loaded);
    membership_free(membership);
    tables_close(&tables);
}

static void the_rows_are_etcds(void **state)
{
    (void)state;
    struct store_batch batch;
    store_batch_init(&batch);
    struct membership *membership = three();
    assert_int_equal(change_do(membership, RAFT_CONF_REMOVE_NODE, ID_C, "", &batch), ETCD_OK);
    membership_set_version(membership, "3.5.0", &batch);
    membership_set_downgrade(membership, false, "", &batch);

    assert_int_equal(batch.ops[0].table, STORE_MEMBERS);
    assert_int_equal(batch.ops[0].kind, STORE_REMOVE);
    assert_true(bytes_equal(batch.ops[0].key, bytes_of_str("738a2b514b7b858b")));
    assert_int_equal(batch.ops[1].table, STORE_MEMBERS_REMOVED);
    assert_true(bytes_equal(batch.ops[1].value, bytes_of_str("removed")));
    assert_true(bytes_equal(batch.ops[2].key, bytes_of_str("clusterVersion")));
    assert_true(bytes_equal(batch.ops[2].value, bytes_of_str("3.5.0")));
    assert_true(bytes_equal(batch.ops[3].value,
                            bytes_of_str("{\"target-version\":\"\",\"enabled\":false}")));
    assert_int_equal(membership_set_version(membership, "3.6", &batch), E_INVALID);
    assert_int_equal(membership_set_version(membership, "3..0", &batch), E_INVALID);
    assert_int_equal(membership_set_version(membership, "v3.6.0", &batch), E_INVALID);
    assert_string_equal(membership_version(membership), "3.5.0");
    store_batch_free(&batch);
    membership_free(membership);
}

/* ---- snapshots ---- */

static struct buf file_read(const char *path)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t block[4096];
    size_t size = 0;
    while ((size = fread(block, 1, sizeof(block), file)) > 0) {
        buf_append(&text, block, size);
    }
    fclose(file);
    return text;
}

static void a_snapshot_of_etcd_is_read(void **state)
{
    (void)state;
    struct buf json = file_read(QUORATE_SOURCE_DIR "/tests/unit/server/v2_store_3_6.json");
    struct membership *membership = membership_new(1);

    assert_int_equal(membership_v2_decode(membership, buf_bytes(&json), NULL), 0);
    assert_int_equal(membership_count(membership), 3);
    const struct member *a = membership_find(membership, ID_A);
    assert_string_equal(a->name, "a");
    assert_string_equal(a->client_urls.urls[0], "http://127.0.0.1:2379");
    assert_int_equal(membership_find(membership, ID_B)->peer_urls.count, 2);
    assert_string_equal(membership_find(membership, ID_B)->name, "");
    assert_true(membership_find(membership, ID_LEARNER)->is_learner);
    assert_true(membership_is_removed(membership, ID_C));
    assert_string_equal(membership_version(membership), "3.6.0");
    buf_free(&json);
    membership_free(membership);
}

/* The names of the nodes' fields and of what stands around them must be those of etcd's file. */
static void assert_keys_of(const struct json *ours, const struct json *theirs)
{
    assert_int_equal(json_type_of(ours), json_type_of(theirs));
    assert_int_equal(json_count(ours), json_count(theirs));
    for (size_t i = 0; i < json_count(theirs); i++) {
        assert_non_null(json_get(ours, json_key_at(theirs, i)));
    }
}

static void our_snapshot_has_the_shape_of_etcds_and_comes_back(void **state)
{
    (void)state;
    struct buf json = file_read(QUORATE_SOURCE_DIR "/tests/unit/server/v2_store_3_6.json");
    struct membership *membership = membership_new(1);
    assert_int_equal(membership_v2_decode(membership, buf_bytes(&json), NULL), 0);
    struct membership *back = membership_new(1);
    struct buf ours;
    buf_init(&ours, BUF_NO_LIMIT);

    membership_v2_encode(membership, &ours);
    assert_int_equal(membership_v2_decode(back, buf_bytes(&ours), NULL), 0);
    assert_same(membership, back);
    struct json *x = json_parse((const char *)ours.data, ours.size, NULL);
    struct json *y = json_parse((const char *)json.data, json.size, NULL);
    static const char *const PATHS[] = {
        "Root",
        "Root.Children",
        "Root.Children.0",
        "Root.Children.0.Children",
        "Root.Children.1",
        "Root.Children.0.Children.members.Children",
        "Root.Children.0.Children.members.Children.1b907a9b4698b15",
        "Root.Children.0.Children.members.Children.1b907a9b4698b15.Children",
        "Root.Children.0.Children.members.Children.1b907a9b4698b15.Children.attributes",
        "Root.Children.0.Children.removed_members.Children.738a2b514b7b858b",
        "Root.Children.0.Children.version",
        "WatcherHub.EventHistory.Queue",
        "Stats",
    };
    assert_keys_of(x, y);
    for (size_t i = 0; i < ARRAY_COUNT(PATHS); i++) {
        assert_keys_of(json_path(x, PATHS[i]), json_path(y, PATHS[i]));
    }
    assert_int_equal(json_count(json_path(x, "WatcherHub.EventHistory.Queue.Events")), 1000);
    json_free(x);
    json_free(y);
    buf_free(&ours);
    buf_free(&json);
    membership_free(back);
    membership_free(membership);
}

static void a_broken_snapshot_changes_nothing(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "{}",
        "{\"Root\":{\"Children\":{\"0\":{\"Children\":{\"members\":{\"Children\":{\"zz\":{}}}}}}}}",
        "{\"Root\":{\"Children\":{\"0\":{\"Children\":{\"members\":{\"Children\":{\"5\":{}}}}}}}}",
        "{\"Root\":{\"Children\":{\"0\":{\"Children\":{\"version\":{\"Value\":\"x\"}}}}}}",
    };
    struct membership *membership = three();
    struct membership *same = three();
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++) {
        assert_int_equal(membership_v2_decode(membership, bytes_of_str(BAD[i]), NULL), E_CORRUPT);
        assert_same(membership, same);
    }
    membership_free(same);
    membership_free(membership);
}

static void attributes_come_in_the_v2_form_too(void **state)
{
    (void)state;
    struct membership *membership = three();
    const char *value = "{\"name\":\"new\",\"clientURLs\":[\"http://n:1\"]}";

    assert_int_equal(membership_set_attributes_v2(
                         membership, "/0/members/9a7e4203a8355e1c/attributes", value, NULL, NULL),
                     0);
    assert_string_equal(membership_find(membership, ID_B)->name, "new");
    assert_string_equal(membership_find(membership, ID_B)->client_urls.urls[0], "http://n:1");
    assert_int_equal(membership_find(membership, ID_B)->peer_urls.count, 2);
    assert_int_equal(membership_set_attributes_v2(membership, "/0/version", "3.4.0", NULL, NULL),
                     0);
    assert_int_equal(
        membership_set_attributes_v2(membership, "/0/members/5/attributes", value, NULL, NULL),
        E_NOT_FOUND);
    assert_int_equal(
        membership_set_attributes_v2(membership, "/0/members/xyz/attributes", value, NULL, NULL),
        E_CORRUPT);
    assert_int_equal(
        membership_set_attributes_v2(membership, "/0/members/attributes", value, NULL, NULL), 0);
    assert_int_equal(change_do(membership, RAFT_CONF_REMOVE_NODE, ID_C, "", NULL), ETCD_OK);
    assert_int_equal(membership_set_attributes(membership, ID_C, "late", NULL, 0, NULL), 0);
    assert_null(membership_find_name(membership, "late"));
    membership_free(membership);
}

/* ---- strict reconfiguration ---- */

/* Members 1..count, of which the first `started` have a name. */
static struct membership *cluster_of(size_t count, size_t started)
{
    struct membership *membership = membership_new(1);
    for (size_t i = 1; i <= count; i++) {
        char context[96];
        snprintf(context, sizeof(context), "{\"peerURLs\":[\"http://m%zu:1\"]%s}", i,
                 i <= started ? ",\"name\":\"m\"" : "");
        assert_int_equal(change_do(membership, RAFT_CONF_ADD_NODE, i, context, NULL), ETCD_OK);
    }
    return membership;
}

static void adding_needs_a_started_quorum_of_the_cluster_to_be(void **state)
{
    (void)state;
    static const struct {
        size_t voters, started, connected;
        bool is_learner;
        enum etcd_error want;
    } ROWS[] = {
        {1, 1, 1, false, ETCD_OK}, /* the second member must be possible */
        {2, 1, 2, false, ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED},
        {2, 2, 2, false, ETCD_OK},
        {3, 2, 3, false, ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED},
        {3, 3, 3, false, ETCD_OK},
        {3, 3, 2, false, ETCD_ERR_UNHEALTHY},
        {2, 1, 2, true, ETCD_OK}, /* learners do not count */
        {3, 3, 2, true, ETCD_ERR_UNHEALTHY},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct membership *membership = cluster_of(ROWS[i].voters, ROWS[i].started);
        struct membership_health health = {1, ROWS[i].connected};
        assert_int_equal(membership_may_add(membership, ROWS[i].is_learner, &health), ROWS[i].want);
        membership_free(membership);
    }
}

static void removing_keeps_a_quorum_that_works(void **state)
{
    (void)state;
    static const struct {
        size_t voters, started;
        uint64_t id;
        bool is_active;
        size_t connected;
        enum etcd_error want;
    } ROWS[] = {
        {3, 3, 2, true, 3, ETCD_OK},
        {3, 3, 2, true, 2, ETCD_ERR_UNHEALTHY},
        {3, 3, 2, false, 2, ETCD_OK},            /* it is the one that is down */
        {3, 3, 1, false, 2, ETCD_ERR_UNHEALTHY}, /* this member is never down */
        {3, 2, 3, false, 2, ETCD_OK},
        {3, 2, 2, false, 2, ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED},
        {2, 2, 2, true, 2, ETCD_OK},
        {1, 1, 1, true, 1, ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED},
        {5, 5, 2, true, 4, ETCD_OK},
        {5, 5, 2, true, 3, ETCD_ERR_UNHEALTHY},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct membership *membership = cluster_of(ROWS[i].voters, ROWS[i].started);
        struct membership_health health = {1, ROWS[i].connected};
        assert_int_equal(membership_may_remove(membership, ROWS[i].id, ROWS[i].is_active, &health),
                         ROWS[i].want);
        membership_free(membership);
    }
}

static void a_learner_is_promoted_when_it_has_caught_up(void **state)
{
    (void)state;
    struct membership *membership = cluster_of(3, 3);
    const char *learner = "{\"peerURLs\":[\"http://d:1\"],\"isLearner\":true}";
    change_do(membership, RAFT_CONF_ADD_LEARNER, 4, learner, NULL);

    assert_int_equal(membership_may_promote(membership, 4, 89, 100), ETCD_ERR_LEARNER_NOT_READY);
    assert_int_equal(membership_may_promote(membership, 4, 90, 100), ETCD_OK);
    membership_free(membership);
    membership = cluster_of(3, 2);
    change_do(membership, RAFT_CONF_ADD_LEARNER, 4, learner, NULL);
    assert_int_equal(membership_may_promote(membership, 4, 100, 100), ETCD_OK);
    membership_free(membership);
    membership = cluster_of(3, 1);
    change_do(membership, RAFT_CONF_ADD_LEARNER, 4, learner, NULL);
    assert_int_equal(membership_may_promote(membership, 4, 100, 100),
                     ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED);
    membership_free(membership);
}

static void clients_see_members_in_order_of_id(void **state)
{
    (void)state;
    struct membership *membership = three();
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    Etcdserverpb__Member **members = NULL;
    size_t count = 0;

    membership_to_proto(membership, &arena, &members, &count);
    assert_int_equal(count, 3);
    assert_true(members[0]->id < members[1]->id && members[1]->id < members[2]->id);
    assert_string_equal(members[0]->name, "a");
    assert_int_equal(members[2]->n_peerurls, 2);
    assert_int_equal(members[2]->n_clienturls, 0);
    arena_free(&arena);
    membership_free(membership);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_etcds),
        cmocka_unit_test(a_bad_initial_cluster_is_refused),
        cmocka_unit_test(urls_are_trimmed_and_sorted),
        cmocka_unit_test(urls_that_are_read_stay_in_their_order),
        cmocka_unit_test(a_member_is_added_once_and_never_after_its_removal),
        cmocka_unit_test(learners_are_limited_and_promoted_once),
        cmocka_unit_test(an_update_keeps_the_attributes_and_may_keep_its_own_url),
        cmocka_unit_test(an_unreadable_change_is_no_change),
        cmocka_unit_test(the_json_of_a_member_is_etcds),
        cmocka_unit_test(the_list_of_the_peer_port_keeps_big_ids),
        cmocka_unit_test(joining_takes_the_ids_of_the_running_cluster),
        cmocka_unit_test(each_change_is_stored),
        cmocka_unit_test(the_rows_are_etcds),
        cmocka_unit_test(a_snapshot_of_etcd_is_read),
        cmocka_unit_test(our_snapshot_has_the_shape_of_etcds_and_comes_back),
        cmocka_unit_test(a_broken_snapshot_changes_nothing),
        cmocka_unit_test(attributes_come_in_the_v2_form_too),
        cmocka_unit_test(adding_needs_a_started_quorum_of_the_cluster_to_be),
        cmocka_unit_test(removing_keeps_a_quorum_that_works),
        cmocka_unit_test(a_learner_is_promoted_when_it_has_caught_up),
        cmocka_unit_test(clients_see_members_in_order_of_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
