/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the membership share. Private to them. */
#ifndef ENGINE_SERVER_MEMBERSHIP_IMPL_H
#define ENGINE_SERVER_MEMBERSHIP_IMPL_H

#include "engine/server/membership.h"

#define VERSION_BYTES_MAX 32u

struct membership {
    size_t max_learners;
    uint64_t cluster_id;
    struct member *members; /* in order of id */
    size_t member_count;
    uint64_t *removed;
    size_t removed_count;
    char version[VERSION_BYTES_MAX]; /* "": not decided yet */
    bool downgrade_is_enabled;
    char downgrade_target[VERSION_BYTES_MAX];
};

/* Adds a member (taken), whose id is not there yet. */
struct member *membership_insert(struct membership *membership, struct member member);
void membership_mark_removed(struct membership *membership, uint64_t id);

/* Forgets members, removed ids, version and downgrade. */
void membership_clear(struct membership *membership);

/* True for major.minor.patch in decimal. */
bool version_is_valid(const char *version);

/* The id in hexadecimal without leading zeros, as tables and paths have it; reading: all of text.
 */
#define ID_TEXT_BYTES 17u
void id_write(uint64_t id, char out[ID_TEXT_BYTES]);
bool id_read(struct bytes text, uint64_t *out_id);

/* Rows of the tables. */
void member_store(const struct member *member, struct store_batch *batch);
void member_store_removed(uint64_t id, struct store_batch *batch);
void version_store(const struct membership *membership, struct store_batch *batch);
void downgrade_store(const struct membership *membership, struct store_batch *batch);

#endif
