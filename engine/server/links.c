/* SPDX-License-Identifier: Apache-2.0 */
/* A small table between two threads: since when each peer's link works. */
#include <pthread.h>

#include "base/alloc.h"
#include "base/map.h"
#include "engine/server/internal.h"
#include "engine/server/links.h"

struct links {
    pthread_mutex_t lock;
    uint64_t ids[RAFT_MEMBERS_MAX];
    uint64_t since_ms[RAFT_MEMBERS_MAX]; /* monotonic; 0: not connected */
    uint32_t count;
    struct map removed;
};

struct links *links_new(void)
{
    struct links *links = mem_zalloc(sizeof(*links));
    pthread_mutex_init(&links->lock, NULL);
    map_init(&links->removed);
    return links;
}

void links_free(struct links *links)
{
    if (links != NULL) {
        pthread_mutex_destroy(&links->lock);
        map_free(&links->removed);
        mem_free(links);
    }
}

void links_set_members(struct links *links, const uint64_t *ids, uint32_t count)
{
    uint64_t since_ms[RAFT_MEMBERS_MAX] = {0};
    pthread_mutex_lock(&links->lock);
    count = BASE_MIN(count, RAFT_MEMBERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < links->count; j++) {
            since_ms[i] = links->ids[j] == ids[i] ? links->since_ms[j] : since_ms[i];
        }
    }
    links->count = count;
    for (uint32_t i = 0; i < count; i++) {
        links->ids[i] = ids[i];
        links->since_ms[i] = since_ms[i]; /* who stays stays connected */
    }
    pthread_mutex_unlock(&links->lock);
}

void links_add_removed(struct links *links, uint64_t id)
{
    pthread_mutex_lock(&links->lock);
    (void)map_set_u64(&links->removed, id, links);
    pthread_mutex_unlock(&links->lock);
}

bool links_is_removed(struct links *links, uint64_t id)
{
    pthread_mutex_lock(&links->lock);
    bool removed = map_get_u64(&links->removed, id) != NULL;
    pthread_mutex_unlock(&links->lock);
    return removed;
}

void io_links_refresh(struct server *server)
{
    struct links *links = server->links;
    pthread_mutex_lock(&links->lock);
    for (uint32_t i = 0; i < links->count; i++) {
        links->since_ms[i] = peer_active_since_ms(server->peers, links->ids[i]);
    }
    pthread_mutex_unlock(&links->lock);
}

bool links_active_since(const struct server *server, uint64_t id, uint64_t since_ms)
{
    struct links *links = server->links;
    bool active = false;
    pthread_mutex_lock(&links->lock);
    for (uint32_t i = 0; i < links->count; i++) {
        if (links->ids[i] == id) {
            active = links->since_ms[i] != 0 && links->since_ms[i] <= since_ms;
        }
    }
    pthread_mutex_unlock(&links->lock);
    return active;
}
