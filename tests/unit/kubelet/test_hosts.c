/* SPDX-License-Identifier: Apache-2.0 */
/* Names of Pods and Services in the hosts file. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "deploy/playground/kubelet/hosts.h"

#define HEADLESS                                                                                   \
    "{\"metadata\":{\"name\":\"peers\",\"namespace\":\"a\"},\"spec\":{\"clusterIP\":\"None\","     \
    "\"publishNotReadyAddresses\":true,\"selector\":{\"app\":\"x\"}}}"
#define CLIENT                                                                                     \
    "{\"metadata\":{\"name\":\"client\",\"namespace\":\"a\"},\"spec\":{\"selector\":"              \
    "{\"app\":\"x\"}}}"

static struct json *parse(const char *text)
{
    struct json *value = json_parse(text, strlen(text), NULL);
    assert_non_null(value);
    return value;
}

static struct json *pod(const char *ns, const char *name, const char *ip, const char *ready)
{
    struct json *object =
        parse("{\"metadata\":{\"labels\":{\"app\":\"x\"}},\"spec\":{\"subdomain\":"
              "\"peers\"},\"status\":{\"phase\":\"Running\"}}");
    json_set_str(json_get(object, "metadata"), "name", name);
    json_set_str(json_get(object, "metadata"), "namespace", ns);
    json_set_str(json_get(object, "spec"), "hostname", name);
    json_set_str(json_get(object, "status"), "podIP", ip);
    struct json *condition = json_object();
    json_set_str(condition, "type", "Ready");
    json_set_str(condition, "status", ready);
    json_append(json_ensure_array(json_get(object, "status"), "conditions"), condition);
    return object;
}

/* The file for one Service and some Pods; mem_free. */
static char *write_for(const char *service_text, struct json **pods, size_t pod_count)
{
    struct json *service = parse(service_text);
    const struct json *services[] = {service};
    struct hosts_input input = {.machine = "127.0.0.1 localhost",
                                .services = services,
                                .service_count = 1,
                                .pods = (const struct json *const *)pods,
                                .pod_count = pod_count};
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    hosts_write(&input, &out);
    char *text = str_dup(buf_cstr(&out));
    buf_free(&out);
    json_free(service);
    return text;
}

static void free_pods(struct json **pods, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_free(pods[i]);
    }
}

static void the_machines_own_lines_come_first(void **state)
{
    (void)state;

    char *text = write_for(HEADLESS, NULL, 0);

    assert_true(str_starts_with(text, "127.0.0.1 localhost\n"));
    mem_free(text);
}

static void a_pod_has_a_name_by_its_headless_service_before_it_is_ready(void **state)
{
    (void)state;
    struct json *pods[] = {pod("a", "p-0", "127.1.1.1", "False")};

    char *text = write_for(HEADLESS, pods, 1);

    assert_non_null(strstr(text, "127.1.1.1\tp-0.peers.a.svc p-0.peers.a.svc.cluster.local"));
    assert_non_null(strstr(text, "127.1.1.1\tpeers.a.svc "));
    mem_free(text);
    free_pods(pods, 1);
}

static void a_service_names_ready_pods_only(void **state)
{
    (void)state;
    struct json *pods[] = {pod("a", "p-0", "127.1.1.1", "True"),
                           pod("a", "p-1", "127.1.1.2", "False"),
                           pod("a", "p-2", "127.1.1.3", "True")};

    char *text = write_for(CLIENT, pods, 3);

    assert_non_null(strstr(text, "127.1.1.1\tclient.a.svc "));
    assert_null(strstr(text, "127.1.1.2"));
    assert_non_null(strstr(text, "127.1.1.3\tclient.a.svc "));
    assert_null(strstr(text, "p-0.client"));
    mem_free(text);
    free_pods(pods, 3);
}

static void a_pod_that_is_being_deleted_serves_no_more(void **state)
{
    (void)state;
    struct json *pods[] = {pod("a", "p-0", "127.1.1.1", "True")};
    json_set_str(json_get(pods[0], "metadata"), "deletionTimestamp", "2026-01-01T00:00:00Z");

    char *client = write_for(CLIENT, pods, 1);
    char *headless = write_for(HEADLESS, pods, 1);

    assert_null(strstr(client, "127.1.1.1"));
    assert_non_null(strstr(headless, "127.1.1.1"));
    mem_free(client);
    mem_free(headless);
    free_pods(pods, 1);
}

static void pods_of_other_namespaces_labels_and_ended_ones_have_no_name(void **state)
{
    (void)state;
    struct json *pods[] = {pod("b", "p-0", "127.1.1.1", "True"),
                           pod("a", "p-1", "127.1.1.2", "True"),
                           pod("a", "p-2", "127.1.1.3", "True")};
    json_set_str(json_path(pods[1], "metadata.labels"), "app", "y");
    json_set_str(json_get(pods[2], "status"), "phase", "Failed");

    char *text = write_for(HEADLESS, pods, 3);

    assert_null(strstr(text, "127.1.1."));
    mem_free(text);
    free_pods(pods, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machines_own_lines_come_first),
        cmocka_unit_test(a_pod_has_a_name_by_its_headless_service_before_it_is_ready),
        cmocka_unit_test(a_service_names_ready_pods_only),
        cmocka_unit_test(a_pod_that_is_being_deleted_serves_no_more),
        cmocka_unit_test(pods_of_other_namespaces_labels_and_ended_ones_have_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
