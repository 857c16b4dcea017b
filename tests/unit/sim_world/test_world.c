/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator itself: equal seeds take equal courses, lives end wholly at any point, and members
 * behave in it as they do on machines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/server/internal.h"
#include "kv.pb-c.h"
#include "rpc.pb-c.h"
#include "tests/sim/disk.h"
#include "tests/sim/net.h"
#include "tests/sim/setup.h"
#include "tests/sim/store.h"

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)

static char cluster[SETUP_TEXT_MAX];

static void wait_ns(uint64_t ns)
{
    sim_run_until(sim_now_ns() + ns, NULL, NULL);
}

static int begin(uint64_t seed, int count, setup_adjust adjust)
{
    sim_world_begin(seed);
    setup_initial_cluster(count, cluster, sizeof(cluster));
    for (int i = 0; i < count; i++) {
        setup_start(i, cluster, true, adjust, NULL);
    }
    int leader = setup_wait_leader(30 * SECOND);
    assert_int_not_equal(leader, SIM_NOBODY);
    return leader;
}

/* Stops all that runs; what a stop leaves behind is a violation. */
static void end(void)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        sim_node_stop(i);
    }
    wait_ns(10 * SECOND);
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        assert_null(sim_node_server(i));
        if (strcmp(sim_node_why(i), "killed") != 0) {
            assert_string_equal(sim_node_why(i), "");
        }
    }
    assert_int_equal(sim_violations(), 0);
    sim_world_end();
}

static void put(int node, int number)
{
    char key[24];
    snprintf(key, sizeof(key), "key-%d", number);
    assert_true(setup_put(node, key, key));
}

static bool has(int node, int number)
{
    char key[24];
    snprintf(key, sizeof(key), "key-%d", number);
    return setup_has(node, key, key);
}

/* ---- courses ---- */

static uint64_t course(uint64_t seed, int fill)
{
    sim_memory_fill(fill);
    int leader = begin(seed, 3, NULL);
    for (int i = 0; i < 20; i++) {
        put(i % 3, i);
    }
    sim_node_power_cut(leader);
    wait_ns(3 * SECOND);
    setup_start(leader, cluster, true, NULL, NULL);
    wait_ns(2 * SECOND);
    for (int i = 0; i < 20; i++) {
        assert_true(has(i % 3, i));
    }
    uint64_t hash = sim_trace_hash();
    end();
    sim_memory_fill(-1);
    return hash;
}

static void equal_seeds_take_equal_courses(void **state)
{
    (void)state;
    uint64_t first = course(7, 0x11);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(course(7, 0x20 + i), first);
    }
    assert_int_not_equal(course(8, 0x11), first);
}

/* ---- deaths ---- */

static void adjust_small_log(void *ctx, struct server_config *config)
{
    (void)ctx;
    config->wal_segment_bytes = 65536;
}

/* True: the run came past the k-th call. */
static bool dies_at_disk_call(uint64_t k)
{
    int acked = 0;
    sim_world_begin(k);
    setup_initial_cluster(1, cluster, sizeof(cluster));
    sim_node_kill_at_disk_call(0, k);
    setup_start(0, cluster, true, adjust_small_log, NULL);
    if (setup_wait_leader(5 * SECOND) == 0) {
        while (acked < 10) {
            char key[24];
            snprintf(key, sizeof(key), "key-%d", acked);
            if (!setup_put(0, key, key)) {
                break;
            }
            acked++;
        }
    }
    bool past = sim_node_state(0) == SIM_NODE_RUNNING;
    sim_node_kill_at_disk_call(0, 0);
    if (!past) {
        assert_int_equal(sim_node_state(0), SIM_NODE_DEAD);
        assert_non_null(strstr(sim_node_why(0), "killed at a disk call"));
        sim_node_power_cut(0);
        setup_start(0, cluster, true, adjust_small_log, NULL);
        assert_int_equal(setup_wait_leader(5 * SECOND), 0);
    }
    for (int i = 0; i < acked; i++) {
        assert_true(has(0, i));
    }
    end();
    return past;
}

static void what_was_acknowledged_survives_a_death_at_any_disk_call(void **state)
{
    (void)state;
    uint64_t k = 1;
    while (!dies_at_disk_call(k)) {
        k++;
    }
    assert_true(k > 40);
}

static bool dies_at_allocation(uint64_t k)
{
    int leader = begin(3, 3, NULL);
    int acked = 0;
    sim_node_fail_at_allocation(leader, k);
    for (int i = 0; i < 20; i++) {
        char key[24];
        snprintf(key, sizeof(key), "key-%d", i);
        acked += setup_put((leader + 1) % 3, key, key) && acked == i ? 1 : 0;
    }
    bool past = sim_node_state(leader) == SIM_NODE_RUNNING;
    if (!past) {
        assert_non_null(strstr(sim_node_why(leader), "out of memory"));
        setup_start(leader, cluster, true, NULL, NULL);
        wait_ns(3 * SECOND);
    }
    sim_node_fail_at_allocation(leader, 0);
    for (int i = 0; i < acked; i++) {
        assert_true(has(leader, i));
    }
    end();
    return past;
}

static void a_member_without_memory_ends_and_comes_back(void **state)
{
    (void)state;
    uint64_t k = 1;
    while (!dies_at_allocation(k)) {
        k += 1 + k / 7;
    }
    assert_true(k > 500);
}

static void a_start_that_fails_says_why(void **state)
{
    (void)state;
    sim_world_begin(1);
    setup_initial_cluster(1, cluster, sizeof(cluster));
    setup_start(1, cluster, true, NULL, NULL);
    wait_ns(SECOND);
    assert_int_equal(sim_node_state(1), SIM_NODE_DEAD);
    assert_non_null(strstr(sim_node_why(1), "couldn't find local name"));
    assert_int_equal(sim_violations(), 0);
    sim_world_end();
}

/* ---- pauses, clocks ---- */

static void a_paused_leader_is_replaced_and_follows_when_it_goes_on(void **state)
{
    (void)state;
    int leader = begin(5, 3, NULL);
    sim_node_pause(leader, true);
    wait_ns(5 * SECOND);
    int next = SIM_NOBODY;
    for (int i = 0; i < 3; i++) {
        if (i != leader && atomic_load(&sim_node_server(i)->shared.is_leader)) {
            next = i;
        }
    }
    assert_int_not_equal(next, SIM_NOBODY);
    put(next, 1);
    assert_false(setup_has(leader, "key-1", "key-1"));
    sim_node_pause(leader, false);
    wait_ns(2 * SECOND);
    assert_true(has(leader, 1));
    assert_false(atomic_load(&sim_node_server(leader)->shared.is_leader));
    end();
}

static void clocks_run_at_their_own_rates(void **state)
{
    (void)state;
    (void)begin(5, 3, NULL);
    uint64_t before = sim_node_monotonic_ns(1);
    sim_node_clock(1, 100000, 3600 * (int64_t)SECOND);
    wait_ns(10 * SECOND);
    assert_int_equal(sim_node_monotonic_ns(1) - before, 11 * SECOND);
    put(1, 1);
    end();
}

/* ---- leases ---- */

struct renewal {
    uint32_t answers;
    int64_t ttl_s; /* of the last one */
    bool is_over;
};

static void on_renewal(void *ctx, const struct sim_answer *answer)
{
    struct renewal *renewal = ctx;
    if (!answer->is_message) {
        renewal->is_over = true;
        return;
    }
    Etcdserverpb__LeaseKeepAliveResponse *response =
        etcdserverpb__lease_keep_alive_response__unpack(NULL, answer->body.size, answer->body.data);
    assert_non_null(response);
    renewal->answers++;
    renewal->ttl_s = response->ttl;
    etcdserverpb__lease_keep_alive_response__free_unpacked(response, NULL);
}

static uint64_t renew(int node, int64_t id, struct renewal *renewal)
{
    Etcdserverpb__LeaseKeepAliveRequest request = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    uint8_t bytes[32];
    request.id = id;
    size_t size = etcdserverpb__lease_keep_alive_request__pack(&request, bytes);
    return sim_call(node, "/etcdserverpb.Lease/LeaseKeepAlive", bytes_of(bytes, size), 0,
                    on_renewal, renewal);
}

static bool lease_call(int node, const char *method, const ProtobufCMessage *request)
{
    struct setup_answer answer;
    uint8_t bytes[64];
    assert_true(protobuf_c_message_get_packed_size(request) <= sizeof(bytes));
    size_t size = protobuf_c_message_pack(request, bytes);
    setup_call(node, method, bytes_of(bytes, size), SECOND, &answer);
    mem_free(answer.body);
    return answer.code == GRPC_OK;
}

static void grant(int node, int64_t id)
{
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    request.id = id;
    request.ttl = 60;
    assert_true(lease_call(node, "/etcdserverpb.Lease/LeaseGrant", &request.base));
}

static void revoke(int node, int64_t id)
{
    Etcdserverpb__LeaseRevokeRequest request = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    request.id = id;
    assert_true(lease_call(node, "/etcdserverpb.Lease/LeaseRevoke", &request.base));
}

static bool leads(int node)
{
    return atomic_load(&sim_node_server(node)->shared.is_leader);
}

/* Nobody hears it; another leads when this returns, and it still believes that it does. */
static int cut_off_the_leader(int leader)
{
    int next = SIM_NOBODY;
    for (int i = 0; i < 3; i++) {
        sim_net_cut(i, leader, true);
        sim_net_cut(leader, i, true);
    }
    for (int step = 0; step < 5000 && next == SIM_NOBODY; step++) {
        wait_ns(MS);
        for (int i = 0; i < 3; i++) {
            next = i != leader && leads(i) ? i : next;
        }
    }
    assert_int_not_equal(next, SIM_NOBODY);
    return next;
}

static void a_leader_that_was_replaced_without_knowing_it_says_nothing_about_leases(void **state)
{
    (void)state;
    struct renewal unknown = {0}, revoked = {0};
    int leader = begin(7, 3, NULL);
    grant(leader, 8);
    int next = cut_off_the_leader(leader);
    grant(next, 9);
    revoke(next, 8);
    assert_true(leads(leader));
    uint64_t calls[] = {renew(leader, 9, &unknown), renew(leader, 8, &revoked)};
    wait_ns(20 * MS);
    assert_true(leads(leader));
    assert_int_equal(unknown.answers, 0); /* not: it is gone */
    assert_int_equal(revoked.answers, 0); /* not: it lives */
    sim_net_heal();
    wait_ns(4 * SECOND);
    assert_false(leads(leader));
    assert_int_equal(unknown.answers, 1);
    assert_int_equal(unknown.ttl_s, 60);
    assert_int_equal(revoked.answers, 1);
    assert_int_equal(revoked.ttl_s, 0);
    sim_call_cancel(calls[0]);
    sim_call_cancel(calls[1]);
    end();
}

/* ---- snapshots ---- */

static void adjust_short_log(void *ctx, struct server_config *config)
{
    (void)ctx;
    config->snapshot_count = 20;
    config->snapshot_catchup_entries = 5;
    config->wal_segment_bytes = 65536;
}

static void a_follower_that_is_far_behind_gets_a_snapshot(void **state)
{
    (void)state;
    int leader = begin(11, 3, adjust_short_log);
    int behind = (leader + 1) % 3;
    struct sim_net_counts counts;
    sim_node_kill(behind);
    for (int i = 0; i < 100; i++) {
        put(leader, i);
    }
    setup_start(behind, cluster, true, adjust_short_log, NULL);
    wait_ns(5 * SECOND);
    sim_net_counts(&counts);
    assert_true(counts.snapshots > 0);
    assert_true(sim_node_server(behind)->snapshot_index > 20);
    for (int i = 0; i < 100; i++) {
        assert_true(has(behind, i));
    }
    end();
}

struct download {
    uint64_t bytes, messages, remaining;
    bool is_over;
    enum grpc_code code;
};

static void on_snapshot(void *ctx, const struct sim_answer *answer)
{
    struct download *download = ctx;
    if (!answer->is_message) {
        download->is_over = true;
        download->code = answer->code;
        return;
    }
    Etcdserverpb__SnapshotResponse *response =
        etcdserverpb__snapshot_response__unpack(NULL, answer->body.size, answer->body.data);
    assert_non_null(response);
    download->messages++;
    download->bytes += response->blob.len;
    download->remaining = response->remaining_bytes;
    etcdserverpb__snapshot_response__free_unpacked(response, NULL);
}

static void a_client_takes_a_snapshot_as_slowly_as_it_likes(void **state)
{
    (void)state;
    char value[20001];
    struct download quick = {0};
    struct download slow = {0};
    int leader = begin(13, 1, NULL);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < 200; i++) {
        char key[24];
        snprintf(key, sizeof(key), "key-%d", i);
        assert_true(setup_put(leader, key, value));
    }
    (void)sim_call(leader, "/etcdserverpb.Maintenance/Snapshot", bytes_of("", 0), 0, on_snapshot,
                   &quick);
    uint64_t call = sim_call(leader, "/etcdserverpb.Maintenance/Snapshot", bytes_of("", 0), 0,
                             on_snapshot, &slow);
    sim_call_slow(call, 1000000);
    wait_ns(SECOND);
    assert_true(quick.is_over);
    assert_int_equal(quick.code, GRPC_OK);
    assert_int_equal(quick.remaining, 0);
    assert_true(quick.bytes > 200 * 20000 && quick.bytes % 512 == 32);
    assert_false(slow.is_over);
    wait_ns(10 * SECOND);
    assert_true(slow.is_over);
    assert_int_equal(slow.bytes, quick.bytes);
    end();
}

/* ---- streams ---- */

struct watching {
    uint64_t events, ends;
    enum grpc_code code;
};

static void on_watch(void *ctx, const struct sim_answer *answer)
{
    struct watching *watching = ctx;
    if (!answer->is_message) {
        watching->ends++;
        watching->code = answer->code;
        return;
    }
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(NULL, answer->body.size, answer->body.data);
    assert_non_null(response);
    watching->events += response->n_events;
    etcdserverpb__watch_response__free_unpacked(response, NULL);
}

static uint64_t watch_all(int node, struct watching *watching)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    uint8_t zero = 0;
    uint8_t packed[64];
    create.key = (ProtobufCBinaryData){1, &zero};
    create.range_end = (ProtobufCBinaryData){1, &zero};
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    size_t size = etcdserverpb__watch_request__pack(&request, packed);
    return sim_call(node, "/etcdserverpb.Watch/Watch", bytes_of(packed, size), 0, on_watch,
                    watching);
}

/* ---- rot ---- */

#define STORE_PATH "/data/member/store/quorate.lmdb"

static void rot_a_key(int node)
{
    char what[80];
    for (int i = 0; i < 8 && sim_store_rotten(sim_node_disk(node), STORE_PATH, STORE_KEY) == 0;
         i++) {
        (void)sim_store_rot(sim_node_disk(node), STORE_PATH, sim_rng(SIM_RNG_NEMESIS), what,
                            sizeof(what));
    }
    assert_int_not_equal(sim_store_rotten(sim_node_disk(node), STORE_PATH, STORE_KEY), 0);
}

/* One member's store rots, the others go on; whoever reads all of it ends the member, and it does
 * not start on it again. */
static void rot_ends_who_reads(const char *method, const char *why)
{
    struct setup_answer answer;
    int leader = begin(13, 3, NULL);
    int rotten = (leader + 1) % 3;
    for (int i = 0; i < 30; i++) {
        put(leader, i);
    }
    wait_ns(2 * SECOND); /* until the store has them */
    rot_a_key(rotten);
    setup_call(rotten, method, bytes_of(NULL, 0), 5 * SECOND, &answer);
    mem_free(answer.body);
    assert_int_equal(sim_node_state(rotten), SIM_NODE_DEAD);
    assert_non_null(strstr(sim_node_why(rotten), why));
    setup_start(rotten, cluster, true, NULL, NULL);
    wait_ns(2 * SECOND);
    assert_true(sim_node_failed_to_start(rotten));
    put(leader, 30);
    assert_true(has((leader + 2) % 3, 30));
    sim_node_forget(rotten);
    end();
}

static void a_hash_ends_a_member_whose_store_has_rotted(void **state)
{
    (void)state;
    rot_ends_who_reads("/etcdserverpb.Maintenance/HashKV", "failed to read the key space");
    rot_ends_who_reads("/etcdserverpb.Maintenance/Hash", "failed to read the store for its hash");
}

static void a_snapshot_ends_a_member_whose_store_has_rotted(void **state)
{
    (void)state;
    rot_ends_who_reads("/etcdserverpb.Maintenance/Snapshot",
                       "failed to read the store for a snapshot");
}

static void watches_hear_of_writes_and_of_the_death_of_their_node(void **state)
{
    (void)state;
    struct watching first = {0};
    struct watching second = {0};
    struct watching third = {0};
    int leader = begin(17, 3, NULL);
    (void)watch_all(leader, &first);
    (void)watch_all((leader + 1) % 3, &second);
    uint64_t cancelled = watch_all((leader + 1) % 3, &third);
    wait_ns(100 * MS);
    for (int i = 0; i < 10; i++) {
        put((leader + 1) % 3, i);
    }
    wait_ns(100 * MS);
    assert_int_equal(first.events, 10);
    assert_int_equal(second.events, 10);
    sim_call_cancel(cancelled);
    sim_node_kill(leader);
    wait_ns(3 * SECOND);
    assert_int_equal(first.ends, 1);
    assert_int_equal(first.code, GRPC_UNAVAILABLE);
    put((leader + 1) % 3, 10);
    wait_ns(100 * MS);
    assert_int_equal(second.events, 11);
    assert_int_equal(second.ends, 0);
    assert_int_equal(third.events, 10);
    end();
}

static void a_call_to_a_member_that_stands_still_ends_at_its_deadline(void **state)
{
    (void)state;
    struct setup_answer answer;
    int leader = begin(19, 3, NULL);
    sim_node_pause(leader, true);
    uint64_t before = sim_now_ns();
    setup_call(leader, "/etcdserverpb.KV/Range", bytes_of("\x0a\x01k", 3), 2 * SECOND, &answer);
    assert_int_equal(answer.code, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(sim_now_ns() - before, 2 * SECOND);
    mem_free(answer.body);
    sim_node_pause(leader, false);
    wait_ns(2 * SECOND);
    put(leader, 1);
    end();
}

/* ---- membership ---- */

static void a_member_joins_a_running_cluster(void **state)
{
    (void)state;
    int leader = begin(23, 3, NULL);
    Etcdserverpb__MemberAddRequest add = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    char url[64];
    char *urls[] = {url};
    uint8_t packed[128];
    struct setup_answer answer;
    snprintf(url, sizeof(url), "%s", sim_node_url(3, true));
    add.n_peerurls = 1;
    add.peerurls = urls;
    wait_ns(6 * SECOND); /* strict reconfiguration wants the others connected for a while */
    size_t size = etcdserverpb__member_add_request__pack(&add, packed);
    setup_call(leader, "/etcdserverpb.Cluster/MemberAdd", bytes_of(packed, size), 5 * SECOND,
               &answer);
    assert_string_equal(answer.text, "");
    mem_free(answer.body);
    put(leader, 1);
    setup_initial_cluster(4, cluster, sizeof(cluster));
    setup_start(3, cluster, false, NULL, NULL);
    wait_ns(3 * SECOND);
    assert_true(has(3, 1));
    end();
}

/* ---- everything at once ---- */

#define SHAKEN_NODES 5

static void start_if_dead(int node)
{
    enum sim_node_state now = sim_node_state(node);
    if (now == SIM_NODE_DEAD || now == SIM_NODE_OFF) {
        setup_start(node, cluster, true, adjust_short_log, NULL);
    }
}

/* One thing that goes wrong; at most two members are down or stand still at any time. */
static void shake(struct rng *rng)
{
    int node = (int)rng_below(rng, SHAKEN_NODES);
    int all[SHAKEN_NODES] = {0, 1, 2, 3, 4};
    int lame = 0;
    for (int i = 0; i < SHAKEN_NODES; i++) {
        lame += sim_node_state(i) != SIM_NODE_RUNNING ? 1 : 0;
    }
    switch (rng_below(rng, lame < 2 ? 10 : 4)) {
    case 0:
        sim_net_heal();
        break;
    case 1:
        start_if_dead(node);
        sim_node_pause(node, false);
        break;
    case 2:
        sim_node_clock(node, (int64_t)rng_below(rng, 100000) - 50000, (int64_t)rng_next(rng) >> 20);
        break;
    case 3:
        sim_net_partition((enum sim_partition)rng_below(rng, SIM_PARTITION_COUNT), all,
                          SHAKEN_NODES, rng);
        break;
    case 4:
        sim_node_kill(node);
        break;
    case 5:
        sim_node_power_cut(node);
        break;
    case 6:
        sim_node_pause(node, true);
        break;
    case 7:
        sim_node_kill_at_disk_call(node, 1 + rng_below(rng, 200));
        break;
    case 8:
        sim_node_fail_at_allocation(node, 1 + rng_below(rng, 20000));
        break;
    default:
        sim_node_stop(node);
        break;
    }
}

static uint64_t shaken(uint64_t seed)
{
    bool acked[200] = {false};
    unsigned count = 0;
    (void)begin(seed, SHAKEN_NODES, adjust_short_log);
    struct rng *rng = sim_rng(SIM_RNG_NEMESIS);
    for (int i = 0; i < 200; i++) {
        char key[24];
        int node = (int)rng_below(rng, SHAKEN_NODES);
        if (rng_below(rng, 4) == 0) {
            shake(rng);
        }
        snprintf(key, sizeof(key), "key-%d", i);
        acked[i] = setup_put(node, key, key);
        count += acked[i] ? 1 : 0;
    }
    sim_net_heal();
    for (int i = 0; i < SHAKEN_NODES; i++) {
        sim_node_kill_at_disk_call(i, 0);
        sim_node_fail_at_allocation(i, 0);
        sim_node_pause(i, false);
    }
    wait_ns(5 * SECOND); /* who was asked to stop has stopped */
    for (int i = 0; i < SHAKEN_NODES; i++) {
        start_if_dead(i);
    }
    wait_ns(20 * SECOND);
    for (int i = 0; i < 200; i++) {
        assert_true(!acked[i] || has(i % SHAKEN_NODES, i));
    }
    assert_true(count > 20);
    uint64_t hash = sim_trace_hash();
    end();
    return hash;
}

static void a_shaken_cluster_keeps_what_it_acknowledged(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t hash = shaken(seed);
        if (seed <= 3) {
            assert_int_equal(shaken(seed), hash);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_seeds_take_equal_courses),
        cmocka_unit_test(what_was_acknowledged_survives_a_death_at_any_disk_call),
        cmocka_unit_test(a_member_without_memory_ends_and_comes_back),
        cmocka_unit_test(a_start_that_fails_says_why),
        cmocka_unit_test(a_paused_leader_is_replaced_and_follows_when_it_goes_on),
        cmocka_unit_test(clocks_run_at_their_own_rates),
        cmocka_unit_test(a_leader_that_was_replaced_without_knowing_it_says_nothing_about_leases),
        cmocka_unit_test(a_follower_that_is_far_behind_gets_a_snapshot),
        cmocka_unit_test(a_client_takes_a_snapshot_as_slowly_as_it_likes),
        cmocka_unit_test(a_hash_ends_a_member_whose_store_has_rotted),
        cmocka_unit_test(a_snapshot_ends_a_member_whose_store_has_rotted),
        cmocka_unit_test(watches_hear_of_writes_and_of_the_death_of_their_node),
        cmocka_unit_test(a_call_to_a_member_that_stands_still_ends_at_its_deadline),
        cmocka_unit_test(a_member_joins_a_running_cluster),
        cmocka_unit_test(a_shaken_cluster_keeps_what_it_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
