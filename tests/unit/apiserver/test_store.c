/* SPDX-License-Identifier: Apache-2.0 */
/* The in-process interface, the journal and the log stream, on a running server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "deploy/playground/apiserver/server.h"
#include "deploy/playground/apiserver/store.h"
#include "lib_json.h"

static char folder[] = "/tmp/quorate-store-XXXXXX";

static struct apiserver *server_start(void)
{
    struct apiserver_config config = {.dir = folder, .token = "secret"};
    struct apiserver *server = NULL;
    struct err err = {""};
    int rc = apiserver_start(&config, &server, &err);
    if (rc != 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
    return server;
}

static void server_end(struct apiserver *server)
{
    apiserver_stop(server);
    apiserver_free(server);
}

static struct json *create(struct store *store, const char *resource, const char *text)
{
    struct json *object = js(text);
    struct json *made = NULL;
    struct err err = {""};
    int rc = store_create(store, resource, "default", object, &made, &err);
    if (rc != 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
    json_free(object);
    return made;
}

static void a_watch_sees_what_was_there_then_what_changes(void **state)
{
    (void)state;
    struct apiserver *server = server_start();
    struct store *store = apiserver_store(server);
    json_free(create(store, "configmaps", "{'metadata':{'name':'w1'}}"));
    struct store_watch *watch;
    assert_int_equal(store_watch_open(store, "configmaps", "default", &watch, NULL), 0);
    struct store_event event;

    assert_int_equal(store_watch_next(watch, 5000, &event), 0);
    assert_int_equal(event.type, STORE_ADDED);
    assert_string_equal(json_path_str(event.object, "metadata.name", ""), "w1");
    json_free(event.object);
    assert_int_equal(store_watch_next(watch, 5000, &event), 0);
    assert_int_equal(event.type, STORE_SYNCED);
    assert_int_equal(store_watch_next(watch, 1, &event), E_TIMEOUT);

    assert_int_equal(
        store_delete(store, "configmaps", "default", "w1", NULL, STORE_GRACE_DEFAULT, NULL), 0);
    assert_int_equal(store_watch_next(watch, 5000, &event), 0);
    assert_int_equal(event.type, STORE_DELETED);
    json_free(event.object);
    store_watch_cancel(watch);
    assert_int_equal(store_watch_next(watch, 5000, &event), E_CLOSED);
    store_watch_close(watch);
    server_end(server);
}

static void a_pod_on_a_node_waits_for_its_kubelet(void **state)
{
    (void)state;
    struct apiserver *server = server_start();
    struct store *store = apiserver_store(server);
    struct json *pod =
        create(store, "pods",
               "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','image':'i'}]}}");
    struct json *bind = js("{'spec':{'nodeName':'n1'}}");
    assert_int_equal(store_patch(store, "pods", "default", "p", NULL, bind, NULL, NULL), 0);

    assert_int_equal(store_delete(store, "pods", "default", "p", NULL, STORE_GRACE_DEFAULT, NULL),
                     0);
    struct json *leaving = NULL;
    assert_int_equal(store_get(store, "pods", "default", "p", &leaving, NULL), 0);
    assert_non_null(json_path_str(leaving, "metadata.deletionTimestamp", NULL));
    assert_int_equal(json_path_i64(leaving, "metadata.deletionGracePeriodSeconds", 0), 30);

    assert_int_equal(store_delete(store, "pods", "default", "p", "another", 0, NULL), E_CONFLICT);
    const char *uid = json_path_str(pod, "metadata.uid", "");
    assert_int_equal(store_delete(store, "pods", "default", "p", uid, 0, NULL), 0);
    assert_int_equal(store_get(store, "pods", "default", "p", NULL, NULL), E_NOT_FOUND);
    json_free(leaving);
    json_free(bind);
    json_free(pod);
    server_end(server);
}

static void writes_with_an_old_revision_conflict(void **state)
{
    (void)state;
    struct apiserver *server = server_start();
    struct store *store = apiserver_store(server);
    struct json *first =
        create(store, "pods",
               "{'metadata':{'name':'c'},'spec':{'containers':[{'name':'c','image':'i'}]}}");
    struct json *status = json_copy(first);
    json_set_str(json_ensure_object(status, "status"), "phase", "Running");

    assert_int_equal(store_update_status(store, "pods", "default", status, NULL, NULL), 0);
    struct err err = {""};
    assert_int_equal(store_update_status(store, "pods", "default", first, NULL, &err), E_CONFLICT);
    assert_non_null(strstr(err.text, "the object has been modified"));
    assert_int_equal(store_create(store, "pods", "default", first, NULL, &err), E_INVALID);
    json_remove(json_get(first, "metadata"), "resourceVersion");
    assert_int_equal(store_create(store, "pods", "default", first, NULL, &err), E_EXISTS);
    assert_int_equal(store_get(store, "nothings", NULL, "x", NULL, &err), E_NOT_FOUND);
    json_free(status);
    json_free(first);
    server_end(server);
}

static void events_of_the_same_kind_are_counted(void **state)
{
    (void)state;
    struct apiserver *server = server_start();
    struct store *store = apiserver_store(server);
    struct json *about = create(store, "configmaps", "{'metadata':{'name':'about'}}");

    for (int i = 0; i < 3; i++) {
        store_record_event(store, about, "Warning", "Failed", "it failed", "kubelet", "n1");
    }

    struct json *events = NULL;
    assert_int_equal(store_list(store, "events", "default", NULL, &events, NULL), 0);
    assert_int_equal(json_count(events), 1);
    assert_int_equal(json_path_i64(events, "0.count", 0), 3);
    assert_string_equal(json_path_str(events, "0.involvedObject.name", ""), "about");
    json_free(events);
    json_free(about);
    server_end(server);
}

static void a_restart_brings_everything_back(void **state)
{
    (void)state;
    struct apiserver *server = server_start();
    struct json *before = create(apiserver_store(server), "configmaps",
                                 "{'metadata':{'name':'kept'},'data':{'a':'b'}}");
    json_free(create(apiserver_store(server), "configmaps", "{'metadata':{'name':'gone'}}"));
    assert_int_equal(
        store_delete(apiserver_store(server), "configmaps", "default", "gone", NULL, 0, NULL), 0);
    server_end(server);

    server = server_start();
    struct json *after = NULL;
    assert_int_equal(
        store_get(apiserver_store(server), "configmaps", "default", "kept", &after, NULL), 0);
    assert_true(json_equal(before, after));
    assert_int_equal(
        store_get(apiserver_store(server), "configmaps", "default", "gone", NULL, NULL),
        E_NOT_FOUND);
    json_free(before);
    json_free(after);
    server_end(server);
}

static void a_torn_last_line_of_the_journal_is_left_out(void **state)
{
    (void)state;
    struct apiserver *server = server_start();
    server_end(server);
    char *path = str_printf("%s/state.json", folder);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("{\"put\":\"configmaps\",\"obj", file);
    fclose(file);

    server = server_start();
    assert_int_equal(
        store_get(apiserver_store(server), "configmaps", "default", "kept", NULL, NULL), 0);
    server_end(server);
    mem_free(path);
}

static int fake_open(void *ctx, const char *ns, const char *pod,
                     const struct pod_log_options *options, void **out_stream, struct err *err)
{
    (void)ns;
    (void)pod;
    if (str_equal(options->container, "wrong")) {
        return err_set(err, E_NOT_FOUND, "container wrong is not valid for pod logged");
    }
    *(int64_t *)ctx = options->tail_lines;
    *out_stream = ctx;
    return 0;
}

static int fake_read(void *stream, uint32_t timeout_ms, struct buf *out)
{
    (void)stream;
    (void)timeout_ms;
    buf_append_str(out, "one line\n");
    return E_CLOSED;
}

static void fake_close(void *stream)
{
    (void)stream;
}

/* Gives the whole answer to a GET (mem_free). */
static char *get(const struct apiserver *server, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(apiserver_port(server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    char *text = str_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                            "Authorization: Bearer secret\r\n\r\n",
                            path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    mem_free(text);
    struct buf answer;
    buf_init(&answer, BUF_NO_LIMIT);
    char part[4096];
    ssize_t size;
    while ((size = read(fd, part, sizeof(part))) > 0) {
        buf_append(&answer, part, (size_t)size);
    }
    close(fd);
    text = str_dup(buf_cstr(&answer));
    buf_free(&answer);
    return text;
}

static void logs_come_from_the_registered_source(void **state)
{
    (void)state;
    struct apiserver *server = server_start();
    json_free(
        create(apiserver_store(server), "pods",
               "{'metadata':{'name':'logged'},'spec':{'containers':[{'name':'c','image':'i'}]}}"));
    int64_t tail = 0;
    struct pod_logs logs = {&tail, fake_open, fake_read, fake_close};
    apiserver_set_logs(server, &logs);

    char *answer = get(server, "/api/v1/namespaces/default/pods/logged/log?tailLines=7");
    assert_non_null(strstr(answer, "200 OK"));
    assert_non_null(strstr(answer, "one line"));
    assert_int_equal(tail, 7);
    mem_free(answer);
    answer = get(server, "/api/v1/namespaces/default/pods/logged/log?container=wrong");
    assert_non_null(strstr(answer, "400 Bad Request"));
    assert_non_null(strstr(answer, "is not valid for pod"));
    mem_free(answer);
    server_end(server);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int drop_folder(void **state)
{
    (void)state;
    static const char *const FILES[] = {"state.json", "tls.crt", "tls.key"};
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        char *path = str_printf("%s/%s", folder, FILES[i]);
        unlink(path);
        mem_free(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watch_sees_what_was_there_then_what_changes),
        cmocka_unit_test(a_pod_on_a_node_waits_for_its_kubelet),
        cmocka_unit_test(writes_with_an_old_revision_conflict),
        cmocka_unit_test(events_of_the_same_kind_are_counted),
        cmocka_unit_test(a_restart_brings_everything_back),
        cmocka_unit_test(a_torn_last_line_of_the_journal_is_left_out),
        cmocka_unit_test(logs_come_from_the_registered_source),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
