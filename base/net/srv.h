/* SPDX-License-Identifier: Apache-2.0 */
/* SRV records of the domain name system, and whether two names are one host. Both block. */
#ifndef BASE_NET_SRV_H
#define BASE_NET_SRV_H

#include "base/err.h"
#include "base/net/url.h"

#define SRV_TARGETS_MAX 64u

struct srv_target {
    char host[URL_HOST_MAX + 1]; /* without the dot at its end */
    uint16_t port, priority, weight;
};

/*
 * Asks for "_service._tcp.domain", at most as long as the system's resolver waits. Gives at most
 * max targets, sorted by priority, host and port. E_NOT_FOUND: there are none; E_UNAVAILABLE:
 * nobody answered; E_CORRUPT: an answer that is none.
 */
BASE_MUST_CHECK int srv_lookup(const char *service, const char *domain, struct srv_target *out,
                               size_t max, size_t *out_count, struct err *err);

/* As srv_lookup does with the answer of size bytes; for tests. */
BASE_MUST_CHECK int srv_parse_answer(const uint8_t *answer, size_t size, struct srv_target *out,
                                     size_t max, size_t *out_count);

/* True when both hosts (names or addresses) have an address in common. */
bool srv_same_host(const char *a, const char *b);

#endif
