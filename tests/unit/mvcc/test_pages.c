/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a page of a large range costs: nodes of the index visited and records read, counted by
 * standing in for the functions that do it (the linker's --wrap, see CMakeLists.txt).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "engine/mvcc/btree_node.h"
#include "engine/mvcc/kv.h"
#include "lib_request.h"
#include "lib_world.h"

#define KEYS       100000u
#define PAGE       500
#define BATCH_KEYS 10000u
/* Four descents: the two ends of the count, and the first key twice. Nodes are a quarter full at
 * least, so a tree of so many keys is at most five levels high. */
#define DESCENTS_MAX 4u
#define LEVELS_MAX   5u

static uint64_t visits;
static uint64_t reads;

uint32_t __real_btree_node_seek(const struct btree_node *node, struct bytes key, bool *out_equal);
uint32_t __wrap_btree_node_seek(const struct btree_node *node, struct bytes key, bool *out_equal);
uint32_t __real_btree_node_child(const struct btree_node *node, struct bytes key);
uint32_t __wrap_btree_node_child(const struct btree_node *node, struct bytes key);
int __real_mvcc_item_record(struct mvcc *mvcc, const struct mvcc_item *item, struct bytes *out);
int __wrap_mvcc_item_record(struct mvcc *mvcc, const struct mvcc_item *item, struct bytes *out);

uint32_t __wrap_btree_node_seek(const struct btree_node *node, struct bytes key, bool *out_equal)
{
    visits++;
    return __real_btree_node_seek(node, key, out_equal);
}

uint32_t __wrap_btree_node_child(const struct btree_node *node, struct bytes key)
{
    visits++;
    return __real_btree_node_child(node, key);
}

int __wrap_mvcc_item_record(struct mvcc *mvcc, const struct mvcc_item *item, struct bytes *out)
{
    reads++;
    return __real_mvcc_item_record(mvcc, item, out);
}

static void put_all(struct world *world)
{
    char key[32];
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "k/%09u", i * 7919u % KEYS);
        world_put(world, key, "v");
        if (i % BATCH_KEYS == BATCH_KEYS - 1) {
            world_commit(world, i / BATCH_KEYS + 1);
        }
    }
}

static void expect_page(struct world *world, struct requests *requests, const char *from,
                        int64_t revision, size_t want, uint64_t count)
{
    const struct kv_env env = {world->mvcc, NULL, NULL};
    struct buf body;
    int64_t header;
    Etcdserverpb__RangeRequest *request = range_of(requests, from, "k0");
    request->limit = PAGE;
    request->revision = revision;
    buf_init(&body, BUF_NO_LIMIT);

    visits = reads = 0;
    assert_int_equal(kv_range(&env, request, &body, &header), 0);
    mvcc_release(world->mvcc);

    assert_in_range(visits, 1, DESCENTS_MAX * LEVELS_MAX);
    assert_int_equal(reads, want);
    Etcdserverpb__RangeResponse *response =
        etcdserverpb__range_response__unpack(NULL, body.size, body.data);
    assert_int_equal(response->n_kvs, want);
    assert_int_equal(response->count, count);
    assert_int_equal(response->more, count > want);
    etcdserverpb__range_response__free_unpacked(response, NULL);
    buf_free(&body);
}

static void a_page_costs_its_keys_and_a_few_descents_however_large_the_range_is(void **state)
{
    (void)state;
    struct world world;
    struct requests requests;
    world_open(&world, NULL);
    requests_init(&requests);
    put_all(&world);

    expect_page(&world, &requests, "k/", 0, PAGE, KEYS);
    expect_page(&world, &requests, "k/000050000", 0, PAGE, KEYS / 2);
    expect_page(&world, &requests, "k/000099990", 0, 10, 10);
    expect_page(&world, &requests, "k/", mvcc_revision(world.mvcc), PAGE, KEYS);

    requests_free(&requests);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_costs_its_keys_and_a_few_descents_however_large_the_range_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
