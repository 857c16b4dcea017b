/* SPDX-License-Identifier: Apache-2.0 */
/* What the states of containers add up to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "deploy/playground/kubelet/state.h"

#define NEW     "{}"
#define RUNNING "{\"state\":{\"running\":{\"startedAt\":\"2026-01-01T00:00:00Z\"}}}"
#define ENDED(code)                                                                                \
    "{\"state\":{\"terminated\":{\"exitCode\":" #code                                              \
    ",\"startedAt\":\"2026-01-01T00:00:00Z\",\"finishedAt\":\"2026-01-01T00:00:01Z\"}}}"

static struct json *parse(const char *text)
{
    struct json *value = json_parse(text, strlen(text), NULL);
    assert_non_null(value);
    return value;
}

/* A Pod of an init container (NULL: none) and two others, each as the store last knew it. */
static void make(struct pod *pod, const char *policy, const char *init, const char *one,
                 const char *two)
{
    const char *const texts[] = {init, one, two};
    memset(pod, 0, sizeof(*pod));
    pod->object = json_object();
    json_set_str(json_ensure_object(pod->object, "spec"), "restartPolicy", policy);
    pod->containers = mem_array(ARRAY_COUNT(texts), sizeof(struct container));
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (texts[i] == NULL) {
            continue;
        }
        struct json *spec = parse("{\"name\":\"c\",\"image\":\"i\"}");
        struct json *old = parse(texts[i]);
        container_init(&pod->containers[pod->container_count++], spec, i == 0, old);
        pod->init_count += i == 0 ? 1 : 0;
        json_free(spec);
        json_free(old);
    }
}

static void drop(struct pod *pod)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        container_free(&pod->containers[i]);
    }
    mem_free(pod->containers);
    json_free(pod->object);
}

static void phases_follow_the_containers(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        const char *init;
        const char *one;
        const char *two;
        const char *phase;
    } ROWS[] = {
        {"Always", NULL, NEW, NEW, "Pending"},
        {"Always", NULL, RUNNING, NEW, "Running"},
        {"Always", NULL, ENDED(0), ENDED(0), "Running"},
        {"Never", NULL, ENDED(0), ENDED(0), "Succeeded"},
        {"Never", NULL, ENDED(0), ENDED(1), "Failed"},
        {"Never", NULL, ENDED(0), NEW, "Running"},
        {"OnFailure", NULL, ENDED(0), ENDED(0), "Succeeded"},
        {"OnFailure", NULL, ENDED(0), ENDED(1), "Running"},
        {"Never", RUNNING, NEW, NEW, "Failed"}, /* it was lost with the playground: 137 */
        {"Never", ENDED(1), NEW, NEW, "Failed"},
        {"Always", ENDED(1), NEW, NEW, "Pending"},
        {"Always", ENDED(0), RUNNING, RUNNING, "Running"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct pod pod;
        make(&pod, ROWS[i].policy, ROWS[i].init, ROWS[i].one, ROWS[i].two);
        assert_string_equal(status_phase(&pod), ROWS[i].phase);
        drop(&pod);
    }
}

static void an_init_container_that_is_done_is_not_run_again(void **state)
{
    (void)state;
    struct pod pod;

    make(&pod, "Always", ENDED(0), NEW, NEW);

    assert_null(status_next_init(&pod));
    assert_false(status_restarts(&pod, &pod.containers[0], 0));
    assert_true(status_restarts(&pod, &pod.containers[0], 1));
    assert_true(status_restarts(&pod, &pod.containers[1], 0));
    drop(&pod);
}

static void a_life_that_ended_unseen_counts_as_killed(void **state)
{
    (void)state;
    struct pod pod;

    make(&pod, "Always", NULL, RUNNING, NEW);

    assert_int_equal(json_path_i64(pod.containers[0].exit, "exitCode", 0), 137);
    assert_true(pod.containers[0].was_run);
    assert_false(pod.containers[1].was_run);
    drop(&pod);
}

static void conditions_of_others_are_kept(void **state)
{
    (void)state;
    struct pod pod;
    make(&pod, "Always", NULL, NEW, NEW);
    pod.phase = "Pending";
    json_set(pod.object, "status",
             parse("{\"conditions\":[{\"type\":\"Gate\",\"status\":\"True\"},"
                   "{\"type\":\"PodScheduled\",\"status\":\"True\"}]}"));

    struct json *status = status_make(&pod, "127.1.1.1");

    const struct json *conditions = json_get(status, "conditions");
    assert_int_equal(json_count(conditions), 5);
    assert_string_equal(json_path_str(conditions, "0.type", ""), "Gate");
    json_free(status);
    drop(&pod);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_follow_the_containers),
        cmocka_unit_test(an_init_container_that_is_done_is_not_run_again),
        cmocka_unit_test(a_life_that_ended_unseen_counts_as_killed),
        cmocka_unit_test(conditions_of_others_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
