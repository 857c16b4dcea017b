/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups of names. A query is in one of three hands: waiting in the resolver's list, with a
 * thread of it, or posted back to its loop. Cancelling only marks it; whoever holds it last frees
 * it.
 */
#include "base/net/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/net/resolve_owner.h"

#define RESOLVER_THREADS 4u

struct resolve_query {
    struct list node;
    struct loop *loop;
    struct url url;
    resolve_fn fn; /* NULL: cancelled. Touched on the loop's thread only */
    void *ctx;
    struct sockaddr_storage address; /* whose owner is asked for */
    char **hosts;                    /* NULL: the addresses of url are asked for */
    size_t host_count;
    struct resolve_result result;
};

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list waiting;
    uint32_t idle_threads;
    uint32_t thread_count;
    pthread_t threads[RESOLVER_THREADS];
    bool stopping;
};

static void query_free(struct resolve_query *query)
{
    for (size_t i = 0; i < query->host_count; i++) {
        mem_free(query->hosts[i]);
    }
    mem_free(query->hosts);
    mem_free(query);
}

static void query_deliver(void *ctx)
{
    struct resolve_query *query = ctx;
    if (query->fn != NULL) {
        query->fn(query->ctx, &query->result);
    }
    query_free(query);
}

static void query_look_up(struct resolve_query *query)
{
    struct resolve_result *result = &query->result;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)query->url.port);
    int rc = getaddrinfo(query->url.host, port, &hints, &found);
    if (rc != 0) {
        result->code = rc == EAI_NONAME ? E_NOT_FOUND : E_UNAVAILABLE;
        snprintf(result->text, sizeof(result->text), "lookup %.80s: %s", query->url.host,
                 rc == EAI_NONAME ? "no such host" : gai_strerror(rc));
        return;
    }
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        if (result->address_count < RESOLVE_ADDRESSES_MAX &&
            one->ai_addrlen <= sizeof(result->addresses[0])) {
            memcpy(&result->addresses[result->address_count], one->ai_addr, one->ai_addrlen);
            result->address_sizes[result->address_count] = one->ai_addrlen;
            result->address_count++;
        }
    }
    freeaddrinfo(found);
}

static void query_tell_owner(struct resolve_query *query, bool owned)
{
    if (!owned) {
        query->result.code = E_NOT_FOUND;
        snprintf(query->result.text, sizeof(query->result.text),
                 "the address is none of \"%.80s\"%s", query->hosts[0],
                 query->host_count > 1 ? " and the others" : "");
    }
}

static void query_ask_owner(struct resolve_query *query)
{
    query_tell_owner(query, resolve_owner_by_name((const struct sockaddr *)&query->address,
                                                  query->hosts, query->host_count));
}

static void *resolver_thread(void *ctx)
{
    struct resolver *resolver = ctx;
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stopping) {
        if (list_empty(&resolver->waiting)) {
            resolver->idle_threads++;
            pthread_cond_wait(&resolver->changed, &resolver->lock);
            resolver->idle_threads--;
            continue;
        }
        struct resolve_query *query =
            LIST_ENTRY(resolver->waiting.next, struct resolve_query, node);
        list_remove(&query->node);
        pthread_mutex_unlock(&resolver->lock);
        if (query->hosts != NULL) {
            query_ask_owner(query);
        } else {
            query_look_up(query);
        }
        loop_post(query->loop, query_deliver, query);
        pthread_mutex_lock(&resolver->lock);
    }
    pthread_mutex_unlock(&resolver->lock);
    return NULL;
}

struct resolver *resolver_new(void)
{
    struct resolver *resolver = mem_zalloc(sizeof(*resolver));
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->changed, NULL);
    list_init(&resolver->waiting);
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    pthread_mutex_lock(&resolver->lock);
    resolver->stopping = true;
    pthread_cond_broadcast(&resolver->changed);
    pthread_mutex_unlock(&resolver->lock);
    for (uint32_t i = 0; i < resolver->thread_count; i++) {
        pthread_join(resolver->threads[i], NULL);
    }
    while (!list_empty(&resolver->waiting)) {
        struct resolve_query *query =
            LIST_ENTRY(resolver->waiting.next, struct resolve_query, node);
        list_remove(&query->node);
        query_free(query);
    }
    pthread_cond_destroy(&resolver->changed);
    pthread_mutex_destroy(&resolver->lock);
    mem_free(resolver);
}

/* Answers without asking anybody: literals, localhost, unix paths. */
static bool query_answer_literal(struct resolve_query *query)
{
    struct resolve_result *result = &query->result;
    struct sockaddr_storage *address = &result->addresses[0];
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    struct sockaddr_un *un = (struct sockaddr_un *)address;
    const char *host = strcmp(query->url.host, "localhost") == 0 ? "127.0.0.1" : query->url.host;
    if (url_is_unix(&query->url)) {
        if (strlen(host) >= sizeof(un->sun_path)) {
            result->code = E_NOT_FOUND;
            snprintf(result->text, sizeof(result->text), "socket path is too long");
            return true;
        }
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, host, strlen(host) + 1);
        result->address_sizes[0] = sizeof(*un);
    } else if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(query->url.port);
        result->address_sizes[0] = sizeof(*v4);
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(query->url.port);
        result->address_sizes[0] = sizeof(*v6);
    } else {
        return false;
    }
    result->address_count = 1;
    return true;
}

static void resolver_enqueue(struct resolver *resolver, struct resolve_query *query)
{
    pthread_mutex_lock(&resolver->lock);
    list_append(&resolver->waiting, &query->node);
    if (resolver->idle_threads == 0 && resolver->thread_count < RESOLVER_THREADS) {
        int rc = pthread_create(&resolver->threads[resolver->thread_count], NULL, resolver_thread,
                                resolver);
        if (rc == 0) {
            resolver->thread_count++;
        }
        ASSERT(resolver->thread_count > 0);
    }
    pthread_cond_signal(&resolver->changed);
    pthread_mutex_unlock(&resolver->lock);
}

struct resolve_query *resolve_start(struct resolver *resolver, struct loop *loop,
                                    const struct url *url, resolve_fn fn, void *ctx)
{
    struct resolve_query *query = mem_zalloc(sizeof(*query));
    list_init(&query->node);
    query->loop = loop;
    query->url = *url;
    query->fn = fn;
    query->ctx = ctx;
    if (query_answer_literal(query)) {
        loop_post(loop, query_deliver, query);
    } else if (resolver == NULL) {
        query->result.code = E_NOT_FOUND;
        snprintf(query->result.text, sizeof(query->result.text), "lookup %.80s: no resolver",
                 url->host);
        loop_post(loop, query_deliver, query);
    } else {
        resolver_enqueue(resolver, query);
    }
    return query;
}

struct resolve_query *resolve_owner_start(struct resolver *resolver, struct loop *loop,
                                          const struct sockaddr *address, socklen_t address_size,
                                          const char *const *hosts, size_t host_count,
                                          resolve_fn fn, void *ctx)
{
    ASSERT(host_count > 0 && address_size <= sizeof(struct sockaddr_storage));
    struct resolve_query *query = mem_zalloc(sizeof(*query));
    list_init(&query->node);
    query->loop = loop;
    query->fn = fn;
    query->ctx = ctx;
    memcpy(&query->address, address, address_size);
    query->hosts = mem_array(host_count, sizeof(*query->hosts));
    for (size_t i = 0; i < host_count; i++) {
        query->hosts[query->host_count++] = str_dup(hosts[i]);
    }
    bool has_names = false;
    bool owned = resolve_owner_literal(address, query->hosts, host_count, &has_names);
    if (owned || !has_names || resolver == NULL) {
        query_tell_owner(query, owned);
        loop_post(loop, query_deliver, query);
    } else {
        resolver_enqueue(resolver, query);
    }
    return query;
}

void resolve_cancel(struct resolve_query *query)
{
    query->fn = NULL;
}
