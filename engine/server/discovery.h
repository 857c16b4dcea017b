/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the first members of a cluster find each other when --initial-cluster does not name them:
 * SRV records (--discovery-srv), or a list that they keep in another cluster
 * (--discovery-endpoints), in the layout of etcd's v3 discovery. For bootstrap.c only.
 */
#ifndef ENGINE_SERVER_DISCOVERY_H
#define ENGINE_SERVER_DISCOVERY_H

#include "engine/server/internal.h"

/* The keys of a cluster that is being formed: PREFIX/TOKEN/_config/size, PREFIX/TOKEN/members/ID.
 */
#define DISCOVERY_PREFIX      "/_etcd/registry"
#define DISCOVERY_MEMBERS_MAX 128u

bool discovery_is_asked(const struct server_config *config);

/*
 * Main thread, I/O thread running. Gives what --initial-cluster would say, and the token that the
 * cluster's id is made with (borrowed from the configuration). The v3 way waits until enough
 * members are there, however long that takes; SIGTERM ends the process meanwhile. Errors: who was
 * asked, and what is wrong with the answer.
 */
BASE_MUST_CHECK int discovery_run(struct server *server, char **out_initial_cluster,
                                  const char **out_token, struct err *err);

/* ---- the parts, for tests ---- */

/* A member that stands in the list. */
struct discovery_member {
    char *key, *value; /* owned */
    int64_t create_revision;
};

struct discovery_list {
    struct discovery_member members[DISCOVERY_MEMBERS_MAX];
    size_t count;
};

void discovery_list_free(struct discovery_list *list);

/* Reads a range answer of the JSON gateway; members that are none are left out with a warning.
 * Sorted by the order of their coming. */
BASE_MUST_CHECK int discovery_list_read(const struct json *answer, struct discovery_list *out,
                                        struct err *err);

/* Whether own_key is, or could become, one of the first size members. */
bool discovery_has_place(const struct discovery_list *list, const char *own_key, size_t size);

/* The first size members as --initial-cluster (mem_free). */
char *discovery_text(const struct discovery_list *list, size_t size);

/* "host:port", or a URL, as a URL (mem_free). */
char *discovery_endpoint_url(const char *endpoint, size_t size, bool is_tls);

/* discovery_srv.c: asks for https first, then http, as etcd does. */
BASE_MUST_CHECK int discovery_srv_run(const struct server_config *config,
                                      char **out_initial_cluster, struct err *err);

#endif
