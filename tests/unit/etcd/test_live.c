/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client against real members: the etcd of the distribution (ETCD_BINARY names another),
 * started on loopback and killed by its process id. Skipped, with a line that says so, when it is
 * not installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "controller/etcd/change.h"
#include "controller/etcd/probe.h"
#include "rpc.pb-c.h"

#define PORT_BASE    23600
#define MEMBER_COUNT 3
#define TRIES_MAX    1200 /* a busy machine: a minute */
#define PAUSE_US     50000

struct fixture {
    const char *binary; /* NULL: not installed */
    char dir[64];
    struct http *http;
    pid_t pids[MEMBER_COUNT];
    char *client_urls[MEMBER_COUNT];
    char *peer_urls[MEMBER_COUNT];
};

static pid_t member_start(const struct fixture *fixture, int i, const char *cluster,
                          const char *initial_state)
{
    char *name = str_printf("m%d", i);
    char *data = str_printf("%s/%s", fixture->dir, name);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execl(fixture->binary, fixture->binary, "--name", name, "--data-dir", data,
              "--listen-client-urls", fixture->client_urls[i], "--advertise-client-urls",
              fixture->client_urls[i], "--listen-peer-urls", fixture->peer_urls[i],
              "--initial-advertise-peer-urls", fixture->peer_urls[i], "--initial-cluster", cluster,
              "--initial-cluster-state", initial_state, (char *)NULL);
        _exit(127);
    }
    mem_free(name);
    mem_free(data);
    return pid;
}

static void member_stop(struct fixture *fixture, int i)
{
    if (fixture->pids[i] > 0) {
        kill(fixture->pids[i], SIGKILL);
        waitpid(fixture->pids[i], NULL, 0);
        fixture->pids[i] = 0;
    }
}

static struct etcd_endpoint endpoint(const struct fixture *fixture, int i)
{
    return (struct etcd_endpoint){.url = fixture->client_urls[i]};
}

/* Probes the first count members. */
static struct etcd_probe *probe(struct fixture *fixture, size_t count,
                                const struct etcd_probed **out_results)
{
    struct etcd_endpoint endpoints[MEMBER_COUNT];
    for (size_t i = 0; i < count; i++) {
        endpoints[i] = endpoint(fixture, (int)i);
    }
    struct etcd_probe *running = etcd_probe_start(fixture->http, endpoints, count, ETCD_PROBE_MS);
    while (!etcd_probe_done(running)) {
        http_turn(fixture->http, 100);
    }
    size_t results = 0;
    *out_results = etcd_probe_results(running, &results);
    assert_int_equal(results, count);
    return running;
}

/* Waits until member i is reachable and, for voters, healthy. Gives the last probe. */
static struct etcd_probe *await(struct fixture *fixture, size_t i, bool learner,
                                const struct etcd_probed **out_results)
{
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct etcd_probe *done = probe(fixture, i + 1, out_results);
        const struct etcd_probed *result = &(*out_results)[i];
        if (result->reachable && result->is_learner == learner &&
            (learner || (result->healthy && result->leader_id != 0))) {
            return done;
        }
        etcd_probe_free(done);
        usleep(PAUSE_US);
    }
    fail_msg("member %zu did not come up", i);
    return NULL;
}

/* Makes a call again that a member with a slow disk did not answer in time; each may be repeated.
 */
#define ASSERT_DONE(call)                                                                          \
    do {                                                                                           \
        int rc_of_call = (call);                                                                   \
        for (int tries = 0; tries < TRIES_MAX && rc_of_call != 0; tries++) {                       \
            usleep(PAUSE_US);                                                                      \
            rc_of_call = (call);                                                                   \
        }                                                                                          \
        assert_int_equal(rc_of_call, 0);                                                           \
    } while (0)

/* Moves the leadership away from one; a try that was not answered may have done so. */
static void move_leader(struct fixture *fixture, const struct etcd_endpoint *from, uint64_t to)
{
    struct err err = {{0}};
    int rc = E_AGAIN;
    for (int tries = 0; tries < TRIES_MAX && rc != 0 && rc != E_CONFLICT; tries++) {
        rc = etcd_move_leader(fixture->http, from, to, &err);
        usleep(PAUSE_US);
    }
    assert_int_equal(etcd_move_leader(fixture->http, from, to, &err), E_CONFLICT);
}

static int setup(void **state)
{
    static struct fixture fixture;
    const char *named = getenv("ETCD_BINARY");
    fixture.binary = named != NULL ? named : "/usr/bin/etcd";
    if (access(fixture.binary, X_OK) != 0) {
        fixture.binary = NULL;
    }
    fixture.http = http_new();
    snprintf(fixture.dir, sizeof(fixture.dir), "/tmp/quorate-etcd-XXXXXX");
    if (mkdtemp(fixture.dir) == NULL) {
        return -1;
    }
    for (int i = 0; i < MEMBER_COUNT; i++) {
        fixture.client_urls[i] = str_printf("http://127.0.0.1:%d", PORT_BASE + 2 * i);
        fixture.peer_urls[i] = str_printf("http://127.0.0.1:%d", PORT_BASE + 2 * i + 1);
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < MEMBER_COUNT; i++) {
        member_stop(fixture, i);
        mem_free(fixture->client_urls[i]);
        mem_free(fixture->peer_urls[i]);
    }
    http_free(fixture->http);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", fixture->dir, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    return 0;
}

static void skip_without_etcd(const struct fixture *fixture)
{
    if (fixture->binary == NULL) {
        print_message("skipped: /usr/bin/etcd is not installed (package etcd-server)\n");
        skip();
    }
}

static const struct etcd_member *member_by_url(const struct etcd_probed *probed, const char *url)
{
    for (size_t i = 0; i < probed->member_count; i++) {
        if (probed->members[i].peer_url_count == 1 &&
            strcmp(probed->members[i].peer_urls[0], url) == 0) {
            return &probed->members[i];
        }
    }
    return NULL;
}

static void a_learner_is_added_started_promoted_made_leader_and_removed(void **state)
{
    struct fixture *fixture = *state;
    skip_without_etcd(fixture);
    const struct etcd_probed *results = NULL;
    char *alone = str_printf("m0=%s", fixture->peer_urls[0]);
    fixture->pids[0] = member_start(fixture, 0, alone, "new");
    struct etcd_probe *done = await(fixture, 0, false, &results);
    uint64_t cluster_id = results[0].cluster_id;
    uint64_t first_id = results[0].member_id;
    assert_true(results[0].has_members);
    assert_int_equal(results[0].member_count, 1);
    assert_string_equal(results[0].members[0].name, "m0");
    assert_int_equal(results[0].leader_id, first_id);
    assert_true(results[0].db_size_bytes > 0);
    assert_int_equal(results[0].alarm_count, 0);
    etcd_probe_free(done);

    struct etcd_endpoint first = endpoint(fixture, 0);
    struct err err = {{0}};
    assert_int_equal(etcd_check_cluster(fixture->http, &first, cluster_id, &err), 0);
    assert_int_equal(etcd_check_cluster(fixture->http, &first, cluster_id + 1, &err), E_CONFLICT);
    ASSERT_DONE(etcd_add_learner(fixture->http, &first, fixture->peer_urls[1], &err));
    ASSERT_DONE(etcd_add_learner(fixture->http, &first, fixture->peer_urls[1], &err));

    done = await(fixture, 0, false, &results);
    assert_int_equal(results[0].member_count, 2);
    const struct etcd_member *second = member_by_url(&results[0], fixture->peer_urls[1]);
    assert_non_null(second);
    assert_true(second->is_learner);
    assert_string_equal(second->name, "");
    uint64_t second_id = second->id;
    etcd_probe_free(done);

    /* It never started, so it is not in sync. */
    assert_int_equal(etcd_promote(fixture->http, &first, second_id, &err), E_AGAIN);

    char *both = str_printf("%s,m1=%s", alone, fixture->peer_urls[1]);
    fixture->pids[1] = member_start(fixture, 1, both, "existing");
    done = await(fixture, 1, true, &results);
    assert_int_equal(results[1].member_id, second_id);
    assert_int_equal(results[1].cluster_id, cluster_id);
    assert_false(results[1].has_members);
    etcd_probe_free(done);

    ASSERT_DONE(etcd_promote(fixture->http, &first, second_id, &err));
    ASSERT_DONE(etcd_promote(fixture->http, &first, second_id, &err));
    etcd_probe_free(await(fixture, 1, false, &results));

    struct etcd_endpoint other = endpoint(fixture, 1);
    assert_int_equal(etcd_move_leader(fixture->http, &other, first_id, &err), E_CONFLICT);
    move_leader(fixture, &first, second_id);
    struct etcd_hash hashes[2];
    ASSERT_DONE(etcd_hash_kv(fixture->http, &first, 1, &hashes[0], &err));
    ASSERT_DONE(etcd_hash_kv(fixture->http, &other, 1, &hashes[1], &err));
    assert_int_equal(hashes[0].hash, hashes[1].hash);

    etcd_probe_free(await(fixture, 1, false, &results));
    /* It refuses until both have been connected for some seconds. */
    ASSERT_DONE(etcd_remove(fixture->http, &other, first_id, &err));
    ASSERT_DONE(etcd_remove(fixture->http, &other, first_id, &err));
    assert_int_equal(etcd_promote(fixture->http, &other, first_id, &err), E_NOT_FOUND);
    mem_free(alone);
    mem_free(both);
    member_stop(fixture, 0);
    member_stop(fixture, 1);
}

static void an_alarm_is_seen_without_writing_anything(void **state)
{
    struct fixture *fixture = *state;
    skip_without_etcd(fixture);
    char *alone = str_printf("m2=%s", fixture->peer_urls[2]);
    fixture->pids[2] = member_start(fixture, 2, alone, "new");
    const struct etcd_probed *results = NULL;
    etcd_probe_free(await(fixture, 2, false, &results));
    struct etcd_endpoint third = endpoint(fixture, 2);
    Etcdserverpb__AlarmRequest raise = ETCDSERVERPB__ALARM_REQUEST__INIT;
    raise.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    raise.memberid = 77;
    raise.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    struct etcd_call *call = etcd_call_start(fixture->http, &third,
                                             "/etcdserverpb.Maintenance/Alarm", &raise.base, 30000);
    etcd_call_wait(call);
    etcd_call_free(call);

    /* The member writes its version at some time of its own; a probe that writes would do so
     * always. */
    uint64_t before = 0;
    uint64_t after = 0;
    for (int tries = 0; tries < TRIES_MAX && (after == 0 || after != before); tries++) {
        struct etcd_probe *done = await(fixture, 2, false, &results);
        before = after;
        after = results[2].raft_index;
        assert_int_equal(results[2].alarm_count, 1);
        assert_int_equal(results[2].alarms[0].member_id, 77);
        assert_int_equal(results[2].alarms[0].alarm, ETCD_ALARM_NOSPACE);
        etcd_probe_free(done);
    }
    assert_int_equal(after, before);
    mem_free(alone);
    member_stop(fixture, 2);
}

static void a_dead_member_and_a_frozen_one_cost_the_deadline_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    skip_without_etcd(fixture);
    char *alone = str_printf("m2=%s", fixture->peer_urls[2]);
    fixture->pids[2] = member_start(fixture, 2, alone, "new");
    const struct etcd_probed *results = NULL;
    struct etcd_probe *done = await(fixture, 2, false, &results);
    assert_false(results[0].reachable);
    assert_non_null(results[0].error);
    assert_string_equal(results[0].version, "");
    etcd_probe_free(done);

    /* Told of when the last of its threads stands still. */
    kill(fixture->pids[2], SIGSTOP);
    assert_int_equal(waitpid(fixture->pids[2], NULL, WUNTRACED), fixture->pids[2]);
    done = probe(fixture, 3, &results);
    assert_false(results[2].reachable);
    assert_false(results[2].has_members);
    assert_non_null(strstr(results[2].error, "Status http://127.0.0.1:"));
    etcd_probe_free(done);

    kill(fixture->pids[2], SIGCONT);
    etcd_probe_free(await(fixture, 2, false, &results));
    mem_free(alone);
    member_stop(fixture, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_learner_is_added_started_promoted_made_leader_and_removed),
        cmocka_unit_test(an_alarm_is_seen_without_writing_anything),
        cmocka_unit_test(a_dead_member_and_a_frozen_one_cost_the_deadline_and_no_more),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
