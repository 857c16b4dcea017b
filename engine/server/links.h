/* SPDX-License-Identifier: Apache-2.0 */
/* Since when the links to peers work: written by the I/O thread, read by the state thread. */
#ifndef ENGINE_SERVER_LINKS_H
#define ENGINE_SERVER_LINKS_H

#include "base/defs.h"

struct links;

struct links *links_new(void);
void links_free(struct links *links);

/* Members that were removed for good; the table grows by removals only. */
void links_add_removed(struct links *links, uint64_t id);
bool links_is_removed(struct links *links, uint64_t id);

/* Whom to look at; the next refresh fills in. */
void links_set_members(struct links *links, const uint64_t *ids, uint32_t count);

#endif
