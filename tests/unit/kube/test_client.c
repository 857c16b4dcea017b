/* SPDX-License-Identifier: Apache-2.0 */
/* Calls against a server of the test: what goes over the wire, and what comes of each answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "controller/kube/client.h"
#include "controller/kube/events.h"
#include "lib_server.h"

/* Answers with what the test says and keeps what was asked. */
struct script {
    int status;
    const char *headers;
    const char *body;
    int throttle; /* so many requests get 429 first */
    int count;
    char method[16];
    char target[512];
    char head[2048];
    char request_body[2048];
};

static bool script_run(void *ctx, const struct server_request *request)
{
    struct script *script = ctx;
    script->count++;
    snprintf(script->method, sizeof(script->method), "%s", request->method);
    snprintf(script->target, sizeof(script->target), "%s", request->target);
    snprintf(script->head, sizeof(script->head), "%s", request->headers);
    snprintf(script->request_body, sizeof(script->request_body), "%s", request->body);
    if (script->throttle > 0) {
        script->throttle--;
        server_reply(request->fd, 429, "Retry-After: 0\r\n", "{\"message\":\"slow down\"}");
    } else {
        server_reply(request->fd, script->status, script->headers, script->body);
    }
    return true;
}

struct fixture {
    struct script script;
    struct server *server;
    struct http *http;
    struct kube_client *client;
};

static void fixture_init(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->script = (struct script){.status = 200, .headers = "", .body = "{}"};
    fixture->server = server_start(script_run, &fixture->script);
    fixture->http = http_new();
    struct kube_config *config = mem_zalloc(sizeof(*config));
    config->server = str_dup(server_url(fixture->server));
    config->token = str_dup("secret-token");
    fixture->client = kube_client_new(fixture->http, clock_posix(), config);
}

static void fixture_free(struct fixture *fixture)
{
    kube_client_free(fixture->client);
    http_free(fixture->http);
    server_stop(fixture->server);
}

static void each_verb_has_its_method_path_and_type(void **state)
{
    (void)state;
    static const struct {
        struct kube_call call;
        const char *method;
        const char *target;
        const char *type;
    } CASES[] = {
        {{.verb = KUBE_GET, .kind = &KUBE_KINDS[KUBE_POD], .namespace_ = "ns", .name = "p"},
         "GET",
         "/api/v1/namespaces/ns/pods/p",
         NULL},
        {{.verb = KUBE_APPLY,
          .kind = &KUBE_KINDS[KUBE_ETCD_MEMBER],
          .namespace_ = "ns",
          .name = "m",
          .subresource = "status"},
         "PATCH",
         "/apis/quorate.dev/v1alpha1/namespaces/ns/etcdmembers/m/status"
         "?fieldManager=quorate-operator&force=true",
         "Content-Type: application/apply-patch+yaml"},
        {{.verb = KUBE_MERGE_PATCH,
          .kind = &KUBE_KINDS[KUBE_PDB],
          .namespace_ = "ns",
          .name = "a/b"},
         "PATCH",
         "/apis/policy/v1/namespaces/ns/poddisruptionbudgets/a%2Fb?fieldManager=quorate-operator",
         "Content-Type: application/merge-patch+json"},
        {{.verb = KUBE_CREATE, .kind = &KUBE_KINDS[KUBE_EVENT], .namespace_ = "ns", .name = "e"},
         "POST",
         "/apis/events.k8s.io/v1/namespaces/ns/events?fieldManager=quorate-operator",
         "Content-Type: application/json"},
        {{.verb = KUBE_REPLACE, .kind = &KUBE_KINDS[KUBE_LEASE], .namespace_ = "n", .name = "l"},
         "PUT",
         "/apis/coordination.k8s.io/v1/namespaces/n/leases/l?fieldManager=quorate-operator",
         "Content-Type: application/json"},
        {{.verb = KUBE_LIST, .kind = &KUBE_KINDS[KUBE_NODE], .label_selector = "a=b,c"},
         "GET",
         "/api/v1/nodes?labelSelector=a%3Db%2Cc&limit=500",
         NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture);
    struct json *body = json_object();
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct kube_call call = CASES[i].call;
        call.body = kube_verb_mutates(call.verb) ? body : NULL;
        struct err err = {{0}};

        int rc = kube_call(kube_client_seam(fixture.client), &call, NULL, &err);

        assert_string_equal(err.text, "");
        assert_int_equal(rc, 0);
        assert_string_equal(fixture.script.method, CASES[i].method);
        assert_string_equal(fixture.script.target, CASES[i].target);
        assert_non_null(strstr(fixture.script.head, "Authorization: Bearer secret-token"));
        if (CASES[i].type != NULL) {
            assert_non_null(strstr(fixture.script.head, CASES[i].type));
        }
    }
    json_free(body);
    fixture_free(&fixture);
}

static void a_delete_carries_its_preconditions(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const struct kube_call call = {.verb = KUBE_DELETE,
                                   .kind = &KUBE_KINDS[KUBE_POD],
                                   .namespace_ = "ns",
                                   .name = "p",
                                   .if_uid = "u-1",
                                   .if_version = "77"};

    assert_int_equal(kube_call(kube_client_seam(fixture.client), &call, NULL, NULL), 0);

    struct json *body =
        json_parse(fixture.script.request_body, strlen(fixture.script.request_body), NULL);
    assert_string_equal(json_path_str(body, "preconditions.uid", ""), "u-1");
    assert_string_equal(json_path_str(body, "preconditions.resourceVersion", ""), "77");
    json_free(body);
    fixture_free(&fixture);
}

static void every_error_names_verb_kind_object_status_and_message(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        int code;
        const char *text;
    } CASES[] = {
        {404, "{\"reason\":\"NotFound\",\"message\":\"no such pod\"}", E_NOT_FOUND,
         "delete pods ns/p: 404 NotFound: no such pod"},
        {409, "{\"reason\":\"AlreadyExists\",\"message\":\"m\"}", E_EXISTS, "409 AlreadyExists: m"},
        {409, "{\"reason\":\"Conflict\",\"message\":\"m\"}", E_CONFLICT, "409 Conflict: m"},
        {410, "{\"reason\":\"Expired\",\"message\":\"m\"}", E_COMPACTED, "410"},
        {422, "{\"reason\":\"Invalid\",\"message\":\"spec.x\"}", E_INVALID, "spec.x"},
        {403, "{\"reason\":\"Forbidden\",\"message\":\"may not\"}", E_PERMISSION, "may not"},
        {500, "{\"reason\":\"InternalError\",\"message\":\"m\"}", E_UNAVAILABLE, "500"},
        {503, "not json", E_UNAVAILABLE, "delete pods ns/p: 503: not json"},
        {504, "{\"reason\":\"Timeout\",\"message\":\"m\"}", E_TIMEOUT, "504"},
        {302, "", E_CORRUPT, "302"},
        {200, "not json", E_CORRUPT, "delete pods ns/p: answer"},
    };
    struct fixture fixture;
    fixture_init(&fixture);
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        fixture.script.status = CASES[i].status;
        fixture.script.body = CASES[i].body;
        const struct kube_call call = {
            .verb = KUBE_DELETE, .kind = &KUBE_KINDS[KUBE_POD], .namespace_ = "ns", .name = "p"};
        struct err err = {{0}};

        int rc = kube_call(kube_client_seam(fixture.client), &call, NULL, &err);

        assert_int_equal(rc, CASES[i].code);
        if (strstr(err.text, CASES[i].text) == NULL) {
            fail_msg("\"%s\" lacks \"%s\"", err.text, CASES[i].text);
        }
        assert_null(strstr(err.text, "secret-token"));
    }
    fixture_free(&fixture);
}

static void a_throttled_call_waits_and_tries_again_but_not_for_ever(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const struct kube_seam *seam = kube_client_seam(fixture.client);
    fixture.script.throttle = 2;
    assert_int_equal(kube_get(seam, KUBE_POD, "ns", "p", NULL, NULL), 0);
    assert_int_equal(fixture.script.count, 3);

    fixture.script.throttle = 100;
    struct err err = {{0}};
    assert_int_equal(kube_get(seam, KUBE_POD, "ns", "p", NULL, &err), E_AGAIN);
    assert_int_equal(fixture.script.count, 3 + (int)KUBE_THROTTLE_TRIES);
    assert_non_null(strstr(err.text, "get pods ns/p: 429"));

    assert_int_equal(kube_retry_after_ms("7", 1), 7000);
    assert_int_equal(kube_retry_after_ms(NULL, 1), 1);
    assert_int_equal(kube_retry_after_ms("Wed, 21 Oct", 1), 1);
    fixture_free(&fixture);
}

static void a_server_that_is_not_there_is_unavailable(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    server_stop(fixture.server);
    struct err err = {{0}};

    int rc = kube_get(kube_client_seam(fixture.client), KUBE_POD, "ns", "p", NULL, &err);

    assert_int_equal(rc, E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "get pods ns/p: http://127.0.0.1:"));
    kube_client_free(fixture.client);
    http_free(fixture.http);
}

static void the_same_event_again_is_not_posted_again(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct kube_events events;
    kube_events_init(&events, kube_client_seam(fixture.client), clock_posix(), "op-1");
    static const char OBJECT[] =
        "{\"metadata\":{\"name\":\"demo\",\"namespace\":\"ns\",\"uid\":\"u\"}}";
    struct json *regarding = json_parse(OBJECT, sizeof(OBJECT) - 1, NULL);
    struct kube_event event = {.kind = &KUBE_KINDS[KUBE_ETCD_CLUSTER],
                               .regarding = regarding,
                               .related_kind = &KUBE_KINDS[KUBE_POD],
                               .related_name = "demo-0",
                               .type = "Normal",
                               .reason = "MemberAdded",
                               .action = "Reconcile",
                               .note = "added"};

    assert_int_equal(kube_events_post(&events, &event, NULL), 0);
    assert_int_equal(kube_events_post(&events, &event, NULL), 0);
    assert_int_equal(fixture.script.count, 1);
    struct json *body =
        json_parse(fixture.script.request_body, strlen(fixture.script.request_body), NULL);
    assert_string_equal(json_path_str(body, "regarding.kind", ""), "EtcdCluster");
    assert_string_equal(json_path_str(body, "related.name", ""), "demo-0");
    assert_string_equal(json_path_str(body, "note", ""), "added");
    json_free(body);

    event.note = "another";
    assert_int_equal(kube_events_post(&events, &event, NULL), 0);
    assert_int_equal(fixture.script.count, 2);
    json_free(regarding);
    kube_events_free(&events);
    fixture_free(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verb_has_its_method_path_and_type),
        cmocka_unit_test(a_delete_carries_its_preconditions),
        cmocka_unit_test(every_error_names_verb_kind_object_status_and_message),
        cmocka_unit_test(a_throttled_call_waits_and_tries_again_but_not_for_ever),
        cmocka_unit_test(a_server_that_is_not_there_is_unavailable),
        cmocka_unit_test(the_same_event_again_is_not_posted_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
