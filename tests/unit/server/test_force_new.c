/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --force-new-cluster: logs of several kinds of members are written by hand, a member is started on
 * them without its threads, and what it takes itself for is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/proto/raftpb.h"
#include "engine/server/bootstrap.h"
#include "engine/server/datadir.h"

#define SELF  0x11u
#define OTHER 0x22u
#define THIRD 0x33u
#define TERM  4u

struct rig {
    char *dir;
    struct server_config config;
    struct server *server;
    struct err err;
};

static void rig_make(struct rig *rig, const char *flag)
{
    int exit_code;
    char name[] = "/tmp/quorate-force-XXXXXX";
    *rig = (struct rig){0};
    assert_non_null(mkdtemp(name));
    rig->dir = str_dup(name);
    char program[] = "quorate";
    char *data_dir = str_printf("--data-dir=%s/m1", name);
    char *more = str_dup(flag);
    char *argv[] = {program, data_dir, more};
    log_set_level(LOG_LEVEL_PANIC);
    assert_int_equal(config_read(3, argv, &rig->config, &exit_code, &rig->err), CONFIG_RUN);
    log_set_level(LOG_LEVEL_PANIC);
    mem_free(data_dir);
    mem_free(more);
}

static void rig_free(struct rig *rig)
{
    char *command = str_printf("rm -rf '%s'", rig->dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    mem_free(rig->dir);
    config_free(&rig->config);
}

static int rig_start(struct rig *rig)
{
    struct server *server = rig->server = server_new(&rig->config);
    server->io_closed = true;
    assert_int_equal(worker_init(&server->io, "io", NULL), 0);
    assert_int_equal(worker_init(&server->state, "state", NULL), 0);
    assert_int_equal(worker_init(&server->wal_worker, "wal", NULL), 0);
    assert_int_equal(worker_init(&server->store_worker, "store", NULL), 0);
    int rc = bootstrap(server, &rig->err);
    if (rc != 0) {
        return rc;
    }
    const struct watch_config watch = {.cluster_id = server->cluster_id,
                                       .member_id = server->member_id,
                                       .fragment_bytes = 1024 * 1024,
                                       .seed = 1};
    server->watch_hub = watch_hub_new(&watch, server->mvcc);
    loop_set_turn_end(server->wal_worker.loop, wal_flush_turn, server);
    state_start(server);
    effects_run(server);
    return 0;
}

static void stop_now(void *ctx)
{
    loop_stop(ctx);
}

static void rig_stop(struct rig *rig)
{
    struct server *server = rig->server;
    struct worker *workers[] = {&server->state, &server->wal_worker, &server->store_worker,
                                &server->io};
    state_end(server);
    for (size_t i = 0; i < 3 * ARRAY_COUNT(workers); i++) {
        struct worker *worker = workers[i % ARRAY_COUNT(workers)];
        loop_post(worker->loop, stop_now, worker->loop);
        loop_run(worker->loop);
    }
    server_free(server);
    rig->server = NULL;
}

static struct raft_entry change(uint64_t index, enum raft_conf_change_type type, uint64_t id,
                                const char *url)
{
    struct member member = {.id = id, .name = str_dup("")};
    struct buf context;
    struct buf data;
    buf_init(&context, BUF_NO_LIMIT);
    buf_init(&data, BUF_NO_LIMIT);
    member.is_learner = type == RAFT_CONF_ADD_LEARNER;
    url_list_add(&member.peer_urls, url);
    member_json_write(&member, &context);
    const struct raftpb_conf_change wire = {
        .type = type, .node_id = id, .context = buf_bytes(&context)};
    raftpb_conf_change_encode(&wire, &data);
    struct raft_entry entry = {.index = index,
                               .term = TERM,
                               .type = RAFT_ENTRY_CONF_CHANGE,
                               .payload = raft_payload_new(buf_bytes(&data))};
    buf_free(&context);
    buf_free(&data);
    member_clear(&member);
    return entry;
}

/* A log that nobody has applied yet. */
static void write_log(struct rig *rig, struct raft_entry *entries, uint32_t count, uint64_t commit)
{
    char *dir = str_printf("%s/m1/member/wal", rig->dir);
    char *parent = str_printf("%s/m1/member/snap", rig->dir);
    const struct wal_metadata metadata = {.node_id = SELF, .cluster_id = 0x77};
    const struct wal_options options = {.disk = disk_posix(), .dir = dir, .segment_bytes = 65536};
    const struct raft_hard_state hard_state = {.term = TERM, .commit = commit};
    struct wal *wal;
    assert_int_equal(datadir_make(disk_posix(), parent, &rig->err), 0);
    assert_int_equal(wal_create(&options, &metadata, &wal, &rig->err), 0);
    assert_int_equal(wal_append(wal, entries, count, &hard_state), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_close(wal);
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
    mem_free(parent);
    mem_free(dir);
}

static void expect_alone(const struct rig *rig)
{
    const struct raft_conf_state *conf = &rig->server->conf_state;
    assert_int_equal(membership_count(rig->server->membership), 1);
    assert_int_equal(membership_at(rig->server->membership, 0)->id, SELF);
    assert_false(membership_at(rig->server->membership, 0)->is_learner);
    assert_int_equal(conf->voter_count, 1);
    assert_int_equal(conf->voters[0], SELF);
    assert_int_equal(conf->learner_count, 0);
}

static void a_voter_of_three_goes_on_alone_and_stays_so(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "--force-new-cluster");
    struct raft_entry entries[] = {change(1, RAFT_CONF_ADD_NODE, SELF, "http://a:1"),
                                   change(2, RAFT_CONF_ADD_NODE, OTHER, "http://b:1"),
                                   change(3, RAFT_CONF_ADD_NODE, THIRD, "http://c:1")};
    write_log(&rig, entries, 3, 3);
    assert_int_equal(rig_start(&rig), 0);
    expect_alone(&rig);
    assert_int_equal(rig.server->applied_index, 5); /* two were taken out */
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    expect_alone(&rig);
    assert_int_equal(rig.server->applied_index, 5); /* nothing is written a second time */
    rig_stop(&rig);
    rig.config.force_new_cluster = false;
    assert_int_equal(rig_start(&rig), 0);
    expect_alone(&rig);
    rig_stop(&rig);
    rig_free(&rig);
}

static void what_was_not_known_to_be_committed_is_kept(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "--force-new-cluster");
    struct raft_entry entries[] = {change(1, RAFT_CONF_ADD_NODE, SELF, "http://a:1"),
                                   change(2, RAFT_CONF_ADD_NODE, OTHER, "http://b:1"),
                                   change(3, RAFT_CONF_ADD_LEARNER, THIRD, "http://c:1")};
    write_log(&rig, entries, 3, 2); /* of the third it knows no more than that it came */
    assert_int_equal(rig_start(&rig), 0);
    expect_alone(&rig);
    assert_int_equal(rig.server->applied_index, 5);
    rig_stop(&rig);
    rig_free(&rig);
}

static void a_learner_becomes_the_voter(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "--force-new-cluster");
    struct raft_entry entries[] = {change(1, RAFT_CONF_ADD_NODE, OTHER, "http://b:1"),
                                   change(2, RAFT_CONF_ADD_LEARNER, SELF, "http://a:1")};
    write_log(&rig, entries, 2, 2);
    assert_int_equal(rig_start(&rig), 0);
    expect_alone(&rig);
    rig_stop(&rig);
    rig_free(&rig);
}

static void without_the_flag_nobody_is_taken_out(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "--pre-vote");
    struct raft_entry entries[] = {change(1, RAFT_CONF_ADD_NODE, SELF, "http://a:1"),
                                   change(2, RAFT_CONF_ADD_NODE, OTHER, "http://b:1")};
    write_log(&rig, entries, 2, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(membership_count(rig.server->membership), 2);
    rig_stop(&rig);
    rig_free(&rig);
}

static void who_was_removed_or_never_came_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_make(&rig, "--force-new-cluster");
    struct raft_entry entries[] = {change(1, RAFT_CONF_ADD_NODE, SELF, "http://a:1"),
                                   change(2, RAFT_CONF_ADD_NODE, OTHER, "http://b:1"),
                                   change(3, RAFT_CONF_REMOVE_NODE, SELF, "http://a:1")};
    write_log(&rig, entries, 3, 3);
    assert_int_equal(rig_start(&rig), E_CONFLICT);
    assert_non_null(strstr(rig.err.text, "does not have this member in its cluster"));
    server_free(rig.server);
    rig_free(&rig);

    rig_make(&rig, "--force-new-cluster");
    write_log(&rig, NULL, 0, 0);
    rig.config.initial_cluster_state = CLUSTER_STATE_EXISTING;
    assert_int_equal(rig_start(&rig), E_CONFLICT);
    server_free(rig.server);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_voter_of_three_goes_on_alone_and_stays_so),
        cmocka_unit_test(what_was_not_known_to_be_committed_is_kept),
        cmocka_unit_test(a_learner_becomes_the_voter),
        cmocka_unit_test(without_the_flag_nobody_is_taken_out),
        cmocka_unit_test(who_was_removed_or_never_came_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
