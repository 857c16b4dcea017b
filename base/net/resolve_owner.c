/* SPDX-License-Identifier: Apache-2.0 */
/* Whose address is it? By comparison, by its names, and by the addresses of names. */
#include "base/net/resolve_owner.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

#define REVERSE_BYTES_MAX (64u * 1024u)

/* An address without its port; IPv4 inside IPv6 counts as IPv4. */
struct plain_address {
    size_t size; /* 4, 16, or 0: of another family */
    uint8_t bytes[16];
};

static struct plain_address plain(const struct sockaddr *address)
{
    struct plain_address out = {0};
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        out.size = 4;
        memcpy(out.bytes, &v4->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            out.size = 4;
            memcpy(out.bytes, &v6->sin6_addr.s6_addr[12], 4);
        } else {
            out.size = 16;
            memcpy(out.bytes, &v6->sin6_addr, 16);
        }
    }
    return out;
}

static bool plain_equal(const struct plain_address *a, const struct plain_address *b)
{
    return a->size != 0 && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static struct plain_address parse(const char *text)
{
    struct plain_address out = {0};
    if (inet_pton(AF_INET, text, out.bytes) == 1) {
        out.size = 4;
    } else if (inet_pton(AF_INET6, text, out.bytes) == 1) {
        out.size = 16;
    }
    return out;
}

bool resolve_owner_literal(const struct sockaddr *address, char *const *hosts, size_t host_count,
                           bool *out_has_names)
{
    struct plain_address wanted = plain(address);
    *out_has_names = false;
    for (size_t i = 0; i < host_count; i++) {
        struct plain_address one = parse(hosts[i]);
        if (plain_equal(&wanted, &one)) {
            return true;
        }
        *out_has_names = *out_has_names || one.size == 0;
    }
    return false;
}

static bool name_matches(const char *name, const char *host)
{
    size_t size = strlen(name);
    size -= size > 0 && name[size - 1] == '.' ? 1 : 0;
    if (host[0] == '*' && host[1] == '.') {
        size_t tail = strlen(host + 1);
        return size > tail && strncasecmp(name + size - tail, host + 1, tail) == 0;
    }
    return strlen(host) == size && strncasecmp(name, host, size) == 0;
}

static bool any_matches(const char *name, char *const *hosts, size_t host_count)
{
    for (size_t i = 0; i < host_count; i++) {
        if (name_matches(name, hosts[i])) {
            return true;
        }
    }
    return false;
}

static bool by_reverse(const struct plain_address *wanted, char *const *hosts, size_t host_count)
{
    struct hostent entry;
    struct hostent *found = NULL;
    int reason = 0;
    bool matches = false;
    char *room = mem_alloc(REVERSE_BYTES_MAX);
    int rc = gethostbyaddr_r(wanted->bytes, (socklen_t)wanted->size,
                             wanted->size == 4 ? AF_INET : AF_INET6, &entry, room,
                             REVERSE_BYTES_MAX, &found, &reason);
    if (rc == 0 && found != NULL) {
        matches = any_matches(found->h_name, hosts, host_count);
        for (char **alias = found->h_aliases; *alias != NULL && !matches; alias++) {
            matches = any_matches(*alias, hosts, host_count);
        }
    }
    mem_free(room);
    return matches;
}

static bool by_forward(const struct plain_address *wanted, const char *host)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    bool matches = false;
    if (host[0] == '*' || getaddrinfo(host, NULL, &hints, &found) != 0) {
        return false;
    }
    for (const struct addrinfo *one = found; one != NULL && !matches; one = one->ai_next) {
        struct plain_address address = plain(one->ai_addr);
        matches = plain_equal(wanted, &address);
    }
    freeaddrinfo(found);
    return matches;
}

bool resolve_owner_by_name(const struct sockaddr *address, char *const *hosts, size_t host_count)
{
    struct plain_address wanted = plain(address);
    if (wanted.size == 0) {
        return false;
    }
    if (by_reverse(&wanted, hosts, host_count)) {
        return true;
    }
    for (size_t i = 0; i < host_count; i++) {
        if (parse(hosts[i]).size == 0 && by_forward(&wanted, hosts[i])) {
            return true;
        }
    }
    return false;
}
