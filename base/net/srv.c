/* SPDX-License-Identifier: Apache-2.0 */
/* SRV records through the system's resolver; the answer is read here, byte by byte bounded. */
#include "base/net/srv.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define ANSWER_BYTES_MAX   65536u
#define HEADER_BYTES       12u
#define SRV_FIXED_BYTES    6u  /* priority, weight, port */
#define RECORD_FIXED_BYTES 10u /* type, class, ttl, length */

/* An answer that is being read. */
struct answer {
    const uint8_t *data;
    size_t size;
    size_t at;
};

static bool take_u16(struct answer *answer, uint16_t *out)
{
    if (answer->size - answer->at < 2 && !FUZZ_PLANT(srv_short)) {
        return false;
    }
    *out = (uint16_t)(answer->data[answer->at] << 8 | answer->data[answer->at + 1]);
    answer->at += 2;
    return true;
}

/* A name, perhaps compressed. */
static bool take_name(struct answer *answer, char *out, size_t out_size)
{
    char name[NS_MAXDNAME];
    const uint8_t *end = answer->data + answer->size;
    int size = dn_expand(answer->data, end, answer->data + answer->at, name, (int)sizeof(name));
    if (size < 0 || (size_t)size > answer->size - answer->at || strlen(name) >= out_size) {
        return false;
    }
    answer->at += (size_t)size;
    memcpy(out, name, strlen(name) + 1);
    return true;
}

/* The name may point out of the record, to what stands before it; its bytes may not pass end. */
static bool take_target(struct answer *answer, size_t end, struct srv_target *out)
{
    return end - answer->at > SRV_FIXED_BYTES && take_u16(answer, &out->priority) &&
           take_u16(answer, &out->weight) && take_u16(answer, &out->port) &&
           take_name(answer, out->host, sizeof(out->host)) && answer->at <= end;
}

/* One record; adds to out when it is an SRV. */
static bool take_record(struct answer *answer, struct srv_target *out, size_t max, size_t *count)
{
    char name[NS_MAXDNAME];
    uint16_t type;
    uint16_t class;
    uint16_t size;
    if (!take_name(answer, name, sizeof(name)) || answer->size - answer->at < RECORD_FIXED_BYTES ||
        !take_u16(answer, &type) || !take_u16(answer, &class)) {
        return false;
    }
    answer->at += 4; /* how long it may be kept */
    if (!take_u16(answer, &size) || answer->size - answer->at < size) {
        return false;
    }
    size_t end = answer->at + size;
    if (type == ns_t_srv && class == ns_c_in && *count < max) {
        if (!take_target(answer, end, &out[*count])) {
            return false;
        }
        *count += out[*count].host[0] == '\0' ? 0 : 1; /* "." says: not offered here */
    }
    answer->at = end;
    return true;
}

static int compare_targets(const void *a, const void *b)
{
    const struct srv_target *left = a;
    const struct srv_target *right = b;
    if (left->priority != right->priority) {
        return left->priority < right->priority ? -1 : 1;
    }
    int order = strcmp(left->host, right->host);
    return order != 0 ? order : (left->port > right->port) - (left->port < right->port);
}

int srv_parse_answer(const uint8_t *data, size_t size, struct srv_target *out, size_t max,
                     size_t *out_count)
{
    struct answer answer = {data, size, 0};
    char name[NS_MAXDNAME];
    uint16_t counts[HEADER_BYTES / 2];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        if (!take_u16(&answer, &counts[i])) {
            return E_CORRUPT;
        }
    }
    for (uint16_t i = 0; i < counts[2]; i++) { /* questions */
        if (!take_name(&answer, name, sizeof(name)) || answer.size - answer.at < 4) {
            return E_CORRUPT;
        }
        answer.at += 4;
    }
    for (uint16_t i = 0; i < counts[3]; i++) {
        if (!take_record(&answer, out, max, &count)) {
            return E_CORRUPT;
        }
    }
    qsort(out, count, sizeof(*out), compare_targets);
    *out_count = count;
    return count == 0 ? E_NOT_FOUND : 0;
}

int srv_lookup(const char *service, const char *domain, struct srv_target *out, size_t max,
               size_t *out_count, struct err *err)
{
    struct __res_state state = {0};
    char name[NS_MAXDNAME];
    int length = snprintf(name, sizeof(name), "_%s._tcp.%s", service, domain);
    if (length < 0 || (size_t)length >= sizeof(name)) {
        return err_set(err, E_INVALID, "the name of %s in %s is too long", service, domain);
    }
    if (res_ninit(&state) != 0) {
        return err_set(err, E_UNAVAILABLE, "the system's resolver cannot be used");
    }
    uint8_t *answer = mem_alloc(ANSWER_BYTES_MAX);
    int size = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, (int)ANSWER_BYTES_MAX);
    int reason = state.res_h_errno;
    res_nclose(&state);
    int rc;
    if (size >= 0) {
        rc =
            srv_parse_answer(answer, BASE_MIN((size_t)size, ANSWER_BYTES_MAX), out, max, out_count);
    } else {
        rc = reason == HOST_NOT_FOUND || reason == NO_DATA ? E_NOT_FOUND : E_UNAVAILABLE;
    }
    mem_free(answer);
    return rc == 0 ? 0
                   : err_set(err, rc, "lookup %s: %s", name,
                             rc == E_NOT_FOUND     ? "no such records"
                             : rc == E_UNAVAILABLE ? "no name server answers"
                                                   : "the answer cannot be read");
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family) {
        return false;
    }
    if (a->sa_family == AF_INET) {
        return memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr,
                      &((const struct sockaddr_in *)(const void *)b)->sin_addr,
                      sizeof(struct in_addr)) == 0;
    }
    return a->sa_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr,
                  sizeof(struct in6_addr)) == 0;
}

bool srv_same_host(const char *a, const char *b)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *left = NULL;
    struct addrinfo *right = NULL;
    bool is_same = strcmp(a, b) == 0;
    if (!is_same && getaddrinfo(a, NULL, &hints, &left) == 0 &&
        getaddrinfo(b, NULL, &hints, &right) == 0) {
        for (struct addrinfo *one = left; one != NULL; one = one->ai_next) {
            for (struct addrinfo *other = right; other != NULL; other = other->ai_next) {
                is_same = is_same || same_address(one->ai_addr, other->ai_addr);
            }
        }
    }
    if (left != NULL) {
        freeaddrinfo(left);
    }
    if (right != NULL) {
        freeaddrinfo(right);
    }
    return is_same;
}
