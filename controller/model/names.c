/* SPDX-License-Identifier: Apache-2.0 */
/* Names are functions of the cluster's name and an ordinal that is never used twice. */
#include "controller/model/names.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

/* Formats into a name; the spec's limit on names makes truncation impossible. */
#define NAME_FORMAT(out, ...)                                                                      \
    do {                                                                                           \
        int size_ = snprintf((out).text, sizeof((out).text), __VA_ARGS__);                         \
        ASSERT(size_ >= 0 && (size_t)size_ < sizeof((out).text));                                  \
    } while (0)

static const char *const SCHEMES[] = {[NAMES_HTTP] = "http", [NAMES_HTTPS] = "https"};

struct name names_member(const char *cluster, int64_t ordinal)
{
    struct name name;
    NAME_FORMAT(name, "%s-%" PRId64, cluster, ordinal);
    return name;
}

struct name names_pvc(const char *member)
{
    struct name name;
    NAME_FORMAT(name, "data-%s", member);
    return name;
}

struct name names_peer_service(const char *cluster)
{
    struct name name;
    NAME_FORMAT(name, "%s-peers", cluster);
    return name;
}

struct name names_client_service(const char *cluster)
{
    struct name name;
    NAME_FORMAT(name, "%s-client", cluster);
    return name;
}

struct name names_pdb(const char *cluster)
{
    struct name name;
    NAME_FORMAT(name, "%s", cluster);
    return name;
}

struct name names_peer_url(enum names_scheme scheme, const char *member, const char *cluster,
                           const char *ns)
{
    struct name name;
    NAME_FORMAT(name, "%s://%s.%s-peers.%s.svc:%d", SCHEMES[scheme], member, cluster, ns,
                PORT_PEER);
    return name;
}

struct name names_client_url(enum names_scheme scheme, const char *member, const char *cluster,
                             const char *ns)
{
    struct name name;
    NAME_FORMAT(name, "%s://%s.%s-peers.%s.svc:%d", SCHEMES[scheme], member, cluster, ns,
                PORT_CLIENT);
    return name;
}
