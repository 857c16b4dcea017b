/* SPDX-License-Identifier: Apache-2.0 */
/* Passes against an API of the test that counts calls, fails the k-th, and can take the Lease away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "controller/act/act.h"
#include "controller/model/names.h"

#define CALLS_MAX 64u

struct world {
    struct kube_seam seam;
    char calls[CALLS_MAX][160]; /* "apply etcdclusters/demo/status rv=5" */
    size_t count;
    size_t fail_at; /* index of the call that fails; SIZE_MAX: none */
    int fail_with;
    const char *holder; /* of the Lease, as the server sees it */
    struct json *last_body;
    struct kube_lease lease;
    struct kube_events events;
    struct http *http;
    struct act act;
};

static struct json *lease_object(const struct world *world)
{
    struct json *object = json_object();
    json_set_str(json_ensure_object(object, "metadata"), "resourceVersion", "1");
    json_set_str(json_ensure_object(object, "spec"), "holderIdentity", world->holder);
    json_set_int(json_get(object, "spec"), "leaseDurationSeconds", 15);
    return object;
}

static int world_call(void *ctx, const struct kube_call *call, struct json **out_object,
                      struct err *err)
{
    struct world *world = ctx;
    assert_true(world->count < CALLS_MAX);
    const char *version = json_path_str(call->body, "metadata.resourceVersion", "");
    snprintf(world->calls[world->count], sizeof(world->calls[0]), "%s %s/%s%s%s%s%s%s%s",
             kube_verb_text(call->verb), call->kind->plural, call->name == NULL ? "" : call->name,
             call->subresource == NULL ? "" : "/",
             call->subresource == NULL ? "" : call->subresource,
             version[0] == 0 ? "" : " rv=", version,
             call->if_uid == NULL ? "" : " uid=", call->if_uid == NULL ? "" : call->if_uid);
    if (world->count++ == world->fail_at) {
        return err_set(err, world->fail_with, "the test says no");
    }
    struct json *object = NULL;
    if (call->kind == &KUBE_KINDS[KUBE_LEASE]) {
        object = lease_object(world);
    } else {
        object = call->body == NULL ? json_object() : json_copy(call->body);
        struct json *metadata = json_ensure_object(object, "metadata");
        json_set_str(metadata, "name", call->name == NULL ? "x" : call->name);
        json_set_str(metadata, "resourceVersion", "100");
        json_free(world->last_body);
        world->last_body = call->body == NULL ? NULL : json_copy(call->body);
    }
    if (out_object != NULL) {
        *out_object = object;
    } else {
        json_free(object);
    }
    return 0;
}

static void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
    log_set_level(LOG_LEVEL_FATAL);
    world->seam = (struct kube_seam){world, world_call};
    world->fail_at = SIZE_MAX;
    world->holder = "me";
    world->http = http_new();
    kube_lease_init(&world->lease, &world->seam, clock_posix(), "ns", "quorate-operator", "me", 1);
    kube_events_init(&world->events, &world->seam, clock_posix(), "me");
    kube_lease_turn(&world->lease, NULL);
    world->holder = "";
    world->lease.next_ms = 0;
    kube_lease_turn(&world->lease, NULL);
    world->holder = "me";
    assert_true(world->lease.is_held);
    world->count = 0;
    world->act = (struct act){.seam = &world->seam,
                              .http = world->http,
                              .lease = &world->lease,
                              .events = &world->events};
}

static void world_free(struct world *world)
{
    json_free(world->last_body);
    kube_lease_free(&world->lease);
    kube_events_free(&world->events);
    http_free(world->http);
}

static struct json *cluster_object(void)
{
    static const char TEXT[] =
        "{\"metadata\":{\"name\":\"demo\",\"namespace\":\"ns\",\"uid\":\"u\","
        "\"resourceVersion\":\"5\"}}";
    return json_parse(TEXT, sizeof(TEXT) - 1, NULL);
}

static struct json *named_body(const char *name, const char *version)
{
    struct json *body = json_object();
    json_set_str(json_ensure_object(body, "metadata"), "name", name);
    if (version != NULL) {
        json_set_str(json_get(body, "metadata"), "resourceVersion", version);
    }
    return body;
}

/* Status, an event, a patch of the cluster, an apply with an event, a delete. */
static void plan_fill(struct plan *plan)
{
    plan_init(plan);
    plan_event(plan, EVENT_WARNING, "QuorumAtRisk", NULL, "one more and it is lost");
    plan_patch(plan, OBJECT_CLUSTER, "demo", named_body("demo", "5"));
    struct action *apply = plan_apply(plan, OBJECT_POD, named_body("demo-3", NULL));
    event_set(&apply->event, EVENT_NORMAL, "MemberStarted", "demo-3", "started demo-3");
    plan_delete_object(plan, OBJECT_PVC, "data-demo-0", "uid-7", NULL);
}

static int pass_run(struct world *world, struct err *err)
{
    struct json *cluster = cluster_object();
    struct json *status = named_body("demo", NULL);
    struct plan plan;
    plan_fill(&plan);
    const struct act_pass pass = {.cluster = cluster, .plan = &plan, .status_body = status};
    int rc = act_run(&world->act, &pass, err);
    plan_free(&plan);
    json_free(status);
    json_free(cluster);
    return rc;
}

static const char *const WHOLE[] = {
    "get leases/quorate-operator",
    "apply etcdclusters/demo/status rv=5",
    "create events/",
    "get leases/quorate-operator",
    "patch etcdclusters/demo rv=100",
    "get leases/quorate-operator",
    "apply pods/demo-3",
    "create events/",
    "get leases/quorate-operator",
    "delete persistentvolumeclaims/data-demo-0 uid=uid-7",
};

static void the_status_is_written_first_and_the_lease_is_asked_before_every_change(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct err err = {{0}};

    assert_int_equal(pass_run(&world, &err), 0);

    assert_int_equal(world.count, ARRAY_COUNT(WHOLE));
    for (size_t i = 0; i < ARRAY_COUNT(WHOLE); i++) {
        assert_string_equal(world.calls[i], WHOLE[i]);
    }
    world_free(&world);
}

static void nothing_follows_a_call_that_failed_but_events_do_not_count(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_COUNT(WHOLE); k++) {
        struct world world;
        world_init(&world);
        world.fail_at = k;
        world.fail_with = E_UNAVAILABLE;
        bool is_event = strncmp(WHOLE[k], "create events", 13) == 0;

        int rc = pass_run(&world, NULL);

        assert_int_equal(rc, is_event ? 0 : E_UNAVAILABLE);
        assert_int_equal(world.count, is_event ? ARRAY_COUNT(WHOLE) : k + 1);
        world_free(&world);
    }
}

static void a_lost_lease_stops_the_pass_before_the_next_change(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.holder = "another";

    assert_int_equal(pass_run(&world, NULL), E_CLOSED);

    assert_int_equal(world.count, 1);
    assert_false(world.lease.is_held);
    world_free(&world);
}

static void what_is_gone_already_is_deleted(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.fail_at = ARRAY_COUNT(WHOLE) - 1;
    world.fail_with = E_NOT_FOUND;

    assert_int_equal(pass_run(&world, NULL), 0);
    world_free(&world);
}

static void a_status_that_needs_no_write_is_not_written(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct json *cluster = cluster_object();
    struct plan plan;
    plan_init(&plan);
    const struct act_pass pass = {.cluster = cluster, .plan = &plan, .status_body = NULL};

    assert_int_equal(act_run(&world.act, &pass, NULL), 0);

    assert_int_equal(world.count, 0);
    plan_free(&plan);
    json_free(cluster);
    world_free(&world);
}

static void crash_points_are_read_and_refused(void **state)
{
    (void)state;
    struct act_crash crash;
    assert_int_equal(act_crash_parse(NULL, &crash, NULL), 0);
    assert_int_equal(crash.at, 0);
    assert_int_equal(act_crash_parse("7:after", &crash, NULL), 0);
    assert_int_equal(crash.at, 7);
    assert_true(crash.after);
    static const char *const WRONG[] = {"7", "0:after", ":after", "x:before", "7:later", "7:"};
    for (size_t i = 0; i < ARRAY_COUNT(WRONG); i++) {
        assert_int_equal(act_crash_parse(WRONG[i], &crash, NULL), E_INVALID);
    }
}

/* Runs a pass in a child; gives the signal that ended it, 0 when none did. */
static int crash_child(uint64_t at, bool after)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct world world;
        world_init(&world);
        world.act.crash = (struct act_crash){.at = at, .after = after};
        _exit(pass_run(&world, NULL) == 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void the_process_dies_at_the_named_change_and_only_there(void **state)
{
    (void)state;
    for (uint64_t k = 1; k <= 4; k++) {
        assert_int_equal(crash_child(k, false), SIGKILL);
        assert_int_equal(crash_child(k, true), SIGKILL);
    }
    assert_int_equal(crash_child(5, false), 0);
    assert_int_equal(crash_child(0, false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_is_written_first_and_the_lease_is_asked_before_every_change),
        cmocka_unit_test(nothing_follows_a_call_that_failed_but_events_do_not_count),
        cmocka_unit_test(a_lost_lease_stops_the_pass_before_the_next_change),
        cmocka_unit_test(what_is_gone_already_is_deleted),
        cmocka_unit_test(a_status_that_needs_no_write_is_not_written),
        cmocka_unit_test(crash_points_are_read_and_refused),
        cmocka_unit_test(the_process_dies_at_the_named_change_and_only_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
