/* SPDX-License-Identifier: Apache-2.0 */
/* The list that the first members keep in another cluster: who is in it, and who has a place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/server/discovery.h"

static void add(struct json *kvs, const char *key, const char *value, const char *revision)
{
    struct json *kv = json_object();
    char *encoded = base64_text(bytes_of_str(key));
    json_set_str(kv, "key", encoded);
    mem_free(encoded);
    encoded = base64_text(bytes_of_str(value));
    json_set_str(kv, "value", encoded);
    mem_free(encoded);
    json_set_str(kv, "create_revision", revision);
    json_append(kvs, kv);
}

static void read_list(struct json *kvs, struct discovery_list *list)
{
    struct json *answer = json_object();
    json_set(answer, "kvs", kvs);
    log_set_level(LOG_LEVEL_PANIC);
    assert_int_equal(discovery_list_read(answer, list, NULL), 0);
    json_free(answer);
}

static void members_stand_in_the_order_of_their_coming(void **state)
{
    (void)state;
    struct json *kvs = json_array();
    struct discovery_list list;
    add(kvs, "/m/a", "a=http://a:1", "30");
    add(kvs, "/m/b", "b=http://b:1", "4");
    add(kvs, "/m/c", "c=http://c:1,c=http://c:2", "5");
    read_list(kvs, &list);
    assert_int_equal(list.count, 3);
    char *text = discovery_text(&list, 2);
    assert_string_equal(text, "b=http://b:1,c=http://c:1,c=http://c:2");
    mem_free(text);
    discovery_list_free(&list);
}

static void what_is_no_member_is_left_out(void **state)
{
    (void)state;
    struct json *kvs = json_array();
    struct discovery_list list;
    add(kvs, "/m/a", "no equals sign", "1");
    struct json *bad = json_object();
    json_set_str(bad, "key", "%%%");
    json_append(kvs, bad);
    json_append(kvs, json_int(7));
    add(kvs, "/m/b", "b=http://b:1", "4");
    read_list(kvs, &list);
    assert_int_equal(list.count, 1);
    discovery_list_free(&list);
    assert_int_equal(discovery_list_read(NULL, &list, NULL), 0);
    assert_int_equal(list.count, 0);
}

static void a_member_that_comes_too_late_has_no_place(void **state)
{
    (void)state;
    struct json *kvs = json_array();
    struct discovery_list list;
    add(kvs, "/m/a", "a=http://a:1", "1");
    add(kvs, "/m/b", "b=http://b:1", "2");
    add(kvs, "/m/c", "c=http://c:1", "3");
    read_list(kvs, &list);
    assert_true(discovery_has_place(&list, "/m/a", 2));
    assert_true(discovery_has_place(&list, "/m/b", 2));
    assert_false(discovery_has_place(&list, "/m/c", 2)); /* registered, but behind the others */
    assert_false(discovery_has_place(&list, "/m/d", 3));
    assert_true(discovery_has_place(&list, "/m/d", 4));
    discovery_list_free(&list);
}

static void more_members_than_any_cluster_has_are_refused(void **state)
{
    (void)state;
    struct json *kvs = json_array();
    struct json *answer = json_object();
    struct discovery_list list;
    for (unsigned i = 0; i <= DISCOVERY_MEMBERS_MAX; i++) {
        add(kvs, "/m/a", "a=http://a:1", "1");
    }
    json_set(answer, "kvs", kvs);
    assert_int_equal(discovery_list_read(answer, &list, NULL), E_TOO_BIG);
    json_free(answer);
}

static void endpoints_are_urls_or_hosts_with_ports(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint;
        bool is_tls;
        const char *url;
    } cases[] = {
        {"a:1", false, "http://a:1"},          {"a:1", true, "https://a:1"},
        {"https://a:1", false, "https://a:1"}, {"http://a:1", true, "http://a:1"},
        {" a:1", false, "http://a:1"},         {"unix:///s", false, "unix:///s"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char *url =
            discovery_endpoint_url(cases[i].endpoint, strlen(cases[i].endpoint), cases[i].is_tls);
        assert_string_equal(url, cases[i].url);
        mem_free(url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_stand_in_the_order_of_their_coming),
        cmocka_unit_test(what_is_no_member_is_left_out),
        cmocka_unit_test(a_member_that_comes_too_late_has_no_place),
        cmocka_unit_test(more_members_than_any_cluster_has_are_refused),
        cmocka_unit_test(endpoints_are_urls_or_hosts_with_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
