/* SPDX-License-Identifier: Apache-2.0 */
/* URLs as etcd accepts them, --initial-cluster, and matching with the members of a running cluster.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/server/ids.h"
#include "engine/server/membership_impl.h"

void url_list_free(struct url_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->urls[i]);
    }
    mem_free(list->urls);
    *list = (struct url_list){0};
}

void url_list_add(struct url_list *list, const char *url)
{
    list->urls = mem_realloc(list->urls, (list->count + 1) * sizeof(*list->urls));
    list->urls[list->count++] = str_dup(url);
}

static int url_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void url_list_sort(struct url_list *list)
{
    if (list->count > 1) {
        qsort(list->urls, list->count, sizeof(*list->urls), url_order);
    }
}

/* host:port with a port, an IPv6 address in brackets; nothing after it. */
static bool host_port_is_valid(const char *text)
{
    const char *colon = NULL;
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || close == text + 1 || close[1] != ':') {
            return false;
        }
        colon = close + 1;
    } else {
        colon = strchr(text, ':');
        if (colon == NULL) {
            return false;
        }
    }
    if (colon[1] == '\0') {
        return false;
    }
    for (const char *at = colon + 1; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
    }
    for (const char *at = text; at < colon; at++) {
        if ((unsigned char)*at <= ' ' || strchr("/?#@\\", *at) != NULL) {
            return false;
        }
    }
    return true;
}

static bool url_is_valid(const char *url)
{
    if (str_starts_with(url, "unix://") || str_starts_with(url, "unixs://")) {
        return strchr(url, '/')[2] != '\0';
    }
    if (str_starts_with(url, "http://")) {
        return host_port_is_valid(url + strlen("http://"));
    }
    return str_starts_with(url, "https://") && host_port_is_valid(url + strlen("https://"));
}

/* Gives a copy without the spaces around it. */
static char *trimmed(const char *text, size_t size)
{
    while (size > 0 && strchr(" \t\r\n", text[0]) != NULL) {
        text++;
        size--;
    }
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        size--;
    }
    return str_from(text, size);
}

int url_list_read(const char *const *urls, size_t count, struct url_list *out_list, struct err *err)
{
    if (count == 0) {
        return err_set(err, E_INVALID, "no URLs given");
    }
    struct url_list list = {0};
    for (size_t i = 0; i < count; i++) {
        char *url = trimmed(urls[i], strlen(urls[i]));
        bool is_valid = url_is_valid(url);
        url_list_add(&list, url);
        mem_free(url);
        if (!is_valid) {
            int rc = err_set(err, E_INVALID,
                             "\"%s\" is no URL of the form http://host:port, https://host:port, "
                             "unix://address or unixs://address",
                             list.urls[i]);
            url_list_free(&list);
            return rc;
        }
    }
    *out_list = list;
    return 0;
}

int url_list_parse(const char *const *urls, size_t count, struct url_list *out_list,
                   struct err *err)
{
    struct url_list list;
    int rc = url_list_read(urls, count, &list, err);
    if (rc != 0) {
        return rc;
    }
    url_list_sort(&list);
    *out_list = list;
    return 0;
}

/* ---- --initial-cluster ---- */

/* The member of this name, made when it is new. Its id is its place for now. */
static struct member *initial_member(struct membership *membership, const char *name)
{
    for (size_t i = 0; i < membership->member_count; i++) {
        if (str_equal(membership->members[i].name, name)) {
            return &membership->members[i];
        }
    }
    struct member member = {.id = membership->member_count, .name = str_dup(name)};
    return membership_insert(membership, member);
}

/* One "name=url"; a pair without name or URL is left out, as etcd does. */
static void initial_pair(struct membership *membership, const char *text, size_t size)
{
    char *pair = trimmed(text, size);
    char *equals = strchr(pair, '=');
    if (equals != NULL && equals != pair && equals[1] != '\0') {
        *equals = '\0';
        url_list_add(&initial_member(membership, pair)->peer_urls, equals + 1);
    }
    mem_free(pair);
}

static int initial_read(struct membership *names, const char *text, struct err *err)
{
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ",");
        initial_pair(names, at, size);
        at += size + (at[size] == ',' ? 1 : 0);
    }
    if (names->member_count == 0) {
        return err_set(err, E_INVALID, "--initial-cluster \"%s\" names no member", text);
    }
    return 0;
}

int membership_parse_initial(const char *initial_cluster, const char *token, size_t max_learners,
                             struct membership **out_membership, struct err *err)
{
    struct membership *names = membership_new(max_learners);
    struct membership *result = membership_new(max_learners);
    int rc = initial_read(names, initial_cluster, err);
    for (size_t i = 0; rc == 0 && i < names->member_count; i++) {
        const struct member *named = &names->members[i];
        struct member member = {.name = str_dup(named->name)};
        rc = url_list_parse((const char *const *)named->peer_urls.urls, named->peer_urls.count,
                            &member.peer_urls, err);
        member.id = ids_member((const char *const *)member.peer_urls.urls, member.peer_urls.count,
                               token, IDS_NO_TIME);
        if (rc == 0 && (member.id == 0 || membership_find(result, member.id) != NULL)) {
            rc = err_set(err, E_INVALID, "member %s has the same peer URLs as another one",
                         member.name);
        }
        if (rc != 0) {
            member_clear(&member);
            break;
        }
        membership_insert(result, member);
    }
    membership_free(names);
    if (rc != 0) {
        membership_free(result);
        return rc;
    }
    uint64_t *ids = mem_array(result->member_count, sizeof(*ids));
    for (size_t i = 0; i < result->member_count; i++) {
        ids[i] = result->members[i].id;
    }
    result->cluster_id = ids_cluster(ids, result->member_count);
    mem_free(ids);
    *out_membership = result;
    return 0;
}

/* ---- joining ---- */

/* Both are sorted by the time they get here, or are compared as sets. */
static bool urls_equal(const struct url_list *a, const struct url_list *b)
{
    if (a->count != b->count) {
        return false;
    }
    struct url_list x = {mem_dup(a->urls, a->count * sizeof(*a->urls)), a->count};
    struct url_list y = {mem_dup(b->urls, b->count * sizeof(*b->urls)), b->count};
    url_list_sort(&x);
    url_list_sort(&y);
    bool equal = true;
    for (size_t i = 0; equal && i < x.count; i++) {
        equal = str_equal(x.urls[i], y.urls[i]);
    }
    mem_free(x.urls);
    mem_free(y.urls);
    return equal;
}

static int id_order(const void *a, const void *b)
{
    const struct member *x = a;
    const struct member *y = b;
    return x->id < y->id ? -1 : (x->id > y->id ? 1 : 0);
}

int membership_match_existing(struct membership *local, const struct membership *existing,
                              struct err *err)
{
    if (local->member_count != existing->member_count) {
        return err_set(err, E_CONFLICT, "member count is unequal: %zu here, %zu in the cluster",
                       local->member_count, existing->member_count);
    }
    uint64_t *ids = mem_array(local->member_count + 1, sizeof(*ids));
    int rc = 0;
    for (size_t e = 0; rc == 0 && e < existing->member_count; e++) {
        const struct member *there = &existing->members[e];
        size_t at = 0;
        while (at < local->member_count &&
               (ids[at] != 0 || !urls_equal(&local->members[at].peer_urls, &there->peer_urls))) {
            at++;
        }
        if (at == local->member_count) {
            rc = err_set(err, E_CONFLICT, "PeerURLs: no match found for existing member %llx (%s)",
                         (unsigned long long)there->id,
                         there->peer_urls.count > 0 ? there->peer_urls.urls[0] : "");
        } else {
            ids[at] = there->id;
            local->members[at].is_learner = there->is_learner;
        }
    }
    for (size_t i = 0; rc == 0 && i < local->member_count; i++) {
        local->members[i].id = ids[i];
    }
    if (rc == 0 && local->member_count > 1) {
        qsort(local->members, local->member_count, sizeof(*local->members), id_order);
    }
    mem_free(ids);
    return rc;
}
