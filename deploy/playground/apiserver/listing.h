/* SPDX-License-Identifier: Apache-2.0 */
/* Lists: selection, pages, and states of the past for tests. */
#ifndef PLAYGROUND_APISERVER_LISTING_H
#define PLAYGROUND_APISERVER_LISTING_H

#include "api.h"

struct list_options {
    const char *ns; /* "" for all */
    const struct selector *labels;
    const struct selector *fields;
    size_t limit;            /* 0: all */
    const char *continue_at; /* token, or "" */
    uint64_t stale_by;       /* answer with the state this many changes ago, where still known */
};

/* References to the chosen objects, in order. */
struct listing {
    struct object **items;
    size_t count;
    size_t remaining; /* objects after the page; 0 when it is the last */
    uint64_t revision;
    char *continue_at; /* NULL on the last page */
};

/* Fills *out_listing; E_INVALID for a bad token, E_COMPACTED for one that is too old. Lock held. */
BASE_MUST_CHECK int listing_make(struct store *store, const struct kind *kind,
                                 const struct list_options *options, struct listing *out_listing);
void listing_free(struct listing *listing);

#endif
