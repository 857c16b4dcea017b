/* SPDX-License-Identifier: Apache-2.0 */
/* Voters and learners as table meta keeps them: etcd's JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/server/internal.h"

#define META_CONF_STATE "confState"

/* etcd's form in table meta, so that the snapshot file carries it. */
void cluster_store_conf_state(struct store_batch *batch, const struct raft_conf_state *conf)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    buf_append_str(&text, "{\"voters\":[");
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        buf_printf(&text, "%s%" PRIu64, i == 0 ? "" : ",", conf->voters[i]);
    }
    buf_append_str(&text, "]");
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        buf_printf(&text, "%s%" PRIu64, i == 0 ? ",\"learners\":[" : ",", conf->learners[i]);
    }
    buf_append_str(&text,
                   conf->learner_count > 0 ? "],\"auto_leave\":false}" : ",\"auto_leave\":false}");
    store_batch_put(batch, STORE_META, bytes_of_str(META_CONF_STATE), buf_bytes(&text));
    buf_free(&text);
}

static void read_ids(struct bytes text, const char *key, uint64_t *out_ids, uint32_t *out_count)
{
    /* Ids are unsigned 64-bit numbers, more than a JSON tree keeps: the list is read as text. */
    char *copy = str_from(text.data, text.size);
    const char *at = strstr(copy, key);
    *out_count = 0;
    at = at == NULL ? NULL : strchr(at, '[');
    while (at != NULL && *at != ']' && *at != '\0' && *out_count < RAFT_MEMBERS_MAX) {
        uint64_t id;
        if (sscanf(at + 1, "%" SCNu64, &id) == 1) {
            out_ids[(*out_count)++] = id;
        }
        at = strpbrk(at + 1, ",]");
    }
    mem_free(copy);
}

int cluster_load_conf_state(const struct store_seam *seam, struct store_view *view,
                            struct raft_conf_state *out)
{
    struct bytes text;
    int rc = seam->view_get(view, STORE_META, bytes_of_str(META_CONF_STATE), &text);
    *out = (struct raft_conf_state){0};
    if (rc == 0) {
        read_ids(text, "\"voters\"", out->voters, &out->voter_count);
        read_ids(text, "\"learners\"", out->learners, &out->learner_count);
    }
    return rc;
}
