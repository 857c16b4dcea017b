/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of one resource as the store has them, kept up to date by its watch. One thread. */
#ifndef PLAYGROUND_KUBELET_MIRROR_H
#define PLAYGROUND_KUBELET_MIRROR_H

#include "deploy/playground/apiserver/store.h"

struct mirror {
    struct store *store;
    const char *resource;
    struct store_watch *watch;
    struct json **items; /* owned; in the order of their arrival */
    size_t count;
    size_t capacity;
    uint64_t changes; /* counts up with every change */
};

/* Called for each object that is gone; object is borrowed. */
typedef void (*mirror_gone_fn)(void *ctx, const struct json *object);

BASE_MUST_CHECK int mirror_open(struct mirror *mirror, struct store *store, const char *resource,
                                struct err *err);

/* Takes what has changed, waiting at most timeout_ms for the first. False: the store is closing. */
bool mirror_poll(struct mirror *mirror, uint32_t timeout_ms, mirror_gone_fn on_gone, void *ctx);

void mirror_close(struct mirror *mirror);

/* The object, borrowed until the next poll, or NULL. ns is "" for cluster-scoped ones. */
const struct json *mirror_find(const struct mirror *mirror, const char *ns, const char *name);

/* All objects, as PURE code takes them; borrowed until the next poll. */
const struct json *const *mirror_items(const struct mirror *mirror);

#endif
